/** The story from a plain network to the LSTM cell as one drawing: everything in it is a function of the time t. */
import { roleColour, signedPalette, type Role, type Theme } from "./colours";
import { signed } from "./diagram";
import { DIAGRAMS, type Operation, type Wire } from "./diagrams";
import { onSheet, project, type Camera, type Place, type Point } from "./projection";
import { colourAt, numberAt, pointsAt, type Track } from "./tracks";

/** The stations stand at t = 0, 1, … up to this. */
export const LAST = 6;

/** A shape on the paper. */
export interface Mark {
  id: string;
  /** What it is a piece of, the same for all its pieces. */
  part: string;
  /** Lines are stroked, areas filled, nodes and operations filled and named; text is text. */
  kind: "area" | "line" | "head" | "node" | "box" | "text";
  opacity: number;
  colour: string;
  path?: string;
  width?: number;
  /** The middle of a node, a box or a text. */
  at?: Point;
  /** Half the width and the height of a node or a box. */
  half?: Point;
  label?: string;
  /** How much of the label is seen, of the whole. */
  labelled?: number;
  anchor?: "start" | "middle" | "end";
  /** Whether the label is a symbol, or words. */
  symbol?: boolean;
  /** A value after the label, and how much of it is seen. */
  value?: string;
  valued?: number;
}

/** What the last station shows on the wires. */
export interface Values {
  /** By the id of a wire. */
  wires: Record<string, number>;
  /** What the network reads. */
  input: string;
}

/** Words of the drawing. */
export interface Captions {
  time: string;
  network: string;
  memory: string;
  forget: string;
  add: string;
  read: string;
  gates: string[];
}

const ASIDE: Track<number> = [[0, 42], [0.6, 0], [2, 0], [2.6, 17], [3, 17], [3.7, 0]];
const ABOVE: Track<number> = [[0, 7], [0.6, 0], [2, 0], [2.6, 23], [3, 23], [3.9, 90]];
/** The sheet of the two chains: it stands upright in the network, and swings back until it lies flat. */
const SWING: Track<number> = [[2.2, 90], [3, 0]];
const STEPS = [-1, 0, 1];
const SUBSCRIPTS = ["ₜ₋₁", "ₜ", "ₜ₊₁"];
const APART: Track<number> = [[0, 210], [0.3, 210], [0.6, 190], [1, 0], [2, 190]];
/** Layers from below: the height of each, its role, and its units, seen across the sheet. */
const LAYERS: { name: "x" | "h" | "y"; up: number; role: Role; units: number[] }[] = [
  { name: "x", up: -115, role: "plain", units: [-58, 0, 58] },
  { name: "h", up: 0, role: "hidden", units: [-58, 0, 58] },
  { name: "y", up: 115, role: "plain", units: [-29, 29] },
];
/** When the states of the step in the middle get their names, and those of its neighbours. */
const NAMED_FIRST: Track<number> = [[0.65, 0], [0.9, 1]];
const NAMED_APART: Track<number> = [[1.3, 0], [1.7, 1]];
const RADIUS = 22;
/** Where, on the sheet of the chains, states stand at the third station and at the fourth. */
const CHAIN = { h: [172, 285], c: [42, 60] };
const ALONG = [[130, 40], [320, 600], [510, 780]];
const [BEFORE_H, HERE_H, BEFORE_C, HERE_C] = [[130, 172], [320, 172], [130, 42], [320, 42]];
const HALF = [320, 107];

/** The pieces of each wire of the LSTM as one line between two states, and as three lines; the diagram has the rest. */
const GROWN: Record<string, [third: number[][], fourth: number[][] | null][]> = {
  h0: [[[BEFORE_H, [220, 172]], null]],
  hx: [
    [[[220, 172], HERE_H, HERE_H], [[90, 285], [350, 285], [350, 285]]],
    [[HERE_H, HERE_H], [[150, 285], [150, 285]]],
    [[HERE_H, HERE_H], [[350, 285], [350, 285]]],
    [[HERE_H, HERE_H], [[350, 285], [350, 285]]],
  ],
  x: [[[[130, 212], BEFORE_H], null]],
  c0: [[[BEFORE_C, [298, 42]], null]],
  f: [[[HERE_H, HERE_C], [[150, 285], [150, 72]]]],
  i: [[[HERE_H, HALF, HALF], [[350, 285], [350, 140], [350, 140]]]],
  g: [[[HERE_H, HALF], [[350, 285], [350, 140]]]],
  kept: [[[HERE_C, HERE_C], null]],
  written: [[[HALF, HERE_C], [[350, 140], [350, 72]]]],
  c: [[[HERE_C, HERE_C], null], [[HERE_C, HERE_C], [[548, 60], [548, 60]]]],
  o: [[[HERE_C, HALF, HERE_H], [[548, 60], [548, 170], [548, 285]]]],
  tanh: [[[HERE_C, HERE_C], [[548, 60], [548, 60]]]],
  h: [[[HERE_H, HERE_H, HERE_H], [[548, 285], [548, 285], [620, 285]]]],
};
const WIRE_ROLES: Record<string, Role> = { h0: "hidden", hx: "hidden", h: "hidden", x: "plain", c0: "cell", c: "cell", tanh: "cell", f: "keep", kept: "keep", i: "write", written: "write", g: "candidate", o: "read" };
/** When each wire comes into sight; the others with the second chain. */
const SEEN: Record<string, Track<number>> = {
  h0: [[3, 0], [3.25, 1]],
  hx: [[3, 0], [3.25, 1]],
  c: [[3, 0], [3.1, 1]],
  h: [[3, 0], [3.1, 1]],
  x: [[3.5, 0], [4, 1]],
  tanh: [[4.1, 0], [4.6, 1]],
};
const WITH_CHAIN: Track<number> = [[2.25, 0], [2.7, 1]];
/** Where operations come from that stand elsewhere at the end, by their place in the list of the diagram. */
const CAME_FROM: Record<number, Track<number[][]>> = { 1: [[4, [[350, 220]]]], 3: [[4, [[548, 220]]]], 4: [[3, [HERE_C]], [4, [[150, 60]]]], 5: [[3, [HERE_C]], [4, [[350, 60]]]] };
/** The product and the sum on the chain of the memory, which the lines lead to. */
const ON_CHAIN = [4, 5];
const [BOX_TOP, BOX_FOOT] = [205, 235];
const THINNEST = 2;
const WIDEST = 11;
const ROLE_WIDTH = 2.6;

const { wires: WIRES, operations: OPERATIONS } = DIAGRAMS.lstm;

/** The corners of the lines of a path of the diagram. */
function corners(path: string): number[][][] {
  const lines: number[][][] = [];
  for (const [, letter, numbers] of path.matchAll(/([MHV])([\d. ]+)/g)) {
    const values = numbers.trim().split(/\s+/).map(Number);
    const last = lines.at(-1)?.at(-1);
    if (letter === "M") lines.push([values]);
    else lines.at(-1)!.push(letter === "H" ? [values[0], last![1]] : [last![0], values[0]]);
  }
  return lines;
}

const ENDS = new Map(WIRES.map(({ id, path }) => [id, corners(path)]));

const short = (value: number) => value.toFixed(2);
const lineOf = (points: Point[]) => `M${points.map((point) => point.map(short).join(" ")).join("L")}`;
const curveOf = ([start, ...others]: Point[]) => `M${start.map(short).join(" ")}C${others.map((point) => point.map(short).join(" ")).join(" ")}`;

/** An arrow's head that ends at the last point, or nothing where the line is too short for one. */
function headOf(points: Point[]): string {
  const [x, y] = points.at(-1)!;
  const [fromX, fromY] = points.findLast(([a, b]) => Math.hypot(x - a, y - b) > 3) ?? [x, y];
  const length = Math.hypot(x - fromX, y - fromY);
  if (!length) return "";
  const [right, down] = [(x - fromX) / length, (y - fromY) / length];
  const foot = [x - 9 * right, y - 9 * down];
  return `${lineOf([[x, y], [foot[0] - 4.5 * down, foot[1] + 4.5 * right], [foot[0] + 4.5 * down, foot[1] - 4.5 * right]])}Z`;
}

/** Everything that is drawn at t, the farthest first. The marks are the same at every t; what is out of sight has no opacity. */
export function pictureAt(t: number, theme: Theme, captions: Captions, values: Values | null = null): Mark[] {
  return new Drawing(Math.max(0, Math.min(LAST, t)), theme, captions, values).marks;
}

class Drawing {
  readonly marks: Mark[] = [];
  private readonly camera: Camera;
  private readonly swing: number;
  private readonly apart: number;

  constructor(private readonly t: number, private readonly theme: Theme, private readonly captions: Captions, private readonly values: Values | null) {
    this.camera = { aside: this.now(ASIDE), above: this.now(ABOVE) };
    this.swing = this.now(SWING);
    this.apart = this.now(APART);
    this.planes();
    this.sheets();
    this.memoryChain();
    for (const wire of WIRES) this.wire(wire);
    this.memories();
    this.columns();
    this.cell();
  }

  private now(track: Track<number>): number {
    return numberAt(track, this.t);
  }

  private colour(role: Role): string {
    return roleColour(role, this.theme);
  }

  private project(place: Place): Point {
    return project(place, this.camera);
  }

  /** Where a point of the sheet of the chains is on the paper. */
  private flat(point: number[]): Point {
    return this.project(onSheet(point, this.swing));
  }

  private line(part: string, id: string, points: Point[], role: Role, opacity: number, { width = 2.2, head, curved = false, colour = this.colour(role) }: { width?: number; head?: number; curved?: boolean; colour?: string } = {}): void {
    this.marks.push({ id, part, kind: "line", opacity, colour, width, path: curved ? curveOf(points) : lineOf(points) });
    if (head !== undefined) this.marks.push({ id: `${id}-head`, part, kind: "head", opacity: opacity * head, colour, path: headOf(points) });
  }

  private area(part: string, places: Point[], role: Role, opacity: number): void {
    this.marks.push({ id: part, part, kind: "area", opacity, colour: this.colour(role), path: `${lineOf(places)}Z` });
  }

  private text(part: string, at: Point, label: string, opacity: number, anchor: Mark["anchor"] = "start", symbol = false): void {
    this.marks.push({ id: `text-${part}`, part, kind: "text", at, label, opacity, anchor, symbol, colour: "" });
  }

  /** The upright plane of the network, and the plane of the two chains across it. */
  private planes(): void {
    const seen = this.now([[2.3, 0], [2.7, 1], [4, 1], [4.5, 0]]);
    const edges = pointsAt([[3, [[48, 200], [592, 200], [592, 2], [48, 2]]], [4, [[6, 326], [634, 326], [634, 16], [6, 16]]]], this.t);
    this.area("memory-plane", edges.map((point) => this.flat(point)), "cell", seen);
    const upright: Place[] = [[-262, -146, 0], [262, -146, 0], [262, 146, 0], [-262, 146, 0]];
    const network = this.now([[2.2, 0], [2.6, 1], [3, 1], [3.4, 0]]);
    this.area("network-plane", upright.map((place) => this.project(place)), "hidden", network);
    this.text("network-name", this.project([-95, -122, 0]), this.captions.network, network * this.now([[2.6, 0], [2.9, 1]]), "middle");
    const [corner, top] = this.flat([592, 2]);
    this.text("memory-name", [Math.min(corner, 636), top - 9], this.captions.memory, this.now([[2.7, 0], [3, 1], [3.3, 0]]), "end");
  }

  /** The network of each step with all its units. */
  private sheets(): void {
    const seen = this.now([[0.5, 1], [0.8, 0]]);
    const named = this.now([[0.1, 1], [0.4, 0]]);
    for (const [k, step] of STEPS.entries()) {
      const right = step * this.apart;
      const edge: Place[] = [[right, -142, -94], [right, -142, 94], [right, 142, 94], [right, 142, -94]];
      this.area(`sheet-${k}`, edge.map((place) => this.project(place)), "hidden", seen);
      const place = (layer: number, unit: number) => this.project([right, LAYERS[layer].up, unit]);
      for (const layer of [0, 1]) {
        const lines = LAYERS[layer].units.flatMap((a) => LAYERS[layer + 1].units.map((b) => lineOf([place(layer, a), place(layer + 1, b)])));
        this.marks.push({ id: `weights-${k}-${layer}`, part: "weights", kind: "line", opacity: seen * 0.8, colour: this.colour("plain"), width: 1.1, path: lines.join("") });
      }
      for (const [layer, { name, role, units }] of LAYERS.entries()) {
        for (const unit of units) {
          this.marks.push({ id: `unit-${k}-${name}${unit}`, part: "units", kind: "node", opacity: seen, colour: this.colour(role), at: place(layer, unit), half: [6.5, 6.5] });
        }
      }
      const [x, y] = this.project([right, -142, 0]);
      this.text(`step-${k}`, [x, y + 20], ["t − 1", "t", "t + 1"][k], named, "middle", true);
    }
    for (const { name, up } of LAYERS) {
      const [x, y] = this.project([-this.apart, up, -94]);
      this.text(`layer-${name}`, [x - 9, y + 5], name, named, "end", true);
    }
  }

  /** Where a state of a chain is, by its step. */
  private state(chain: "h" | "c", k: number): Point {
    const [third, fourth] = CHAIN[chain];
    const [[x, y]] = pointsAt([[3, [[ALONG[k][0], third]]], [4, [[ALONG[k][1], fourth]]]], this.t);
    return this.t <= 2 && chain === "h" ? this.project([STEPS[k] * this.apart, 0, 0]) : this.flat([x, y]);
  }

  private arrow(part: string, id: string, from: Point, to: Point, role: Role, opacity: number, head: number | undefined = 1): void {
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    const near = Math.min(RADIUS, length / 2) / (length || 1);
    const point = (share: number): Point => [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
    this.line(part, id, [point(near), point(1 - near)], role, opacity, { head });
  }

  private node(part: string, id: string, at: Point, role: Role, label: string, opacity: number, labelled = 1): void {
    const radius = this.now([[0.45, 7], [0.9, RADIUS]]);
    this.marks.push({ id, part, kind: "node", opacity, colour: this.colour(role), at, half: [radius, radius], label, labelled, symbol: true });
  }

  /** The second chain, behind the network. */
  private memoryChain(): void {
    const seen = this.now(WITH_CHAIN);
    const leaving = this.now([[3, 1], [3.35, 0]]);
    this.line("memory-chain", "chain-in", [this.flat([62, 42]), this.flat([108, 42])], "cell", seen * leaving, { head: 1 });
    this.arrow("memory-chain", "chain-on", this.state("c", 1), this.state("c", 2), "cell", seen * leaving);
    this.line("memory-chain", "chain-out", [this.flat([532, 42]), this.flat([580, 42])], "cell", seen * leaving, { head: 1 });
    for (const k of [0, 2]) this.arrow("links", `link-${k}`, this.state("h", k), this.state("c", k), "cell", seen * leaving, 0);
  }

  /** A column for each step: input, hidden state, output, and the arrows in time. */
  private columns(): void {
    const { t } = this;
    const seen = this.now([[0.45, 0], [0.7, 1], [3, 1], [3.35, 0]]);
    const time = this.now([[0.75, 0], [1, 1]]);
    const chained = this.now([[1.4, 0], [1.8, 1], [3, 1], [3.3, 0]]);
    this.line("time-links", "from-past", [this.flat([62, 172]), this.flat([106, 172])], "hidden", chained, { head: 1 });
    this.line("time-links", "to-future", [this.flat([534, 172]), this.flat([580, 172])], "hidden", chained, { head: 1 });
    const loop = [[337, 158], [408, 112], [408, 232], [339, 188]];
    const links = [[[153, 172], [210, 172], [240, 172], [297, 172]], [[343, 172], [400, 172], [430, 172], [487, 172]]];
    const gone = [this.now([[3, 1], [3.25, 0]]), this.now([[3, 1], [3.35, 0]])];
    for (const [k, link] of links.entries()) {
      const points = pointsAt([[1, loop], [2, link]], t).map((point) => this.flat(point));
      this.line("recurrence", `recurrence-${k}`, points, "hidden", time * gone[k], { head: 1, curved: true });
    }
    for (const k of [0, 2, 1]) {
      const middle = this.state("h", k);
      const right = STEPS[k] * this.apart;
      const [low, high] = [-115, 115].map((up) => this.project([right, up, 0]));
      this.arrow("inputs", `input-${k}`, low, middle, "plain", seen * this.now([[3, 1], [3.15, 0]]));
      this.arrow("outputs", `output-${k}`, middle, high, "plain", seen * this.now([[3, 1], [3.15, 0]]));
      const named = this.now(k === 1 ? NAMED_FIRST : NAMED_APART);
      this.node("inputs", `x-${k}`, low, "plain", `x${SUBSCRIPTS[k]}`, seen, named);
      this.node("outputs", `y-${k}`, high, "plain", `y${SUBSCRIPTS[k]}`, seen, named);
    }
    for (const k of [0, 2, 1]) {
      const fading = this.now(k === 2 ? [[0.45, 0], [0.7, 1], [3, 1], [3.35, 0]] : [[0.45, 0], [0.7, 1], [4.1, 1], [4.5, 0]]);
      this.node("hiddens", `h-${k}`, this.state("h", k), "hidden", `h${SUBSCRIPTS[k]}`, fading, this.now(k === 1 ? NAMED_FIRST : NAMED_APART));
    }
    this.weightNames();
  }

  /** The states of the second chain. */
  private memories(): void {
    for (const k of [0, 1, 2]) {
      const leaving = this.now(k === 2 ? [[3, 1], [3.35, 0]] : [[4.1, 1], [4.5, 0]]);
      this.node("memories", `c-${k}`, this.state("c", k), "cell", `c${SUBSCRIPTS[k]}`, this.now(WITH_CHAIN) * leaving);
    }
  }

  private weightNames(): void {
    const named = this.now([[0.7, 0], [0.95, 1], [2.2, 1], [2.45, 0]]);
    for (const [name, up] of [["W", -58], ["V", 58]] as const) {
      const [x, y] = this.project([0, up, 0]);
      this.text(`weight-${name}`, [x + 10, y + 5], name, named, "start", true);
    }
    this.text("weight-loop", [400, 177], "U", this.now([[0.75, 0], [1, 1], [1.25, 0]]), "start", true);
    const linked = this.now([[1.6, 0], [1.95, 1], [2.2, 1], [2.45, 0]]);
    for (const [k, x] of [225, 415].entries()) this.text(`weight-U${k}`, [x, 160], "U", linked, "middle", true);
    this.line("time", "time-arrow", [[120, 330], [520, 330]], "plain", this.now([[1.6, 0], [1.95, 1], [2.15, 1], [2.4, 0]]), { head: 1, width: 1.4 });
    this.text("time", [528, 335], this.captions.time, this.now([[1.6, 0], [1.95, 1], [2.15, 1], [2.4, 0]]));
  }

  /** What is written and done on the line between the two chains: in the end the whole cell. */
  private cell(): void {
    OPERATIONS.forEach((operation, place) => this.operation(operation, place));
    const three = this.now([[3.5, 0], [3.9, 1], [4.05, 1], [4.4, 0]]);
    this.text("line-forget", [140, 178], this.captions.forget, three, "end");
    this.text("line-add", [361, 178], this.captions.add, three);
    this.text("line-read", [559, 178], this.captions.read, three);
    const gates = this.now([[4.5, 0], [5, 1], [5.2, 1], [5.6, 0]]);
    OPERATIONS.slice(0, 4).forEach(({ place: [x] }, k) => this.text(`gate-${k}`, [x + 7, 261], this.captions.gates[k], gates));
    for (const { id, symbol, label, anchor, input } of WIRES) {
      const opacity = this.now(id === "x" ? [[3.6, 0], [4, 1]] : [[4.5, 0], [4.9, 1]]);
      const value = !this.values ? "" : input ? this.values.input : id in this.values.wires ? signed(this.values.wires[id]) : "";
      this.marks.push({ id: `symbol-${id}`, part: "symbols", kind: "text", at: label, label: symbol, opacity, anchor: anchor ?? "start", symbol: true, colour: "", value, valued: this.now([[5.4, 0], [5.9, 1]]) });
    }
  }

  private wire({ id }: Wire): void {
    const own = this.colour(WIRE_ROLES[id]);
    const joined = id in SEEN ? own : this.colour("cell");
    const value = this.values?.wires[id];
    const size = value === undefined ? 0 : Math.min(1, Math.abs(value));
    const filled = value === undefined ? this.colour("plain") : signedPalette(this.theme)(0.25 * Math.sign(value) + 0.75 * Math.max(-1, Math.min(1, value)));
    const colour = colourAt([[3.1, joined], [3.45, id === "g" ? this.colour("write") : own], [4.05, id === "g" ? this.colour("write") : own], [4.6, own], [5.2, own], [5.8, filled]], this.t);
    const width = this.now([[5.2, ROLE_WIDTH], [5.9, THINNEST + (WIDEST - THINNEST) * size]]);
    const opacity = this.now(SEEN[id] ?? WITH_CHAIN);
    // Where lines lie on each other, one head is enough.
    const pointed = id === "h0" ? 0 : this.now(id === "c0" ? [[5.2, 1], [5.6, 0]] : [[3.4, 0], [3.9, 1], [5.2, 1], [5.6, 0]]);
    const quiet = ["i", "hx", "tanh"].includes(id) ? this.now([[4.6, 0], [4.9, 1]]) : 1;
    ENDS.get(id)!.forEach((end, place) => {
      const [third, fourth] = GROWN[id][place];
      // What comes out of a box starts under it, so that no gap opens while the lines part.
      const near = end.map(([x, y]) => [x, y === BOX_TOP ? BOX_FOOT : y]);
      const points = pointsAt([[3, third], [4, fourth ?? end], [4.9, near], [5, end]], this.t).map((point) => this.flat(point));
      this.line(`wire-${id}`, `wire-${id}-${place}`, points, WIRE_ROLES[id], opacity, { width, head: pointed * quiet, colour });
    });
  }

  private operation({ symbol, place: end, box, role }: Operation, place: number): void {
    const onChain = ON_CHAIN.includes(place);
    const opacity = this.now(onChain ? [[3.1, 0], [3.4, 1]] : [[4.1, 0], [4.6, 1]]);
    const [[x, y]] = pointsAt([...(CAME_FROM[place] ?? []), [4.9, [end]]], this.t);
    const long = symbol.length > 1;
    const half: Point = box ? [26, 15] : long ? [24, 15] : [12, 12];
    this.marks.push({ id: `operation-${place}`, part: "operations", kind: box ? "box" : "node", opacity, colour: this.colour(role!), at: this.flat([x, y]), half, label: symbol, labelled: 1 });
  }
}
