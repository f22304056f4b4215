/** Who wrote what a unit remembers. */
import { at, type Reading } from "./reading";

/** A part below this share of the largest is left to the rest. */
export const FAINTEST = 0.02;

export interface Ledger {
  /** What remains of what each step wrote, step 0 first; they add up to the state. */
  written: Float32Array;
  state: number;
}

/**
 * The state after `step` as a sum over the steps that wrote it, by suffix products:
 * LSTM  c_t = Σ_k Π_{k<j≤t} f_j · i_k c̃_k,    GRU  h_t = Σ_k Π_{k<j≤t} z_j · (1 − z_k) n_k.
 * A plain RNN keeps no sum: null. A state that was set counts as written by its step; nothing before it is left.
 */
export function ledgerOf(reading: Reading, step: number, unit: number): Ledger | null {
  const { input_gate, forget_gate, update_gate, candidate } = reading.arrays;
  const keep = forget_gate ?? update_gate;
  if (!keep) return null;
  const written = new Float32Array(step + 1);
  let kept = 1;
  let state = 0;
  for (let k = step; k >= 0; k--) {
    const fixed = reading.run?.set.at(input_gate ? "cell" : "hidden", k, unit);
    if (fixed !== undefined) {
      written[k] = kept * fixed;
      state += written[k];
      break;
    }
    const open = input_gate ? at(input_gate, k, unit) : 1 - at(keep, k, unit);
    written[k] = kept * open * at(candidate, k, unit);
    state += written[k];
    kept *= at(keep, k, unit);
  }
  return { written, state };
}

/** The steps whose part stands out, each with its share of the largest, from −1 to 1. */
export function shares({ written }: Ledger): [number, number][] {
  const most = written.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const all = Array.from(written, (value, step): [number, number] => [step, value / most]);
  return all.filter(([, share]) => Math.abs(share) >= FAINTEST);
}
