/** What there is to see: networks, passages, and what a network made of one. */
import type { ColumnFacts, NetworkPart, PARTS_OF_A_FORECASTER } from "./columns";
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
  /** Whether its weights are rounded to 16 bits. */
  rounded?: boolean;
  forecaster?: ForecasterFacts;
}

/** How a forecaster reads windows, and what is made of its output (see gated.serve.series_exhibit). */
export interface ForecasterFacts {
  /** The layer that is shown, and how many there are. */
  layer: number;
  layers: number;
  /** Scripts of series, to which a number and .js are added. */
  series: string;
  history: number;
  horizon: number;
  /** What its first layer reads in the history and in the forecast, in the order of its weights. */
  columns: Record<(typeof PARTS_OF_A_FORECASTER)[number], ColumnFacts[]>;
  seasons: number[];
  /** How many of the inputs are of the target itself; after them so many are known ahead. */
  own: number;
  futures: number;
  /** How many columns of categories are known ahead. */
  texts: number;
  distribution: "quantiles" | "student-t" | "negative-binomial";
  /** Where logarithms of the target are forecast, the value of which that of a smaller one is taken. */
  floor: number | null;
  /** The share of an interval's width that is the network's own. */
  width: number;
  /** Whether a forecast is rounded. */
  whole: boolean;
}

/** A unit of a network over characters that counts how long the line is, and a text to see it in. */
export interface Guide {
  network: string;
  passage: string;
  unit: number;
  /** The characters that end a line of its texts. */
  ends: string;
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
  series: { name: string; windows: number }[];
  /** What there is more than the page has. */
  left_out: { series: number; windows: number };
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

/** What of a forecast the network has a part in. */
export interface Credit {
  median: boolean;
  interval: boolean;
}

export interface Reading {
  network: string;
  /** Bits a character, or the mean distance of the median from what came. */
  score: number | null;
  /** Of a forecaster: whether the network has a part in the median and in the width of the interval. */
  credit?: Credit;
  /** Times of a series. */
  labels: string[];
  arrays: Record<string, Matrix>;
  /** Of the next character after a step, (V,); of a network over characters. */
  probabilities?: (step: number) => Float32Array;
  /** Bits a character from a step on; of a network over characters. */
  scoreFrom?: (first: number) => Promise<number | null>;
  /** Of each layer, in the order of their steps. */
  runs: Run[];
  /** Computes the gradient; null where that is no longer `wanted`. */
  backwards: (wanted: () => boolean) => Promise<Matrix | null>;
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

/** What can be changed: what a forecaster reads, a weight of it or of a character, a weight of the state before, the bias, the one within r·( ) of a GRU, a state. */
export const KINDS = ["input", "input_weight", "weight", "bias", "inner", "state"] as const;
export type EditKind = (typeof KINDS)[number];

/** Where a number of a network stands. */
export interface Place {
  network: string;
  /** Of a forecaster, the part whose weight it is; else "". */
  part: NetworkPart;
  kind: EditKind;
  /** The gate, or the name of the state; "" where it is an input. */
  gate: string;
  /** The unit that has the gate or the state; the column of an input. */
  unit: number;
  /** The place of a character or a column, the unit whose hₜ₋₁ is weighed, or the step of a state or an input; 0 for a bias. */
  other: number;
}

export interface Edit extends Place {
  value: number;
}

/** The run of what a reading shows that has a step, and the step in it. */
export function runAt({ runs, network }: Reading, step: number): [Run, number] | null {
  const run = runs.find((run) => run.network === network && step >= run.first && step < run.first + run.trace.steps);
  return run ? [run, step - run.first] : null;
}

export function at(matrix: Matrix, step: number, unit: number): number {
  return matrix.numbers[step * matrix.width + (matrix.width > 1 ? unit : 0)];
}
