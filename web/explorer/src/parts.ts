/** A gate taken apart: what the character, the units before it and the bias add to its sum. */
import { LAYOUTS } from "./cells";
import { holds, type Run } from "./recurrence";
import { largest } from "./panels";

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
  bias: number;
  /** What the bias consists of where the reset gate multiplies a part of it. */
  biases: { input: number; inner: number } | null;
  sum: number;
  /** The gate: σ or tanh of the sum, or the value that it is held at. */
  value: number;
  squash: "σ" | "tanh" | "relu";
  held: boolean;
  /** What the reset gate multiplies the parts of the state by, in the candidate of a GRU. */
  reset: number | null;
}

/** The parts of a gate of a unit at a step; they add up to `sum`. Units of the state are `named`, or those of the largest parts. */
export function partsOf(run: Run, gate: string, step: number, unit: number, named: number[] | null = null): Parts {
  const { weights, arrays, characters, clamp } = run;
  const { cell, units: H, table, recurrent, biasInput, biasRecurrent, relu } = weights;
  const { gates, clampable } = LAYOUTS[cell];
  const row = gates.indexOf(gate) * H + unit;
  const reset = cell === "gru" && gate === "candidate" ? arrays.reset_gate.numbers[step * H + unit] : null;
  const input = table[characters[step] * gates.length * H + row];
  const bias = biasInput[row] + (reset ?? 1) * biasRecurrent[row];
  const before = (k: number) => (step ? arrays.hidden.numbers[(step - 1) * H + k] : 0);
  const all = Array.from({ length: H }, (_, k) => (reset ?? 1) * recurrent[row * H + k] * before(k));
  const shown = named ?? largest(all.map(Math.abs), NAMED).filter((k) => all[k]);
  const states = shown.map((k) => ({ unit: k, state: before(k), weight: recurrent[row * H + k], part: all[k] }));
  const whole = all.reduce((sum, part) => sum + part, 0);
  return {
    input,
    states,
    others: whole - states.reduce((sum, { part }) => sum + part, 0),
    bias,
    biases: reset === null ? null : { input: biasInput[row], inner: biasRecurrent[row] },
    sum: input + whole + bias,
    value: arrays[gate].numbers[step * H + unit],
    squash: clampable.includes(gate) ? "σ" : relu ? "relu" : "tanh",
    held: holds(clamp, gate, step, unit),
    reset,
  };
}
