/** The cells as drawings: operations, and wires whose values are read from a network. */
import { at, type Reading } from "./server";

export interface Wire {
  id: string;
  symbol: string;
  path: string;
  /** Where the symbol and its value stand. */
  label: [number, number];
  anchor?: "start" | "middle" | "end";
  /** The wire's value at a step for a unit; without it the wire carries vectors of no one unit. */
  value?: (reading: Reading, step: number, unit: number) => number;
}

export interface Operation {
  symbol: string;
  place: [number, number];
  /** A layer with weights is a box, an operation unit by unit a circle. */
  box?: boolean;
}

export interface Equation {
  html: string;
  wires: string[];
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

const BUS = "M20 285 H";
const sum = (gate: string) =>
  `<i>W</i><sub>${gate}</sub>·[<i>h</i><sub>t−1</sub>, <i>x</i><sub>t</sub>] + <i>b</i><sub>${gate}</sub>`;

const LSTM: Diagram = {
  wires: [
    { id: "h0", symbol: "hₜ₋₁", path: `${BUS}455 M150 285 V235 M260 285 V235 M350 285 V235 M455 285 V235`, label: [20, 272], value: before("hidden") },
    { id: "x", symbol: "xₜ", path: "M90 325 V285", label: [98, 318] },
    { id: "c0", symbol: "cₜ₋₁", path: "M20 60 H138", label: [20, 46], value: before("cell") },
    { id: "f", symbol: "fₜ", path: "M150 205 V72", label: [142, 150], anchor: "end", value: of("forget_gate") },
    { id: "i", symbol: "iₜ", path: "M260 205 V140 H338", label: [252, 172], anchor: "end", value: of("input_gate") },
    { id: "g", symbol: "c̃ₜ", path: "M350 205 V152", label: [360, 185], value: of("candidate") },
    { id: "kept", symbol: "fₜ·cₜ₋₁", path: "M162 60 H338", label: [240, 46], anchor: "middle", value: times(of("forget_gate"), before("cell")) },
    { id: "written", symbol: "iₜ·c̃ₜ", path: "M350 128 V72", label: [360, 105], value: times(of("input_gate"), of("candidate")) },
    { id: "c", symbol: "cₜ", path: "M362 60 H620 M540 60 V95", label: [620, 46], anchor: "end", value: of("cell") },
    { id: "o", symbol: "oₜ", path: "M455 205 V170 H528", label: [464, 196], value: of("output_gate") },
    { id: "tanh", symbol: "tanh cₜ", path: "M540 125 V158", label: [530, 150], anchor: "end", value: (...where) => Math.tanh(of("cell")(...where)) },
    { id: "h", symbol: "hₜ", path: "M540 182 V285 H620", label: [620, 308], anchor: "end", value: of("hidden") },
  ],
  operations: [
    { symbol: "σ", place: [150, 220], box: true },
    { symbol: "σ", place: [260, 220], box: true },
    { symbol: "tanh", place: [350, 220], box: true },
    { symbol: "σ", place: [455, 220], box: true },
    { symbol: "×", place: [150, 60] },
    { symbol: "+", place: [350, 60] },
    { symbol: "×", place: [350, 140] },
    { symbol: "tanh", place: [540, 110] },
    { symbol: "×", place: [540, 170] },
  ],
  equations: [
    { html: `<i>f</i><sub>t</sub> = σ(${sum("f")})`, wires: ["f", "h0", "x"] },
    { html: `<i>i</i><sub>t</sub> = σ(${sum("i")})`, wires: ["i", "h0", "x"] },
    { html: `<i>c̃</i><sub>t</sub> = tanh(${sum("c")})`, wires: ["g", "h0", "x"] },
    { html: "<i>c</i><sub>t</sub> = <i>f</i><sub>t</sub> · <i>c</i><sub>t−1</sub> + <i>i</i><sub>t</sub> · <i>c̃</i><sub>t</sub>", wires: ["c", "c0", "kept", "written"] },
    { html: `<i>o</i><sub>t</sub> = σ(${sum("o")})`, wires: ["o", "h0", "x"] },
    { html: "<i>h</i><sub>t</sub> = <i>o</i><sub>t</sub> · tanh(<i>c</i><sub>t</sub>)", wires: ["h", "tanh"] },
  ],
};

const z = of("update_gate");
const GRU: Diagram = {
  wires: [
    { id: "h0", symbol: "hₜ₋₁", path: "M20 60 H138 M50 60 V285 H350 V232 M150 285 V235 M250 285 V235", label: [20, 46], value: before("hidden") },
    { id: "x", symbol: "xₜ", path: "M90 325 V285", label: [98, 318] },
    { id: "z", symbol: "zₜ", path: "M150 205 V72", label: [142, 180], anchor: "end", value: z },
    { id: "rest", symbol: "1 − zₜ", path: "M150 130 H458", label: [235, 118], anchor: "middle", value: rest(z) },
    { id: "r", symbol: "rₜ", path: "M275 220 H338", label: [290, 208], value: of("reset_gate") },
    { id: "n", symbol: "nₜ", path: "M362 220 H445 M470 205 V142", label: [482, 175], value: of("candidate") },
    { id: "kept", symbol: "zₜ·hₜ₋₁", path: "M162 60 H458", label: [300, 46], anchor: "middle", value: times(z, before("hidden")) },
    { id: "written", symbol: "(1−zₜ)·nₜ", path: "M470 118 V72", label: [460, 98], anchor: "end", value: times(rest(z), of("candidate")) },
    { id: "h", symbol: "hₜ", path: "M482 60 H620", label: [620, 46], anchor: "end", value: of("hidden") },
  ],
  operations: [
    { symbol: "σ", place: [150, 220], box: true },
    { symbol: "σ", place: [250, 220], box: true },
    { symbol: "×", place: [350, 220] },
    { symbol: "tanh", place: [470, 220], box: true },
    { symbol: "×", place: [150, 60] },
    { symbol: "×", place: [470, 130] },
    { symbol: "+", place: [470, 60] },
  ],
  equations: [
    { html: `<i>r</i><sub>t</sub> = σ(${sum("r")})`, wires: ["r", "h0", "x"] },
    { html: `<i>z</i><sub>t</sub> = σ(${sum("z")})`, wires: ["z", "h0", "x"] },
    { html: "<i>n</i><sub>t</sub> = tanh(<i>W</i><sub>n</sub><i>x</i><sub>t</sub> + <i>b</i><sub>n</sub> + <i>r</i><sub>t</sub> · (<i>U</i><sub>n</sub><i>h</i><sub>t−1</sub> + <i>b′</i><sub>n</sub>))", wires: ["n", "r", "h0", "x"] },
    { html: "<i>h</i><sub>t</sub> = <i>z</i><sub>t</sub> · <i>h</i><sub>t−1</sub> + (1 − <i>z</i><sub>t</sub>) · <i>n</i><sub>t</sub>", wires: ["h", "h0", "kept", "written", "rest"] },
  ],
};

const RNN: Diagram = {
  wires: [
    { id: "h0", symbol: "hₜ₋₁", path: `${BUS}320 V195`, label: [20, 272], value: before("hidden") },
    { id: "x", symbol: "xₜ", path: "M90 325 V285", label: [98, 318] },
    { id: "h", symbol: "hₜ", path: "M320 165 V60 H620", label: [620, 46], anchor: "end", value: of("hidden") },
  ],
  operations: [{ symbol: "tanh", place: [320, 180], box: true }],
  equations: [{ html: `<i>h</i><sub>t</sub> = tanh(${sum("h")})`, wires: ["h", "h0", "x"] }],
};

export const DIAGRAMS: Record<string, Diagram> = { lstm: LSTM, gru: GRU, rnn: RNN };
