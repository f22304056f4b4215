/** The panel of an opened gate: bars of the parts of its sum, the sum, and what becomes of it. */
import { gatePalette, signedPalette, type Theme } from "./colours";
import { signed } from "./diagram";
import { keyOf } from "./edits";
import { NumberField, type Change } from "./number_field";
import { Bars } from "./panels";
import { partsOf, type Parts } from "./parts";
import { nameOf, symbolIn } from "./own_cells";
import { at, type Edit, type EditKind, type Network, type Place } from "./reading";
import type { Run } from "./recurrence";
import type { Words } from "./words";

/** The character, the units that are named, the others, what else there is, the bias, the sum, the gate. */
const ROWS = 12;

/** A number that can be changed: where it stands, its value, and its name. */
interface Editable {
  place: Place;
  value: number;
  label: string;
}

/** Words, a number, words, a number: what stands before a bar. */
type Name = [string, Editable?, string?, Editable?];

class NameSlot {
  private readonly words = [document.createElement("span"), document.createElement("span")];
  private readonly fields: NumberField[];

  constructor(parent: HTMLElement, change: Change, refuse: (words: string) => void) {
    this.fields = this.words.map(() => new NumberField(change, refuse));
    this.words.forEach((words, place) => parent.append(words, this.fields[place].element));
  }

  fill(name: Name, edited: Set<string>): void {
    this.words.forEach((words, place) => {
      words.textContent = (name[2 * place] as string | undefined) ?? "";
      const editable = name[2 * place + 1] as Editable | undefined;
      if (editable) this.fields[place].fill(editable.place, editable.value, edited.has(keyOf(editable.place)), editable.label);
      else this.fields[place].hide();
    });
  }
}

export class BoxPanel {
  private readonly title = document.createElement("h3");
  private readonly told = document.createElement("p");
  private readonly hint = document.createElement("p");
  private readonly refused = document.createElement("p");
  private readonly bars: Bars;
  private readonly names: NameSlot[];
  private readonly before: NameSlot;
  private readonly states = document.createElement("p");
  private readonly statesName = document.createElement("span");
  /** The units that are named, of which gate and moment: they stay while their numbers change. */
  private named: { key: string; units: number[] } = { key: "", units: [] };

  constructor(private readonly panel: HTMLElement, close: () => void, change: Change) {
    const button = document.createElement("button");
    button.type = "button";
    button.id = "close-box";
    button.addEventListener("click", close);
    const head = document.createElement("div");
    head.className = "row";
    head.append(this.title, button);
    this.told.className = this.hint.className = "hint";
    this.refused.id = "refused";
    this.refused.setAttribute("role", "alert");
    panel.append(head, this.told);
    const rows = document.createElement("div");
    panel.append(rows);
    this.bars = new Bars(rows, ROWS);
    const refuse = (words: string) => (this.refused.textContent = words);
    this.names = Array.from({ length: ROWS }, (_, place) => new NameSlot(this.bars.nameOf(place), change, refuse));
    this.states.className = "states";
    this.states.append(this.statesName);
    this.before = new NameSlot(this.states, change, refuse);
    panel.append(this.states, this.hint, this.refused);
  }

  /** Show a gate at a step, or hide; `character` is what is read there, `edits` what was changed of the network. */
  fill(run: Run | undefined, of: Network, gate: string, step: number, unit: number, character: string, edits: Edit[], theme: Theme, words: Words): void {
    this.panel.hidden = !run || !gate;
    if (!run || !gate) return;
    const { name: network, definition } = of;
    const parts = partsOf(run, gate, step, unit, this.unitsOf(run, network, gate, step, unit));
    const { states, others, bias, sum, value, squash, held, reset } = parts;
    const symbol = definition ? symbolIn(definition, gate) : SYMBOLS[gate === "candidate" && of.cell === "gru" ? "candidate_state" : gate];
    const gateName = nameOf(of, gate, words);
    this.title.textContent = words.boxTitle(gateName, signed(value));
    this.told.textContent = held ? words.boxHeld(signed(value)) : definition ? words.boxOwnHint(symbol, reset === null ? null : signed(reset)) : words.boxHint(symbol, reset === null ? null : signed(reset));
    this.hint.textContent = definition ? "" : words.boxEdit;
    this.panel.querySelector("#close-box")!.textContent = words.boxClose;
    const edited = new Set(edits.map(keyOf));
    const editable = (kind: EditKind, of: number, other: number, value: number): Editable => {
      const place = { network, kind, gate: kind === "hidden" || kind === "cell" ? "" : gate, unit: of, other };
      return { place, value, label: words.editName(kind, gateName, of, other, character) };
    };
    const palette = signedPalette(theme);
    const most = Math.max(...[parts.input, others, bias, sum, parts.rest ?? 0, ...states.map(({ part }) => part)].map(Math.abs), 1e-9);
    const shown = (name: Name): Name => (definition ? [name.length > 2 ? name.map((part) => (typeof part === "object" ? signed(part.value) : part)).join(" ") : name[0]] : name);
    const rows: [Name, number, boolean][] = [
      [[words.boxInput(character), editable("character", unit, run.characters[step], parts.input)], parts.input, false],
      ...states.map(({ unit: other, state, weight, part }): [Name, number, boolean] => [
        [words.boxState(other), editable("hidden", other, step - 1, state), "×", editable("weight", unit, other, weight)], part, false,
      ]),
      [[words.boxOthers(run.weights.units - states.length)], others, false],
      ...(parts.rest === null ? [] : [[[words.boxRest], parts.rest, false] as [Name, number, boolean]]),
      [this.biasName(parts, unit, editable, words), bias, false],
      [[words.boxSum], sum, true],
    ];
    rows.forEach(([name, part, strong], place) => {
      this.bars.fill(place, null, Math.abs(part) / most, signed(part), palette(0.75 * Math.sign(part)), null, strong);
      this.names[place].fill(shown(name), edited);
    });
    const colour = squash === "σ" ? gatePalette(theme)(0.35 + 0.65 * value) : palette(0.75 * Math.sign(value));
    this.bars.fill(rows.length, null, Math.abs(value), signed(value), colour, null, true);
    this.names[rows.length].fill([held ? words.boxHeldRow : words.boxResult(squash)], edited);
    this.bars.hideFrom(rows.length + 1);
    this.states.hidden = step === 0 || !!definition;
    if (this.states.hidden) return;
    const state = (kind: "hidden" | "cell") => editable(kind, unit, step - 1, at(run.arrays[kind], step - 1, unit));
    this.statesName.textContent = words.boxBefore;
    this.before.fill(["hₜ₋₁", state("hidden"), ...(run.arrays.cell ? (["cₜ₋₁", state("cell")] as const) : [])] as Name, edited);
  }

  private unitsOf(run: Run, network: string, gate: string, step: number, unit: number): number[] {
    const key = JSON.stringify([network, gate, step, unit, run.characters.length]);
    if (key !== this.named.key) {
      this.named = { key, units: partsOf(run, gate, step, unit).states.map(({ unit }) => unit) };
      this.refused.textContent = "";
    }
    return this.named.units;
  }

  private biasName({ bias, biases, reset }: Parts, unit: number, editable: (kind: EditKind, of: number, other: number, value: number) => Editable, words: Words): Name {
    if (!biases) return [words.boxBias, editable("bias", unit, 0, bias)];
    return [words.boxBias, editable("bias", unit, 0, biases.input), `+ ${signed(reset!)} ×`, editable("inner", unit, 0, biases.inner)];
  }
}

const SYMBOLS: Record<string, string> = { input_gate: "i", forget_gate: "f", output_gate: "o", reset_gate: "r", update_gate: "z", candidate: "c", candidate_state: "n", hidden: "h" };
