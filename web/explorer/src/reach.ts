/** How far back a gradient reaches. */
import type { Reading } from "./reading";

/** A gradient below this share of its largest norm no longer counts as reaching. */
export const FELT = 0.01;

/** Below it nothing is drawn: a line ends, or is broken. */
export const FLOOR = 1e-6;

/** The gradient's norms by distance, as shares of the largest; none until they are known. */
export function relative(reading: Reading): number[] {
  const numbers = reading.gradient?.numbers ?? new Float32Array(0);
  const most = numbers.reduce((a, b) => Math.max(a, b), 0) || 1;
  return Array.from(numbers, (norm) => norm / most);
}

/** What a prediction depends on: nothing that is read, the step itself, or steps before it; null until that is known. */
export type Dependence = "nothing" | "step" | "past";

export function dependenceOf(reading: Reading): Dependence | null {
  if (!reading.gradient) return null;
  if (!reading.gradient.numbers.some((norm) => norm > 0)) return reading.gradient.steps > 1 ? "nothing" : "step";
  return relative(reading).some((share, distance) => distance && share >= FLOOR) ? "past" : "step";
}

/** The largest distance at which the gradient has at least the share `FELT` of its largest norm. */
export function reachOf(reading: Reading): number {
  return Math.max(0, relative(reading).findLastIndex((share) => share >= FELT));
}
