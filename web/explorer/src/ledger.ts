/** Who wrote what a unit remembers. */
import { nodeAt, type Definition } from "./engine";
import { runAt, type Reading } from "./reading";

/** A part below this share of the largest is left to the rest. */
export const FAINTEST = 0.02;

export interface Ledger {
  /** What remains of what each step wrote, step 0 first; they add up to the state. */
  written: Float32Array;
  state: number;
  /** The step whose state was set by hand, which nothing that was read wrote; null where there is none. */
  set: number | null;
}

/**
 * The state after `step` as a sum over the steps that wrote it, by suffix products of what each keeps; of an LSTM
 * c_t = Σ_k Π_{k<j≤t} f_j · i_k c̃_k. Null where no state of the cell is such a sum (see gated.cells.affine). A state
 * that was set stands at its step; nothing before it is left.
 */
export function ledgerOf(definition: Definition, reading: Reading, step: number, unit: number): Ledger | null {
  const { memory } = definition;
  if (!memory) return null;
  const written = new Float32Array(step + 1);
  let kept = 1;
  let state = 0;
  for (let k = step; k >= 0; ) {
    const [{ trace, set, first }] = runAt(reading, k)!;
    for (; k >= first; k--) {
      const of = (node: number) => nodeAt(definition, trace, node, k - first, unit);
      const fixed = set.at(memory.state, k - first, unit);
      written[k] = kept * (fixed ?? of(memory.write));
      state += written[k];
      if (fixed !== undefined) return { written, state, set: k };
      kept *= of(memory.keep);
    }
  }
  return { written, state, set: null };
}

/** The steps that wrote a part that stands out, each with its share of the largest, from −1 to 1; none for what was set by hand. */
export function shares({ written, set }: Ledger): [number, number][] {
  const most = written.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const all = Array.from(written, (value, step): [number, number] => [step, value / most]);
  return all.filter(([step, share]) => step !== set && Math.abs(share) >= FAINTEST);
}
