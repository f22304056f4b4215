/** Whether a document that someone else may have written is that of a cell; the rules are those of gated.cells.check_document. */
import { ARITIES, type Definition } from "./engine";
import { FolderError } from "./folder_error";
import type { Words } from "./words";

const MOST_NODES = 2000;
const MOST_LINES = 200;
const LINE = 1000;
const WIDTHS = ["H", "I", "P", "1"];
const NAME = /^(?!__)[\p{L}_][\p{L}\p{N}_]{0,59}$/u;

type Anything = Record<string, unknown>;

/** What was expected at a place, in the language of the page. */
type Expected = (words: Words["wanted"]) => string;

function refuse(where: string, found: unknown, expected: Expected): never {
  const said = JSON.stringify(found);
  const shown = said && said.length >= 80 ? `${said.slice(0, 77)}…` : said;
  throw new FolderError((words) => words.noCell(where, shown ?? words.wanted.missing, expected(words.wanted)));
}

function object(found: unknown, where: string): Anything {
  if (typeof found !== "object" || found === null || Array.isArray(found)) refuse(where, found, ({ object }) => object);
  return found as Anything;
}

function list(found: unknown, where: string, most = MOST_LINES): unknown[] {
  if (!Array.isArray(found) || found.length > most) refuse(where, found, ({ list }) => list(most));
  return found as unknown[];
}

function named(found: unknown, where: string): string {
  if (typeof found !== "string" || !NAME.test(found)) refuse(where, found, ({ name }) => name);
  return found as string;
}

function oneOf(found: unknown, known: string[], where: string): string {
  if (typeof found !== "string" || !known.includes(found)) refuse(where, found, ({ oneOf }) => oneOf(known));
  return found as string;
}

function below(found: unknown, count: number, where: string): number {
  if (!Number.isInteger(found) || (found as number) < 0 || (found as number) >= count) refuse(where, found, ({ below }) => below(count));
  return found as number;
}

function checkNode(of: { nodes: Anything[]; states: Anything[]; matrices: Anything[]; parameters: Anything[] }, place: number): void {
  const where = `nodes[${place}]`;
  const { about } = of.nodes[place];
  const width = oneOf(of.nodes[place].width, WIDTHS, `${where}.width`);
  const operation = oneOf(of.nodes[place].operation, Object.keys(ARITIES), `${where}.operation`);
  const sources = list(of.nodes[place].arguments, `${where}.arguments`, 3);
  if (sources.length !== ARITIES[operation]) refuse(`${where}.arguments`, sources, ({ count }) => count(ARITIES[operation], operation));
  const widths = sources.map((argument) => of.nodes[below(argument, place, `${where}.arguments`)].width);
  if (operation === "constant") {
    if (!Number.isFinite(about)) refuse(`${where}.about`, about, ({ number }) => number);
    oneOf(width, ["1"], `${where}.width`);
  } else if (operation === "input") oneOf(width, ["I"], `${where}.width`);
  else if (operation === "state") oneOf(width, [String(of.states[below(about, of.states.length, `${where}.about`)].width)], `${where}.width`);
  else if (operation === "size") oneOf(about, WIDTHS, `${where}.about`);
  else if (operation === "product" || operation === "parameter") {
    const { name, gate } = object(about, `${where}.about`);
    const all = operation === "product" ? of.matrices : of.parameters;
    const one = all[all.findIndex((other) => other.name === oneOf(name, all.map((other) => String(other.name)), `${where}.about.name`))];
    const gates = one.gates as string[];
    oneOf(gate, gates.length ? gates : [""], `${where}.about.gate`);
    if (operation === "product") {
      oneOf(width, [String(one.rows)], `${where}.width`);
      oneOf(widths[0], [String(one.columns)], `${where}.arguments[0].width`);
    }
  } else if (operation === "spread") oneOf(widths[0], ["1"], `${where}.arguments[0].width`);
  else if (operation !== "sum") widths.forEach((one, argument) => oneOf(one, [width, "1"], `${where}.arguments[${argument}].width`));
  if (operation === "sum" || operation === "size") oneOf(width, ["1"], `${where}.width`);
}

/** The document, which can be computed as it is; an error says what was found, what was expected, and what to do. */
export function checkedDefinition(document: unknown): Definition {
  const found = object(document, "cell");
  named(found.name, "name");
  const objects = (key: string, most?: number) => list(found[key], key, most).map((one, place) => object(one, `${key}[${place}]`));
  const [nodes, states, matrices, parameters] = [objects("nodes", MOST_NODES), objects("states"), objects("matrices"), objects("parameters")];
  for (const [key, all] of [["matrices", matrices], ["parameters", parameters]] as const) {
    all.forEach((one, place) => {
      named(one.name, `${key}[${place}].name`);
      for (const gate of list(one.gates, `${key}[${place}].gates`)) if (gate !== "1") named(gate, `${key}[${place}].gates`);
    });
  }
  matrices.forEach(({ bias, rows, columns, heads }, place) => {
    if (bias !== null) named(bias, `matrices[${place}].bias`);
    oneOf(rows, WIDTHS, `matrices[${place}].rows`);
    oneOf(columns, WIDTHS, `matrices[${place}].columns`);
    if (!below(heads, MOST_NODES, `matrices[${place}].heads`)) refuse(`matrices[${place}].heads`, heads, ({ heads }) => heads);
  });
  nodes.forEach((_, place) => checkNode({ nodes, states, matrices, parameters }, place));
  if (!states.length) refuse("states", states, ({ some }) => some);
  states.forEach(({ name, width, after }, place) => {
    named(name, `states[${place}].name`);
    oneOf(width, ["H"], `states[${place}].width`);
    oneOf(nodes[below(after, nodes.length, `states[${place}].after`)].width, ["H", "1"], `nodes[states[${place}].after].width`);
  });
  oneOf(nodes[below(found.output, nodes.length, "output")].width, ["H"], "nodes[output].width");
  const gates = object(found.gates, "gates");
  for (const [gate, node] of Object.entries(gates)) below(node, nodes.length, `gates.${named(gate, "gates")}`);
  for (const gate of list(found.held, "held")) oneOf(nodes[gates[oneOf(gate, Object.keys(gates), "held")] as number].operation, ["sigmoid"], `nodes[gates.${String(gate)}].operation`);
  if (found.memory !== null) {
    const memory = object(found.memory, "memory");
    oneOf(memory.state, states.map(({ name }) => String(name)), "memory.state");
    for (const key of ["keep", "write"]) below(memory[key], nodes.length, `memory.${key}`);
  }
  for (const line of [...list(found.equations, "equations"), ...Object.values(object(found.symbols, "symbols"))]) {
    if (typeof line !== "string" || line.length > LINE) refuse("equations, symbols", line, ({ text }) => text(LINE));
  }
  return found as unknown as Definition;
}
