/** A guided tour: a card that stands before the part of the page that it speaks of. */
import { keepingGate } from "./own_cells";
import type { Claims } from "./claims";
import type { Exhibit, Network, SeriesExhibit, TextExhibit } from "./reading";
import type { View } from "./view";
import type { Words } from "./words";

export type StopName = "reads" | "counts" | "forgets" | "adds" | "held" | "shut" | "reach" | "yours";

export interface Stop {
  name: StopName;
  /** The section, by the first part of its title's id. */
  section: "input" | "cell" | "ledger" | "prediction" | "comparison";
  /** What the page shows there. */
  view: Partial<View>;
  /** Wires of the diagram that are lit. */
  wires?: string[];
}

const FREE: Partial<View> = { value: null, all: false, span: "all", edits: "" };

/** The stops for what there is to see. */
export function stopsOf(exhibit: Exhibit): Stop[] {
  const gated = [...exhibit.networks].reverse().find(({ clampable, definition }) => (definition ? keepingGate(definition) : clampable.length));
  const network = gated?.name ?? exhibit.networks[0].name;
  const gate = keeping(gated);
  const begins = exhibit.kind === "series" ? exhibit.history : 0;
  const stops: (Stop | null)[] = [
    ...(exhibit.kind === "series" ? windowStops(begins, network) : textStops(exhibit)),
    gated ? { name: "shut", section: "prediction", view: { ...FREE, network, gate, value: 0, all: true, span: begins ? "range" : "all", first: begins, last: begins, ...(begins ? { step: begins } : {}) } } : null,
    exhibit.kind === "series" || exhibit.networks.length > 1 ? { name: "reach", section: "comparison", view: FREE } : null,
    { name: "yours", section: "input", view: FREE },
  ];
  return stops.filter((stop) => stop !== null).filter((stop) => gated || stop.name !== "adds");
}

function windowStops(begins: number, network: string): Stop[] {
  return [
    { name: "reads", section: "input", view: { ...FREE, step: 0 } },
    { name: "counts", section: "cell", view: { ...FREE, network, step: begins - 1 } },
    { name: "adds", section: "ledger", view: { ...FREE, network, step: begins } },
  ];
}

/** The story of the unit that counts; of other networks only the beginning. */
function textStops({ guide, passages }: TextExhibit): Stop[] {
  if (!guide) return [{ name: "reads", section: "input", view: { ...FREE, step: 0 } }];
  const text = passages[guide.passage];
  const characters = [...text];
  const end = characters.indexOf("\n");
  const next = characters.indexOf("\n", end + 1);
  const shown = { ...FREE, text, network: guide.network, unit: guide.unit };
  return [
    { name: "reads", section: "input", view: { ...shown, step: 0 } },
    { name: "counts", section: "cell", view: { ...shown, step: end + 3 }, wires: ["c"] },
    { name: "forgets", section: "cell", view: { ...shown, step: end }, wires: ["f", "kept"] },
    { name: "adds", section: "ledger", view: { ...shown, step: next - 1 } },
    { name: "held", section: "prediction", view: { ...shown, gate: "forget_gate", value: 1, span: "range", first: end, last: end, step: end } },
  ];
}

/** The gate that decides what is kept. */
export function keeping(network: Network | undefined): string {
  const gates = network?.clampable ?? [];
  const known = network?.definition && keepingGate(network.definition);
  if (known) return known;
  return gates.find((gate) => gate === "forget_gate") ?? gates.at(-1) ?? "";
}

export class TourCard {
  private readonly card = document.createElement("aside");
  private readonly title = document.createElement("h2");
  private readonly told = document.createElement("p");
  private readonly place = document.createElement("span");
  private readonly back = document.createElement("button");
  private readonly on = document.createElement("button");
  private readonly end = document.createElement("button");
  private shown: Stop | null = null;

  constructor(private readonly stops: Stop[], private readonly exhibit: Exhibit, move: (stop: number | null) => void) {
    const row = document.createElement("div");
    row.className = "row";
    row.append(this.back, this.on, this.place, this.end);
    this.card.id = "tour";
    this.title.id = "tour-title";
    this.title.tabIndex = -1;
    this.card.setAttribute("aria-labelledby", "tour-title");
    this.card.append(this.title, this.told, row);
    const here = () => this.stops.indexOf(this.shown!);
    this.back.addEventListener("click", () => move(here() - 1));
    this.on.addEventListener("click", () => move(here() + 1 < this.stops.length ? here() + 1 : null));
    this.end.addEventListener("click", () => move(null));
    this.card.addEventListener("keydown", (event) => event.key === "Escape" && move(null));
    for (const button of [this.back, this.on, this.end]) button.type = "button";
  }

  /** Stand before the section of a stop, or nowhere; `turned` brings it into sight. Without claims it has no text yet. */
  show(stop: number | null, words: Words, claims: Claims | Error | null, turned: boolean): void {
    this.section()?.classList.remove("toured");
    this.shown = stop === null ? null : this.stops[stop];
    if (!this.shown) return this.card.remove();
    const { name } = this.shown;
    this.title.textContent = words.titles[name];
    this.told.textContent = claims instanceof Error ? claims.message : claims && words.told[name](claims, this.exhibit as SeriesExhibit);
    this.place.textContent = words.tourPlace(stop! + 1, this.stops.length);
    this.back.textContent = words.tourBack;
    this.back.disabled = stop === 0;
    this.on.textContent = words.tourOn;
    this.on.hidden = stop === this.stops.length - 1;
    this.end.textContent = words.tourEnd;
    const section = this.section()!;
    section.classList.add("toured");
    if (this.card.nextElementSibling !== section) section.before(this.card);
    if (!turned) return;
    this.title.focus({ preventScroll: true });
    this.card.scrollIntoView({ block: "start" });
  }

  private section(): Element | null {
    return this.shown && document.getElementById(`${this.shown.section}-title`)!.closest("section");
  }
}
