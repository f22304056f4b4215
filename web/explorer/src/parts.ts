/** A gate taken apart: what the character, the units before it and the bias add to its sum. */
import { type Block, type Definition } from "./engine";
import { largest } from "./panels";
import { holds, type Run } from "./recurrence";

/** Units of the state that are named; the others are one part. */
const NAMED = 6;

export interface StatePart {
  unit: number;
  state: number;
  weight: number;
  part: number;
}

export interface Parts {
  /** W x, of the character alone. */
  input: number;
  /** The largest parts of U h, largest first, and the sum of the others. */
  states: StatePart[];
  others: number;
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

/** A term of a sum: a node, its sign, and a node that multiplies it. */
interface Term {
  node: number;
  sign: number;
  factor: number | null;
}

const SQUASHES = ["sigmoid", "tanh", "relu", "softplus", "exp"];

/** The node of the sum within a gate, and its terms. */
function termsOf(definition: Definition, gate: string): { sum: number; terms: Term[] } {
  const { nodes, gates } = definition;
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
  return { sum, terms: walk(sum, 1) };
}

/** The product with the state in the sum of a gate: of the hidden state, or of what stands in its place. */
function recurrentTerm(definition: Definition, terms: Term[]): Term | undefined {
  return terms.find(({ node }) => definition.nodes[node].operation === "product" && (definition.nodes[node].about as Block).name === "weight_hh");
}

/** The node that multiplies U h + b in the sum of a gate; null where nothing does. */
export function factorOf(definition: Definition, gate: string): number | null {
  return recurrentTerm(definition, termsOf(definition, gate).terms)?.factor ?? null;
}

/** The parts of a gate of a unit at a step; they add up to `sum`. Units of the state are `named`, or those of the largest parts. */
export function partsOf(run: Run, gate: string, step: number, unit: number, named: number[] | null = null): Parts {
  const { weights, arrays, characters, clamp, engine, trace } = run;
  const { definition, units: H, table, layer } = weights;
  const { nodes } = definition;
  const { sum: whole, terms } = termsOf(definition, gate);
  const values = engine.valuesAt(trace, step);
  const at = (node: number) => values[node][values[node].length > 1 ? unit : 0];
  const isX = ({ node, factor }: Term) => nodes[node].operation === "product" && nodes[nodes[node].arguments[0]].operation === "input" && (nodes[node].about as Block).name === "weight_ih" && factor === null;
  const ofInput = terms.find(isX);
  const ofState = recurrentTerm(definition, terms);
  const rowIn = (name: string, of: Term) => definition.matrices.find((matrix) => matrix.name === name)!.gates.indexOf((nodes[of.node].about as Block).gate) * H + unit;
  const input = ofInput ? ofInput.sign * table[characters[step] * (table.length / weights.characters) + rowIn("weight_ih", ofInput)] : 0;
  const inputBias = ofInput ? ofInput.sign * (layer.bias_ih?.[rowIn("weight_ih", ofInput)] ?? 0) : 0;
  const reset = ofState?.factor == null ? null : at(ofState.factor);
  const scale = (ofState?.sign ?? 1) * (reset ?? 1);
  const inner = ofState ? (layer.bias_hh?.[rowIn("weight_hh", ofState)] ?? 0) : 0;
  const heads = definition.matrices.find(({ name }) => name === "weight_hh")?.heads ?? 1;
  const wide = H / heads;
  const first = Math.floor((unit % H) / wide) * wide;
  const source = ofState ? nodes[ofState.node].arguments[0] : 0;
  const before = ofState ? values[source].slice() : new Float64Array(H);
  const weight = (k: number) => (ofState && k >= first && k < first + wide ? layer.weight_hh[rowIn("weight_hh", ofState) * wide + k - first] : 0);
  const all = Array.from({ length: H }, (_, k) => scale * weight(k) * before[k]);
  const shown = named ?? largest(all.map(Math.abs), NAMED).filter((k) => all[k]);
  const states = shown.map((k) => ({ unit: k, state: before[k], weight: weight(k), part: all[k] }));
  const total = all.reduce((sum, part) => sum + part, 0);
  const rests = terms.filter((term) => term !== ofInput && term !== ofState);
  const rest = rests.length ? rests.reduce((sum, { node, sign, factor }) => sum + sign * at(node) * (factor === null ? 1 : at(factor)), 0) : null;
  const bias = inputBias + scale * inner;
  const { operation } = nodes[definition.gates[gate]];
  return {
    input,
    states,
    others: total - states.reduce((sum, { part }) => sum + part, 0),
    rest,
    bias,
    biases: reset === null ? null : { input: inputBias, inner },
    sum: input + total + bias + (rest ?? 0),
    value: arrays[gate].numbers[step * H + unit],
    squash: whole === definition.gates[gate] ? "" : operation === "sigmoid" ? "σ" : operation,
    held: holds(clamp, gate, step, unit),
    reset,
  };
}
