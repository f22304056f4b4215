/** The panel of an opened gate: bars of the parts of its sum, the sum, and what becomes of it. */
import { gatePalette, signedPalette, type Theme } from "./colours";
import { signed } from "./diagram";
import { Bars } from "./panels";
import { partsOf } from "./parts";
import type { Run } from "./recurrence";
import type { Words } from "./words";

/** The character, the units that are named, the others, the bias, the sum, the gate. */
const ROWS = 11;

export class BoxPanel {
  private readonly title = document.createElement("h3");
  private readonly told = document.createElement("p");
  private readonly bars: Bars;

  constructor(private readonly panel: HTMLElement, close: () => void) {
    const button = document.createElement("button");
    button.type = "button";
    button.id = "close-box";
    button.addEventListener("click", close);
    const head = document.createElement("div");
    head.className = "row";
    head.append(this.title, button);
    this.told.className = "hint";
    panel.append(head, this.told);
    const rows = document.createElement("div");
    panel.append(rows);
    this.bars = new Bars(rows, ROWS);
  }

  /** Show a gate at a step, or hide; `character` is what is read there. */
  fill(run: Run | undefined, gate: string, step: number, unit: number, character: string, theme: Theme, words: Words): void {
    this.panel.hidden = !run || !gate;
    if (!run || !gate) return;
    const parts = partsOf(run, gate, step, unit);
    const { input, states, others, bias, sum, value, squash, held, reset } = parts;
    const symbol = symbolOf(run, gate);
    this.title.textContent = words.boxTitle(words.arrays[nameOf(run, gate)], signed(value));
    this.told.textContent = held ? words.boxHeld(signed(value)) : words.boxHint(symbol, reset === null ? null : signed(reset));
    this.panel.querySelector("#close-box")!.textContent = words.boxClose;
    const palette = signedPalette(theme);
    const most = Math.max(...[input, others, bias, sum, ...states.map(({ part }) => part)].map(Math.abs), 1e-9);
    const rows: [string, number, boolean][] = [
      [words.boxInput(character), input, false],
      ...states.map(({ unit, state, weight, part }): [string, number, boolean] => [words.boxState(unit, signed(state), signed(weight)), part, false]),
      [words.boxOthers(run.weights.units - states.length), others, false],
      [words.boxBias, bias, false],
      [words.boxSum, sum, true],
    ];
    rows.forEach(([name, part, strong], place) => this.bars.fill(place, name, Math.abs(part) / most, signed(part), palette(0.75 * Math.sign(part)), null, strong));
    const colour = squash === "σ" ? gatePalette(theme)(0.35 + 0.65 * value) : palette(0.75 * Math.sign(value));
    this.bars.fill(rows.length, held ? words.boxHeldRow : words.boxResult(squash), Math.abs(value), signed(value), colour, null, true);
    this.bars.hideFrom(rows.length + 1);
  }
}

function nameOf({ weights: { cell } }: Run, gate: string): string {
  return gate === "candidate" && cell === "gru" ? "candidate_state" : gate;
}

const SYMBOLS: Record<string, string> = { input_gate: "i", forget_gate: "f", output_gate: "o", reset_gate: "r", update_gate: "z", candidate: "c", candidate_state: "n", hidden: "h" };

function symbolOf(run: Run, gate: string): string {
  return SYMBOLS[nameOf(run, gate)];
}
