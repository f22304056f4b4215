/** The panel of an opened gate: bars of the parts of its sum, the sum, and what becomes of it. */
import { gatePalette, signedPalette, type Theme } from "./colours";
import { hasUnit, spreadOf } from "./columns";
import { definitionOf } from "./definitions";
import { signed } from "./diagram";
import { wireValues } from "./diagrams";
import { columnName, editName, networkBelow, stateSymbol } from "./edit_names";
import { keyOf } from "./edits";
import { NumberField, type Change, type Editable } from "./number_field";
import { nameOf, symbolIn } from "./own_cells";
import { Bars } from "./panels";
import { biasesIn, partsOf, type Chosen, type InputPart, type Parts, type StatePart } from "./parts";
import { at, runAt, type Edit, type EditKind, type Network, type Place, type Reading } from "./reading";
import type { Run } from "./recurrence";
import type { Words } from "./words";

/** Words, a number, words, a number: what stands before a bar. */
type Name = (string | Editable | undefined)[];

class NameSlot {
  private readonly words: HTMLElement[] = [];
  private readonly fields: NumberField[] = [];

  constructor(private readonly parent: HTMLElement, private readonly change: Change, private readonly refuse: (words: string) => void) {}

  fill(name: Name, edited: Map<string, number>): void {
    const pairs = Math.ceil(name.length / 2);
    while (this.words.length < pairs) {
      this.words.push(document.createElement("span"));
      this.fields.push(new NumberField(this.change, this.refuse));
      this.parent.append(this.words.at(-1)!, this.fields.at(-1)!.element);
    }
    this.words.forEach((words, place) => {
      words.textContent = (name[2 * place] as string | undefined) ?? "";
      const editable = name[2 * place + 1] as Editable | undefined;
      if (editable) this.fields[place].fill(editable, edited.get(keyOf(editable.place)));
      else this.fields[place].hide();
    });
  }
}

export class BoxPanel {
  private readonly title = document.createElement("h3");
  private readonly does = document.createElement("p");
  private readonly told = document.createElement("p");
  private readonly hint = document.createElement("p");
  private readonly refused = document.createElement("p");
  private readonly bars: Bars;
  private readonly names: NameSlot[] = [];
  private readonly before: NameSlot;
  private readonly states = document.createElement("p");
  private readonly statesName = document.createElement("span");
  private readonly refuse = (words: string) => void (this.refused.textContent = words);
  /** What is named, of which gate and moment: it stays while its numbers change. */
  private named: { key: string; chosen: Chosen } = { key: "", chosen: { inputs: [], states: [] } };

  constructor(private readonly panel: HTMLElement, close: () => void, private readonly change: Change) {
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
    panel.append(head, this.does, this.told);
    const rows = document.createElement("div");
    panel.append(rows);
    this.bars = new Bars(rows);
    this.states.className = "states";
    this.states.append(this.statesName);
    this.before = new NameSlot(this.states, change, this.refuse);
    panel.append(this.states, this.hint, this.refused);
  }

  /** Show a gate at a step, or hide; `edits` are what was changed of the network. */
  fill(reading: Reading, network: Network, networks: Network[], gate: string, step: number, unit: number, edits: Edit[], theme: Theme, words: Words): void {
    const found = gate ? runAt(reading, step) : null;
    this.panel.hidden = !found;
    if (!found) return;
    const [run, local] = found;
    const { part } = run;
    this.panel.classList.toggle("of-columns", part !== "");
    const parts = partsOf(run, gate, local, unit, this.chosenOf(run, gate, local, unit));
    const { inputs, otherInputs, states, others, bias, sum, value, squash, held, reset } = parts;
    const { definition } = network;
    const array = gate === "candidate" && network.cell === "gru" ? "candidate_state" : gate;
    const symbol = definition ? symbolIn(definition, gate) : SYMBOLS[array];
    this.title.textContent = words.boxTitle(nameOf(network, gate, words), signed(value));
    this.does.hidden = definition !== undefined;
    this.does.textContent = definition ? "" : words.does[array](wireValues(network.cell, reading, step, unit));
    const factor = reset === null ? null : signed(reset);
    this.told.textContent = held ? words.boxHeld(signed(value)) : (definition ? words.boxOwnHint : words.boxHint)(symbol, squash, factor, part);
    this.hint.textContent = words.boxEdit;
    this.panel.querySelector("#close-box")!.textContent = words.boxClose;
    const edited = new Map(edits.map((edit) => [keyOf(edit), edit.value]));
    const editable = (kind: EditKind, named: string, of: number, other: number, value: number, owner = network): Editable => {
      const ofStep = kind === "state" || kind === "input";
      const place: Place = { network: owner.name, part: ofStep ? "" : part, kind, gate: named, unit: of, other };
      return { place, value, label: editName(place, networks, words) };
    };
    const inputName = ({ column, read, weight }: InputPart): Name => {
      const name = columnName(column, words);
      const ofWeight = weight === null ? undefined : editable("input_weight", gate, unit, column.place, weight);
      if (!read) return [name, ofWeight];
      const below = column.kind === "unit" ? networkBelow(network, networks) : null;
      if (below) return [`${name}${words.colon.trimEnd()}`, editable("state", below.states[0], column.place, step, read.shown, below), "×", ofWeight];
      const nudge = run.target ? nudgeOf(spreadOf(column, read.shown, run.target)) : undefined;
      return [`${name}${words.colon.trimEnd()}`, { ...editable("input", "", column.place, step, read.shown), nudge }, hasUnit(column) ? `→ ${signed(read.x)} ×` : "×", ofWeight];
    };
    const stateName = ({ unit: other, state, weight }: StatePart): Name => {
      const { source } = parts;
      const ofWeight = editable("weight", gate, unit, other, weight);
      if (!source) return [`${words.boxUnit(other)}${words.colon.trimEnd()} ${signed(state)} ×`, ofWeight];
      return [`${words.boxState(stateSymbol(network, source), other)}${words.colon.trimEnd()}`, editable("state", source, other, step - 1, state), "×", ofWeight];
    };
    const palette = signedPalette(theme);
    const rows: [Name, number, boolean][] = [
      ...inputs.map((input): [Name, number, boolean] => [inputName(input), input.part, false]),
      ...(otherInputs.count ? [[[words.boxOtherInputs(otherInputs.count)], otherInputs.part, false] as [Name, number, boolean]] : []),
      ...states.map((state): [Name, number, boolean] => [stateName(state), state.part, false]),
      ...(others.count ? [[[words.boxOthers(others.count, states.length)], others.part, false] as [Name, number, boolean]] : []),
      ...(parts.rest === null ? [] : [[[words.boxRest], parts.rest, false] as [Name, number, boolean]]),
      [this.biasName(parts, network, gate, unit, editable, words), bias, false],
      [[words.boxSum], sum, true],
    ];
    const most = Math.max(...rows.map(([, part]) => Math.abs(part)), 1e-9);
    const fill = (place: number, name: Name, share: number, number: number, colour: string, strong: boolean) => {
      this.bars.fill(place, null, share, signed(number), colour, null, strong);
      (this.names[place] ??= new NameSlot(this.bars.nameOf(place), this.change, this.refuse)).fill(name, edited);
    };
    rows.forEach(([name, part, strong], place) => fill(place, name, Math.abs(part) / most, part, palette(0.75 * Math.sign(part)), strong));
    const colour = squash === "σ" ? gatePalette(theme)(0.35 + 0.65 * value) : palette(0.75 * Math.sign(value));
    fill(rows.length, [held ? words.boxHeldRow : words.boxResult(squash)], Math.abs(value), value, colour, true);
    this.bars.hideFrom(rows.length + 1);
    this.states.hidden = step === 0;
    if (this.states.hidden) return;
    this.statesName.textContent = words.boxBefore;
    const before = (state: string): Name => [`${stateSymbol(network, state)}ₜ₋₁`, editable("state", state, unit, step - 1, at(reading.arrays[state], step - 1, unit))];
    this.before.fill(network.states.flatMap(before), edited);
  }

  private chosenOf(run: Run, gate: string, step: number, unit: number): Chosen {
    const key = JSON.stringify([run.network, run.part, gate, step, unit, run.trace.steps]);
    if (key !== this.named.key) {
      const { inputs, states } = partsOf(run, gate, step, unit);
      const read = run.columns(step);
      this.named = { key, chosen: { inputs: inputs.map(({ column }) => read.indexOf(column)), states: states.map(({ unit }) => unit) } };
      this.refused.textContent = "";
    }
    return this.named.chosen;
  }

  private biasName({ bias, biases, reset }: Parts, network: Network, gate: string, unit: number, editable: (kind: EditKind, named: string, of: number, other: number, value: number) => Editable, words: Words): Name {
    const has = biasesIn(definitionOf(network), gate);
    const own = has.bias ? editable("bias", gate, unit, 0, biases?.input ?? bias) : undefined;
    return has.inner ? [words.boxBias, own, `${own ? "+ " : ""}${signed(reset!)} ×`, editable("inner", gate, unit, 0, biases!.inner)] : [words.boxBias, own];
  }
}

/** A tenth of a spread, as a power of ten. */
function nudgeOf(spread: number): number {
  return 10 ** Math.max(-4, Math.round(Math.log10(0.1 * spread || 0.1)));
}

const SYMBOLS: Record<string, string> = { input_gate: "i", forget_gate: "f", output_gate: "o", reset_gate: "r", update_gate: "z", candidate: "c", candidate_state: "n", hidden: "h" };
