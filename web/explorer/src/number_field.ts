/** A number in an equation that can be typed over. */
import { numberOf, shownAs } from "./edits";
import type { Place } from "./reading";

/** By how much an arrow key changes a number. */
const NUDGE = 0.1;

/** A number that can be changed: where it stands, its value, and its name for who cannot see where it stands. */
export interface Editable {
  place: Place;
  value: number;
  label: string;
  /** By how much an arrow key changes it, where that is not 0.1. */
  nudge?: number;
}

/** Changes the number at a place; answers in words where that cannot be. */
export type Change = (place: Place, typed: string) => string | null;

export class NumberField {
  readonly element = document.createElement("input");
  private place: Place | null = null;
  private text = "";
  private by = NUDGE;
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
      const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (event.key === "Enter") this.take();
      else if (event.key === "Escape") this.restore();
      else if (way !== undefined) this.nudge(way * this.by);
      else return;
      event.preventDefault();
    });
  }

  /** Show a number, or what it was changed to, unless another is being typed. */
  fill({ place, value, label, nudge = NUDGE }: Editable, edited: number | undefined): void {
    const { element } = this;
    element.hidden = false;
    if (this.typing) return;
    this.place = place;
    this.by = nudge;
    this.text = edited === undefined ? shownAs(place.kind, value) : String(Number(edited.toPrecision(7))).replace("-", "−");
    element.value = this.text;
    element.classList.toggle("long", this.text.length > 5);
    element.classList.toggle("edited", edited !== undefined);
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
    this.element.value = String(Number((value + by).toPrecision(10)));
    this.typing = true;
    this.take();
  }

  private restore(): void {
    this.typing = false;
    this.element.value = this.text;
  }
}
