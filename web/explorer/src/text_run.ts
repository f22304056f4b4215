/** A layer over characters: from its run to the next character, and gradients back through it. */
import { columnsOf } from "./columns";
import { editedWeights } from "./edits";
import { Engine, type Input, type OfInput } from "./engine";
import type { Clamp, Edit, Network } from "./reading";
import { runLayer, type Run } from "./recurrence";
import { dot, TABLE, type Weights } from "./weights";

export interface TextRun extends Run {
  weights: Weights;
  characters: Int32Array;
  /** By how much what characters add to the gates was changed. */
  shifted: { character: number; row: number; by: number }[];
}

/** Run over characters, by their places in the vocabulary, with what was changed of the network. */
export async function forward(network: Network, weights: Weights, characters: Int32Array, clamp: Clamp | null, edits: Edit[] = []): Promise<TextRun> {
  const { definition, sizes, embedding } = weights;
  const layer = editedWeights(definition, sizes, weights.layer, edits);
  const table = layer[TABLE];
  const rows = table.length / weights.characters;
  const oneHot = new Float32Array(embedding ? 0 : sizes.I);
  const input: Input = {
    products: (t) => [table, characters[t] * rows],
    vector: (t) => (embedding ? embedding.subarray(characters[t] * sizes.I, (characters[t] + 1) * sizes.I) : oneHot.fill(0).fill(1, characters[t], characters[t] + 1)),
  };
  const known = columnsOf(network, "");
  const run = await runLayer(new Engine(definition, sizes, layer), { network, part: "", first: 0, steps: characters.length, input, clamp, edits, columns: (step) => [known[characters[step]]] });
  return { ...run, weights, characters, shifted: shiftsOf(weights.layer[TABLE], table, rows) };
}

function shiftsOf(plain: Float32Array, table: Float32Array, rows: number): TextRun["shifted"] {
  if (table === plain) return [];
  return [...table.keys()].filter((place) => table[place] !== plain[place]).map((place) => ({ character: Math.floor(place / rows), row: place % rows, by: table[place] - plain[place] }));
}

/** Logits of the next character after a step, (V,). */
export function logitsAt({ weights, engine, trace }: TextRun, step: number): Float32Array {
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
export function normsBack(run: TextRun, moment: number, gradient: Float64Array, distances: number): Float64Array {
  const { weights, engine, trace } = run;
  const norms = new Float64Array(distances);
  const states = weights.definition.states.map(({ width }) => new Float64Array(weights.sizes[width]));
  let most = 0;
  for (let t = moment; t > moment - distances; t--) {
    const norm = normOf(engine.back(trace, t, t === moment ? gradient : null, states), run);
    norms[moment - t] = norm;
    most = Math.max(most, norm);
    if (norm < NOTHING * most) break;
  }
  return norms;
}

/** The norm of the gradient with respect to one-hot characters: of the embedding times what reaches x. */
function normOf({ products, vector }: OfInput, { engine, weights: { sizes: { I }, embedding, gram }, shifted }: TextRun): number {
  const { [TABLE]: table, weight_ih: weight } = engine.weights;
  const read = vector.slice();
  if (weight) addTransposed(products, weight, I, read);
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
