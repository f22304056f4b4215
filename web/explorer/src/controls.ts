/** What can be pressed, moved and chosen, whatever is read, and the keyboard. */
import { nameOf } from "./own_cells";
import type { Exhibit, Network } from "./reading";
import { SPANS, type Span, type View } from "./view";
import type { Words } from "./words";

/** Steps that a newly chosen range has. */
const RANGE = 10;

export const find = <E extends Element>(id: string) => document.getElementById(id) as unknown as E;

export class Controls {
  constructor(
    private readonly exhibit: Exhibit,
    private readonly exhibits: Exhibit[],
    /** Ends what listens to the whole window. */
    private readonly closed: AbortSignal,
    private readonly now: () => View & { steps: number },
    /** Change the view; `typed` where what was asked for may be what there is not. */
    private readonly go: (change: Partial<View>, typed?: boolean) => void,
    private readonly toggle: () => void,
  ) {
    document.querySelectorAll<HTMLElement>(exhibit.kind === "text" ? ".of-series" : ".of-text").forEach((element) => element.remove());
    find<HTMLSelectElement>("exhibit").append(...exhibits.map(({ name }) => new Option(name, name)));
    this.buttons();
    this.inputs();
    this.keyboard();
    find("networks").toggleAttribute("hidden", exhibit.networks.length < 2);
  }

  /** Words and the state of the controls. */
  say(view: View, network: Network, words: Words, playing: boolean): void {
    document.querySelectorAll<HTMLElement>("[data-word]").forEach((element) => {
      element.textContent = words[element.dataset.word as "title"];
    });
    find("notices").setAttribute("aria-label", words.notices);
    document.querySelectorAll<HTMLElement>("[data-label]").forEach((element) => {
      element.setAttribute("aria-label", words[element.dataset.label as "title"]);
    });
    const { exhibit } = this;
    const choice = find<HTMLSelectElement>("exhibit");
    this.exhibits.forEach(({ title }, place) => (choice.options[place].textContent = title[view.language]));
    choice.value = exhibit.name;
    choice.parentElement!.hidden = this.exhibits.length < 2;
    find("language").textContent = words.language;
    find("language").setAttribute("lang", view.language === "en" ? "zh-Hans" : "en");
    find("theme").textContent = view.theme === "dark" ? words.light : words.dark;
    find("guide").setAttribute("aria-pressed", String(view.tour !== null));
    find("play").textContent = playing ? words.pause : words.play;
    find("about").textContent = words.about(network, exhibit.kind === "series" ? exhibit.target : "");
    find("strip").setAttribute("aria-label", words.input);
    find("comparison-title").textContent = words.comparison(exhibit.networks.length);
    const differ = words.differ(exhibit.networks.map(({ cell }) => cell));
    find("differ").textContent = differ;
    find<HTMLElement>("differ").hidden = !differ;
    find("networks").querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.value === network.name)));
    this.sayGate(view, network, words);
  }

  private sayGate(view: View, network: Network, words: Words): void {
    const gates = network.clampable.map((name) => new Option(nameOf(network, name, words), name, false, name === view.gate));
    find<HTMLSelectElement>("gate").replaceChildren(...gates);
    find<HTMLInputElement>("all").checked = view.all;
    const held = view.value === null ? words.free : view.value.toFixed(2);
    find<HTMLInputElement>("value").value = String(view.value ?? 0.5);
    find("value").setAttribute("aria-valuetext", `${view.gate && nameOf(network, view.gate, words)} ${held}`);
    find("held").textContent = held;
    find<HTMLButtonElement>("release").disabled = view.value === null;
    find<HTMLSelectElement>("span").replaceChildren(...SPANS.map((span) => new Option(words.spans[span], span, false, span === view.span)));
    find<HTMLElement>("from-step").hidden = view.span === "all";
    find<HTMLElement>("to-step").hidden = view.span !== "range";
    for (const name of ["first", "last"] as const) {
      const input = find<HTMLInputElement>(name);
      if (document.activeElement !== input) input.value = String(view[name]);
    }
    find("change").querySelectorAll<HTMLElement>(".row").forEach((row) => (row.hidden = !network.clampable.length));
  }

  /** What was done otherwise than it was asked; read out only where it is new. */
  notice(said: string[]): void {
    const list = find<HTMLElement>("notices");
    list.hidden = !said.length;
    if ([...list.children].map(({ textContent }) => textContent).join("\n") === said.join("\n")) return;
    list.replaceChildren(...said.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
  }

  /** The moment and the unit. */
  point(step: number, steps: number, unit: number, moment: string): void {
    const slider = find<HTMLInputElement>("step");
    slider.max = String(steps - 1);
    slider.value = String(step);
    slider.setAttribute("aria-valuetext", moment);
    find("moment").textContent = moment;
    find<HTMLInputElement>("unit").value = String(unit);
  }

  private on(id: string, event: string, react: (element: HTMLInputElement) => void): void {
    find(id).addEventListener(event, () => react(find<HTMLInputElement>(id)));
  }

  private buttons(): void {
    const { go, now } = this;
    this.on("back", "click", () => go({ step: now().step - 1 }));
    this.on("forward", "click", () => go({ step: now().step + 1 }));
    this.on("play", "click", this.toggle);
    this.on("release", "click", () => {
      go({ value: null });
      find<HTMLInputElement>("value").focus(); // the button can no longer be pressed
    });
    this.on("language", "click", () => go({ language: now().language === "en" ? "zh" : "en" }));
    this.on("theme", "click", () => go({ theme: now().theme === "dark" ? "light" : "dark" }));
    for (const { name } of this.exhibit.networks) {
      const button = Object.assign(document.createElement("button"), { type: "button", value: name, textContent: name.toUpperCase() });
      button.addEventListener("click", () => go({ network: name }));
      find("networks").append(button);
    }
  }

  private inputs(): void {
    const { go, now } = this;
    // A field that was emptied is left alone while somebody types in it, and then shows again what the page shows.
    const whole = (part: "unit" | "first" | "last") => {
      this.on(part, "input", ({ value }) => value !== "" && go({ [part]: Number(value) }, true));
      this.on(part, "change", (field) => {
        if (field.value === "") go({ [part]: now()[part] }, true);
        field.value = String(now()[part]);
      });
    };
    this.on("step", "input", ({ value }) => go({ step: Number(value) }));
    whole("unit");
    this.on("gate", "change", ({ value }) => go({ gate: value }));
    this.on("all", "change", ({ checked }) => go({ all: checked }));
    this.on("value", "input", ({ value }) => go({ value: Number(value) }));
    this.on("span", "change", ({ value }) => {
      const { step, steps } = now();
      go({ span: value as Span, first: step, last: Math.min(steps, step + RANGE) - 1 });
    });
    whole("first");
    whole("last");
  }

  private keyboard(): void {
    addEventListener("keydown", (event) => {
      const inside = event.target as HTMLElement;
      // The slider of time moves as the page does, so keys mean the same on it; a box to tick has no use for arrows.
      if (inside.matches("textarea, select, input:not(#step, [type=checkbox])") || event.ctrlKey || event.metaKey || event.altKey) return;
      const { step, unit, steps } = this.now();
      const moves: Record<string, Partial<View>> = {
        ArrowLeft: { step: step - 1 },
        ArrowRight: { step: step + 1 },
        ArrowUp: { unit: unit - 1 },
        ArrowDown: { unit: unit + 1 },
        Home: { step: 0 },
        End: { step: steps - 1 },
      };
      if (moves[event.key]) this.go(moves[event.key]);
      else if (event.key === " " && !inside.matches("button, [type=checkbox]")) this.toggle();
      else return;
      event.preventDefault();
    }, { signal: this.closed });
    // Who clicked a button with the mouse goes on with the keys: space plays, and does not click again.
    addEventListener("click", ({ target, pointerType }) => {
      if (pointerType === "mouse" && (target as HTMLElement).matches(".transport button, #networks button")) (target as HTMLElement).blur();
    }, { signal: this.closed });
  }
}
