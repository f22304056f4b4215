/** What the head's numbers mean: quantiles, or the parameters of a distribution (see gated.tasks.forecast.distributions). */
import type { ForecasterFacts } from "./reading";

const LEAST = 0.01;
const FEWEST_DEGREES = 2;
const FIRST_DEGREES = 3;
const SOFT = 0.1;
const SIZES: [number, number] = [1e-8, 1e8];
const EDGE = 1e-6;
const LOWEST_COUNT = 0.1;
const HIGHEST_LOG = 80;

/** How a window is scaled, and what smoothing is typically off by. */
export interface Scaling {
  location: number;
  scale: number;
  remainder: number;
}

/** The place among the head's numbers that says where the middle lies. */
export function middleOf(facts: ForecasterFacts, levels: number[]): number {
  return facts.distribution === "quantiles" ? levels.filter((level) => level < 0.5).length : 0;
}

/** The scaled quantiles of a step, ascending, from the middle and all that the head says. */
export function quantilesOf(facts: ForecasterFacts, levels: number[], middle: number, head: Float64Array, scaling: Scaling): number[] {
  const { remainder } = scaling;
  if (facts.distribution === "student-t") {
    const scale = remainder * (LEAST + softplus(head[1]));
    const degrees = FEWEST_DEGREES + LEAST + softplus(FIRST_DEGREES + head[2]);
    return levels.map((level) => middle + scale * studentQuantile(level, degrees));
  }
  if (facts.distribution === "negative-binomial") return countQuantiles(facts, levels, middle, remainder * softplus(head[1]), scaling);
  const place = middleOf(facts, levels);
  const found = levels.map(() => middle);
  for (let k = place - 1; k >= 0; k--) found[k] = found[k + 1] - remainder * softplus(head[k]);
  for (let k = place + 1; k < levels.length; k++) found[k] = found[k - 1] + remainder * softplus(head[k]);
  return found;
}

/** Of a negative binomial, spread evenly over the unit around each count. */
function countQuantiles({ floor }: ForecasterFacts, levels: number[], middle: number, deviation: number, { location, scale, remainder }: Scaling): number[] {
  const own = middle * scale + location;
  let mean: number;
  let spread = deviation * scale;
  if (floor !== null) {
    mean = Math.exp(Math.max(-HIGHEST_LOG, Math.min(HIGHEST_LOG, own)));
    spread *= mean;
  } else {
    const soft = SOFT * remainder * scale;
    mean = (own + Math.sqrt(own * own + 4 * soft * soft)) / 2;
  }
  const size = Math.max(SIZES[0], Math.min(SIZES[1], (mean / spread) ** 2));
  const below = (count: number) => (count < 0 ? 0 : incompleteBeta(size, count + 1, size / (size + mean), mean / (size + mean)));
  return levels.map((level) => {
    let [low, high] = [-1, Math.max(1, Math.ceil(mean))]; // below(low) < level
    while (below(high) < level) [low, high] = [high, 2 * high];
    while (high - low > 1) {
      const count = Math.floor((low + high) / 2);
      if (below(count) < level) low = count;
      else high = count;
    }
    const [before, within] = [below(high - 1), below(high) - below(high - 1)];
    const share = (level - before) / Math.max(within, Number.MIN_VALUE);
    const value = high - 0.5 + Math.max(EDGE, Math.min(1 - EDGE, share));
    return ((floor !== null ? Math.log(Math.max(value, LOWEST_COUNT)) : value) - location) / scale;
  });
}

function studentQuantile(level: number, degrees: number): number {
  if (level === 0.5) return 0;
  const tail = Math.min(level, 1 - level);
  const beyond = (t: number) => incompleteBeta(degrees / 2, 0.5, degrees / (degrees + t * t), (t * t) / (degrees + t * t)) / 2;
  let [low, high] = [0, 1];
  while (beyond(high) > tail) [low, high] = [high, 2 * high];
  for (let k = 0; k < 60; k++) {
    const t = (low + high) / 2;
    if (beyond(t) > tail) low = t;
    else high = t;
  }
  return Math.sign(level - 0.5) * high;
}

export function softplus(x: number): number {
  return x > 20 ? x : Math.log1p(Math.exp(x));
}

/** The regularised incomplete beta function I_x(a, b), with y = 1 − x, by its continued fraction (Lentz 1976). */
function incompleteBeta(a: number, b: number, x: number, y: number): number {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, y, x);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * logOf(x, y) + b * logOf(y, x)) / a;
  const tiny = 1e-300;
  const off = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / off(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 100_000; m++) {
    for (const term of [(m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)), (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))]) {
      d = 1 / off(1 + term * d);
      c = off(1 + term / c);
      fraction *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return front * fraction;
}

/** log x, where x = 1 − rest. */
function logOf(x: number, rest: number): number {
  return rest < 0.5 ? Math.log1p(-rest) : Math.log(x);
}

/** By Stirling's series, shifted to where it is exact. */
function logGamma(x: number): number {
  let shift = 0;
  while (x < 15) shift -= Math.log(x++);
  const square = 1 / (x * x);
  const series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))) / x;
  return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
}
