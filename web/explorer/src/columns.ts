/** What a network reads at a step, column by column: how an opened gate names it, and in which unit it is shown. */
import type { Network } from "./reading";

/** `character` of a text, `unit` of the layer below; the others are those of a forecaster (see gated.serve.series_columns). */
export type ColumnKind = "character" | "unit" | "target" | "observed" | "error" | "number" | "scaled" | "sine" | "cosine" | "holiday" | "lag" | "season" | "smooth" | "category" | "series" | "level";

/** A column as a forecaster lists it. */
export interface ColumnFacts {
  kind: ColumnKind;
  name: string;
  /** How many numbers it has: those of an embedding mean nothing one by one. */
  count: number;
  /** How many steps before a value is of that it repeats. */
  steps?: number;
  /** Of a column of numbers in a unit of its own. */
  location?: number;
  scale?: number;
}

export interface Column extends ColumnFacts {
  /** Its place in what is read; that of a character in the vocabulary. */
  place: number;
}

/** The two halves of a forecaster; other networks have one part. */
export const PARTS_OF_A_FORECASTER = ["encoder", "decoder"] as const;
export type NetworkPart = "" | (typeof PARTS_OF_A_FORECASTER)[number];

/** How the target of a window is scaled: x = (value − location) / scale, of logarithms where it has a floor. */
export interface TargetScaling {
  location: number;
  scale: number;
  floor: number | null;
  /** The last value of the history, scaled: inputs of the target are relative to it. */
  last: number;
}

const HIGHEST_LOG = 80;
/** Of what a column typically differs by. */
const LEAST_DIGIT = 1e-6;

export function unscaled(x: number, { location, scale, floor }: Omit<TargetScaling, "last">): number {
  const value = x * scale + location;
  return floor === null ? value : Math.exp(Math.max(-HIGHEST_LOG, Math.min(HIGHEST_LOG, value)));
}

function scaled(value: number, { location, scale, floor }: Omit<TargetScaling, "last">): number {
  return ((floor === null ? value : Math.log(Math.max(value, floor))) - location) / scale;
}

const RELATIVE: ColumnKind[] = ["target", "lag", "season", "smooth"];

/** Whether a column is shown in a unit of its own, in which the network does not read it. */
export function hasUnit({ kind, scale }: Column): boolean {
  return RELATIVE.includes(kind) || kind === "level" || scale !== undefined;
}

/** What a column reads, in the unit that the page shows; and back. */
export function shownOf(column: Column, x: number, target: TargetScaling): number {
  const { kind, location = 0, scale = 1 } = column;
  const value = RELATIVE.includes(kind) ? unscaled(x + target.last, target) : kind === "level" ? unscaled(x, target) : x * scale + location;
  // What is left of rounding in 32 bits is no digit of it.
  const least = LEAST_DIGIT * 10 ** Math.floor(Math.log10(spreadOf(column, value, target) || 1));
  return Math.round(value / least) * least;
}

export function readOf({ kind, location = 0, scale = 1 }: Column, value: number, target: TargetScaling): number {
  if (RELATIVE.includes(kind)) return scaled(value, target) - target.last;
  return kind === "level" ? scaled(value, target) : (value - location) / scale;
}

/** By how much a column in its own unit typically differs from its mean. */
export function spreadOf({ kind, scale = 1 }: Column, value: number, target: TargetScaling): number {
  if (!RELATIVE.includes(kind) && kind !== "level") return scale;
  return target.floor === null ? target.scale : Math.abs(value) * target.scale;
}

const all = new WeakMap<Network, Partial<Record<NetworkPart, Column[]>>>();

/** All columns that a part of a network reads. */
export function columnsOf(network: Network, part: NetworkPart): Column[] {
  const known = all.get(network) ?? {};
  all.set(network, known);
  return (known[part] ??= listed(network, part));
}

function listed({ vocabulary, units, forecaster }: Network, part: NetworkPart): Column[] {
  if (!forecaster) return [...(vocabulary ?? "")].map((name, place) => ({ kind: "character", name, count: 1, place }));
  if (forecaster.layer || !part) return Array.from({ length: units }, (_, place) => ({ kind: "unit", name: "", count: 1, place }));
  let place = 0;
  return forecaster.columns[part].map((facts) => {
    const column = { ...facts, place };
    place += facts.count;
    return column;
  });
}

/** The column that a number at a place is of; those of an embedding are of none. */
export function columnAt(network: Network, part: NetworkPart, place: number): Column | undefined {
  const columns = columnsOf(network, part);
  const found = columns[0]?.kind === "character" || columns[0]?.kind === "unit" ? columns[place] : columns.find((column) => column.place === place);
  return found && isSingle(found) ? found : undefined;
}

/** Whether its number means something by itself. */
export function isSingle({ kind }: Column): boolean {
  return kind !== "category" && kind !== "series";
}
