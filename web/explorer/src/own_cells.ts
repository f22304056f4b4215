/** What the page shows of a cell that it has no drawing of, from its definition. */
import { CURVE_STYLES, type Role } from "./colours";
import type { Definition } from "./engine";
import { htmlOf, textOf } from "./latex";
import { at, type Network, type Reading } from "./reading";
import type { Diagram, Operation, Wire } from "./diagrams";
import type { Words } from "./words";

/** The name of a gate or a state of a network in words. */
export function nameOf({ cell, definition }: Pick<Network, "cell" | "definition">, name: string, words: Words): string {
  const known = cell === "gru" && name === "candidate" ? "candidate_state" : name;
  if (!definition) return Object.hasOwn(words.arrays, known) ? words.arrays[known] : name;
  const symbol = symbolIn(definition, name);
  // Known names have the symbol of the definition in the place of the usual one.
  if (Object.hasOwn(words.arrays, name)) return `${words.arrays[name].replace(/ \S+$/, "")} ${symbol}`;
  const state = definition.states.some((of) => of.name === name);
  return words.ownName(state, definition.held.includes(name), symbol === name ? symbol : [name.replaceAll("_", " "), symbol].join(words.comma));
}

export function symbolIn({ symbols }: Definition, name: string): string {
  return Object.hasOwn(symbols, name) ? textOf(symbols[name]) : name;
}

/** The gate that is the factor of what is kept; "" where it is no single gate. */
export function keepingGate({ memory, held, gates }: Definition): string {
  return (memory && held.find((gate) => gates[gate] === memory.keep)) ?? "";
}

/** What gates and states do, where the definition says so: gates that multiply the memory, what is written, the output. */
export function rolesOf(definition: Definition): Record<string, Role> {
  const { nodes, held, gates, states, memory, output } = definition;
  const factors = (node: number): number[] => (nodes[node].operation === "mul" ? nodes[node].arguments.flatMap(factors) : [node]);
  const among = (node: number) => held.filter((gate) => factors(node).includes(gates[gate]));
  const found: Record<string, Role> = Object.fromEntries(Object.keys(gates).map((gate) => [gate, "plain"]));
  for (const { name } of states) found[name] = name === memory?.state && states[0].name !== name ? "cell" : "hidden";
  if (nodes[output].operation === "mul") for (const gate of among(output)) found[gate] = "read";
  if (memory) {
    for (const gate of among(memory.write)) found[gate] = "write";
    if (nodes[memory.write].operation === "mul") for (const [gate, node] of Object.entries(gates)) if (!held.includes(gate) && factors(memory.write).includes(node)) found[gate] = "candidate";
    for (const gate of among(memory.keep)) found[gate] = "keep";
  }
  return found;
}

/** Gates and states that are shown over time; a gate whose value is that of a state, under the state's name. */
export function shownOf({ gates, states }: Definition): string[] {
  const after = states.map((state) => state.after);
  return [...Object.keys(gates).filter((gate) => !after.includes(gates[gate])), ...states.map(({ name }) => name).reverse()];
}

export interface Curve {
  name: string;
  symbol: string;
  style: keyof typeof CURVE_STYLES;
}

/** Gates that are drawn as curves at most. */
const MOST_GATES = 3;

/** The state that remembers, and the gates with a sigmoid. */
export function curvesOf(definition: Definition): Curve[] {
  const roles = rolesOf(definition);
  const state = definition.memory?.state ?? definition.states[0].name;
  const curve = (name: string): Curve => ({ name, symbol: `${symbolIn(definition, name)}ₜ`, style: roles[name] as Curve["style"] });
  return [state, ...definition.held.slice(0, MOST_GATES)].map(curve);
}

const SIGNS: Record<string, string> = { sigmoid: "σ", add: "+", sub: "−", mul: "⊙", div: "÷", where: "if", maximum: "max", minimum: "min" };
const [WIDTH, HEIGHT, SIDE, FOOT] = [640, 330, 45, 20];
const BEND = 58;

/** Gates and states in columns, each after what it is computed from, with a wire for each that it reads. */
export function drawnOf(definition: Definition): Diagram {
  const { nodes, states, gates } = definition;
  const named = new Map<number, string>();
  for (const [name, node] of Object.entries(gates)) named.set(node, name);
  for (const { name, after } of states) named.set(after, name);
  const reads = new Map<string, string[]>();
  const sources = (node: number, top = true): string[] => {
    const { operation, arguments: given, about } = nodes[node];
    if (!top && named.has(node)) return [named.get(node)!];
    if (operation === "input") return [" x"];
    if (operation === "state") return [` ${states[about as number].name}`];
    return [...new Set(given.flatMap((of) => sources(of, false)))];
  };
  const order = [...named.keys()].sort((a, b) => a - b);
  for (const node of order) reads.set(named.get(node)!, sources(node));
  const first = [...states.map(({ name }) => ` ${name}`), " x"];
  const depth = new Map(first.map((name): [string, number] => [name, 0]));
  for (const node of order) depth.set(named.get(node)!, 1 + Math.max(0, ...reads.get(named.get(node)!)!.map((name) => depth.get(name) ?? 0)));
  const deepest = Math.max(...depth.values());
  const columns = Array.from({ length: deepest + 1 }, (_, column) => [...depth.keys()].filter((name) => depth.get(name) === column));
  const places = new Map<string, [number, number]>();
  columns.forEach((names, column) =>
    names.forEach((name, row) => places.set(name, [SIDE + ((WIDTH - 2 * SIDE) * column) / Math.max(1, deepest), ((HEIGHT - FOOT) * (row + 0.5)) / names.length])),
  );
  const valueOf = (name: string): Wire["value"] => {
    if (name === " x") return undefined;
    const before = name.startsWith(" ");
    return ({ arrays }: Reading, step, unit) => (before && !step ? 0 : at(arrays[name.trim()], step - Number(before), unit));
  };
  const symbolOf = (name: string) => (name === " x" ? "xₜ" : `${symbolIn(definition, name.trim())}${name.startsWith(" ") ? "ₜ₋₁" : "ₜ"}`);
  const edges = order.flatMap((node) => {
    const name = named.get(node)!;
    const [x, y] = places.get(name)!;
    return reads.get(name)!.map((from): Wire => {
      const [left, top] = places.get(from)!;
      const middle = (left + x) / 2;
      // What passes a column goes around what stands there.
      const bend = depth.get(name)! - depth.get(from)! > 1 ? (top > y ? -BEND : BEND) : 0;
      return { id: `${from}→${name}`, symbol: "", label: [0, 0], path: `M${left} ${top} C${middle} ${top - bend} ${middle} ${y - bend} ${x} ${y}`, value: valueOf(from), quiet: true };
    });
  });
  const ends = [...places].map(([name, [x, y]]): Wire => ({ id: name, symbol: symbolOf(name), label: name === " x" ? [x - SIDE + 8, y + 32] : [x, y + 32], anchor: name === " x" ? "start" : "middle", path: `M${x - 12} ${y} h24`, input: name === " x", value: valueOf(name) }));
  const roles = rolesOf(definition);
  const operations = order.map((node): Operation => {
    const name = named.get(node)!;
    const gate = Object.keys(gates).find((of) => gates[of] === node);
    return { symbol: SIGNS[nodes[node].operation] ?? nodes[node].operation, place: places.get(name)!, box: gate !== undefined, gate, role: roles[name] };
  });
  const equations = definition.equations.map((line) => {
    const left = line.split(" = ")[0];
    const name = [...named.values(), ...Object.keys(gates)].find((of) => `${definition.symbols[of]}_t` === left);
    return {
      html: htmlOf(line),
      wires: name ? [name, ...edges.filter(({ id }) => id.endsWith(`→${name}`)).map(({ id }) => id)] : [],
      gate: name !== undefined && Object.hasOwn(gates, name) ? name : Object.keys(gates).find((of) => named.get(gates[of]) === name),
    };
  });
  return { wires: [...edges, ...ends], operations, equations };
}
