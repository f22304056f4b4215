/** The weights of a forecaster, from a safetensors file: layers of encoder and decoder, and the head. */
import type { PARTS_OF_A_FORECASTER } from "./columns";
import { definitionOf } from "./definitions";
import { Engine, sizesOf } from "./engine";
import type { Network } from "./reading";
import { tensorsOf, type Tensor } from "./weights";

/** What a written page lists of its networks. */
const EXHIBIT = "exhibit.js";

export interface ForecastWeights {
  encoder: Engine[];
  decoder: Engine[];
  /** (size, H) and (size,), by the output of the decoder's last layer. */
  head: Tensor;
  bias: Float32Array;
  /** Embeddings of the columns of categories. */
  categories: Tensor[];
}

export function forecastWeightsOf(file: Uint8Array, network: Network): ForecastWeights {
  const definition = definitionOf(network);
  const tensors = tensorsOf(file);
  const of = (name: string) => {
    const found = tensors.get(name);
    if (!found) throw new Error(`The network has no ${name}: it is not the one of a forecaster.`);
    return found;
  };
  const layers = (part: (typeof PARTS_OF_A_FORECASTER)[number]) =>
    Array.from({ length: network.forecaster!.layers }, (_, layer) => {
      const own = new RegExp(`^${part}\\.(.+)_l${layer}$`);
      const found = [...tensors].flatMap(([name, tensor]) => (own.test(name) ? [[own.exec(name)![1], tensor] as const] : []));
      const inputs = of(`${part}.weight_ih_l${layer}`).shape[1];
      const listed = network.forecaster!.columns?.[part].reduce((sum, { count }) => sum + count, 0);
      if (!layer && listed !== inputs) throw new Error(`The ${part} reads ${inputs} numbers, and ${EXHIBIT} lists ${listed ?? "none"}: write the page with the same version of gated.`);
      const sizes = sizesOf(definition, (name) => of(`${part}.${name}_l${layer}`).shape, inputs);
      return new Engine(definition, sizes, Object.fromEntries(found.map(([name, { numbers }]) => [name, numbers])));
    });
  const categories: Tensor[] = [];
  while (tensors.has(`categories.${categories.length}.weight`)) categories.push(of(`categories.${categories.length}.weight`));
  return { encoder: layers("encoder"), decoder: layers("decoder"), head: of("head.weight"), bias: of("head.bias").numbers, categories };
}
