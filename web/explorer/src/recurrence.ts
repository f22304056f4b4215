/** A recurrent layer over characters, step by step: what it computes, and gradients back through it. */
import { Engine, namedIn, type Definition, type Hold, type Input, type OfInput, type Trace } from "./engine";
import { SetStates } from "./edits";
import type { Clamp, Edit, Matrix } from "./reading";
import { dot, type Weights } from "./weights";

/** What a layer computed: its gates and states by name, (T, H) each, and what held it. */
export interface Run {
  weights: Weights;
  characters: Int32Array;
  clamp: Clamp | null;
  /** States that were set to a value. */
  set: SetStates;
  arrays: Record<string, Matrix>;
  engine: Engine;
  trace: Trace;
}

/** Lets the page draw and answer between two stretches of work. */
export class Breath {
  private since = performance.now();

  /** Whether it is time to await `pause`. */
  get due(): boolean {
    return performance.now() - this.since > 8;
  }

  async pause(): Promise<void> {
    await new Promise<void>((resume) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (port1.close(), resume());
      port2.postMessage(null);
    });
    this.since = performance.now();
  }
}

/** Whether a clamp holds a unit of its gate at a step. */
export function holds(clamp: Clamp | null, gate: string, step: number, unit: number): clamp is Clamp {
  return clamp !== null && clamp.gate === gate && step >= clamp.first && step <= (clamp.last ?? Infinity) && (clamp.unit ?? unit) === unit;
}

/** Run over characters, by their places in the vocabulary; `edits` of states are set as they come up. */
export async function forward(weights: Weights, characters: Int32Array, clamp: Clamp | null, edits: Edit[] = []): Promise<Run> {
  const { definition, sizes, layer, table, embedding } = weights;
  const T = characters.length;
  const engine = new Engine(definition, sizes, layer);
  const rows = table.length / weights.characters;
  const oneHot = new Float32Array(embedding ? 0 : sizes.I);
  const input: Input = {
    products: (t) => [table, characters[t] * rows],
    vector: (t) => (embedding ? embedding.subarray(characters[t] * sizes.I, (characters[t] + 1) * sizes.I) : oneHot.fill(0).fill(1, characters[t], characters[t] + 1)),
  };
  const set = new SetStates(edits);
  const trace = engine.begin(T, input, holding(definition, clamp, set));
  const breath = new Breath();
  for (let t = 0; t < T; t++) {
    engine.step(trace, t);
    if (breath.due) await breath.pause();
  }
  const matrix = (node: number): Matrix => ({ steps: T, width: sizes[definition.nodes[node].width], numbers: engine.valuesOf(trace, node) });
  const arrays = Object.fromEntries(Object.entries(namedIn(definition)).map(([name, node]) => [name, matrix(node)]));
  return { weights, characters, clamp, set, arrays, engine, trace };
}

/** What is held or set, by the nodes of a definition. */
function holding({ gates, states }: Definition, clamp: Clamp | null, set: SetStates): Hold | null {
  if (!clamp && !set.any) return null;
  const held = clamp && gates[clamp.gate];
  const state = new Map(states.map(({ name, after }) => [after, name]));
  return (node, step, unit) => {
    if (node === held && holds(clamp, clamp!.gate, step, unit)) return clamp!.value;
    const name = set.any ? state.get(node) : undefined;
    return name === undefined ? undefined : set.at(name, step, unit);
  };
}

/** Logits of the next character after a step, (V,). */
export function logitsAt({ weights, engine, trace }: Run, step: number): Float32Array {
  const { units: H, projection, output, outputBias, characters: V, definition } = weights;
  const numbers = engine.valuesOf(trace, definition.output);
  let read = numbers.subarray(step * H, (step + 1) * H);
  if (projection) read = Float32Array.from({ length: projection.length / H }, (_, row) => dot(projection, row * H, numbers, step * H, H));
  const logits = new Float32Array(V);
  for (let v = 0; v < V; v++) logits[v] = outputBias[v] + dot(output, v * read.length, read, 0, read.length);
  return logits;
}

export function softmax(logits: Float32Array): Float32Array {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return logits.map((logit) => Math.exp(logit - most) / sum);
}

/** Where a gradient has fallen below this share of its largest norm, it is nothing. */
const NOTHING = 1e-7;

/**
 * The norms of the gradient of the loss at `moment` with respect to the inputs so many steps before,
 * from the gradient with respect to the cell's output (H,).
 */
export function normsBack({ weights, engine, trace }: Run, moment: number, gradient: Float64Array, distances: number): Float64Array {
  const norms = new Float64Array(distances);
  const states = weights.definition.states.map(({ width }) => new Float64Array(weights.sizes[width]));
  let most = 0;
  for (let t = moment; t > moment - distances; t--) {
    const norm = normOf(engine.back(trace, t, t === moment ? gradient : null, states), weights);
    norms[moment - t] = norm;
    most = Math.max(most, norm);
    if (norm < NOTHING * most) break;
  }
  return norms;
}

/** The norm of the gradient with respect to one-hot characters: of the embedding times what reaches x. */
function normOf({ products, vector }: OfInput, { layer, sizes: { I }, embedding, gram, table, shifted = [] }: Weights): number {
  const read = vector.slice();
  if (layer.weight_ih) addTransposed(products, layer.weight_ih, I, read);
  let sum = 0;
  for (let a = 0; a < I; a++) {
    if (!gram) sum += read[a] * read[a];
    else for (let b = 0; b < I; b++) sum += read[a] * gram[a * I + b] * read[b];
  }
  for (const character of new Set(shifted.map(({ character }) => character))) {
    const by = shifted.reduce((total, shift) => total + (shift.character === character ? shift.by * products[shift.row] : 0), 0);
    const straight = vector.reduce((total, part, place) => total + part * (embedding ? embedding[character * I + place] : Number(place === character)), 0);
    const now = straight + products.reduce((total, part, row) => total + part * table[character * products.length + row], 0);
    sum += now * now - (now - by) * (now - by);
  }
  return Math.sqrt(Math.max(0, sum));
}

/** Add Wᵀ g to a sum, for W of so many columns. */
function addTransposed(g: Float64Array, weight: Float32Array, columns: number, sum: Float64Array): void {
  for (let row = 0; row < g.length; row++) {
    const factor = g[row];
    if (!factor) continue;
    const start = row * columns;
    for (let column = 0; column < columns; column++) sum[column] += factor * weight[start + column];
  }
}
