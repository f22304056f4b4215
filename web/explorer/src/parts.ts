/** A gate taken apart: what the inputs, the units before it and the bias add to its sum. */
import { isSingle, type Column } from "./columns";
import { type Block, type Definition, type Sizes } from "./engine";
import { largest } from "./panels";
import { holds, readAt, type Run } from "./recurrence";
import { TABLE } from "./weights";

/** Units of a state that are named, of this layer or of the one below; the others are one part. */
const NAMED = 6;
/** Columns of a table that are named. */
const MOST_COLUMNS = 40;

export interface InputPart {
  column: Column;
  /** What is read, as it is and as the page shows it; null where it is a character, or an embedding. */
  read: { x: number; shown: number } | null;
  /** Null of an embedding. */
  weight: number | null;
  part: number;
}

export interface StatePart {
  unit: number;
  state: number;
  weight: number;
  part: number;
}

export interface Parts {
  /** W x, column by column: all of them, or the largest, largest first, and the sum of the others. */
  inputs: InputPart[];
  otherInputs: { count: number; part: number };
  /** The largest parts of U h, largest first, and the sum of the others. */
  states: StatePart[];
  others: { count: number; part: number };
  /** The state that U multiplies; null where it is something else that was computed. */
  source: string | null;
  /** What the sum has besides, such as peepholes; null where there is nothing. */
  rest: number | null;
  bias: number;
  /** What the bias consists of where a value multiplies a part of it. */
  biases: { input: number; inner: number } | null;
  sum: number;
  /** The gate: what becomes of the sum, or the value that it is held at. */
  value: number;
  squash: string;
  held: boolean;
  /** What multiplies the parts of the state, as the reset gate does in the candidate of a GRU. */
  reset: number | null;
}

/** What is named: it stays while its numbers change. */
export interface Chosen {
  inputs: number[];
  states: number[];
}

/** A term of a sum: a node, its sign, and a node that multiplies it. */
interface Term {
  node: number;
  sign: number;
  factor: number | null;
}

/** The terms of a gate with weights: those of x and of a state. */
export interface Terms {
  sum: number;
  ofInput: Term | undefined;
  ofState: Term | undefined;
  rests: Term[];
}

const SQUASHES = ["sigmoid", "tanh", "relu", "softplus", "exp"];
const known = new WeakMap<Definition, Map<string, Terms>>();

/** The node of the sum within a gate, and its terms. */
export function termsOf(definition: Definition, gate: string): Terms {
  const gates = known.get(definition) ?? new Map<string, Terms>();
  known.set(definition, gates);
  const found = gates.get(gate) ?? foundTerms(definition, gate);
  gates.set(gate, found);
  return found;
}

function foundTerms({ nodes, gates }: Definition, gate: string): Terms {
  const place = gates[gate];
  const sum = SQUASHES.includes(nodes[place].operation) ? nodes[place].arguments[0] : place;
  const walk = (node: number, sign: number): Term[] => {
    const { operation, arguments: [a, b] } = nodes[node];
    if (operation === "neg") return walk(a, -sign);
    if (operation === "add" || operation === "sub") return [...walk(a, sign), ...walk(b, operation === "add" ? sign : -sign)];
    if (operation === "mul") {
      const [one, other] = [a, b].map((of) => nodes[of].operation === "product");
      if (one !== other) return [{ node: one ? a : b, sign, factor: one ? b : a }];
    }
    return [{ node, sign, factor: null }];
  };
  const terms = walk(sum, 1);
  const isOf = ({ node }: Term, matrix: string) => nodes[node].operation === "product" && (nodes[node].about as Block).name === matrix;
  const ofInput = terms.find((term) => isOf(term, "weight_ih") && term.factor === null && nodes[nodes[term.node].arguments[0]].operation === "input");
  // Of the hidden state, or of what stands in its place.
  const ofState = terms.find((term) => isOf(term, "weight_hh"));
  return { sum, ofInput, ofState, rests: terms.filter((term) => term !== ofInput && term !== ofState) };
}

/** Whether something multiplies U h + b in the sum of a gate: then its two biases do not add up. */
export function isScaled(definition: Definition, gate: string): boolean {
  return (termsOf(definition, gate).ofState?.factor ?? null) !== null;
}

/** Which biases a gate has: one, or two where something multiplies U h + b. */
export function biasesIn(definition: Definition, gate: string): { bias: boolean; inner: boolean } {
  const { nodes, matrices } = definition;
  const { ofInput, ofState } = termsOf(definition, gate);
  const has = (term: Term | undefined) => !!term && matrices.find(({ name }) => name === (nodes[term.node].about as Block).name)!.bias !== null;
  const scaled = isScaled(definition, gate);
  return { bias: has(ofInput) || (has(ofState) && !scaled), inner: has(ofState) && scaled };
}

/** The rows of a matrix that a term reads: the first of them, how many numbers a row has, the heads. */
export function rowsOf({ matrices, nodes }: Definition, sizes: Sizes, { node }: Term): { matrix: string; bias: string | null; first: number; columns: number; heads: number } {
  const { name, gate } = nodes[node].about as Block;
  const matrix = matrices.find((of) => of.name === name)!;
  return { matrix: name, bias: matrix.bias, first: matrix.gates.indexOf(gate) * sizes[matrix.rows], columns: sizes[matrix.columns] / matrix.heads, heads: matrix.heads };
}

/** The parts of a gate of a unit at a step of a run; they add up to `sum`. What is named is `chosen`, or the largest. */
export function partsOf(run: Run, gate: string, step: number, unit: number, chosen: Chosen | null = null): Parts {
  const { arrays, clamp, engine, trace, first } = run;
  const { definition, sizes, weights } = engine;
  const { nodes, states } = definition;
  const { sum: whole, ofInput, ofState, rests } = termsOf(definition, gate);
  const values = engine.valuesAt(trace, step);
  const at = (node: number) => values[node][values[node].length > 1 ? unit : 0];
  const biasOf = (term: Term) => {
    const { bias, first } = rowsOf(definition, sizes, term);
    return (bias ? weights[bias]?.[first + unit] : 0) ?? 0;
  };
  const read = ofInput ? run.columns(step).map((column) => inputPart(run, ofInput, column, step, unit)) : [];
  const named = chosen?.inputs ?? namedOf(read);
  const inputs = read.length === named.length ? read : named.map((place) => read[place]);
  const reset = ofState?.factor == null ? null : at(ofState.factor);
  const scale = (ofState?.sign ?? 1) * (reset ?? 1);
  const all = ofState ? stateParts(run, ofState, values[nodes[ofState.node].arguments[0]], scale, unit) : [];
  const shown = chosen?.states ?? largest(all.map(({ part }) => Math.abs(part)), NAMED).filter((k) => all[k].part);
  const ofStates = shown.map((k) => all[k]);
  const inputBias = ofInput ? ofInput.sign * biasOf(ofInput) : 0;
  const inner = ofState ? biasOf(ofState) : 0;
  const rest = rests.length ? rests.reduce((sum, { node, sign, factor }) => sum + sign * at(node) * (factor === null ? 1 : at(factor)), 0) : null;
  const bias = inputBias + scale * inner;
  const source = ofState && nodes[nodes[ofState.node].arguments[0]];
  const [input, total] = [summed(read), summed(all)];
  const { operation } = nodes[definition.gates[gate]];
  return {
    inputs,
    otherInputs: { count: read.length - inputs.length, part: input - summed(inputs) },
    states: ofStates,
    others: { count: all.length - ofStates.length, part: total - summed(ofStates) },
    source: source?.operation === "state" ? states[source.about as number].name : null,
    rest,
    bias,
    biases: reset === null ? null : { input: inputBias, inner },
    sum: input + total + bias + (rest ?? 0),
    value: arrays[gate].numbers[step * arrays[gate].width + (arrays[gate].width > 1 ? unit : 0)],
    squash: whole === definition.gates[gate] ? "" : operation === "sigmoid" ? "σ" : operation,
    held: holds(clamp, gate, step + first, unit),
    reset,
  };
}

function summed(parts: { part: number }[]): number {
  return parts.reduce((sum, { part }) => sum + part, 0);
}

/** Columns of a table, as many as there is room for, stay in its order. */
function namedOf(read: InputPart[]): number[] {
  const most = read[0]?.column.kind === "unit" ? NAMED : MOST_COLUMNS;
  if (read.length <= most) return [...read.keys()];
  const places = largest(read.map(({ part }) => Math.abs(part)), most);
  return most === NAMED ? places.filter((place) => read[place].part) : places.sort((a, b) => a - b);
}

function inputPart(run: Run, term: Term, column: Column, step: number, unit: number): InputPart {
  const { definition, sizes, weights } = run.engine;
  const { first, columns } = rowsOf(definition, sizes, term);
  const table = weights[TABLE];
  if (table) {
    const weight = table[placeInTable(definition, sizes, column.place) + first + unit];
    return { column, read: null, weight, part: term.sign * weight };
  }
  const start = (first + unit) * columns + column.place;
  const weight = weights.weight_ih[start];
  const read = readAt(run, column, step);
  if (isSingle(column)) return { column, read, weight, part: term.sign * weight * read.x };
  const x = run.trace.input.vector(step);
  let part = 0;
  for (let k = 0; k < column.count; k++) part += weights.weight_ih[start + k] * x[column.place + k];
  return { column, read: null, weight: null, part: term.sign * part };
}

/** Where the row of a character begins in the table of characters. */
export function placeInTable({ matrices }: Definition, sizes: Sizes, character: number): number {
  const { gates, rows } = matrices.find(({ name }) => name === "weight_ih")!;
  return character * gates.length * sizes[rows];
}

function stateParts(run: Run, term: Term, before: Float64Array, scale: number, unit: number): StatePart[] {
  const { definition, sizes, weights } = run.engine;
  const { first, columns, heads } = rowsOf(definition, sizes, term);
  // Of a matrix with squares on its diagonal, a row reads the units of its square.
  const from = heads > 1 ? Math.floor(unit / columns) * columns : 0;
  return Array.from(before, (state, k) => {
    const inside = k >= from && k < from + columns;
    const weight = inside ? weights.weight_hh[(first + unit) * columns + k - from] : 0;
    return { unit: k, state, weight, part: scale * weight * state };
  });
}
