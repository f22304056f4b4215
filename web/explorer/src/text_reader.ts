/** Reads a text with a network over characters: what the cells hold, what is predicted, how far it looks back. */
import type { Clamp, Edit, Matrix, Network, Reading } from "./reading";
import { Breath } from "./recurrence";
import { forward, logitsAt, normsBack, softmax, type TextRun } from "./text_run";
import { dot, type Weights } from "./weights";

/** Steps from which gradients are computed back in time, at most. */
const MOMENTS = 16;
/** Distances that a gradient is followed back, at most. */
const FARTHEST = 500;

const vocabularies = new WeakMap<Network, Map<string, number>>();

/** The place of each character in the vocabulary; 0 for those that it does not have. */
export function encode(network: Network, text: string): Int32Array {
  const places = vocabularies.get(network) ?? new Map([...network.vocabulary!].map((character, place) => [character, place]));
  vocabularies.set(network, places);
  return Int32Array.from(text, (character) => places.get(character) ?? 0);
}

/**
 * What a network makes of a text, with what was changed of it. The score is in bits a character, of those in the vocabulary: the
 * others share one probability. It is null where no such character follows another.
 */
export async function readText(network: Network, weights: Weights, text: string, clamp: Clamp | null, edits: Edit[] = []): Promise<Reading> {
  const run = await forward(network, weights, encode(network, text), clamp, edits);
  return {
    network: network.name,
    score: await scoreFrom(run, 0),
    labels: [],
    arrays: run.arrays,
    runs: [run],
    scoreFrom: (first) => scoreFrom(run, first),
    backwards: (wanted) => gradientByDistance(run, wanted),
    probabilities: (step) => softmax(logitsAt(run, step)),
    gradient: null,
  };
}

/** Bits a character, of what is predicted from a step on. */
async function scoreFrom(run: TextRun, first: number): Promise<number | null> {
  const breath = new Breath();
  let [sum, count] = [0, 0];
  for (let t = first; t + 1 < run.characters.length; t++) {
    const next = run.characters[t + 1];
    if (!next) continue;
    const logits = logitsAt(run, t);
    const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    let total = 0;
    for (const logit of logits) total += Math.exp(logit - most);
    sum += Math.log(total) + most - logits[next];
    count += 1;
    if (breath.due) await breath.pause();
  }
  return count ? sum / count / Math.LN2 : null;
}

/**
 * The gradient of the loss at a step with respect to the input d steps before, (D,): the signal of
 * Hochreiter (1991), the mean of the norms of ∂ℓ_t/∂x_{t−d} over steps t in the last quarter of the
 * text, for the loss ℓ_t of predicting the character after t. Null where it is no longer `wanted`.
 */
export async function gradientByDistance(run: TextRun, wanted: () => boolean): Promise<Matrix | null> {
  const T = run.characters.length;
  if (T < 2) return { steps: 0, width: 1, numbers: new Float32Array(0) };
  const moments = momentsOf(Math.floor((3 * (T - 1)) / 4), T - 2);
  const distances = Math.min(moments[0] + 1, FARTHEST);
  const means = new Float32Array(distances);
  const breath = new Breath();
  for (const moment of moments) {
    const norms = normsBack(run, moment, gradientOfHidden(run, moment), distances);
    for (let d = 0; d < distances; d++) means[d] += norms[d] / moments.length;
    if (breath.due) await breath.pause();
    if (!wanted()) return null;
  }
  return { steps: distances, width: 1, numbers: means };
}

/** At most `MOMENTS` whole numbers, evenly from the first to the last. */
export function momentsOf(first: number, last: number): number[] {
  const all = Array.from({ length: MOMENTS }, (_, place) => Math.floor(first + ((last - first) * place) / (MOMENTS - 1)));
  return [...new Set(all)];
}

/** Of the loss of predicting the character after a moment, with respect to its hidden state. */
function gradientOfHidden(run: TextRun, moment: number): Float64Array {
  const { output, projection, units: H, characters: V } = run.weights;
  const error = softmax(logitsAt(run, moment));
  error[run.characters[moment + 1]] -= 1;
  const width = output.length / V;
  const read = new Float32Array(width);
  for (let v = 0; v < V; v++) for (let column = 0; column < width; column++) read[column] += error[v] * output[v * width + column];
  if (!projection) return Float64Array.from(read);
  const turned = Float32Array.from({ length: H * width }, (_, place) => projection[(place % width) * H + Math.floor(place / width)]);
  return Float64Array.from({ length: H }, (_, unit) => dot(turned, unit * width, read, 0, width));
}
