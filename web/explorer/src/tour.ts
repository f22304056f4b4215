/** A guided tour: a card that stands before the part of the page that it speaks of. */
import { keepingGate } from "./own_cells";
import type { Claims } from "./claims";
import type { Exhibit, Guide, Network, SeriesExhibit, TextExhibit } from "./reading";
import { bringUp } from "./sight";
import { clampOf, type Part, type View } from "./view";
import type { Words } from "./words";

export type StopName = "reads" | "counts" | "forgets" | "adds" | "held" | "shut" | "reach" | "yours";

export interface Stop {
  name: StopName;
  /** The section, by the first part of its title's id. */
  section: "input" | "cell" | "ledger" | "prediction" | "change" | "reach";
  /** What the page shows there. */
  view: Partial<View>;
  /** Parts of the view that all of its text is about: where the page shows others, the text is not so. */
  about: Part[];
  /** Parts that its text names or calls “here”. */
  here: Part[];
  /** The last step that its text is about, where it is about more than that of its view. */
  until?: number;
  /** Wires of the diagram that are lit. */
  wires?: string[];
}

const FREE: Partial<View> = { value: null, all: false, span: "all", edits: "" };
const UNCHANGED: Part[] = ["value", "edits"];

/** The stops for what there is to see. */
export function stopsOf(exhibit: Exhibit): Stop[] {
  const gated = [...exhibit.networks].reverse().find(({ clampable, definition }) => (definition ? keepingGate(definition) : clampable.length));
  const network = gated?.name ?? exhibit.networks[0].name;
  const gate = keeping(gated);
  const begins = exhibit.kind === "series" ? exhibit.history : 0;
  const stops: (Stop | null)[] = [
    ...(exhibit.kind === "series" ? windowStops(begins, network) : textStops(exhibit)),
    gated ? { name: "shut", section: exhibit.kind === "text" ? "change" : "prediction", view: { ...FREE, network, gate, value: 0, all: true, span: begins ? "range" : "all", first: begins, last: begins, ...(begins ? { step: begins } : {}) }, about: ["network", "edits"], here: ["value"] } : null,
    exhibit.kind === "series" || exhibit.networks.length > 1 ? { name: "reach", section: "reach", view: FREE, about: UNCHANGED, here: [] } : null,
    { name: "yours", section: "input", view: FREE, about: [], here: [] },
  ];
  return stops.filter((stop) => stop !== null).filter((stop) => gated || stop.name !== "adds");
}

function windowStops(begins: number, network: string): Stop[] {
  return [
    { name: "reads", section: "input", view: { ...FREE, step: 0 }, about: [], here: [] },
    { name: "counts", section: "cell", view: { ...FREE, network, step: begins - 1 }, about: [], here: ["step"] },
    { name: "adds", section: "ledger", view: { ...FREE, network, step: begins }, about: ["network", ...UNCHANGED], here: ["unit", "step"] },
  ];
}

/** A line of a text, by its steps: the end of the line before it, where it has settled, and its own end. */
export interface Line {
  before: number;
  start: number;
  end: number;
}

/** The second line of the passage of a guide. A unit takes the first steps of a long line to begin anew. */
export function lineOf(characters: string[], { ends }: Guide): Line {
  const [before, end] = characters.flatMap((character, step) => (ends.includes(character) ? [step] : []));
  return { before, start: before + Math.max(1, Math.min(3, Math.floor((end - before) / 8))), end };
}

/** The story of the unit that counts; of other networks only the beginning. */
function textStops({ guide, passages }: TextExhibit): Stop[] {
  if (!guide) return [{ name: "reads", section: "input", view: { ...FREE, step: 0 }, about: [], here: [] }];
  const text = passages[guide.passage];
  const { before, start, end } = lineOf([...text], guide);
  const shown = { ...FREE, text, network: guide.network, unit: guide.unit };
  const about: Part[] = ["text", "network", "unit"];
  return [
    { name: "reads", section: "input", view: { ...shown, step: 0 }, about: [], here: [] },
    { name: "counts", section: "cell", view: { ...shown, step: start }, about: [...about, ...UNCHANGED], here: ["step"], until: end - 1, wires: ["c"] },
    { name: "forgets", section: "cell", view: { ...shown, step: before }, about: [...about, ...UNCHANGED], here: ["step"], wires: ["f", "kept"] },
    { name: "adds", section: "ledger", view: { ...shown, step: end - 1 }, about: [...about, ...UNCHANGED], here: ["step"] },
    { name: "held", section: "prediction", view: { ...shown, gate: "forget_gate", value: 1, span: "range", first: before, last: before, step: before }, about: [...about, "edits"], here: ["value", "step"] },
  ];
}

/** The gate that decides what is kept. */
export function keeping(network: Network | undefined): string {
  const gates = network?.clampable ?? [];
  const known = network?.definition && keepingGate(network.definition);
  if (known) return known;
  return gates.find((gate) => gate === "forget_gate") ?? gates.at(-1) ?? "";
}

/** The parts of a view that are others than those of a stop, which shows `wanted`. */
export function others(parts: Part[], view: View, wanted: Partial<View>, until?: number): Part[] {
  return parts.filter((part) => {
    if (part === "value") return JSON.stringify(clampOf(view)) !== JSON.stringify(clampOf({ ...view, all: false, span: "all", ...wanted }));
    if (part === "step") return wanted.step !== undefined && (view.step < wanted.step || view.step > (until ?? wanted.step));
    return wanted[part] !== undefined && view[part] !== wanted[part];
  });
}

export class TourCard {
  private readonly card = document.createElement("aside");
  private readonly title = document.createElement("h2");
  private readonly away = document.createElement("p");
  private readonly told = document.createElement("p");
  private readonly place = document.createElement("span");
  private readonly back = document.createElement("button");
  private readonly on = document.createElement("button");
  private readonly again = document.createElement("button");
  private readonly end = document.createElement("button");
  private shown: Stop | null = null;
  private words: Words | null = null;
  private claims: Claims | Error | null = null;
  /** Text of the reader's own that is kept, and not shown. */
  private kept = false;
  private said = "";
  /** Whether the card was in sight when it was last drawn. */
  private inSight = false;

  constructor(private readonly stops: Stop[], private readonly exhibit: Exhibit, move: (stop: number | null) => void, signal: AbortSignal) {
    const [row, body] = ["div", "div"].map((tag) => document.createElement(tag));
    row.className = "row";
    row.append(this.back, this.on, this.place, this.again, this.end);
    body.className = "told";
    body.append(this.away, this.told);
    this.card.id = "tour";
    this.title.id = "tour-title";
    this.title.tabIndex = -1;
    this.away.className = "away";
    this.away.setAttribute("role", "status");
    // The text scrolls where the window is too low for it: the keys do that too.
    body.tabIndex = 0;
    body.setAttribute("role", "group");
    for (const part of [this.card, body]) part.setAttribute("aria-labelledby", "tour-title");
    this.card.append(this.title, body, row);
    const here = () => this.stops.indexOf(this.shown!);
    this.back.addEventListener("click", () => move(here() - 1));
    this.on.addEventListener("click", () => move(here() + 1 < this.stops.length ? here() + 1 : null));
    this.again.addEventListener("click", () => move(here()));
    this.end.addEventListener("click", () => move(null));
    this.card.addEventListener("keydown", (event) => event.key === "Escape" && move(null));
    for (const button of [this.back, this.on, this.again, this.end]) button.type = "button";
    const seen = new IntersectionObserver(([{ isIntersecting }]) => (this.inSight = isIntersecting));
    seen.observe(this.card);
    signal.addEventListener("abort", () => seen.disconnect());
  }

  /** Stand before the section of a stop, or nowhere; `turned` brings it into sight. Without claims it has no text yet. */
  show(stop: number | null, view: View, words: Words, claims: Claims | Error | null, kept: boolean, turned: boolean): void {
    this.section()?.classList.remove("toured");
    this.shown = stop === null ? null : this.stops[stop];
    if (!this.shown) return this.card.remove();
    [this.words, this.claims, this.kept, this.said] = [words, claims, kept, ""];
    const { name } = this.shown;
    this.title.textContent = words.titles[name];
    this.told.textContent = claims instanceof Error ? claims.message : claims && words.told[name](claims, this.exhibit as SeriesExhibit);
    this.place.textContent = words.tourPlace(stop! + 1, this.stops.length);
    this.back.textContent = words.tourBack;
    this.back.disabled = stop === 0;
    this.on.textContent = words.tourOn;
    this.on.hidden = stop === this.stops.length - 1;
    this.again.textContent = words.tourAgain;
    this.end.textContent = words.tourEnd;
    this.point(view);
    const section = this.section()!;
    section.classList.add("toured");
    if (this.card.nextElementSibling !== section) section.before(this.card);
    if (!turned) return;
    this.title.focus({ preventScroll: true });
    bringUp(this.card);
  }

  /** Say where the page shows something else than the stop is about; what is then not so, is not said. */
  point(view: View): void {
    const { shown: stop, words, claims } = this;
    if (!stop || !words) return;
    const wanted = { ...stop.view, ...(claims instanceof Error ? {} : claims?.view) };
    const [about, here] = [others(stop.about, view, wanted), others(stop.here, view, wanted, stop.until)];
    const said = JSON.stringify([about, here]);
    if (said === this.said) return;
    this.said = said;
    const parts = (about.length ? about : here).map((part) => words.tourPart(part, wanted, stop.until, this.passage(wanted.text)));
    this.away.textContent = `${parts.length ? words.tourAway(parts, about.length > 0) : ""}${this.kept ? words.tourKept : ""}`;
    this.away.hidden = !this.away.textContent;
    this.told.hidden = about.length > 0;
    this.again.hidden = !parts.length;
  }

  /** Stay in sight where the window has changed. */
  stay(): void {
    if (this.shown && this.inSight) bringUp(this.card);
  }

  private passage(text: string | undefined): string {
    return this.exhibit.kind === "text" ? (Object.entries(this.exhibit.passages).find(([, passage]) => passage === text)?.[0] ?? "") : "";
  }

  private section(): Element | null {
    return this.shown && document.getElementById(`${this.shown.section}-title`)!.closest("section");
  }
}
