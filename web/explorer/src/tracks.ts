/** Values over the time of the story: keyframes, and what lies between them. */
import { interpolateLab } from "d3-interpolate";

/** Times, rising, each with the value there; before the first and after the last it stays. */
export type Track<V> = [number, V][];

function between<V>(track: Track<V>, t: number, mix: (a: V, b: V, share: number) => V): V {
  const next = track.findIndex(([time]) => time > t);
  if (next === 0) return track[0][1];
  if (next < 0) return track.at(-1)![1];
  const [[begin, a], [end, b]] = [track[next - 1], track[next]];
  const share = (t - begin) / (end - begin);
  return mix(a, b, share * share * (3 - 2 * share)); // slow at both ends
}

const mean = (a: number, b: number, share: number) => a + (b - a) * share;

export function numberAt(track: Track<number>, t: number): number {
  return between(track, t, mean);
}

/** Points, each moved to the one at the same place of the next keyframe. */
export function pointsAt(track: Track<number[][]>, t: number): number[][] {
  return between(track, t, (a, b, share) => a.map((point, k) => point.map((value, axis) => mean(value, b[k][axis], share))));
}

export function colourAt(track: Track<string>, t: number): string {
  return between(track, t, (a, b, share) => (a === b ? a : interpolateLab(a, b)(share)));
}
