/** The weights of a network over characters, from a safetensors file. */
import { sizesOf, type Definition, type Sizes } from "./engine";

/** Shapes: H units, V characters, E columns of the embedding (V where there is none), R rows of `weight_ih`. */
export interface Weights {
  definition: Definition;
  sizes: Sizes;
  units: number;
  characters: number;
  /** (V, E); null where characters are one-hot. */
  embedding: Float32Array | null;
  /** (E, E), products of the embedding's columns; null where characters are one-hot. */
  gram: Float32Array | null;
  /** The layer's own, by their names without its suffix, and `TABLE`, (V, R): what each character adds to the gates, W_ih or W_ih times its embedding. */
  layer: Record<string, Float32Array>;
  /** (V, P), with P = H unless what is read is projected, by (P, H), before it. */
  output: Float32Array;
  projection: Float32Array | null;
  /** (V,) */
  outputBias: Float32Array;
}

/** The name of a table among the weights of a layer: no parameter can have it. */
export const TABLE = "of characters";

export interface Tensor {
  shape: number[];
  numbers: Float32Array;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Added to the name of a matrix of bytes: the name of the scales of its rows (see gated.serve.compact). */
const SCALE = ".scale";

function headerOf(file: Uint8Array): { header: Record<string, Entry>; length: number } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = Number(view.getBigUint64(0, true));
  return { header: JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))), length };
}

/** What is said in a safetensors file about it. */
export function metadataOf(file: Uint8Array): Record<string, string> {
  return (headerOf(file).header.__metadata__ as unknown as Record<string, string> | undefined) ?? {};
}

/** The tensors of a safetensors file as 32-bit floats. */
export function tensorsOf(file: Uint8Array): Map<string, Tensor> {
  const { header, length } = headerOf(file);
  const found = new Map<string, Tensor>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [first, last] = offsets.map((offset) => 8 + length + offset);
    found.set(name, { shape, numbers: numbersOf(file.slice(first, last), dtype, name) });
  }
  for (const [name, tensor] of found) {
    const scale = found.get(name + SCALE);
    if (scale) tensor.numbers.forEach((value, place) => (tensor.numbers[place] = value * scale.numbers[Math.floor(place / tensor.shape[1])]));
  }
  return found;
}

function numbersOf(data: Uint8Array, dtype: string, name: string): Float32Array {
  if (dtype === "F32") return new Float32Array(data.buffer);
  if (dtype === "F64") return Float32Array.from(new Float64Array(data.buffer));
  if (dtype === "I8") return Float32Array.from(new Int8Array(data.buffer));
  if (dtype === "F16") return Float32Array.from(new Uint16Array(data.buffer), half);
  throw new Error(`${name} is of the type ${dtype}; expected F16, F32, F64 or I8.`);
}

/** A 16-bit float: sign, 5 bits of exponent, 10 of fraction. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

/** The weights of a layer over characters, as `gated.serve` and `gated fit language` name them. */
export function weightsOf(file: Uint8Array, definition: Definition): Weights {
  const tensors = tensorsOf(file);
  const named = (...names: string[]) => names.map((name) => tensors.get(name)).find((tensor) => tensor);
  const needed = (...names: string[]) => {
    const found = named(...names);
    if (!found) throw new Error(`The network has no ${names.join(" or ")}: it is not one of a single layer over characters.`);
    return found;
  };
  const layer: Record<string, Float32Array> = {};
  const shapes = new Map<string, number[]>();
  for (const [name, { shape, numbers }] of tensors) {
    const part = /^(?:recurrent|layers\.0)\.(.+?)(?:_l0)?$/.exec(name)?.[1];
    if (!part) continue;
    layer[part] = numbers;
    shapes.set(part, shape);
  }
  const { matrices } = definition;
  const missing = [...matrices, ...definition.parameters].find(({ name }) => !layer[name] && !name.startsWith("bias"));
  if (missing) throw new Error(`The network has no ${missing.name}, which the cell ${definition.name} has: it is not one of a single layer over characters.`);
  const embedding = named("embedding.weight") ?? null;
  const output = needed("output.weight", "readout.weight", "embedding.weight");
  const projection = named("projection.weight");
  const characters = output.shape[0];
  const width = embedding ? embedding.shape[1] : characters;
  const sizes = sizesOf(definition, (name) => shapes.get(name)!, width);
  const units = sizes.H;
  const fits = matrices.every(({ name, gates, rows, columns, heads }) => String(shapes.get(name)) === String([gates.length * sizes[rows], sizes[columns] / heads]));
  if (!fits || output.shape[1] !== (projection?.shape[0] ?? units)) throw new Error(`The shapes of the weights do not fit a ${definition.name} of ${units} units.`);
  const input = layer.weight_ih ?? new Float32Array(0);
  return {
    definition, sizes, units, characters,
    layer: { ...layer, [TABLE]: embedding ? product(embedding.numbers, input, width) : transposed(input, width) },
    embedding: embedding?.numbers ?? null,
    gram: embedding ? gramOf(embedding.numbers, width) : null,
    output: output.numbers,
    projection: projection?.numbers ?? null,
    outputBias: needed("output.bias", "readout.bias").numbers,
  };
}

/** The rows of a by the rows of b, both of so many columns. */
function product(a: Float32Array, b: Float32Array, columns: number): Float32Array {
  const [rows, others] = [a.length / columns, b.length / columns];
  const found = new Float32Array(rows * others);
  for (let row = 0; row < rows; row++) {
    for (let other = 0; other < others; other++) found[row * others + other] = dot(a, row * columns, b, other * columns, columns);
  }
  return found;
}

function transposed(a: Float32Array, columns: number): Float32Array {
  const rows = a.length / columns;
  return Float32Array.from(a, (_, place) => a[(place % rows) * columns + Math.floor(place / rows)]);
}

function gramOf(embedding: Float32Array, columns: number): Float32Array {
  const turned = transposed(embedding, columns);
  return product(turned, turned, embedding.length / columns);
}

/** The product of a row of a and a row of b, by where they begin. */
export function dot(a: Float32Array, start: number, b: Float32Array, other: number, length: number): number {
  let sum = 0;
  for (let place = 0; place < length; place++) sum += a[start + place] * b[other + place];
  return sum;
}
