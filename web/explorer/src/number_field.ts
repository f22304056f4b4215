/** A number in an equation that can be typed over. */
import { signed } from "./diagram";
import { numberOf } from "./edits";
import type { Place } from "./reading";

/** By how much an arrow key changes a number. */
const NUDGE = 0.1;

/** Changes the number at a place; answers in words where that cannot be. */
export type Change = (place: Place, typed: string) => string | null;

export class NumberField {
  readonly element = document.createElement("input");
  private place: Place | null = null;
  private text = "";
  /** Whether something was typed that has not been taken over. */
  private typing = false;

  constructor(private readonly change: Change, private readonly refuse: (words: string) => void) {
    const { element } = this;
    element.type = "text";
    element.inputMode = "decimal";
    element.className = "number";
    element.autocomplete = "off";
    element.hidden = true;
    element.addEventListener("input", () => (this.typing = true));
    element.addEventListener("focus", () => element.select());
    element.addEventListener("blur", () => this.take());
    element.addEventListener("keydown", (event) => {
      const by = { ArrowUp: NUDGE, ArrowDown: -NUDGE }[event.key];
      if (event.key === "Enter") this.take();
      else if (event.key === "Escape") this.restore();
      else if (by !== undefined) this.nudge(by);
      else return;
      event.preventDefault();
    });
  }

  /** Show a number, unless another is being typed; `label` names it for who cannot see where it stands. */
  fill(place: Place, value: number, edited: boolean, label: string): void {
    const { element } = this;
    element.hidden = false;
    if (this.typing) return;
    this.place = place;
    this.text = edited ? String(Math.round(value * 1e4) / 1e4).replace("-", "−") : signed(value);
    element.value = this.text;
    element.classList.toggle("edited", edited);
    element.setAttribute("aria-label", label);
  }

  hide(): void {
    this.element.hidden = true;
    this.typing = false;
  }

  private take(): void {
    if (!this.typing) return;
    this.typing = false;
    const typed = this.element.value;
    if (!this.place || typed.trim() === this.text) return this.restore();
    const refused = this.change(this.place, typed);
    this.refuse(refused ?? "");
    if (refused) this.restore();
    this.element.setAttribute("aria-invalid", String(refused !== null));
  }

  private nudge(by: number): void {
    const value = numberOf(this.element.value);
    if (value === null) return;
    this.element.value = String(Math.round((value + by) * 100) / 100);
    this.typing = true;
    this.take();
  }

  private restore(): void {
    this.typing = false;
    this.element.value = this.text;
  }
}
