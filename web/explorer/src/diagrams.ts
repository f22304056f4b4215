/** The cells as drawings: operations, and wires whose values are read from a network. */
import type { Role } from "./colours";
import { at, type Reading } from "./reading";

export interface Wire {
  id: string;
  symbol: string;
  path: string;
  /** Where the symbol and its value stand. */
  label: [number, number];
  anchor?: "start" | "middle" | "end";
  /** Whether it carries what the network reads. */
  input?: boolean;
  /** Whether it is drawn without words. */
  quiet?: boolean;
  /** Whether it is seen in front of wires that it crosses. */
  over?: boolean;
  /** The wire's value at a step for a unit; without it the wire carries what all units have a part in. */
  value?: (reading: Reading, step: number, unit: number) => number;
}

export interface Operation {
  symbol: string;
  place: [number, number];
  /** A layer with weights is a box, an operation unit by unit a circle. */
  box?: boolean;
  /** The gate that a box computes, which can be opened. */
  gate?: string;
  /** What it is for, which gives it its colour. */
  role?: Role;
}

export interface Equation {
  html: string;
  wires: string[];
  /** The gate that it computes, which can be opened. */
  gate?: string;
}

export interface Diagram {
  wires: Wire[];
  operations: Operation[];
  equations: Equation[];
}

const of = (name: string) => (reading: Reading, step: number, unit: number) => at(reading.arrays[name], step, unit);
const before = (name: string) => (reading: Reading, step: number, unit: number) =>
  step > 0 ? at(reading.arrays[name], step - 1, unit) : 0;
type Value = NonNullable<Wire["value"]>;
const times = (a: Value, b: Value): Value => (...where) => a(...where) * b(...where);
const rest = (a: Value): Value => (...where) => 1 - a(...where);

/** The hidden state up to where the input joins it: from there on layers read all units of it. */
const BEFORE: Wire = { id: "h0", symbol: "hₜ₋₁", path: "M20 285 H90", label: [20, 272], value: before("hidden") };
const INPUT: Wire = { id: "x", symbol: "xₜ", path: "M90 325 V285", label: [98, 318], input: true };
const joined = (path: string): Wire => ({ id: "hx", symbol: "[hₜ₋₁, xₜ]", path: `M90 285 ${path}`, label: [290, 310] });

const sum = (gate: string) =>
  `<i>W</i><sub>${gate}</sub>·[<i>h</i><sub>t−1</sub>, <i>x</i><sub>t</sub>] + <i>b</i><sub>${gate}</sub>`;

const READ = ["h0", "hx", "x"];

const LSTM: Diagram = {
  wires: [
    BEFORE,
    joined("H455 V235 M150 285 V235 M260 285 V235 M350 285 V235"),
    INPUT,
    { id: "c0", symbol: "cₜ₋₁", path: "M20 60 H138", label: [20, 46], value: before("cell") },
    { id: "f", symbol: "fₜ", path: "M150 205 V72", label: [138, 150], anchor: "end", value: of("forget_gate") },
    { id: "i", symbol: "iₜ", path: "M260 205 V140 H338", label: [250, 172], anchor: "end", value: of("input_gate") },
    { id: "g", symbol: "c̃ₜ", path: "M350 205 V152", label: [360, 185], value: of("candidate") },
    { id: "kept", symbol: "fₜ ⊙ cₜ₋₁", path: "M162 60 H338", label: [240, 46], anchor: "middle", value: times(of("forget_gate"), before("cell")) },
    { id: "written", symbol: "iₜ ⊙ c̃ₜ", path: "M350 128 V72", label: [360, 105], value: times(of("input_gate"), of("candidate")) },
    { id: "c", symbol: "cₜ", path: "M362 60 H620 M548 60 V95", label: [620, 46], anchor: "end", value: of("cell") },
    { id: "o", symbol: "oₜ", path: "M455 205 V170 H536", label: [464, 196], value: of("output_gate") },
    { id: "tanh", symbol: "tanh cₜ", path: "M548 125 V158", label: [536, 150], anchor: "end", value: (...where) => Math.tanh(of("cell")(...where)) },
    { id: "h", symbol: "hₜ", path: "M548 182 V285 H620", label: [620, 308], anchor: "end", value: of("hidden") },
  ],
  operations: [
    { symbol: "σ", place: [150, 220], box: true, gate: "forget_gate", role: "keep" },
    { symbol: "σ", place: [260, 220], box: true, gate: "input_gate", role: "write" },
    { symbol: "tanh", place: [350, 220], box: true, gate: "candidate", role: "candidate" },
    { symbol: "σ", place: [455, 220], box: true, gate: "output_gate", role: "read" },
    { symbol: "⊙", place: [150, 60], role: "keep" },
    { symbol: "+", place: [350, 60], role: "cell" },
    { symbol: "⊙", place: [350, 140], role: "write" },
    { symbol: "tanh", place: [548, 110], role: "cell" },
    { symbol: "⊙", place: [548, 170], role: "read" },
  ],
  equations: [
    { html: `<i>f</i><sub>t</sub> = σ(${sum("f")})`, wires: ["f", ...READ], gate: "forget_gate" },
    { html: `<i>i</i><sub>t</sub> = σ(${sum("i")})`, wires: ["i", ...READ], gate: "input_gate" },
    { html: `<i>c̃</i><sub>t</sub> = tanh(${sum("c")})`, wires: ["g", ...READ], gate: "candidate" },
    { html: "<i>c</i><sub>t</sub> = <i>f</i><sub>t</sub> ⊙ <i>c</i><sub>t−1</sub> + <i>i</i><sub>t</sub> ⊙ <i>c̃</i><sub>t</sub>", wires: ["c", "f", "c0", "i", "g", "kept", "written"] },
    { html: `<i>o</i><sub>t</sub> = σ(${sum("o")})`, wires: ["o", ...READ], gate: "output_gate" },
    { html: "<i>h</i><sub>t</sub> = <i>o</i><sub>t</sub> ⊙ tanh(<i>c</i><sub>t</sub>)", wires: ["h", "o", "c", "tanh"] },
  ],
};

const z = of("update_gate");
const GRU: Diagram = {
  wires: [
    { id: "units", symbol: "hₜ₋₁", path: "M50 60 V275 H325 V235 M128 275 V235 M223 275 V235", label: [60, 264] },
    { id: "h0", symbol: "hₜ₋₁", path: "M20 60 H128", label: [20, 42], value: before("hidden") },
    { id: "x", symbol: "xₜ", path: "M20 312 H445 V235 M152 312 V235 M247 312 V235", label: [20, 301], input: true, over: true },
    { id: "z", symbol: "zₜ", path: "M140 205 V72 M140 108 H196", label: [150, 150], value: z },
    { id: "rest", symbol: "1 − zₜ", path: "M244 108 H513", label: [350, 133], anchor: "middle", value: rest(z) },
    { id: "r", symbol: "rₜ", path: "M235 205 V165 H313", label: [224, 190], anchor: "end", value: of("reset_gate") },
    { id: "u", symbol: "Uₙhₜ₋₁ + b′ₙ", path: "M325 205 V177", label: [333, 195] },
    { id: "seen", symbol: "rₜ ⊙ (Uₙhₜ₋₁ + b′ₙ)", path: "M337 165 H445 V205", label: [340, 155] },
    { id: "n", symbol: "nₜ", path: "M471 220 H525 V120", label: [536, 175], value: of("candidate") },
    { id: "kept", symbol: "zₜ ⊙ hₜ₋₁", path: "M152 60 H513", label: [300, 42], anchor: "middle", value: times(z, before("hidden")) },
    { id: "written", symbol: "(1−zₜ) ⊙ nₜ", path: "M525 96 V72", label: [515, 93], anchor: "end", value: times(rest(z), of("candidate")) },
    { id: "h", symbol: "hₜ", path: "M537 60 H620", label: [620, 42], anchor: "end", value: of("hidden") },
  ],
  operations: [
    { symbol: "σ", place: [140, 220], box: true, gate: "update_gate", role: "keep" },
    { symbol: "σ", place: [235, 220], box: true, gate: "reset_gate", role: "read" },
    { symbol: "Uₙ", place: [325, 220], box: true },
    { symbol: "tanh", place: [445, 220], box: true, gate: "candidate", role: "candidate" },
    { symbol: "⊙", place: [140, 60], role: "keep" },
    { symbol: "1 −", place: [220, 108], role: "write" },
    { symbol: "⊙", place: [325, 165], role: "read" },
    { symbol: "⊙", place: [525, 108], role: "write" },
    { symbol: "+", place: [525, 60], role: "hidden" },
  ],
  equations: [
    { html: `<i>r</i><sub>t</sub> = σ(${sum("r")})`, wires: ["r", "h0", "units", "x"], gate: "reset_gate" },
    { html: `<i>z</i><sub>t</sub> = σ(${sum("z")})`, wires: ["z", "h0", "units", "x"], gate: "update_gate" },
    { html: "<i>n</i><sub>t</sub> = tanh(<i>W</i><sub>n</sub><i>x</i><sub>t</sub> + <i>b</i><sub>n</sub> + <i>r</i><sub>t</sub> ⊙ (<i>U</i><sub>n</sub><i>h</i><sub>t−1</sub> + <i>b′</i><sub>n</sub>))", wires: ["n", "r", "h0", "units", "u", "seen", "x"], gate: "candidate" },
    { html: "<i>h</i><sub>t</sub> = <i>z</i><sub>t</sub> ⊙ <i>h</i><sub>t−1</sub> + (1 − <i>z</i><sub>t</sub>) ⊙ <i>n</i><sub>t</sub>", wires: ["h", "z", "h0", "kept", "rest", "n", "written"] },
  ],
};

const RNN: Diagram = {
  wires: [
    BEFORE,
    joined("H320 V195"),
    INPUT,
    { id: "h", symbol: "hₜ", path: "M320 165 V60 H620", label: [620, 46], anchor: "end", value: of("hidden") },
  ],
  operations: [{ symbol: "tanh", place: [320, 180], box: true, gate: "hidden", role: "hidden" }],
  equations: [{ html: `<i>h</i><sub>t</sub> = tanh(${sum("h")})`, wires: ["h", ...READ], gate: "hidden" }],
};

export const DIAGRAMS: Record<string, Diagram> = { lstm: LSTM, gru: GRU, rnn: RNN };

/** The values of the wires of a cell that carry one, by their ids. */
export function wireValues(cell: string, reading: Reading, step: number, unit: number): Record<string, number> {
  return Object.fromEntries(DIAGRAMS[cell].wires.flatMap(({ id, value }) => (value ? [[id, value(reading, step, unit)]] : [])));
}
