/** The weights of a forecaster, from a safetensors file: layers of encoder and decoder, and the head. */
import { LAYOUTS } from "./cells";
import type { Network } from "./reading";
import { tensorsOf, type Tensor, type Weights } from "./weights";

/** A layer that reads vectors: its inputs are put into `table` when they are known. */
export type Layer = Weights;

export interface ForecastWeights {
  encoder: Layer[];
  decoder: Layer[];
  /** (size, H) and (size,), by the output of the decoder's last layer. */
  head: Tensor;
  bias: Float32Array;
  /** Embeddings of the columns of categories. */
  categories: Tensor[];
}

export function forecastWeightsOf(file: Uint8Array, { cell, units, forecaster }: Network): ForecastWeights {
  const tensors = tensorsOf(file);
  const of = (name: string) => {
    const found = tensors.get(name);
    if (!found) throw new Error(`The network has no ${name}: it is not the one of a forecaster.`);
    return found;
  };
  const rows = LAYOUTS[cell].gates.length * units;
  const layers = (part: string) =>
    Array.from({ length: forecaster!.layers }, (_, layer): Layer => {
      const [input, recurrent] = [of(`${part}.weight_ih_l${layer}`), of(`${part}.weight_hh_l${layer}`)];
      if (input.shape[0] !== rows || recurrent.shape[0] !== rows) throw new Error(`The shapes of the weights do not fit a ${cell} of ${units} units.`);
      return {
        cell, units,
        relu: false,
        characters: 0,
        table: new Float32Array(0),
        input: input.numbers,
        width: input.shape[1],
        gram: null,
        recurrent: recurrent.numbers,
        biasInput: of(`${part}.bias_ih_l${layer}`).numbers,
        biasRecurrent: of(`${part}.bias_hh_l${layer}`).numbers,
        output: new Float32Array(0),
        projection: null,
        outputBias: new Float32Array(0),
      };
    });
  const categories: Tensor[] = [];
  while (tensors.has(`categories.${categories.length}.weight`)) categories.push(of(`categories.${categories.length}.weight`));
  return { encoder: layers("encoder"), decoder: layers("decoder"), head: of("head.weight"), bias: of("head.bias").numbers, categories };
}
