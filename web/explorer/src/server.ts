/** Talks to the server: what there is as JSON, readings as float32 (see gated.serve.message). */

export interface Network {
  name: string;
  cell: "rnn" | "gru" | "lstm";
  units: number;
  gates: string[];
  states: string[];
  clampable: string[];
  /** Of a network over characters. */
  vocabulary?: string;
  trained_on?: { en: string; zh: string };
  /** Bits a character on works that it never saw. */
  score?: number | null;
  /** Of a forecaster. */
  parameters?: number;
}

/** A unit of a network over characters that counts how long the line is, and a text to see it in. */
export interface Guide {
  network: string;
  passage: string;
  unit: number;
}

export interface TextExhibit {
  kind: "text";
  longest: number;
  passages: Record<string, string>;
  guide: Guide | null;
  networks: Network[];
}

export interface SeriesExhibit {
  kind: "series";
  target: string;
  /** Steps that are read before the forecast begins. */
  history: number;
  quantiles: number[];
  /** What the forecast reads at each step besides the state. */
  reads: { seasons: number[]; cycles: string[]; known: string[] };
  /** Moments are the last known times of windows. */
  series: { name: string; moments: string[] }[];
  networks: Network[];
}

export type Exhibit = TextExhibit | SeriesExhibit;

export interface Passage {
  text: string;
  series: number;
  moment: number;
}

/** Values of every unit at every step, (T, H), row by row. */
export interface Matrix {
  steps: number;
  width: number;
  numbers: Float32Array;
}

export interface Reading {
  network: string;
  /** Bits a character, or the mean distance of the median from what came. */
  score: number | null;
  /** Times of a series. */
  labels: string[];
  arrays: Record<string, Matrix>;
}

export interface Clamp {
  gate: string;
  value: number;
  unit: number | null;
  first: number;
  last: number | null;
}

export async function fetchExhibit(): Promise<Exhibit> {
  return (await checked(await fetch("api/networks"))).json();
}

/** The last readings that were asked for, by request: the tour speaks of what the page shows. */
const kept = new Map<string, Promise<Reading>>();
const MOST_KEPT = 12;

export function fetchReading(network: string, passage: Passage, clamp: Clamp | null): Promise<Reading> {
  const body = JSON.stringify({ network, passage, clamp });
  const found = kept.get(body) ?? asked(body);
  kept.delete(body);
  kept.set(body, found);
  found.catch(() => kept.delete(body));
  for (const old of [...kept.keys()].slice(0, -MOST_KEPT)) kept.delete(old);
  return found;
}

async function asked(body: string): Promise<Reading> {
  const headers = { "Content-Type": "application/json" };
  const answer = await checked(await fetch("api/readings", { method: "POST", headers, body }));
  return unpack(await answer.arrayBuffer());
}

async function checked(answer: Response): Promise<Response> {
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({ error: undefined }));
  throw new Error(error ?? `${answer.status} ${answer.statusText}`);
}

function unpack(data: ArrayBuffer): Reading {
  const length = new DataView(data).getUint32(0, true);
  const { arrays: listed, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const arrays: Record<string, Matrix> = {};
  let place = 4 + length;
  for (const { name, shape } of listed as { name: string; shape: number[] }[]) {
    const [steps, width] = [shape[0], shape[1] ?? 1];
    arrays[name] = { steps, width, numbers: new Float32Array(data, place, steps * width) };
    place += 4 * steps * width;
  }
  return { ...header, arrays };
}

export function at(matrix: Matrix, step: number, unit: number): number {
  return matrix.numbers[step * matrix.width + unit];
}
