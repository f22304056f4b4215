/**
 * Runs any cell from its definition, step by step, and goes back through it: the operations of its tape, each with its
 * slope, and no cell's equations. Definitions are written by gated.cells.document.
 */

type Width = "H" | "I" | "P" | "1";

interface Node {
  operation: string;
  arguments: number[];
  width: Width;
  about: unknown;
}

/** The rows of a matrix, or of a parameter, that belong to a gate. */
export interface Block {
  name: string;
  gate: string;
}

export interface MatrixOf {
  name: string;
  bias: string | null;
  gates: string[];
  rows: Width;
  columns: Width;
  heads: number;
}

export interface Definition {
  name: string;
  nodes: Node[];
  /** The hidden state first; `after` is the node of a state's new value. */
  states: { name: string; width: Width; after: number }[];
  output: number;
  matrices: MatrixOf[];
  parameters: { name: string; gates: string[] }[];
  gates: Record<string, number>;
  /** Gates with a sigmoid, which can be held at a value. */
  held: string[];
  /** The state that is a sum over the past: state = keep · state before + write. */
  memory: { state: string; keep: number; write: number } | null;
  /** In LaTeX. */
  equations: string[];
  /** Of gates and states in the equations, in LaTeX. */
  symbols: Record<string, string>;
}

export type Numbers = Float32Array | Float64Array;
export type Sizes = Record<Width, number>;

/** What a cell reads at a step. */
export interface Input {
  /** x, (I,). */
  vector(step: number): Numbers;
  /** Products of x with all rows of `weight_ih`, without bias, where they are at hand: an array and where they begin in it. */
  products?(step: number): [Numbers, number];
}

/** A value that takes the place of what a node computed, at a step, for a unit; undefined leaves it. */
export type Hold = (node: number, step: number, unit: number) => number | undefined;

/** What a cell computed: values of nodes that are kept, (T, width) each. */
export interface Trace<N extends Numbers = Float32Array> {
  steps: number;
  input: Input;
  initial: Numbers[];
  hold: Hold | null;
  kept: Map<number, N>;
}

/** A gradient at one step: with respect to the products of x, (G·rows of weight_ih,), and to x besides. */
export interface OfInput {
  products: Float64Array;
  vector: Float64Array;
}

/** The rows of a matrix that belong to a product. */
interface Rows {
  name: string;
  /** The name of its bias; "" where it has none. */
  biasName: string;
  weight: Numbers;
  bias: Numbers | null;
  first: number;
  columns: number;
  heads: number;
}

interface Operation {
  value: (a: number, b: number, c: number) => number;
  /** By how much the value y grows with each argument. */
  slopes: ((a: number, b: number, c: number, y: number) => number)[];
}

export const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const none = () => 0;
/** Of two equal values each has half a part, as in PyTorch. */
const larger = (a: number, b: number) => (a > b ? 1 : a === b ? 0.5 : 0);

const OPERATIONS: Record<string, Operation> = {
  add: { value: (a, b) => a + b, slopes: [() => 1, () => 1] },
  sub: { value: (a, b) => a - b, slopes: [() => 1, () => -1] },
  mul: { value: (a, b) => a * b, slopes: [(_, b) => b, (a) => a] },
  div: { value: (a, b) => a / b, slopes: [(_, b) => 1 / b, (_, b, __, y) => -y / b] },
  neg: { value: (a) => -a, slopes: [() => -1] },
  sigmoid: { value: sigmoid, slopes: [(_, __, ___, y) => y * (1 - y)] },
  tanh: { value: Math.tanh, slopes: [(_, __, ___, y) => 1 - y * y] },
  relu: { value: (a) => Math.max(0, a), slopes: [(_, __, ___, y) => Number(y > 0)] },
  softplus: { value: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), slopes: [(a) => sigmoid(a)] },
  exp: { value: Math.exp, slopes: [(_, __, ___, y) => y] },
  log: { value: Math.log, slopes: [(a) => 1 / a] },
  sqrt: { value: Math.sqrt, slopes: [(_, __, ___, y) => 0.5 / y] },
  abs: { value: Math.abs, slopes: [Math.sign] },
  maximum: { value: Math.max, slopes: [(a, b) => larger(a, b), (a, b) => larger(b, a)] },
  minimum: { value: Math.min, slopes: [(a, b) => larger(b, a), (a, b) => larger(a, b)] },
  less: { value: (a, b) => Number(a < b), slopes: [none, none] },
  less_equal: { value: (a, b) => Number(a <= b), slopes: [none, none] },
  equal: { value: (a, b) => Number(a === b), slopes: [none, none] },
  where: { value: (a, b, c) => (a ? b : c), slopes: [none, (a) => Number(!!a), (a) => Number(!a)] },
  normalise: { value: (v, mean, scale) => (v - mean) * scale, slopes: [(_, __, scale) => scale, (_, __, scale) => -scale, (v, mean) => v - mean] },
  sigmoid_back: { value: (g, y) => g * y * (1 - y), slopes: [(_, y) => y * (1 - y), (g, y) => g * (1 - 2 * y)] },
  tanh_back: { value: (g, y) => g * (1 - y * y), slopes: [(_, y) => 1 - y * y, (g, y) => -2 * g * y] },
};

/** How many values each operation takes. */
export const ARITIES: Record<string, number> = {
  constant: 0, input: 0, state: 0, parameter: 0, size: 0, product: 1, sum: 1, spread: 1,
  ...Object.fromEntries(Object.entries(OPERATIONS).map(([name, { slopes }]) => [name, slopes.length])),
};

/** What the page shows of a cell: gates and states, by name. */
export function namedIn({ gates, states }: Definition): Record<string, number> {
  return { ...gates, ...Object.fromEntries(states.map(({ name, after }) => [name, after])) };
}

/** The value of a node at a step for a unit, from what a trace keeps. */
export function nodeAt(definition: Definition, trace: Trace, node: number, step: number, unit: number): number {
  const { nodes, states } = definition;
  const { operation, arguments: given, about } = nodes[node];
  if (operation === "constant") return about as number;
  if (operation === "state" && !step) return trace.initial[about as number][unit];
  const known = trace.kept.get(operation === "state" ? states[about as number].after : node);
  if (known) {
    const width = known.length / trace.steps;
    return known[(operation === "state" ? step - 1 : step) * width + (width > 1 ? unit : 0)];
  }
  const operate = OPERATIONS[operation]?.value;
  if (!operate) throw new Error(`${operation} of ${definition.name} is not kept.`);
  const [a, b, c] = given.map((of) => nodeAt(definition, trace, of, step, unit));
  return operate(a, b ?? a, c ?? a);
}

/** Leaves that have values at each step without being given any. */
const LEAVES = new Set(["constant", "input", "state", "parameter", "size"]);

/** Why a cell cannot be run with its weights alone; null where it can. */
export function lacking({ nodes }: Definition): string | null {
  const node = nodes.find(({ operation, arguments: given }) => (given.length ? !OPERATIONS[operation] && !["product", "sum", "spread"].includes(operation) : !LEAVES.has(operation)));
  return node ? `${node.operation}${node.about === null ? "" : ` ${String(node.about)}`}` : null;
}

/** The number of units of each width, from the shapes of a layer's weights. */
export function sizesOf({ matrices }: Definition, shapes: (name: string) => number[], inputs: number): Sizes {
  const tall = matrices.find(({ name }) => name === "weight_hh") ?? matrices.find(({ rows }) => rows === "H")!;
  const units = shapes(tall.name)[0] / tall.gates.length;
  const projects = matrices.some(({ name }) => name === "weight_hr");
  return { H: units, I: inputs, P: projects ? shapes("weight_hr")[0] : units, "1": 1 };
}

/** A cell with its weights, by their names without the layer's suffix; what it keeps is as precise as they are. */
export class Engine<N extends Numbers = Float32Array> {
  private readonly values: Float64Array[];
  private readonly gradients: Float64Array[];
  /** Nodes whose values are kept at each step. */
  private readonly kept: number[];
  private readonly touched: boolean[];
  /** Nodes that no gradient is asked for: they depend on no state or input, or only on an input that is fixed. */
  private readonly fixed: boolean[];
  private readonly blocks = new Map<number, Rows>();
  /** Products of x with `weight_ih`. */
  private readonly ofTable: Set<number>;
  /** Whether x is read otherwise. */
  private readonly readsVector: boolean;
  private readonly ofInput: number;
  private readonly Kept: new (length: number) => N;

  constructor(readonly definition: Definition, readonly sizes: Sizes, readonly weights: Record<string, N>, fixesInput = false) {
    const { nodes, states, gates, output, matrices, memory } = definition;
    const lacks = lacking(definition);
    if (lacks) throw new Error(`The cell ${definition.name} cannot be run from its weights and its input alone: it needs ${lacks}.`);
    const missing = matrices.filter(({ name }) => !weights[name]);
    if (missing.length) throw new Error(`The network has no ${missing.map(({ name }) => name).join(", ")}, which the cell ${definition.name} needs.`);
    const precise = Object.values(weights).some((numbers) => numbers instanceof Float64Array);
    this.Kept = (precise ? Float64Array : Float32Array) as unknown as typeof this.Kept;
    this.values = nodes.map(({ width }) => new Float64Array(sizes[width]));
    this.gradients = nodes.map(({ width }) => new Float64Array(sizes[width]));
    this.touched = nodes.map(() => false);
    this.fixed = nodes.map(({ operation }) => operation === "constant" || operation === "parameter" || operation === "size" || (fixesInput && operation === "input"));
    const costly = nodes.flatMap(({ operation, arguments: [source] }, node) => (operation === "product" && nodes[source].operation !== "input" ? [node] : []));
    const ofMemory = memory ? [memory.keep, memory.write].filter((node) => nodes[node].arguments.length || nodes[node].operation === "parameter") : [];
    this.kept = [...new Set([...costly, ...ofMemory, ...Object.values(gates), ...states.map(({ after }) => after), output])];
    const isInput = (node: number) => nodes[node].operation === "input";
    this.ofTable = new Set(nodes.flatMap(({ operation, arguments: given, about }, node) => (operation === "product" && isInput(given[0]) && (about as Block).name === "weight_ih" ? [node] : [])));
    this.readsVector = nodes.some(({ arguments: given }, node) => given.some(isInput) && !this.ofTable.has(node));
    const input = matrices.find(({ name }) => name === "weight_ih");
    this.ofInput = input ? input.gates.length * sizes[input.rows] : 0;
    nodes.forEach(({ operation, about }, node) => {
      if (operation === "constant") this.values[node][0] = about as number;
      if (operation === "size") this.values[node][0] = sizes[about as Width];
      if (operation === "product") this.blocks.set(node, this.blockOf(about as Block));
      if (operation === "parameter") this.values[node].set(this.parameter(about as Block));
    });
  }

  /** A parameter of a gate; a bias that the network does not have is 0. */
  private parameter({ name, gate }: Block): Numbers {
    const { sizes, weights, definition } = this;
    const all = weights[name];
    if (!all) return new Float32Array(sizes.H);
    const { gates } = definition.parameters.find((of) => of.name === name)!;
    const at = gates.indexOf(gate);
    return gate === "" || gate === "1" ? all : all.subarray(at * sizes.H, (at + 1) * sizes.H);
  }

  /** An empty trace of so many steps, to be filled by `step` from 0 on; states begin with zeros unless given. */
  begin(steps: number, input: Input, hold: Hold | null = null, initial: Numbers[] = []): Trace<N> {
    const kept = new Map(this.kept.map((node) => [node, new this.Kept(steps * this.values[node].length)]));
    return { steps, input, hold, kept, initial: this.definition.states.map(({ width }, k) => initial[k] ?? new Float32Array(this.sizes[width])) };
  }

  /** Compute a step from the one before it. */
  step(trace: Trace<N>, t: number): void {
    this.evaluate(trace, t, false);
    for (const [node, numbers] of trace.kept) numbers.set(this.values[node], t * this.values[node].length);
  }

  /** Run over all steps at once. */
  run(steps: number, input: Input, hold: Hold | null = null, initial: Numbers[] = []): Trace<N> {
    const trace = this.begin(steps, input, hold, initial);
    for (let t = 0; t < steps; t++) this.step(trace, t);
    return trace;
  }

  /** The values of all nodes at a step that was computed; they stay until the next call. */
  valuesAt(trace: Trace<N>, t: number): Float64Array[] {
    this.evaluate(trace, t, true);
    return this.values;
  }

  /** The values of one node at all steps, (T, width). */
  valuesOf(trace: Trace<N>, node: number): N {
    const known = trace.kept.get(node);
    if (known) return known;
    const { length } = this.values[node];
    const found = new this.Kept(trace.steps * length);
    for (let t = 0; t < trace.steps; t++) found.set(this.valuesAt(trace, t)[node], t * length);
    return found;
  }

  /** Set all values to those of a step; `known` ones are read from what was kept. */
  private evaluate(trace: Trace<N>, t: number, known: boolean): void {
    const { definition, values } = this;
    const { nodes, states } = definition;
    for (let node = 0; node < nodes.length; node++) {
      const { operation, arguments: given } = nodes[node];
      const out = values[node];
      const old = known ? trace.kept.get(node) : undefined;
      if (old && given.length) {
        out.set(old.subarray(t * out.length, (t + 1) * out.length));
        continue;
      }
      if (operation === "state") {
        const of = nodes[node].about as number;
        const { after } = states[of];
        const before = t ? trace.kept.get(after)! : trace.initial[of];
        if (!t) out.set(before);
        else if (values[after].length === 1) out.fill(before[t - 1]);
        else out.set(before.subarray((t - 1) * out.length, t * out.length));
      } else if (operation === "input") {
        if (this.readsVector || !trace.input.products) out.set(trace.input.vector(t));
      } else if (operation === "product") this.product(trace, t, node);
      else if (operation === "sum") out[0] = values[given[0]].reduce((sum, value) => sum + value, 0);
      else if (operation === "spread") out.fill(values[given[0]][0]);
      else if (given.length) this.elementwise(operation, given, out);
      if (!trace.hold || !given.length) continue;
      for (let unit = 0; unit < out.length; unit++) out[unit] = trace.hold(node, t, unit) ?? out[unit];
    }
  }

  /** The commonest operations have loops of their own: a call for each unit would take most of the time. */
  private elementwise(operation: string, [one, two = one, three = one]: number[], out: Float64Array): void {
    const { values } = this;
    const a = values[one];
    const b = values[two];
    const units = out.length;
    // What has one number gives it to all units.
    const i = Number(a.length > 1);
    const j = Number(b.length > 1);
    if (operation === "add") for (let unit = 0; unit < units; unit++) out[unit] = a[i * unit] + b[j * unit];
    else if (operation === "sub") for (let unit = 0; unit < units; unit++) out[unit] = a[i * unit] - b[j * unit];
    else if (operation === "mul") for (let unit = 0; unit < units; unit++) out[unit] = a[i * unit] * b[j * unit];
    else if (operation === "sigmoid") for (let unit = 0; unit < units; unit++) out[unit] = 1 / (1 + Math.exp(-a[unit]));
    else if (operation === "tanh") for (let unit = 0; unit < units; unit++) out[unit] = Math.tanh(a[unit]);
    else {
      const { value } = OPERATIONS[operation];
      const c = values[three];
      const k = Number(c.length > 1);
      for (let unit = 0; unit < units; unit++) out[unit] = value(a[i * unit], b[j * unit], c[k * unit]);
    }
  }

  /** Where the rows of a product stand. */
  private blockOf({ name, gate }: Block): Rows {
    const matrix = this.definition.matrices.find((of) => of.name === name)!;
    const height = this.sizes[matrix.rows];
    const bias = matrix.bias ? (this.weights[matrix.bias] ?? null) : null;
    return { name, biasName: bias ? matrix.bias! : "", heads: matrix.heads, weight: this.weights[name], bias, first: matrix.gates.indexOf(gate) * height, columns: this.sizes[matrix.columns] / matrix.heads };
  }

  private product(trace: Trace<N>, t: number, node: number): void {
    const { nodes } = this.definition;
    const out = this.values[node];
    const [source] = nodes[node].arguments;
    const { heads, weight, bias, first, columns } = this.blocks.get(node)!;
    if (this.isGiven(trace, node)) {
      const [numbers, start] = trace.input.products!(t);
      for (let row = 0; row < out.length; row++) out[row] = numbers[start + first + row] + (bias ? bias[first + row] : 0);
      return;
    }
    const vector = this.values[source];
    for (let row = 0; row < out.length; row++) {
      // Of a matrix with squares on its diagonal, a row reads the units of its square.
      const read = heads > 1 ? Math.floor(row / columns) * columns : 0;
      const start = (first + row) * columns;
      let sum = bias ? bias[first + row] : 0;
      for (let column = 0; column < columns; column++) sum += weight[start + column] * vector[read + column];
      out[row] = sum;
    }
  }

  private isGiven(trace: Trace<N>, node: number): boolean {
    return !!trace.input.products && this.ofTable.has(node);
  }

  /**
   * Go back from gradients with respect to the output and the states after a step to those with respect to the states
   * before it, which take the place of `states`, and to the input. `output` is added to, `states` replaced. Gradients
   * with respect to matrices and their biases are added to `weights`, by name.
   */
  back(trace: Trace<N>, t: number, output: Numbers | null, states: Float64Array[], weights: Record<string, Float64Array> | null = null): OfInput {
    const { definition, gradients, touched, values } = this;
    const { nodes } = definition;
    this.evaluate(trace, t, true);
    touched.fill(false);
    const gradientOf = (node: number) => {
      if (!touched[node]) gradients[node].fill(0);
      touched[node] = true;
      return gradients[node];
    };
    const give = (node: number, from: Numbers) => {
      const to = gradientOf(node);
      for (let unit = 0; unit < from.length; unit++) to[to.length > 1 ? unit : 0] += from[unit];
    };
    definition.states.forEach(({ after }, k) => give(after, states[k]));
    if (output) give(definition.output, output);
    for (const state of states) state.fill(0);
    const found: OfInput = { products: new Float64Array(this.ofInput), vector: new Float64Array(this.sizes.I) };
    for (let node = nodes.length - 1; node >= 0; node--) {
      if (!touched[node]) continue;
      const { operation, arguments: given, about } = nodes[node];
      const g = gradients[node];
      if (!given.length) {
        const to = operation === "state" ? states[about as number] : operation === "input" ? found.vector : null;
        if (to) for (let unit = 0; unit < g.length; unit++) to[unit] += g[unit];
        continue;
      }
      // What is held depends on nothing before.
      if (trace.hold) for (let unit = 0; unit < g.length; unit++) if (trace.hold(node, t, unit) !== undefined) g[unit] = 0;
      if (operation === "product") {
        if (weights) this.outer(node, g, values[given[0]], weights);
        if (this.isGiven(trace, node)) {
          const { first } = this.blocks.get(node)!;
          for (let row = 0; row < g.length; row++) found.products[first + row] += g[row];
        } else if (!this.fixed[given[0]]) this.transposed(node, g, gradientOf(given[0]));
      } else if (operation === "sum" || operation === "spread") {
        const to = gradientOf(given[0]);
        if (operation === "sum") for (let unit = 0; unit < to.length; unit++) to[unit] += g[0];
        else for (let unit = 0; unit < g.length; unit++) to[0] += g[unit];
      } else this.through(operation, given, g, values[node], gradientOf);
    }
    return found;
  }

  private through(operation: string, given: number[], g: Float64Array, y: Float64Array, gradientOf: (node: number) => Float64Array): void {
    const [one, two = one, three = one] = given;
    const { values } = this;
    const units = g.length;
    for (let place = 0; place < given.length; place++) {
      const argument = given[place];
      if (this.fixed[argument] || OPERATIONS[operation].slopes[place] === none) continue;
      const to = gradientOf(argument);
      const wide = Number(to.length > 1);
      if (operation === "add") for (let unit = 0; unit < units; unit++) to[wide * unit] += g[unit];
      else if (operation === "sub" && place) for (let unit = 0; unit < units; unit++) to[wide * unit] -= g[unit];
      else if (operation === "sub") for (let unit = 0; unit < units; unit++) to[wide * unit] += g[unit];
      else if (operation === "mul") {
        const other = values[given[1 - place]];
        const i = Number(other.length > 1);
        for (let unit = 0; unit < units; unit++) to[wide * unit] += g[unit] * other[i * unit];
      } else if (operation === "sigmoid") for (let unit = 0; unit < units; unit++) to[unit] += g[unit] * y[unit] * (1 - y[unit]);
      else if (operation === "tanh") for (let unit = 0; unit < units; unit++) to[unit] += g[unit] * (1 - y[unit] * y[unit]);
      else {
        const slope = OPERATIONS[operation].slopes[place];
        const [a, b, c] = [values[one], values[two], values[three]];
        const [i, j, k] = [a, b, c].map(({ length }) => Number(length > 1));
        for (let unit = 0; unit < units; unit++) to[wide * unit] += g[unit] * slope(a[i * unit], b[j * unit], c[k * unit], y[unit]);
      }
    }
  }

  /** Add the gradient of a product with respect to its matrix and bias. */
  private outer(node: number, g: Float64Array, read: Float64Array, weights: Record<string, Float64Array>): void {
    const { name, biasName, heads, first, columns } = this.blocks.get(node)!;
    const [toMatrix, toBias] = [weights[name], biasName ? weights[biasName] : null];
    for (let row = 0; row < g.length; row++) {
      const factor = g[row];
      if (!factor) continue;
      const from = heads > 1 ? Math.floor(row / columns) * columns : 0;
      const start = (first + row) * columns;
      for (let column = 0; column < columns; column++) toMatrix[start + column] += factor * read[from + column];
      if (toBias) toBias[first + row] += factor;
    }
  }

  private transposed(node: number, g: Float64Array, to: Float64Array): void {
    const { heads, weight, first, columns } = this.blocks.get(node)!;
    for (let row = 0; row < g.length; row++) {
      const factor = g[row];
      if (!factor) continue;
      const read = heads > 1 ? Math.floor(row / columns) * columns : 0;
      const start = (first + row) * columns;
      for (let column = 0; column < columns; column++) to[read + column] += factor * weight[start + column];
    }
  }
}
