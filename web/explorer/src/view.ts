/** What the page shows. All of it stands in the address, so that a link carries the view. */
import { readEdits, wholeOf } from "./edits";
import type { Clamp, Edit, Network } from "./reading";
import { LAST } from "./story_picture";

/** When a gate is held: at all steps, from `first` on, or from `first` to `last`. */
export const SPANS = ["all", "on", "range"] as const;
export type Span = (typeof SPANS)[number];

/** The parts of a view, by their names in the address. */
export const PARTS = ["text", "other", "exhibit", "series", "moment", "network", "step", "unit", "box", "gate", "value", "all", "span", "first", "last", "edits", "tour", "story", "language", "theme"] as const;
export type Part = (typeof PARTS)[number];

/** The parts that hold a text: it is cut, and told of otherwise. */
export const TEXTS: Part[] = ["text", "other"];

/** The parts whose values are compared with what there is. */
export function partsOf(kind: "text" | "series"): Part[] {
  return PARTS.filter((part) => !TEXTS.includes(part) && (kind === "series" || (part !== "series" && part !== "moment")));
}

export interface View {
  /** What networks are shown, by name. */
  exhibit: string;
  text: string;
  /** A second text beneath it; "" where there is none. */
  other: string;
  series: number;
  moment: number;
  network: string;
  step: number;
  unit: number;
  /** The gate that is opened; "" where none is. */
  box: string;
  gate: string;
  /** The value that `gate` is held at; null leaves it free. */
  value: number | null;
  /** Hold the gate of every unit, not of `unit` alone. */
  all: boolean;
  span: Span;
  first: number;
  last: number;
  /** Numbers that were changed, as `writeEdits` writes them. */
  edits: string;
  /** The stop of the tour; null where nobody is on it. */
  tour: number | null;
  /** The time of the story; null where it is not shown. */
  story: number | null;
  language: "en" | "zh";
  theme: "light" | "dark";
}

/** The gate that is held, as a reader is asked for it. */
export function clampOf({ gate, value, unit, all, span, first, last }: View): Clamp | null {
  if (value === null) return null;
  const from = span === "all" ? 0 : first;
  return { gate, value, unit: all ? null : unit, first: from, last: span === "range" ? Math.max(from, last) : null };
}

/** The numbers that were changed of a network, of all its layers. */
export function editsOf({ edits }: View, network: Network, networks: Network[]): Edit[] {
  return edits ? readEdits(edits, wholeOf(network, networks)) : [];
}

export function readView(hash: string, otherwise: View): View {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const whole = (name: string, fallback: number) => {
    const value = Number(given.get(name) ?? NaN);
    return Number.isInteger(value) && value >= 0 ? value : fallback;
  };
  const value = Number(given.get("value") ?? NaN);
  const story = Number(given.get("story") ?? NaN);
  return {
    exhibit: given.get("exhibit") ?? otherwise.exhibit,
    text: given.get("text") || otherwise.text,
    other: given.get("other") ?? "",
    series: whole("series", otherwise.series),
    moment: whole("moment", otherwise.moment),
    network: given.get("network") ?? otherwise.network,
    step: whole("step", otherwise.step),
    unit: whole("unit", otherwise.unit),
    box: given.get("box") ?? "",
    gate: given.get("gate") ?? otherwise.gate,
    value: given.get("value") && value >= 0 && value <= 1 ? value : null,
    all: given.get("all") === "1",
    span: SPANS.find((span) => span === given.get("span")) ?? "all",
    first: whole("first", 0),
    last: whole("last", 0),
    edits: given.get("edits") ?? "",
    tour: given.has("tour") ? whole("tour", 0) : hash ? null : otherwise.tour,
    story: given.has("story") ? (Number.isFinite(story) ? Math.max(0, Math.min(LAST, story)) : 0) : hash ? null : otherwise.story,
    language: given.get("language") === "zh" ? "zh" : given.has("language") ? "en" : otherwise.language,
    theme: given.get("theme") === "dark" ? "dark" : given.has("theme") ? "light" : otherwise.theme,
  };
}

export function writeView(view: View, kind: "text" | "series"): string {
  const { exhibit, text, other, series, moment, network, step, unit, box, gate, value, all, span, first, last, edits, tour, story, language, theme } = view;
  const passage: Record<string, string> = kind === "text" ? { text } : { series: String(series), moment: String(moment) };
  const kept = new URLSearchParams({ exhibit, ...passage, network, step: String(step), unit: String(unit), gate, language, theme });
  if (box) kept.set("box", box);
  if (value !== null) kept.set("value", String(value));
  if (all) kept.set("all", "1");
  if (span !== "all") kept.set("span", span);
  if (span !== "all") kept.set("first", String(first));
  if (span === "range") kept.set("last", String(last));
  if (other) kept.set("other", other);
  if (edits) kept.set("edits", edits);
  if (story !== null) kept.set("story", String(Number(story.toFixed(2))));
  if (tour !== null) kept.set("tour", String(tour));
  return `#${kept}`;
}
