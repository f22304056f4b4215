/** Numbers that a visitor changed: weights, biases and states of a network over characters. */
import { definitionOf } from "./definitions";
import { factorOf } from "./parts";
import { KINDS, type Edit, type EditKind, type Network, type Place } from "./reading";
import type { Run } from "./recurrence";
import type { Weights } from "./weights";

/** Numbers that can be changed at a time: all of them stand in the address. */
export const MOST_EDITS = 40;
/** Weights, biases and memory cells lie within it. */
const LARGEST = 100;

type Field = "gate" | "unit" | "other";
/** What follows the network and the kind where an edit is written; its value comes last. */
const FIELDS: Record<EditKind, Field[]> = {
  character: ["gate", "unit", "other"],
  weight: ["gate", "unit", "other"],
  bias: ["gate", "unit"],
  inner: ["gate", "unit"],
  hidden: ["unit", "other"],
  cell: ["unit", "other"],
};

/** How an edit is written, for whoever writes one by hand. */
export const EDIT_FORMS = KINDS.map((kind) => ["network", kind, ...FIELDS[kind].map((field) => (field === "other" ? { character: "place", weight: "unit" }[kind as string] ?? "step" : field)), "number"].join("/")).join(", ");

export function isState(kind: EditKind): kind is "hidden" | "cell" {
  return kind === "hidden" || kind === "cell";
}

/** A place in words that only it has. */
export function keyOf(place: Place): string {
  return [place.network, place.kind, ...FIELDS[place.kind].map((field) => place[field])].join("/");
}

export function writeEdits(edits: Edit[]): string {
  return edits.map((edit) => `${keyOf(edit)}/${edit.value}`).join(";");
}

/** The edits that a string holds and the networks allow; what else stands in it is left out. */
export function readEdits(written: string, networks: Network[]): Edit[] {
  const found = new Map<string, Edit>();
  for (const one of written.split(";").slice(0, MOST_EDITS)) {
    const [name, kind, ...rest] = one.split("/");
    const fields = FIELDS[kind as EditKind];
    const network = networks.find((network) => network.name === name);
    if (!fields || !network || rest.length !== fields.length + 1 || rest.includes("")) continue;
    const given = Object.fromEntries(fields.map((field, place) => [field, rest[place]])) as Partial<Record<Field, string>>;
    const edit: Edit = { network: name, kind: kind as EditKind, gate: given.gate ?? "", unit: Number(given.unit), other: Number(given.other ?? 0), value: Number(rest.at(-1)) };
    if (exists(edit, network) && allowed(edit.value, limitsOf(edit, network))) found.set(keyOf(edit), edit);
  }
  return [...found.values()];
}

/** Edits with another one, in the place of what was there; a `value` of null takes it back. */
export function withEdit(edits: Edit[], place: Place, value: number | null): Edit[] {
  const others = edits.filter((edit) => keyOf(edit) !== keyOf(place));
  return value === null ? others : [...others, { ...place, value }];
}

function exists({ kind, gate, unit, other }: Edit, network: Network): boolean {
  const whole = [unit, other].every((number) => Number.isInteger(number) && number >= 0);
  // Of a cell that only its definition is known of, no number is changed.
  if (!whole || unit >= network.units || network.definition) return false;
  if (isState(kind)) return network.states.includes(kind);
  if (kind === "character") return network.gates.includes(gate) && other < [...network.vocabulary!].length;
  return network.gates.includes(gate) && other < network.units && (kind !== "inner" || factorOf(definitionOf(network), gate) !== null);
}

/** Between what a number can lie: a hidden state is what tanh, and a gate, give. */
export function limitsOf({ kind }: Place, { relu }: Network): [number, number] {
  if (kind !== "hidden") return [-LARGEST, LARGEST];
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

/** The number that a run has at a place. */
export function valueOf({ weights, arrays }: Pick<Run, "weights" | "arrays">, { kind, gate, unit, other }: Place): number {
  const { units: H, table, characters, layer } = weights;
  switch (kind) {
    case "character":
      return table[other * (table.length / characters) + rowOf(weights, "weight_ih", gate, unit)];
    case "weight":
      return layer.weight_hh[rowOf(weights, "weight_hh", gate, unit) * H + other];
    case "bias":
      return biasOf(weights, "weight_ih", gate, unit) + (split(weights, gate) ? 0 : biasOf(weights, "weight_hh", gate, unit));
    case "inner":
      return biasOf(weights, "weight_hh", gate, unit);
    default:
      return arrays[kind].numbers[other * H + unit];
  }
}

/** The row of a matrix that belongs to a gate of a unit. */
function rowOf({ definition, units }: Weights, matrix: string, gate: string, unit: number): number {
  return definition.matrices.find(({ name }) => name === matrix)!.gates.indexOf(gate) * units + unit;
}

function biasOf(weights: Weights, matrix: string, gate: string, unit: number): number {
  return weights.layer[matrix.replace("weight", "bias")]?.[rowOf(weights, matrix, gate, unit)] ?? 0;
}

/** Whether a gate has two biases that do not add up: something multiplies the one beside the state. */
function split({ definition }: Weights, gate: string): boolean {
  return factorOf(definition, gate) !== null;
}

/** The weights with what was changed of them; those that are given stay as they are. */
export function editedWeights(weights: Weights, edits: Edit[]): Weights {
  const { units: H, characters } = weights;
  const changed = { ...weights, layer: { ...weights.layer }, shifted: [...(weights.shifted ?? [])] };
  const copied = new Set<string>();
  const own = (name: string) => {
    if (!copied.has(name)) changed.layer[name] = changed.layer[name].slice();
    copied.add(name);
    return changed.layer[name];
  };
  for (const { kind, gate, unit, other, value } of edits) {
    const row = (matrix: string) => rowOf(weights, matrix, gate, unit);
    if (kind === "weight") own("weight_hh")[row("weight_hh") * H + other] = value;
    if (kind === "bias") own("bias_ih")[row("weight_ih")] = value - (split(weights, gate) ? 0 : biasOf(changed, "weight_hh", gate, unit));
    if (kind === "inner") own("bias_hh")[row("weight_hh")] = value;
    if (kind === "character") {
      if (changed.table === weights.table) changed.table = weights.table.slice();
      const place = other * (weights.table.length / characters) + row("weight_ih");
      changed.shifted.push({ character: other, row: row("weight_ih"), by: value - changed.table[place] });
      changed.table[place] = value;
    }
  }
  return changed;
}

/** States that are set, by step and unit. */
export class SetStates {
  private readonly values = new Map<string, Map<number, Map<number, number>>>();

  constructor(edits: Edit[]) {
    for (const { kind, unit, other, value } of edits) {
      if (!isState(kind)) continue;
      const steps = this.values.get(kind) ?? new Map<number, Map<number, number>>();
      this.values.set(kind, steps.set(other, (steps.get(other) ?? new Map<number, number>()).set(unit, value)));
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
