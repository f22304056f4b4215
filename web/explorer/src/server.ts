/** Asks the server for what a forecaster makes of a window, as float32 (see gated.serve.message). */
import type { Clamp, Matrix, Passage, Reading } from "./reading";

export async function fetchReading(network: string, passage: Passage, clamp: Clamp | null): Promise<Reading> {
  const body = JSON.stringify({ network, passage, clamp });
  const headers = { "Content-Type": "application/json" };
  return unpack(await (await checked(await fetch("api/readings", { method: "POST", headers, body }))).arrayBuffer());
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
  const { gradient, ...rest } = arrays;
  return { ...header, arrays: rest, gradient };
}
