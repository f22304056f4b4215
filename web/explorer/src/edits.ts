/** Numbers that a visitor changed: weights, biases, states and inputs of a network, of any cell, by its definition. */
import { columnAt, PARTS_OF_A_FORECASTER, type NetworkPart } from "./columns";
import { definitionOf } from "./definitions";
import { signed } from "./diagram";
import type { Definition, Sizes } from "./engine";
import { number } from "./forecast";
import { biasesIn, isScaled, placeInTable, rowsOf, termsOf } from "./parts";
import { at, KINDS, type Edit, type EditKind, type Network, type Place, type Reading } from "./reading";
import { readAt, type Run } from "./recurrence";
import { TABLE } from "./weights";

/** Numbers that can be changed at a time: all of them stand in the address. */
export const MOST_EDITS = 40;
/** Weights, biases and memory cells lie within it. */
const LARGEST = 100;
/** Inputs lie within it: they have units of their own. */
const LARGEST_INPUT = 1e9;

type Field = "part" | "gate" | "unit" | "other";
/** What follows the network and the kind where an edit is written; its value comes last. A state is written by its name. */
const FIELDS: Record<EditKind, Field[]> = {
  input: ["unit", "other"],
  input_weight: ["part", "gate", "unit", "other"],
  weight: ["part", "gate", "unit", "other"],
  bias: ["part", "gate", "unit"],
  inner: ["part", "gate", "unit"],
  state: ["unit", "other"],
};

/** The fields of a kind of edit of a network: only a forecaster has parts. */
function fieldsOf(kind: EditKind, parts: boolean): Field[] {
  return FIELDS[kind].filter((field) => parts || field !== "part");
}

const other: Record<EditKind, string> = { input: "step", input_weight: "column", weight: "unit", bias: "", inner: "", state: "step" };

/** How an edit of a network is written, for whoever writes one by hand. */
export function editForms({ states, forecaster }: Network): string {
  const form = (kind: EditKind, written: string) =>
    ["network", written, ...fieldsOf(kind, !!forecaster).map((field) => (field === "other" ? other[kind] : field === "unit" && kind === "input" ? "column" : field)), "number"].join("/");
  const kinds = KINDS.filter((kind) => kind !== "state" && (kind !== "input" || forecaster));
  return [...kinds.map((kind) => form(kind, kind)), ...states.map((state) => form("state", state))].join(", ");
}

/** A place in words that only it has. */
export function keyOf(place: Place): string {
  const fields = fieldsOf(place.kind, place.part !== "");
  return [place.network, place.kind === "state" ? place.gate : place.kind, ...fields.map((field) => place[field])].join("/");
}

export function writeEdits(edits: Edit[]): string {
  return edits.map((edit) => `${keyOf(edit)}/${edit.value}`).join(";");
}

/** The edits that a string holds and the networks allow; what else stands in it is left out. */
export function readEdits(written: string, networks: Network[]): Edit[] {
  const found = new Map<string, Edit>();
  for (const one of written.split(";").slice(0, MOST_EDITS)) {
    const [name, word, ...rest] = one.split("/");
    const network = networks.find((network) => network.name === name);
    const kind = KINDS.find((kind) => kind === word && kind !== "state") ?? (network?.states.includes(word) ? "state" : undefined);
    if (!network || !kind) continue;
    const fields = fieldsOf(kind, !!network.forecaster);
    if (rest.length !== fields.length + 1 || rest.includes("")) continue;
    const given = Object.fromEntries(fields.map((field, place) => [field, rest[place]])) as Partial<Record<Field, string>>;
    const edit: Edit = { network: name, part: (given.part ?? "") as NetworkPart, kind, gate: kind === "state" ? word : (given.gate ?? ""), unit: Number(given.unit), other: Number(given.other ?? 0), value: Number(rest.at(-1)) };
    if (exists(edit, network) && allowed(edit.value, limitsOf(edit, network))) found.set(keyOf(edit), edit);
  }
  return [...found.values()];
}

/** Edits with another one, in the place of what was there; a `value` of null takes it back. */
export function withEdit(edits: Edit[], place: Place, value: number | null): Edit[] {
  const others = edits.filter((edit) => keyOf(edit) !== keyOf(place));
  return value === null ? others : [...others, { ...place, value }];
}

/** What an edit of a network also changes: the layers of a forecaster are one network. */
export function wholeOf(network: Network, networks: Network[]): Network[] {
  return networks.filter((one) => one === network || (network.forecaster && one.file === network.file));
}

/** The part of a network that reads a step of the passage. */
export function partAt({ forecaster }: Network, step: number): NetworkPart {
  if (!forecaster) return "";
  return step < forecaster.history ? "encoder" : "decoder";
}

function exists({ part, kind, gate, unit, other }: Edit, network: Network): boolean {
  const { forecaster, units } = network;
  if (![unit, other].every((number) => Number.isInteger(number) && number >= 0)) return false;
  if (kind === "input") return !!forecaster && !forecaster.layer && other < forecaster.history + forecaster.horizon && !!columnAt(network, partAt(network, other), unit);
  if (unit >= units) return false;
  if (kind === "state") return true;
  if (!network.gates.includes(gate) || (forecaster && !(PARTS_OF_A_FORECASTER as readonly string[]).includes(part))) return false;
  const definition = definitionOf(network);
  const { ofInput, ofState } = termsOf(definition, gate);
  if (kind === "input_weight") return !!ofInput && !!columnAt(network, part, other);
  if (kind === "weight") {
    // A row of a matrix with squares on its diagonal reads the units of its square.
    const { heads = 1 } = definition.matrices.find(({ name }) => name === "weight_hh") ?? {};
    return !!ofState && other < units && Math.floor((other * heads) / units) === Math.floor((unit * heads) / units);
  }
  return biasesIn(definition, gate)[kind as "bias" | "inner"];
}

/** Between what a number can lie: a hidden state is what tanh, and a gate, give. */
export function limitsOf({ kind, gate }: Place, { relu, definition }: Network): [number, number] {
  if (kind === "input") return [-LARGEST_INPUT, LARGEST_INPUT];
  if (kind !== "state" || gate !== "hidden" || definition) return [-LARGEST, LARGEST];
  return relu ? [0, LARGEST] : [-1, 1];
}

export function allowed(value: number, [low, high]: [number, number]): boolean {
  return Number.isFinite(value) && value >= low && value <= high;
}

/** A number as it is typed, with either minus sign; null where it is none. */
export function numberOf(typed: string): number | null {
  const text = typed.trim().replace("−", "-");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : null;
}

/** A number as the page shows it: of an input, which may have a unit of its own, the digits that count. */
export function shownAs(kind: EditKind, value: number): string {
  if (kind !== "input") return signed(value);
  return number(Math.abs(value) < 1 ? Number(value.toPrecision(3)) : value);
}

/** The number that a reading has at a place; null where it does not reach so far. */
export function valueOf({ runs }: Reading, place: Place): number | null {
  const { network, part, kind, unit, other } = place;
  const ofStep = kind === "state" || kind === "input";
  const run = runs.find((run) => run.network === network && (ofStep ? other >= run.first && other < run.first + run.trace.steps : run.part === part));
  if (!run) return null;
  if (kind === "state") return at(run.arrays[place.gate], other - run.first, unit);
  if (kind === "input") {
    const column = run.columns(other - run.first).find((column) => column.place === unit);
    return column ? readAt(run, column, other - run.first).shown : null;
  }
  return weightAt(run, place);
}

function weightAt({ engine: { definition, sizes, weights } }: Run, { kind, gate, unit, other }: Place): number {
  if (kind === "input_weight" || kind === "weight") {
    const { name, place } = spotOf(definition, sizes, kind, gate, unit, other, TABLE in weights);
    return weights[name][place];
  }
  const spots = biasSpots(definition, sizes, gate, unit);
  const value = ({ name, place, sign }: BiasSpot) => sign * (weights[name]?.[place] ?? 0);
  if (kind === "inner") return value({ ...spots.ofState!, sign: 1 });
  return (spots.ofInput ? value(spots.ofInput) : 0) + (spots.ofState && !isScaled(definition, gate) ? value(spots.ofState) : 0);
}

/** Where a weight stands. */
function spotOf(definition: Definition, sizes: Sizes, kind: "weight" | "input_weight", gate: string, unit: number, other: number, ofCharacters: boolean): { name: string; place: number } {
  const terms = termsOf(definition, gate);
  const { matrix, first, columns, heads } = rowsOf(definition, sizes, (kind === "weight" ? terms.ofState : terms.ofInput)!);
  if (kind === "input_weight" && ofCharacters) return { name: TABLE, place: placeInTable(definition, sizes, other) + first + unit };
  return { name: matrix, place: (first + unit) * columns + (heads > 1 ? other % columns : other) };
}

interface BiasSpot {
  name: string;
  place: number;
  sign: number;
}

/** Where the biases of a gate stand, by the products that they belong to. */
function biasSpots(definition: Definition, sizes: Sizes, gate: string, unit: number): { ofInput: BiasSpot | null; ofState: BiasSpot | null } {
  const { ofInput, ofState } = termsOf(definition, gate);
  const spot = (term: typeof ofInput): BiasSpot | null => {
    const rows = term && rowsOf(definition, sizes, term);
    return rows?.bias ? { name: rows.bias, place: rows.first + unit, sign: term!.sign } : null;
  };
  return { ofInput: spot(ofInput), ofState: spot(ofState) };
}

/** The weights of a layer with what was changed of them; those that are given stay as they are. */
export function editedWeights(definition: Definition, sizes: Sizes, weights: Record<string, Float32Array>, edits: Edit[]): Record<string, Float32Array> {
  const changed = { ...weights };
  const own = (name: string) => {
    if (changed[name] === weights[name]) changed[name] = weights[name]?.slice() ?? emptyBias(definition, sizes, name);
    return changed[name];
  };
  for (const { kind, gate, unit, other, value } of edits) {
    if (kind === "weight" || kind === "input_weight") {
      const { name, place } = spotOf(definition, sizes, kind, gate, unit, other, TABLE in weights);
      own(name)[place] = value;
    }
    if (kind !== "bias" && kind !== "inner") continue;
    const { ofInput, ofState } = biasSpots(definition, sizes, gate, unit);
    const beside = ofInput && ofState && !isScaled(definition, gate) ? ofState.sign * (changed[ofState.name]?.[ofState.place] ?? 0) : 0;
    const spot = kind === "inner" ? ofState : (ofInput ?? ofState);
    if (spot) own(spot.name)[spot.place] = kind === "inner" ? value : spot.sign * (value - beside);
  }
  return changed;
}

/** Of a network without biases. */
function emptyBias({ matrices }: Definition, sizes: Sizes, name: string): Float32Array {
  const { gates, rows } = matrices.find(({ bias }) => bias === name)!;
  return new Float32Array(gates.length * sizes[rows]);
}

/** States that are set, by step of a run and unit. */
export class SetStates {
  private readonly values = new Map<string, Map<number, Map<number, number>>>();

  /** Of `edits` those from the step `first` of the passage on. */
  constructor(edits: Edit[], first: number) {
    for (const { kind, gate, unit, other, value } of edits) {
      if (kind !== "state") continue;
      const steps = this.values.get(gate) ?? new Map<number, Map<number, number>>();
      this.values.set(gate, steps.set(other - first, (steps.get(other - first) ?? new Map<number, number>()).set(unit, value)));
    }
  }

  get any(): boolean {
    return this.values.size > 0;
  }

  /** The value that a state of a unit is set to after a step. */
  at(state: string, step: number, unit: number): number | undefined {
    return this.values.get(state)?.get(step)?.get(unit);
  }
}
