/** Columns, states and changed numbers in words. */
import { columnAt, type Column } from "./columns";
import { definitionOf } from "./definitions";
import { partAt } from "./edits";
import { nameOf, symbolIn } from "./own_cells";
import { visible } from "./panels";
import { termsOf } from "./parts";
import type { Network, Place } from "./reading";
import type { Words } from "./words";

export function columnName({ kind, name, steps = 0, place }: Column, words: Words): string {
  if (kind === "unit") return words.columns.unit(String(place), 0);
  return words.columns[kind](kind === "character" ? visible(name, words) : name, steps);
}

/** The layer whose states a layer of a forecaster reads. */
export function networkBelow({ file, forecaster }: Network, networks: Network[]): Network | null {
  return networks.find((one) => one.file === file && one.forecaster && one.forecaster.layer === (forecaster?.layer ?? 0) - 1) ?? null;
}

export function stateSymbol(network: Network, state: string): string {
  return symbolIn(definitionOf(network), state);
}

/** What multiplies U h + b in the sum of a gate. */
function factorName(network: Network, gate: string, words: Words): string {
  const definition = definitionOf(network);
  const factor = termsOf(definition, gate).ofState?.factor;
  const name = Object.keys(definition.gates).find((of) => definition.gates[of] === factor);
  return name === undefined ? words.factor : `${symbolIn(definition, name)}ₜ`;
}

/** A number that can be changed, in words that only it has. */
export function editName({ network: name, part, kind, gate, unit, other }: Place, networks: Network[], words: Words): string {
  const network = networks.find((network) => network.name === name)!;
  const column = kind === "input" ? columnAt(network, partAt(network, other), unit) : kind === "input_weight" ? columnAt(network, part, other) : undefined;
  const what = kind === "state" ? stateSymbol(network, gate) : kind === "inner" ? factorName(network, gate, words) : column ? columnName(column, words) : "";
  const { layer = 0, layers = 1 } = network.forecaster ?? {};
  const where = [part && words.networkParts[part], layers > 1 && kind !== "input" ? words.layer(layer + 1) : ""].filter(Boolean);
  const told = words.editName(kind, kind === "state" || !gate ? "" : nameOf(network, gate, words), unit, other, what);
  return where.length ? words.within(told, where) : told;
}
