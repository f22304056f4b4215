/** Small problems that need memory: a network reads a sequence and is asked about what it read. */

export type Problem = "recall" | "adding" | "brackets";
export const PROBLEMS: Problem[] = ["recall", "adding", "brackets"];

/** One sequence: inputs (T, I), and what is asked after which step. */
export interface Example {
  inputs: Float64Array;
  /** The last step that counts, and the target: a class, or a number. */
  asked: { step: number; target: number }[];
  /** The steps as signs, for the reader of the page. */
  signs: string[];
}

/** Inputs at a step, and outputs: classes, or one number. */
export interface Shape {
  inputs: number;
  outputs: number;
  classes: boolean;
  /** The loss of whoever remembers nothing: nats, or a mean square. */
  blind: number;
}

const SYMBOLS = ["▲", "●", "■", "◆"];
const MOST_OPEN = 3;

export const SHAPES: Record<Problem, Shape> = {
  recall: { inputs: SYMBOLS.length + 2, outputs: SYMBOLS.length, classes: true, blind: Math.log(SYMBOLS.length) },
  // The variance of the sum of two numbers from 0 to 1.
  adding: { inputs: 2, outputs: 1, classes: false, blind: 1 / 6 },
  brackets: { inputs: 3, outputs: MOST_OPEN + 1, classes: true, blind: Math.log(MOST_OPEN + 1) },
};

export type Chance = () => number;

/** Chance that begins anew with a seed (mulberry32). */
export function chanceFrom(seed: number): Chance {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function exampleOf(problem: Problem, steps: number, chance: Chance): Example {
  const { inputs: width } = SHAPES[problem];
  const inputs = new Float64Array(steps * width);
  const whole = (count: number) => Math.floor(count * chance());
  if (problem === "recall") {
    // A sign at the beginning, then nothing, then the question for it.
    const target = whole(SYMBOLS.length);
    const signs = Array.from({ length: steps }, (_, t) => (t === 0 ? SYMBOLS[target] : t === steps - 1 ? "?" : "·"));
    for (let t = 0; t < steps; t++) inputs[t * width + (t === 0 ? target : t === steps - 1 ? SYMBOLS.length + 1 : SYMBOLS.length)] = 1;
    return { inputs, asked: [{ step: steps - 1, target }], signs };
  }
  if (problem === "adding") {
    // Numbers, two of them marked: their sum.
    const marked = [whole(Math.ceil(steps / 2)), Math.ceil(steps / 2) + whole(Math.floor(steps / 2))];
    let target = 0;
    const signs = Array.from({ length: steps }, (_, t) => {
      const value = chance();
      inputs[t * width] = value;
      if (!marked.includes(t)) return "·";
      inputs[t * width + 1] = 1;
      target += value;
      return value.toFixed(1);
    });
    return { inputs, asked: [{ step: steps - 1, target }], signs };
  }
  // Brackets among dots: how many are open, after every step.
  let open = 0;
  const asked: Example["asked"] = [];
  const signs = Array.from({ length: steps }, (_, t) => {
    const kind = chance() < 0.6 ? 2 : open === 0 ? 0 : open === MOST_OPEN ? 1 : whole(2);
    open += kind === 0 ? 1 : kind === 1 ? -1 : 0;
    inputs[t * width + kind] = 1;
    asked.push({ step: t, target: open });
    return "()·"[kind];
  });
  return { inputs, asked, signs };
}

/** A target or prediction as a sign. */
export function signOf(problem: Problem, value: number): string {
  return problem === "recall" ? SYMBOLS[value] : problem === "adding" ? value.toFixed(2) : String(value);
}
