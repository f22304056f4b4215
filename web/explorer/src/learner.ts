/** A small recurrent network that learns: the engine runs its cell forward and back, and Adam changes its weights. */
import { definitionOf } from "./definitions";
import { Engine, type Definition, type Trace } from "./engine";
import type { Cell } from "./cells";
import type { Chance, Example } from "./problems";

export interface Options {
  /** The largest norm of the gradient of an update; Infinity leaves it as it is. */
  clip: number;
  /** The share of hidden values that the output does not see in an update. */
  dropout: number;
  rate: number;
}

/** What a network computed of one sequence. */
export interface Pass {
  trace: Trace<Float64Array>;
  /** Hidden states (T, H). */
  hidden: Float64Array;
  /** Outputs at the steps that are asked about, (A, O): logits, or a number. */
  outputs: Float64Array[];
  masks: Float64Array[];
}

/** Numbers by the names of parameters: those of the cell, and V and c of the output V h + c. */
type Named = Record<string, Float64Array>;

const BETAS = [0.9, 0.999];
const EPSILON = 1e-8;
/** Of a forget gate, as Gers and others have it: σ(1) = 0.73. */
export const USUAL_BIAS = 1;

export class Learner {
  readonly definition: Definition;
  readonly parameters: Float64Array;
  readonly gradient: Float64Array;
  private readonly engine: Engine<Float64Array>;
  private readonly weights: Named;
  private readonly gradients: Named;
  private readonly first: Float64Array;
  private readonly second: Float64Array;
  updates = 0;

  constructor(
    cell: Cell,
    readonly inputs: number,
    readonly units: number,
    readonly outputs: number,
    readonly classes: boolean,
    private readonly chance: Chance,
    /** What the bias of a forget gate begins with. */
    forgetBias = USUAL_BIAS,
  ) {
    this.definition = definitionOf({ cell, relu: false });
    const sizes = { H: units, I: inputs, P: units, "1": 1 };
    const { matrices } = this.definition;
    const lengths: [string, number][] = [
      ...matrices.map(({ name, gates, rows, columns }): [string, number] => [name, gates.length * sizes[rows] * sizes[columns]]),
      ...matrices.flatMap(({ bias, gates, rows }): [string, number][] => (bias ? [[bias, gates.length * sizes[rows]]] : [])),
      ["V", outputs * units],
      ["c", outputs],
    ];
    const bound = 1 / Math.sqrt(units);
    this.parameters = Float64Array.from({ length: lengths.reduce((sum, [, length]) => sum + length, 0) }, () => bound * (2 * chance() - 1));
    [this.gradient, this.first, this.second] = [0, 0, 0].map(() => new Float64Array(this.parameters.length));
    const named = (all: Float64Array): Named => {
      let start = 0;
      return Object.fromEntries(lengths.map(([name, length]) => [name, all.subarray(start, (start += length))]));
    };
    [this.weights, this.gradients] = [named(this.parameters), named(this.gradient)];
    // A forget gate that is open at first.
    const { bias, gates } = matrices[0];
    const forget = gates.indexOf("forget_gate");
    if (forget >= 0) this.weights[bias!].fill(forgetBias, forget * units, (forget + 1) * units);
    this.engine = new Engine(this.definition, sizes, this.weights, true);
  }

  /** Run over a sequence; `dropout` hides values from the output alone. */
  forward({ inputs, asked }: Example, dropout = 0): Pass {
    const { engine, units: H, inputs: I, outputs: O, weights, definition } = this;
    const trace = engine.run(inputs.length / I, { vector: (t) => inputs.subarray(t * I, (t + 1) * I) });
    const pass: Pass = { trace, hidden: engine.valuesOf(trace, definition.output), outputs: [], masks: [] };
    for (const { step } of asked) {
      const mask = Float64Array.from({ length: H }, () => (dropout && this.chance() < dropout ? 0 : 1 / (1 - dropout)));
      const output = weights.c.slice();
      for (let out = 0; out < O; out++) for (let k = 0; k < H; k++) output[out] += weights.V[out * H + k] * mask[k] * pass.hidden[step * H + k];
      pass.outputs.push(output);
      pass.masks.push(mask);
    }
    return pass;
  }

  /** The values of a gate or state at all steps, (T, H). */
  valuesOf({ trace }: Pass, name: string): Float64Array {
    const { gates, states } = this.definition;
    return this.engine.valuesOf(trace, gates[name] ?? states.find((state) => state.name === name)!.after);
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
  backward({ asked }: Example, pass: Pass): Float64Array {
    const { units: H, outputs: O, weights, gradients } = this;
    const toHidden = new Float64Array(pass.hidden.length);
    const last = new Float64Array(pass.hidden.length);
    asked.forEach(({ step, target }, place) => {
      const output = pass.outputs[place];
      for (let out = 0; out < O; out++) {
        const error = (this.classes ? Math.exp(logShare(output, out)) - Number(out === target) : 2 * (output[0] - target)) / asked.length;
        gradients.c[out] += error;
        for (let k = 0; k < H; k++) {
          const factor = error * pass.masks[place][k];
          gradients.V[out * H + k] += factor * pass.hidden[step * H + k];
          const part = factor * weights.V[out * H + k];
          toHidden[step * H + k] += part;
          if (place === asked.length - 1) last[step * H + k] += part;
        }
      }
    });
    const flow = this.through(pass, toHidden, gradients);
    return asked.length === 1 ? flow : this.through(pass, last, null);
  }

  /** Back through time from gradients of hidden states; the norms on the way, latest first. */
  private through({ trace }: Pass, toHidden: Float64Array, gradients: Named | null): Float64Array {
    const { engine, units: H, definition } = this;
    const norms = new Float64Array(trace.steps);
    const states = definition.states.map(() => new Float64Array(H));
    for (let t = trace.steps - 1; t >= 0; t--) {
      const [hidden] = states; // the cell's output is its first state
      for (let unit = 0; unit < H; unit++) hidden[unit] += toHidden[t * H + unit];
      norms[trace.steps - 1 - t] = Math.hypot(...hidden);
      engine.back(trace, t, null, states, gradients);
    }
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
