/** The definitions of the cells that the page comes with, as gated.cells.document writes them, and that of a network. */
import CELLS from "./cells.json";
import type { Definition } from "./engine";
import type { Network } from "./reading";

export function definitionOf({ cell, relu, definition }: Pick<Network, "cell" | "relu" | "definition">): Definition {
  return definition ?? (CELLS as unknown as Record<string, Definition>)[cell === "rnn" ? (relu ? "rnn_relu" : "rnn_tanh") : cell];
}
