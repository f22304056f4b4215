/** A recurrent layer over characters, step by step: what it computes, and gradients back through it. */
import { LAYOUTS, sigmoid } from "./cells";
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
  /** (T, H), U h + b of the candidate before the reset gate; of a GRU. */
  inner: Float32Array | null;
  /** The states before the first step, by name; zeros where there are none. */
  initial: Initial | null;
}

export type Initial = Record<string, Float32Array>;

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
export async function forward(weights: Weights, characters: Int32Array, clamp: Clamp | null, edits: Edit[] = [], initial: Initial | null = null): Promise<Run> {
  const { cell, units: H, table, recurrent, biasInput, biasRecurrent, relu } = weights;
  const T = characters.length;
  const { gates, states } = LAYOUTS[cell];
  const rows = gates.length * H;
  const arrays: Record<string, Matrix> = {};
  for (const name of new Set([...gates, ...states])) arrays[name] = { steps: T, width: H, numbers: new Float32Array(T * H) };
  const inner = cell === "gru" ? new Float32Array(T * H) : null;
  const set = new SetStates(edits);
  const run: Run = { weights, characters, clamp, set, arrays, inner, initial };
  const fromInput = new Float64Array(rows);
  const fromState = new Float64Array(rows);
  const before = initial?.hidden.slice() ?? new Float32Array(H);
  const reads = initial !== null;
  const breath = new Breath();
  for (let t = 0; t < T; t++) {
    if (t) before.set(arrays.hidden.numbers.subarray((t - 1) * H, t * H));
    const start = characters[t] * rows;
    for (let row = 0; row < rows; row++) {
      fromInput[row] = table[start + row] + biasInput[row];
      fromState[row] = biasRecurrent[row] + (t || reads ? dot(recurrent, row * H, before, 0, H) : 0);
    }
    const gate = (place: number, unit: number) => {
      const value = holds(clamp, gates[place], t, unit) ? clamp.value : sigmoid(fromInput[place * H + unit] + fromState[place * H + unit]);
      arrays[gates[place]].numbers[t * H + unit] = value;
      return value;
    };
    for (let unit = 0; unit < H; unit++) {
      const here = t * H + unit;
      if (cell === "rnn") {
        const sum = fromInput[unit] + fromState[unit];
        arrays.hidden.numbers[here] = relu ? Math.max(0, sum) : Math.tanh(sum);
      } else if (cell === "gru") {
        const [r, z] = [gate(0, unit), gate(1, unit)];
        const candidate = Math.tanh(fromInput[2 * H + unit] + r * fromState[2 * H + unit]);
        inner![here] = fromState[2 * H + unit];
        arrays.candidate.numbers[here] = candidate;
        arrays.hidden.numbers[here] = z * before[unit] + (1 - z) * candidate;
      } else {
        const [i, f, o] = [gate(0, unit), gate(1, unit), gate(3, unit)];
        const candidate = Math.tanh(fromInput[2 * H + unit] + fromState[2 * H + unit]);
        const state = set.at("cell", t, unit) ?? f * (t ? arrays.cell.numbers[here - H] : (initial?.cell[unit] ?? 0)) + i * candidate;
        arrays.candidate.numbers[here] = candidate;
        arrays.cell.numbers[here] = state;
        arrays.hidden.numbers[here] = o * Math.tanh(state);
      }
      const hidden = set.at("hidden", t, unit);
      if (hidden !== undefined) arrays.hidden.numbers[here] = hidden;
    }
    if (breath.due) await breath.pause();
  }
  return run;
}

/** Logits of the next character after a step, (V,). */
export function logitsAt({ weights, arrays }: Run, step: number): Float32Array {
  const { units: H, projection, output, outputBias, characters: V } = weights;
  const { numbers } = arrays.hidden;
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
 * from the gradient with respect to its hidden state (H,).
 */
export function normsBack(run: Run, moment: number, gradient: Float64Array, distances: number): Float64Array {
  const { weights } = run;
  const norms = new Float64Array(distances);
  const read = new Float64Array(weights.width);
  const back = new Back(run, gradient);
  let most = 0;
  for (let t = moment; t > moment - distances; t--) {
    back.through(t);
    norms[moment - t] = normOf(back.toInput, weights, read);
    most = Math.max(most, norms[moment - t]);
    if (norms[moment - t] < NOTHING * most) break;
    back.before();
  }
  return norms;
}

/** A gradient on its way back through a run, one step after the other. */
export class Back {
  /** (G·H,), with respect to what the input adds to the gates at the step gone through last. */
  readonly toInput: Float64Array;
  private readonly toState: Float64Array;
  private kept: Float64Array;

  /** From the gradients with respect to the states after a step, (H,) each. */
  constructor(
    private readonly run: Run,
    public hidden: Float64Array,
    public readonly state: Float64Array = new Float64Array(run.weights.units),
  ) {
    const { cell, units: H } = run.weights;
    const rows = LAYOUTS[cell].gates.length * H;
    [this.toInput, this.toState, this.kept] = [new Float64Array(rows), new Float64Array(rows), new Float64Array(H)];
  }

  /** Go through the cell at a step. */
  through(t: number): void {
    const { weights, arrays, clamp, set, inner, initial } = this.run;
    const { cell, units: H, relu } = weights;
    const { hidden, state, toInput, toState } = this;
    const { gates } = LAYOUTS[cell];
    const value = (name: string, unit: number) => arrays[name].numbers[t * H + unit];
    const before = (name: string, unit: number) => (t ? arrays[name].numbers[(t - 1) * H + unit] : (initial?.[name][unit] ?? 0));
    const through = (gate: number, unit: number, upstream: number) => {
      const g = value(gates[gate], unit);
      toInput[gate * H + unit] = toState[gate * H + unit] = holds(clamp, gates[gate], t, unit) ? 0 : upstream * g * (1 - g);
    };
    const kept = new Float64Array(H);
    for (let unit = 0; unit < H; unit++) {
      // What is set depends on nothing before.
      if (set.at("hidden", t, unit) !== undefined) hidden[unit] = 0;
      const fixed = set.at("cell", t, unit) !== undefined;
      if (cell === "rnn") {
        const h = value("hidden", unit);
        toInput[unit] = toState[unit] = hidden[unit] * (relu ? Number(h > 0) : 1 - h * h);
      } else if (cell === "gru") {
        const [r, z, n] = [value("reset_gate", unit), value("update_gate", unit), value("candidate", unit)];
        const sum = hidden[unit] * (1 - z) * (1 - n * n);
        through(0, unit, sum * inner![t * H + unit]);
        through(1, unit, hidden[unit] * (before("hidden", unit) - n));
        toInput[2 * H + unit] = sum;
        toState[2 * H + unit] = sum * r;
        kept[unit] = hidden[unit] * z;
      } else {
        const [i, f, g, o] = gates.map((name) => value(name, unit));
        const squashed = Math.tanh(value("cell", unit));
        state[unit] = fixed ? 0 : state[unit] + hidden[unit] * o * (1 - squashed * squashed);
        through(0, unit, state[unit] * g);
        through(1, unit, state[unit] * before("cell", unit));
        through(3, unit, hidden[unit] * squashed);
        toInput[2 * H + unit] = toState[2 * H + unit] = state[unit] * i * (1 - g * g);
        state[unit] *= f;
      }
    }
    this.kept = kept;
  }

  /** Go on to the states before that step. */
  before(): void {
    const { recurrent, units } = this.run.weights;
    this.hidden = this.kept;
    addTransposed(this.toState, recurrent, units, this.hidden);
  }
}

/** The norm of the gradient with respect to one-hot characters: of the embedding times Wᵀ g. */
function normOf(gradient: Float64Array, { input, width, gram, table, shifted = [] }: Weights, read: Float64Array): number {
  read.fill(0);
  addTransposed(gradient, input, width, read);
  let sum = 0;
  for (let a = 0; a < width; a++) {
    if (!gram) sum += read[a] * read[a];
    else for (let b = 0; b < width; b++) sum += read[a] * gram[a * width + b] * read[b];
  }
  for (const character of new Set(shifted.map(({ character }) => character))) {
    const by = shifted.reduce((total, shift) => total + (shift.character === character ? shift.by * gradient[shift.row] : 0), 0);
    const now = gradient.reduce((total, part, row) => total + part * table[character * gradient.length + row], 0);
    sum += now * now - (now - by) * (now - by);
  }
  return Math.sqrt(Math.max(0, sum));
}

/** Add Wᵀ g to a sum, for W of so many columns. */
export function addTransposed(g: Float64Array, weight: Float32Array, columns: number, sum: Float64Array): void {
  for (let row = 0; row < g.length; row++) {
    const factor = g[row];
    if (!factor) continue;
    const start = row * columns;
    for (let column = 0; column < columns; column++) sum[column] += factor * weight[start + column];
  }
}
