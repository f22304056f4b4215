/** A small recurrent network that learns: forward, back through time, and Adam. */
import { LAYOUTS, sigmoid, type Cell } from "./cells";
import type { Chance, Example } from "./problems";

export interface Options {
  /** The largest norm of the gradient of an update; Infinity leaves it as it is. */
  clip: number;
  /** The share of hidden values that the output does not see in an update. */
  dropout: number;
  rate: number;
}

/** Where each part of the parameters begins, and its size: W, U, their biases, V and its bias. */
interface Part {
  start: number;
  size: number;
}

/** What a network computed of one sequence. */
export interface Pass {
  /** (T, G·H), each gate after σ or tanh; of a GRU's candidate also its inner sum. */
  gates: Float64Array;
  inner: Float64Array;
  /** (T + 1, H): step 0 is before the first. */
  hidden: Float64Array;
  cell: Float64Array;
  /** Outputs at the steps that are asked about, (A, O): logits, or a number. */
  outputs: Float64Array[];
  masks: Float64Array[];
}

const BETAS = [0.9, 0.999];
const EPSILON = 1e-8;

export class Learner {
  readonly parameters: Float64Array;
  readonly gradient: Float64Array;
  private readonly parts: Record<"W" | "U" | "bi" | "bh" | "V" | "c", Part>;
  private readonly rows: number;
  private readonly first: Float64Array;
  private readonly second: Float64Array;
  updates = 0;

  constructor(
    readonly cell: Cell,
    readonly inputs: number,
    readonly units: number,
    readonly outputs: number,
    readonly classes: boolean,
    private readonly chance: Chance,
  ) {
    this.rows = LAYOUTS[cell].gates.length * units;
    let start = 0;
    const part = (size: number): Part => ({ start: (start += size) - size, size });
    const { rows } = this;
    this.parts = { W: part(rows * inputs), U: part(rows * units), bi: part(rows), bh: part(rows), V: part(outputs * units), c: part(outputs) };
    const bound = 1 / Math.sqrt(units);
    this.parameters = Float64Array.from({ length: start }, () => bound * (2 * chance() - 1));
    [this.gradient, this.first, this.second] = [0, 0, 0].map(() => new Float64Array(start));
    // A forget gate that is open at first, as Gers and others have it.
    if (cell === "lstm") this.parameters.fill(1, this.parts.bi.start + units, this.parts.bi.start + 2 * units);
  }

  /** Run over a sequence; `dropout` hides values from the output alone. */
  forward({ inputs, asked }: Example, dropout = 0): Pass {
    const { cell, units: H, inputs: I, outputs: O, rows, parts, parameters } = this;
    const T = inputs.length / I;
    const pass: Pass = { gates: new Float64Array(T * rows), inner: new Float64Array(T * H), hidden: new Float64Array((T + 1) * H), cell: new Float64Array((T + 1) * H), outputs: [], masks: [] };
    const { gates, inner, hidden, cell: state } = pass;
    const [seen, kept] = [new Float64Array(rows), new Float64Array(rows)];
    for (let t = 0; t < T; t++) {
      for (let row = 0; row < rows; row++) {
        let [a, b] = [parameters[parts.bi.start + row], parameters[parts.bh.start + row]];
        for (let i = 0; i < I; i++) a += parameters[parts.W.start + row * I + i] * inputs[t * I + i];
        for (let k = 0; k < H; k++) b += parameters[parts.U.start + row * H + k] * hidden[t * H + k];
        [seen[row], kept[row]] = [a, b];
      }
      for (let u = 0; u < H; u++) {
        const sum = (gate: number) => seen[gate * H + u] + kept[gate * H + u];
        const [now, before, here] = [(t + 1) * H + u, t * H + u, t * rows + u];
        if (cell === "rnn") hidden[now] = gates[here] = Math.tanh(sum(0));
        else if (cell === "gru") {
          const [r, z] = [sigmoid(sum(0)), sigmoid(sum(1))];
          inner[before] = kept[2 * H + u];
          const n = Math.tanh(seen[2 * H + u] + r * kept[2 * H + u]);
          [gates[here], gates[here + H], gates[here + 2 * H]] = [r, z, n];
          hidden[now] = z * hidden[before] + (1 - z) * n;
        } else {
          const [i, f, g, o] = [sigmoid(sum(0)), sigmoid(sum(1)), Math.tanh(sum(2)), sigmoid(sum(3))];
          [gates[here], gates[here + H], gates[here + 2 * H], gates[here + 3 * H]] = [i, f, g, o];
          state[now] = f * state[before] + i * g;
          hidden[now] = o * Math.tanh(state[now]);
        }
      }
    }
    for (const { step } of asked) {
      const mask = Float64Array.from({ length: H }, () => (dropout && this.chance() < dropout ? 0 : 1 / (1 - dropout)));
      const output = new Float64Array(O);
      for (let out = 0; out < O; out++) {
        output[out] = parameters[parts.c.start + out];
        for (let k = 0; k < H; k++) output[out] += parameters[parts.V.start + out * H + k] * mask[k] * hidden[(step + 1) * H + k];
      }
      pass.outputs.push(output);
      pass.masks.push(mask);
    }
    return pass;
  }

  /** The loss of a sequence: the mean over what is asked. */
  loss(pass: Pass, { asked }: Example): number {
    const parts = asked.map(({ target }, place) => (this.classes ? -logShare(pass.outputs[place], target) : (pass.outputs[place][0] - target) ** 2));
    return parts.reduce((sum, part) => sum + part, 0) / asked.length;
  }

  /**
   * Add the gradient of a sequence's loss; return the norms of the gradient of the last answer's loss
   * with respect to the hidden state, so many steps before, (T,).
   */
  backward(example: Example, pass: Pass): Float64Array {
    const { inputs: I, units: H } = this;
    const T = example.inputs.length / I;
    const toOutput = new Float64Array((T + 1) * H);
    const last = new Float64Array((T + 1) * H);
    example.asked.forEach(({ step, target }, place) => {
      const { parts, parameters, gradient, outputs: O } = this;
      for (let out = 0; out < O; out++) {
        const output = pass.outputs[place];
        const error = (this.classes ? Math.exp(logShare(output, out)) - Number(out === target) : 2 * (output[0] - target)) / example.asked.length;
        gradient[parts.c.start + out] += error;
        for (let k = 0; k < H; k++) {
          const factor = pass.masks[place][k];
          gradient[parts.V.start + out * H + k] += error * factor * pass.hidden[(step + 1) * H + k];
          const part = error * factor * parameters[parts.V.start + out * H + k];
          toOutput[(step + 1) * H + k] += part;
          if (place === example.asked.length - 1) last[(step + 1) * H + k] += part;
        }
      }
    });
    this.through(example, pass, toOutput, this.gradient);
    return example.asked.length === 1 ? this.flow : this.through(example, pass, last, null);
  }

  private flow = new Float64Array(0);

  /** Back through time from gradients of hidden states; the norms on the way, latest first. */
  private through({ inputs }: Example, { gates, inner, hidden, cell: state }: Pass, toOutput: Float64Array, gradient: Float64Array | null): Float64Array {
    const { cell, inputs: I, units: H, rows, parts, parameters } = this;
    const T = inputs.length / I;
    const norms = new Float64Array(T);
    let toHidden = new Float64Array(H);
    const toCell = new Float64Array(H);
    const [toSeen, toKept] = [new Float64Array(rows), new Float64Array(rows)];
    for (let t = T - 1; t >= 0; t--) {
      const before = new Float64Array(H);
      for (let u = 0; u < H; u++) toHidden[u] += toOutput[(t + 1) * H + u];
      norms[T - 1 - t] = Math.hypot(...toHidden);
      for (let u = 0; u < H; u++) {
        const here = t * rows + u;
        const through = (gate: number, upstream: number, slope: number) => (toSeen[gate * H + u] = toKept[gate * H + u] = upstream * slope);
        const squash = (value: number) => value * (1 - value);
        if (cell === "rnn") through(0, toHidden[u], 1 - gates[here] ** 2);
        else if (cell === "gru") {
          const [r, z, n] = [gates[here], gates[here + H], gates[here + 2 * H]];
          const candidate = toHidden[u] * (1 - z) * (1 - n * n);
          through(0, candidate * inner[t * H + u], squash(r));
          through(1, toHidden[u] * (hidden[t * H + u] - n), squash(z));
          toSeen[2 * H + u] = candidate;
          toKept[2 * H + u] = candidate * r;
          before[u] = toHidden[u] * z;
        } else {
          const [i, f, g, o] = [gates[here], gates[here + H], gates[here + 2 * H], gates[here + 3 * H]];
          const squashed = Math.tanh(state[(t + 1) * H + u]);
          toCell[u] += toHidden[u] * o * (1 - squashed ** 2);
          through(0, toCell[u] * g, squash(i));
          through(1, toCell[u] * state[t * H + u], squash(f));
          through(2, toCell[u] * i, 1 - g * g);
          through(3, toHidden[u] * squashed, squash(o));
          toCell[u] *= f;
        }
      }
      for (let row = 0; row < rows; row++) {
        for (let k = 0; k < H; k++) before[k] += toKept[row] * parameters[parts.U.start + row * H + k];
        if (!gradient) continue;
        gradient[parts.bi.start + row] += toSeen[row];
        gradient[parts.bh.start + row] += toKept[row];
        for (let i = 0; i < I; i++) gradient[parts.W.start + row * I + i] += toSeen[row] * inputs[t * I + i];
        for (let k = 0; k < H; k++) gradient[parts.U.start + row * H + k] += toKept[row] * hidden[t * H + k];
      }
      toHidden = before;
    }
    this.flow = norms;
    return norms;
  }

  /** One update from a batch: its mean loss, the norm of its gradient, and how the gradient flowed. */
  learn(batch: Example[], { clip, dropout, rate }: Options): { loss: number; norm: number; flow: Float64Array } {
    this.gradient.fill(0);
    let loss = 0;
    let flow = new Float64Array(0);
    for (const example of batch) {
      const pass = this.forward(example, dropout);
      loss += this.loss(pass, example) / batch.length;
      const norms = this.backward(example, pass);
      if (!flow.length) flow = new Float64Array(norms.length);
      norms.forEach((norm, distance) => (flow[distance] += norm / batch.length));
    }
    this.gradient.forEach((value, place) => (this.gradient[place] = value / batch.length));
    const norm = Math.sqrt(this.gradient.reduce((sum, value) => sum + value * value, 0));
    this.step(rate, norm > clip ? clip / norm : 1);
    return { loss, norm, flow };
  }

  private step(rate: number, scale: number): void {
    const { parameters, gradient, first, second } = this;
    this.updates += 1;
    const [one, two] = BETAS.map((beta) => 1 - beta ** this.updates);
    for (let place = 0; place < parameters.length; place++) {
      const value = scale * gradient[place];
      first[place] += (1 - BETAS[0]) * (value - first[place]);
      second[place] += (1 - BETAS[1]) * (value * value - second[place]);
      parameters[place] -= (rate * first[place]) / one / (Math.sqrt(second[place] / two) + EPSILON);
    }
  }
}

/** The logarithm of the share of a class among the outputs. */
export function logShare(outputs: Float64Array, place: number): number {
  const most = Math.max(...outputs);
  return outputs[place] - most - Math.log(outputs.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
