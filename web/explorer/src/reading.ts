/** What there is to see: networks, passages, and what a network made of one. */
import type { Definition } from "./engine";
import type { Run } from "./recurrence";

export interface Network {
  name: string;
  /** rnn, gru, lstm, or the name of the cell in `definition`. */
  cell: string;
  /** Of a cell that the page does not come with. */
  definition?: Definition;
  units: number;
  gates: string[];
  states: string[];
  clampable: string[];
  /** Of a network over characters: the script with its weights, or the weights. */
  file?: string;
  relu?: boolean;
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
  name: string;
  /** The language of its texts, where it is one that the page speaks. */
  language?: string;
  title: { en: string; zh: string };
  longest: number;
  passages: Record<string, string>;
  guide: Guide | null;
  networks: Network[];
}

export interface SeriesExhibit {
  kind: "series";
  name: string;
  language?: string;
  title: { en: string; zh: string };
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

/** Values of every unit at every step, (T, H), row by row; (T, 1) where all units share them. */
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
  /** Of the next character after a step, (V,); of a network over characters. */
  probabilities?: (step: number) => Float32Array;
  run?: Run;
  /** Norms of the gradient by distance, (D,); null until it is known. */
  gradient: Matrix | null;
}

export interface Clamp {
  gate: string;
  value: number;
  unit: number | null;
  first: number;
  last: number | null;
}

/** What can be changed: what a character adds to a gate, a weight of the state before, the bias, the one within r·( ) of a GRU, a state. */
export const KINDS = ["character", "weight", "bias", "inner", "hidden", "cell"] as const;
export type EditKind = (typeof KINDS)[number];

/** Where a number of a network stands. */
export interface Place {
  network: string;
  kind: EditKind;
  /** "" where it is a state. */
  gate: string;
  /** The unit that has the gate or the state. */
  unit: number;
  /** The place of a character in the vocabulary, the unit whose hₜ₋₁ is weighed, or the step of a state; 0 for a bias. */
  other: number;
}

export interface Edit extends Place {
  value: number;
}

export function at(matrix: Matrix, step: number, unit: number): number {
  return matrix.numbers[step * matrix.width + (matrix.width > 1 ? unit : 0)];
}
