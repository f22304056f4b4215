/** The file of a series: its rows, and what differs between the windows over them (see gated.serve.series_file). */
import { metadataOf, tensorsOf } from "./weights";

/** Shapes: R rows, Z rows that begin earlier, N windows, I inputs, K columns of categories, Q quantiles, F steps of the horizon. */
export interface Series {
  /** (R,), the times. */
  labels: string[];
  /** How many rows of `target` come before the others. */
  earlier: number;
  /** (Z,), scaled. */
  target: Float32Array;
  /** (N,) each, by what a window multiplies it, and what it adds. */
  rescale: Float32Array;
  shift: Float32Array;
  /** (I − 1, R), without the target. */
  inputs: Float32Array;
  /** (K, R) */
  codes: Float32Array;
  /** (R,), in the unit of the target. */
  observed: Float32Array;
  /** (N,), the row of the last known step. */
  origins: Float32Array;
  /** (F, N), how smoothing goes on. */
  smooth: Float32Array;
  /** (N,) each: what scaled values are multiplied by, and added to. */
  scale: Float32Array;
  location: Float32Array;
  /** The embedding of the series. */
  series: Float32Array;
  /** What smoothing is typically off by. */
  remainder: number;
  /** By how much the network's correction counts. */
  trust: number;
  /** The least value that a forecast can have, or −∞. */
  least: number;
  /** (N,), how much the network's forecast counts beside its partners. */
  share: Float32Array;
  /** (F, Q, N) each: what partners add, and what the distances from the median have of a baseline. */
  rest: Float32Array;
  borrowed: Float32Array;
  /** (Q, N), on the distances. */
  factors: Float32Array;
}

export async function inflated(packed: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([packed as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export function seriesOf(file: Uint8Array): Series {
  const tensors = tensorsOf(file);
  const of = (name: string) => {
    const found = tensors.get(name);
    if (!found) throw new Error(`The file of the series has no ${name}: write it with the same version of gated as the page.`);
    return found.numbers;
  };
  const labels = JSON.parse(metadataOf(file).labels) as string[];
  return {
    labels,
    earlier: of("target").length - labels.length,
    target: of("target"),
    rescale: of("rescale"),
    shift: of("shift"),
    inputs: of("inputs"),
    codes: of("codes"),
    observed: of("observed"),
    origins: of("origins"),
    smooth: of("smooth"),
    scale: of("scale"),
    location: of("location"),
    series: of("series"),
    remainder: of("remainder")[0],
    trust: of("trust")[0],
    least: of("least")[0],
    share: of("share"),
    rest: of("rest"),
    borrowed: of("borrowed"),
    factors: of("factors"),
  };
}
