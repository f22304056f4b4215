/** Talks to the server: networks as JSON, readings as float32 (see gated.serve.message). */

export interface Network {
  name: string;
  units: number;
  gates: string[];
  states: string[];
  clampable: string[];
  vocabulary: string;
  trained_on: string;
  bits_per_character: number | null;
  passages: Record<string, string>;
}

/** Values of every unit at every step, (T, H), row by row. */
export interface Matrix {
  steps: number;
  width: number;
  numbers: Float32Array;
}

export interface Reading {
  network: string;
  bits: number;
  arrays: Record<string, Matrix>;
}

export interface Clamp {
  gate: string;
  value: number;
  unit: number | null;
}

export async function fetchNetworks(): Promise<{ longest: number; networks: Network[] }> {
  return (await checked(await fetch("api/networks"))).json();
}

export async function fetchReading(network: string, text: string, clamp: Clamp | null): Promise<Reading> {
  const body = JSON.stringify({ network, text, clamp });
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
