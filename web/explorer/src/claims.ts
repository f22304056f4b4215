/** What the tour claims, computed from what the networks that are shown make of the passage. */
import { definitionOf } from "./definitions";
import { ledgerOf, shares, type Ledger } from "./ledger";
import { reachOf, relative } from "./reach";
import { at, type Credit, type Exhibit, type Network, type Passage, type Reading, type SeriesExhibit, type TextExhibit } from "./reading";
import type { Readers } from "./readers";
import { keeping, lineOf, type Line, type Stop } from "./tour";
import type { View } from "./view";

/** How much of a whole, for words that a share chooses. */
export type Degree = "all" | "most" | "half" | "part" | "none";
/** How far a gate is open. */
export type Openness = "open" | "half" | "shut";
/** What a change does to a score of which less is better. */
export type Effect = "muchWorse" | "worse" | "same" | "better";

export interface Claims {
  /** The state of the unit that counts, in the second line. */
  counted?: { start: number; last: number; along: number; steps: number; correlation: number };
  /** The character that ends the line before, and whether lines are those of the page or of verse. */
  sign?: { character: string; verse: boolean };
  /** The forget gate at the end of a line. */
  forgotten?: { within: number; here: number; before: number; kept: number; input: number; written: number };
  /** Shares of what the line wrote that is left, and of the memory that is older than the line. */
  remembered?: { left: number; older: number };
  /** The chance of an end of the line so many steps after one, and the state there, without the change and with it. */
  held?: { into: number; plain: number; changed: number; state: number; stateChanged: number };
  /** Bits a character: as it is, with nothing kept, with everything, and of whoever knows nothing. */
  bits?: { plain: number; none: number; everything: number; blind: number };
  reaches?: { name: string; steps: number; whole: boolean; hill: number | null; weightless: boolean }[];
  /** What of the history is left in the middle of a forecast, in the unit with most of it. */
  history?: { unit: number; into: number; share: number; mean: number; oldest: string; ago: number };
  /** How far the median moves on average, and the mean error without the change and with it. */
  moved?: { distance: number; plain: number | null; changed: number | null; credit?: Credit };
  /** What the view needs so that the claims can be seen in it. */
  view?: Partial<View>;
}

type Read = Pick<Readers, "read" | "withGradient">;

export function degree(share: number): Degree {
  return share >= 0.95 ? "all" : share >= 0.6 ? "most" : share >= 0.4 ? "half" : share >= 0.05 ? "part" : "none";
}

export function openness(value: number): Openness {
  return value >= 0.9 ? "open" : value <= 0.1 ? "shut" : "half";
}

export function effect(before: number, after: number): Effect {
  const more = after - before;
  return more > 0.5 ? "muchWorse" : more > 0.05 ? "worse" : more < -0.05 ? "better" : "same";
}

/** The claims of a stop, of the networks and the passage that it shows. */
export async function claimsOf(stop: Stop, exhibit: Exhibit, passage: Passage, readers: Read): Promise<Claims> {
  if (stop.name === "reach") return reaches(exhibit, passage, readers);
  const { network } = stop.view;
  if (!network) return {};
  const shown = exhibit.networks.find(({ name }) => name === network)!;
  if (stop.name === "shut") return exhibit.kind === "text" ? bits(shown, passage, readers) : moved(exhibit, shown, passage, readers);
  if (exhibit.kind === "series") return stop.name === "adds" ? history(exhibit, network, passage, readers) : {};
  return line(stop, exhibit, passage, readers);
}

/** Of the first end of a line and the line after it. */
async function line(stop: Stop, exhibit: TextExhibit, passage: Passage, readers: Read): Promise<Claims> {
  const guide = exhibit.guide!;
  const { network, unit, ends } = guide;
  const characters = [...passage.text];
  const line = lineOf(characters, guide);
  const { before, end } = line;
  const sign = { character: characters[before], verse: ends !== "\n" };
  const shown = exhibit.networks.find(({ name }) => name === network)!;
  const reading = await readers.read(network, passage, null);
  const of = (name: string, step: number) => at(reading.arrays[name], step, unit);
  if (stop.name === "counts") return { sign, counted: counted(characters, ends, line, (step) => of("cell", step)) };
  if (stop.name === "forgets") {
    const inside = characters.flatMap((character, step) => (ends.includes(character) ? [] : [of("forget_gate", step)]));
    const [here, old, input] = [of("forget_gate", before), of("cell", before - 1), of("input_gate", before)];
    return { sign, forgotten: { within: mean(inside), here, before: old, kept: here * old, input, written: input * of("candidate", before) } };
  }
  if (stop.name === "adds") {
    const { written } = ledgerOf(definitionOf(shown), reading, end - 1, unit)!;
    const wrote = (step: number) => Math.abs(of("input_gate", step) * of("candidate", step));
    const own = [...written.keys()].slice(before + 1);
    const left = total(own, (step) => Math.abs(written[step])) / total(own, wrote);
    const older = total([...written.keys()].slice(0, before), (step) => Math.abs(written[step]));
    return { sign, remembered: { left, older: older / total([...written.keys()], (step) => Math.abs(written[step])) } };
  }
  if (stop.name !== "held") return {};
  const changed = await readers.read(network, passage, { gate: "forget_gate", value: stop.view.value!, unit, first: before, last: before });
  const places = [...shown.vocabulary!].flatMap((character, place) => (ends.includes(character) ? [place] : []));
  const chance = (made: Reading, step: number) => total(places, (place) => made.probabilities!(step)[place]);
  // Where it shows most, up to the end of the line.
  const moves = Array.from({ length: end - before }, (_, into) => Math.abs(chance(changed, before + into) - chance(reading, before + into)));
  const into = moves.indexOf(Math.max(...moves));
  const step = before + into;
  return { sign, held: { into, plain: chance(reading, step), changed: chance(changed, step), state: of("cell", step), stateChanged: at(changed.arrays.cell, step, unit) }, view: { step } };
}

function counted(characters: string[], ends: string, { start, end }: Line, state: (step: number) => number): Claims["counted"] {
  const last = end - 1;
  const direction = Math.sign(state(last) - state(start));
  let along = 0;
  for (let step = start + 1; step <= last; step++) along += Number(direction * (state(step) - state(step - 1)) > 0);
  let place = 0;
  const places = characters.map((character) => (place = ends.includes(character) ? 0 : place + 1));
  return { start: state(start), last: state(last), along, steps: last - start, correlation: correlation(places, characters.map((_, step) => state(step))) };
}

async function bits(network: Network, passage: Passage, readers: Read): Promise<Claims> {
  const hold = (value: number) => readers.read(network.name, passage, { gate: keeping(network), value, unit: null, first: 0, last: null });
  const [plain, none, everything] = (await Promise.all([readers.read(network.name, passage, null), hold(0), hold(1)])).map(({ score }) => score);
  if (plain === null || none === null || everything === null) return {};
  return { bits: { plain, none, everything, blind: Math.log2([...network.vocabulary!].length) } };
}

async function moved({ history, quantiles }: SeriesExhibit, network: Network, passage: Passage, readers: Read): Promise<Claims> {
  const clamp = { gate: keeping(network), value: 0, unit: null, first: history, last: history };
  const [plain, changed] = await Promise.all([readers.read(network.name, passage, null), readers.read(network.name, passage, clamp)]);
  const steps = Array.from({ length: plain.labels.length - history }, (_, step) => history + step);
  const median = (made: Reading, step: number) => at(made.arrays.forecast, step, quantiles.indexOf(0.5));
  return { moved: { distance: mean(steps.map((step) => Math.abs(median(changed, step) - median(plain, step)))), plain: plain.score, changed: changed.score, credit: plain.credit } };
}

/** In the middle of the forecast, the unit that has kept most of the history. */
async function history({ history, networks }: SeriesExhibit, network: string, passage: Passage, readers: Read): Promise<Claims> {
  const reading = await readers.read(network, passage, null);
  const into = Math.floor((reading.labels.length - history) / 2);
  const step = history + into;
  const definition = definitionOf(networks.find(({ name }) => name === network)!);
  const units = Array.from({ length: reading.arrays.hidden.width }, (_, unit) => ledgerOf(definition, reading, step, unit)!);
  const share = ({ written }: Ledger) => sum(written.slice(0, history)) / Math.max(sum(written), 1e-12);
  const all = units.map(share);
  const unit = all.indexOf(Math.max(...all));
  const oldest = shares(units[unit])[0]?.[0] ?? step;
  return { history: { unit, into, share: all[unit], mean: mean(all), oldest: reading.labels[oldest], ago: history - oldest }, view: { step, unit } };
}

async function reaches({ networks }: Exhibit, passage: Passage, readers: Read): Promise<Claims> {
  const readings = await Promise.all(networks.map(async ({ name }) => readers.withGradient(await readers.read(name, passage, null))));
  return {
    reaches: readings.map((reading) => {
      const steps = reachOf(reading);
      return { name: reading.network.toUpperCase(), steps, whole: steps + 1 >= reading.gradient!.steps, hill: secondHill(relative(reading)), weightless: reading.credit?.median === false };
    }),
  };
}

/** Whether a network's reach is shorter than that of every other; "none" where that cannot be compared. */
export function shortest({ reaches }: Claims, name: string): "yes" | "no" | "none" {
  const mine = reaches?.find((reach) => reach.name === name);
  const others = (reaches ?? []).filter((reach) => reach !== mine);
  if (!mine || mine.whole || !others.length || reaches!.some(({ weightless }) => weightless)) return "none";
  return others.every(({ steps }) => steps > mine.steps) ? "yes" : "no";
}

/** The distance at which a curve is highest again after it fell to less than half of that. */
export function secondHill(curve: number[]): number | null {
  let lowest = Infinity;
  let found: number | null = null;
  curve.forEach((value, distance) => {
    lowest = Math.min(lowest, value);
    if (value > 2 * lowest && value >= 0.01 && (found === null || value > curve[found])) found = distance;
  });
  return found;
}

function sum(parts: Float32Array): number {
  return parts.reduce((whole, part) => whole + Math.abs(part), 0);
}

function total(steps: number[], of: (step: number) => number): number {
  return steps.reduce((whole, step) => whole + of(step), 0);
}

function mean(numbers: number[]): number {
  return numbers.reduce((whole, number) => whole + number, 0) / numbers.length;
}

function correlation(one: number[], other: number[]): number {
  const [middle, otherMiddle] = [mean(one), mean(other)];
  const spread = (numbers: number[], centre: number) => Math.sqrt(mean(numbers.map((number) => (number - centre) ** 2)));
  return mean(one.map((number, place) => (number - middle) * (other[place] - otherMiddle))) / (spread(one, middle) * spread(other, otherMiddle));
}
