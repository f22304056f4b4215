/** A recurrent layer over steps: what it computes, with what is held, set or changed of it. */
import { columnsOf, readOf, shownOf, type Column, type NetworkPart, type TargetScaling } from "./columns";
import { SetStates } from "./edits";
import { namedIn, type Engine, type Definition, type Hold, type Input, type Numbers, type Trace } from "./engine";
import type { Clamp, Edit, Matrix, Network } from "./reading";

/** A layer over a stretch of the steps of a passage. */
export interface Run {
  /** The name by which the page shows the layer, and the part of the network that it belongs to. */
  network: string;
  part: NetworkPart;
  /** The step of the passage with which it begins: steps of the layer count from there. */
  first: number;
  clamp: Clamp | null;
  /** States that were set to a value. */
  set: SetStates;
  /** Gates and states by name, (T, H) each. */
  arrays: Record<string, Matrix>;
  engine: Engine;
  trace: Trace;
  /** The columns that it reads at a step. */
  columns: (step: number) => Column[];
  /** Of the windows of a forecaster. */
  target: TargetScaling | null;
}

/** What is run, and where it belongs. */
export interface Stretch {
  network: Network;
  part: NetworkPart;
  first: number;
  steps: number;
  input: Input;
  clamp: Clamp | null;
  edits: Edit[];
  /** By default zeros. */
  initial?: Numbers[];
  columns?: (step: number) => Column[];
  target?: TargetScaling;
}

/** Lets the page draw and answer between two stretches of work. */
export class Breath {
  private since = performance.now();

  /** Whether it is time to await `pause`. */
  get due(): boolean {
    return performance.now() - this.since > 8;
  }

  async pause(): Promise<void> {
    await new Promise<void>((resume) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (port1.close(), resume());
      port2.postMessage(null);
    });
    this.since = performance.now();
  }
}

/** Whether a clamp holds a unit of its gate at a step of the passage. */
export function holds(clamp: Clamp | null, gate: string, step: number, unit: number): clamp is Clamp {
  return clamp !== null && clamp.gate === gate && step >= clamp.first && step <= (clamp.last ?? Infinity) && (clamp.unit ?? unit) === unit;
}

/** Run a layer; `edits` of its states are set as they come up. */
export async function runLayer(engine: Engine, { network, part, first, steps, input, clamp, edits, initial, columns, target }: Stretch): Promise<Run> {
  const { definition, sizes } = engine;
  const set = new SetStates(edits, first);
  const trace = engine.begin(steps, input, holding(definition, clamp, first, set), initial);
  const breath = new Breath();
  for (let t = 0; t < steps; t++) {
    engine.step(trace, t);
    if (breath.due) await breath.pause();
  }
  const matrix = (node: number): Matrix => ({ steps, width: sizes[definition.nodes[node].width], numbers: engine.valuesOf(trace, node) });
  const arrays = Object.fromEntries(Object.entries(namedIn(definition)).map(([name, node]) => [name, matrix(node)]));
  return { network: network.name, part, first, clamp, set, arrays, engine, trace, columns: columns ?? (() => columnsOf(network, part)), target: target ?? null };
}

/** What is held or set, by the nodes of a definition. */
function holding({ gates, states }: Definition, clamp: Clamp | null, first: number, set: SetStates): Hold | null {
  if (!clamp && !set.any) return null;
  const held = clamp && gates[clamp.gate];
  const state = new Map(states.map(({ name, after }) => [after, name]));
  return (node, step, unit) => {
    if (node === held && holds(clamp, clamp!.gate, step + first, unit)) return clamp!.value;
    const name = set.any ? state.get(node) : undefined;
    return name === undefined ? undefined : set.at(name, step, unit);
  };
}

/** Inputs of a layer with what was changed of them. */
export function editedRows(rows: Float32Array[], network: Network, part: NetworkPart, first: number, target: TargetScaling, edits: Edit[]): Float32Array[] {
  const columns = columnsOf(network, part);
  const changed = [...rows];
  for (const { kind, unit, other, value } of edits) {
    const step = other - first;
    const column = columns.find(({ place }) => place === unit);
    if (kind !== "input" || !rows[step] || !column) continue;
    if (changed[step] === rows[step]) changed[step] = rows[step].slice();
    changed[step][unit] = readOf(column, value, target);
  }
  return changed;
}

/** What a column reads at a step of a run, as it is and as the page shows it. */
export function readAt({ trace, target }: Run, column: Column, step: number): { x: number; shown: number } {
  const x = trace.input.vector(step)[column.place];
  return { x, shown: target ? shownOf(column, x, target) : x };
}
