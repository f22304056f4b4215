/** The cells that the page can run and draw: their gates in the order of the rows of the weights. */
export type Cell = "rnn" | "gru" | "lstm";

export interface Layout {
  gates: string[];
  states: string[];
  /** Gates with a sigmoid, which can be held at a value. */
  clampable: string[];
}

export const LAYOUTS: Record<Cell, Layout> = {
  rnn: { gates: ["hidden"], states: ["hidden"], clampable: [] },
  gru: { gates: ["reset_gate", "update_gate", "candidate"], states: ["hidden"], clampable: ["reset_gate", "update_gate"] },
  lstm: {
    gates: ["input_gate", "forget_gate", "candidate", "output_gate"],
    states: ["hidden", "cell"],
    clampable: ["input_gate", "forget_gate", "output_gate"],
  },
};

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
