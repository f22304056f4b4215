/** Numbers that a visitor changed: weights, biases and states of a network over characters. */
import { LAYOUTS } from "./cells";
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
  const candidate = network.cell === "gru" && gate === "candidate";
  if (!whole || unit >= network.units) return false;
  if (isState(kind)) return network.states.includes(kind);
  if (kind === "character") return network.gates.includes(gate) && other < [...network.vocabulary!].length;
  return network.gates.includes(gate) && other < network.units && (kind !== "inner" || candidate);
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
  const { cell, units: H, table, recurrent, biasInput, biasRecurrent } = weights;
  const { gates } = LAYOUTS[cell];
  const row = gates.indexOf(gate) * H + unit;
  switch (kind) {
    case "character":
      return table[other * gates.length * H + row];
    case "weight":
      return recurrent[row * H + other];
    case "bias":
      return biasInput[row] + (split(weights, gate) ? 0 : biasRecurrent[row]);
    case "inner":
      return biasRecurrent[row];
    default:
      return arrays[kind].numbers[other * H + unit];
  }
}

/** Whether a gate has two biases that do not add up: the reset gate multiplies one of them. */
function split({ cell }: Weights, gate: string): boolean {
  return cell === "gru" && gate === "candidate";
}

/** The weights with what was changed of them; those that are given stay as they are. */
export function editedWeights(weights: Weights, edits: Edit[]): Weights {
  const { gates } = LAYOUTS[weights.cell];
  const { units: H } = weights;
  const changed = { ...weights, shifted: [...(weights.shifted ?? [])] };
  const copied = new Set<string>();
  const own = (name: "table" | "recurrent" | "biasInput" | "biasRecurrent") => {
    if (!copied.has(name)) changed[name] = changed[name].slice();
    copied.add(name);
    return changed[name];
  };
  for (const { kind, gate, unit, other, value } of edits) {
    const row = gates.indexOf(gate) * H + unit;
    if (kind === "weight") own("recurrent")[row * H + other] = value;
    if (kind === "bias") own("biasInput")[row] = value - (split(weights, gate) ? 0 : changed.biasRecurrent[row]);
    if (kind === "inner") own("biasRecurrent")[row] = value;
    if (kind === "character") {
      const table = own("table");
      const place = other * gates.length * H + row;
      changed.shifted.push({ character: other, row, by: value - table[place] });
      table[place] = value;
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

  /** The value that a state of a unit is set to after a step. */
  at(state: "hidden" | "cell", step: number, unit: number): number | undefined {
    return this.values.size ? this.values.get(state)?.get(step)?.get(unit) : undefined;
  }
}
