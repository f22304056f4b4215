/** Three small networks that learn to remember, in the page: losses, gates, and how the gradient flows back. */
import { scaleLinear } from "d3-scale";
import type { Cell } from "./cells";
import type { Theme } from "./colours";
import { find } from "./controls";
import { drawCurves, LineSample, type Curves, type Tick } from "./curve_plot";
import { HeatMap } from "./heatmap";
import { Learner, logShare, USUAL_BIAS, type Pass } from "./learner";
import { chanceFrom, exampleOf, PROBLEMS, SHAPES, signOf, type Example, type Problem } from "./problems";
import type { Words } from "./words";

const CELLS: Cell[] = ["rnn", "gru", "lstm"];
const UNITS = 16;
const BATCH = 8;
const RATE = 0.01;
/** Milliseconds of a frame that learning may take. */
const BUDGET = 11;
const MOST_UPDATES = 4000;
/** Updates that a point of a curve is the mean of. */
const POINT = 10;
/** Points that the picture of the losses has room for, at least. */
const FEWEST = 40;
/** Where the axis of updates has numbers. */
const HALVES = [0, 0.5, 1];
/** Powers of ten that the picture of the gradient has room for. */
const DECADES = 6;
const CLIP = 1;
const DROPOUT = 0.2;
/** Of a forget gate that begins open: σ(3) = 0.95. */
const OPEN_BIAS = 3;
/** The gate that keeps; a plain RNN has only its state. */
const KEEPS: Record<Cell, string> = { rnn: "hidden", gru: "update_gate", lstm: "forget_gate" };
const SEED = 7;

interface Pupil {
  cell: Cell;
  learner: Learner;
  losses: number[];
  recent: number[];
  flow: Float64Array;
  /** How its curves are drawn. */
  sample: LineSample;
  facts: HTMLElement;
  answer: HTMLElement;
  map: HeatMap;
}

export class Training {
  private pupils: Pupil[] = [];
  /** Parameters of the last training, by problem and cell. */
  private readonly learned = new Map<string, Float64Array>();
  private frame = 0;
  private shown: Example | null = null;
  private chance = chanceFrom(SEED);
  private theme: Theme = "light";
  private words: Words | null = null;

  constructor(signal: AbortSignal) {
    find<HTMLSelectElement>("problem-choice").append(...PROBLEMS.map((name) => new Option(name, name)));
    const on = (id: string, event: string, react: () => void) => find(id).addEventListener(event, react);
    on("learn", "click", () => this.toggle());
    on("anew", "click", () => this.begin());
    for (const id of ["problem-choice", "length", "transfer", "open-gate"]) on(id, "change", () => this.begin());
    on("length", "input", () => this.say());
    signal.addEventListener("abort", () => cancelAnimationFrame(this.frame));
    const columns = CELLS.map((cell) => {
      const [element, title, facts, answer] = ["article", "h3", "p", "p"].map((tag) => document.createElement(tag));
      const sample = new LineSample(cell);
      title.append(`${cell.toUpperCase()} `, sample.element);
      answer.className = "top";
      const map = new HeatMap(() => undefined);
      element.append(title, facts, map.element, answer);
      find("pupils").append(element);
      return { cell, sample, facts, answer, map };
    });
    this.columns = columns;
    this.begin();
  }

  private readonly columns: Pick<Pupil, "cell" | "sample" | "facts" | "answer" | "map">[];

  private get problem(): Problem {
    return (find<HTMLSelectElement>("problem-choice").value as Problem) || PROBLEMS[0];
  }

  private get steps(): number {
    return Number(find<HTMLInputElement>("length").value);
  }

  /** New networks, with the weights of the last training where these are to be transferred. */
  private begin(): void {
    for (const { cell, learner } of this.pupils) if (learner.updates) this.learned.set(this.name(cell, this.taught), learner.parameters.slice());
    this.taught = this.problem;
    this.chance = chanceFrom(SEED);
    const { inputs, outputs, classes } = SHAPES[this.problem];
    const transfers = find<HTMLInputElement>("transfer").checked;
    const opened = find<HTMLInputElement>("open-gate").checked;
    this.pupils = this.columns.map((column) => {
      const learner = new Learner(column.cell, inputs, UNITS, outputs, classes, chanceFrom(SEED), opened ? OPEN_BIAS : USUAL_BIAS);
      const before = this.learned.get(this.name(column.cell, this.problem));
      if (transfers && before) learner.parameters.set(before);
      return { ...column, learner, losses: [], recent: [], flow: new Float64Array(0) };
    });
    this.shown = exampleOf(this.problem, this.steps, chanceFrom(SEED + 1));
    this.say();
    this.draw();
  }

  private taught: Problem = PROBLEMS[0];

  private name(cell: Cell, problem: Problem): string {
    return `${problem} ${cell}`;
  }

  private toggle(): void {
    if (this.frame) {
      cancelAnimationFrame(this.frame);
      this.frame = 0;
    } else {
      if (this.done) this.begin();
      this.frame = requestAnimationFrame(() => this.tick());
    }
    this.say();
  }

  private get done(): boolean {
    return this.pupils.every(({ learner }) => learner.updates >= MOST_UPDATES);
  }

  /** As many updates as fit into a frame; every network sees the same batches. */
  private tick(): void {
    const start = performance.now();
    const options = {
      clip: find<HTMLInputElement>("clip").checked ? CLIP : Infinity,
      dropout: find<HTMLInputElement>("drop").checked ? DROPOUT : 0,
      rate: RATE,
    };
    do {
      const batch = Array.from({ length: BATCH }, () => exampleOf(this.problem, this.steps, this.chance));
      for (const pupil of this.pupils) {
        const { loss, flow } = pupil.learner.learn(batch, options);
        pupil.flow = flow;
        pupil.recent.push(loss);
        if (pupil.recent.length < POINT) continue;
        pupil.losses.push(pupil.recent.reduce((sum, part) => sum + part, 0) / POINT);
        pupil.recent = [];
      }
    } while (performance.now() - start < BUDGET && !this.done);
    this.draw();
    this.frame = this.done ? 0 : requestAnimationFrame(() => this.tick());
    if (this.done) this.say();
  }

  /** Words and theme of the page. */
  paint(words: Words, theme: Theme): void {
    [this.words, this.theme] = [words, theme];
    const options = find<HTMLSelectElement>("problem-choice").options;
    for (const { sample } of this.columns) sample.paint(theme);
    for (const option of options) option.textContent = words.problems[option.value as Problem];
    this.say();
    this.draw();
  }

  private say(): void {
    const { words } = this;
    if (!words) return;
    find("learn").textContent = this.frame ? words.pause : words.learn;
    find("length-shown").textContent = words.some(this.steps);
    find("length").setAttribute("aria-valuetext", words.some(this.steps));
    find("problem-told").textContent = words.problemTold[this.problem];
    const measured = words.problemMeasured[this.problem] ?? "";
    find("problem-measured").textContent = measured;
    find<HTMLElement>("problem-measured").hidden = !measured;
  }

  private draw(): void {
    const { words, theme, shown } = this;
    if (!words || !shown) return;
    find("question").textContent = shown.signs.join(" ");
    for (const { cell, learner, losses, facts, answer, map } of this.pupils) {
      const pass = learner.forward(shown);
      const last = losses.at(-1);
      facts.textContent = words.learnt(learner.updates, last === undefined ? null : last.toFixed(3));
      answer.textContent = words.answer(...this.answered(learner, pass, shown));
      const gate = KEEPS[cell];
      map.paint({ steps: pass.trace.steps, width: UNITS, numbers: Float32Array.from(learner.valuesOf(pass, gate)) }, words.arrays[gate], cell === "rnn", theme);
    }
    const { blind } = SHAPES[this.problem];
    const most = 1.5 * blind;
    const points = Math.max(FEWEST, ...this.pupils.map(({ losses }) => losses.length));
    this.plot("losses", {
      lines: this.pupils.map(({ cell, losses }) => ({ cell, values: losses.map((loss) => Math.min(1, loss / most)) })),
      columns: points,
      level: blind / most,
      across: HALVES.map((share): Tick => [share, String(Math.round(share * points * POINT))]),
      up: scaleLinear([0, most], [0, 1]).ticks(4).map((loss): Tick => [loss / most, String(loss)]),
    });
    const decades = (flow: Float64Array) => Array.from(flow, (norm) => Math.max(0, 1 + Math.log10(Math.max(norm / (flow[0] || 1), 1e-12)) / DECADES));
    const back = this.steps - 1;
    this.plot("flow", {
      lines: this.pupils.map(({ cell, flow }) => ({ cell, values: decades(flow).map((value) => Math.min(1, value)) })),
      columns: this.steps,
      level: null,
      across: [0, Math.round(back / 2), back].map((step): Tick => [(step + 0.5) / this.steps, String(step)]),
      up: ["10⁻⁶", "10⁻⁴", "10⁻²", "1"].map((number, place): Tick => [place / 3, number]),
    });
    find("losses").setAttribute("aria-label", `${words.losses}${words.colon}${this.pupils.map(({ cell, losses }) => `${cell.toUpperCase()} ${losses.at(-1)?.toFixed(3) ?? "–"}`).join(words.comma)}`);
    find("flow").setAttribute("aria-label", words.flow);
  }

  /** The last answer and its target as signs, and whether it is right. */
  private answered(learner: Learner, pass: Pass, { asked }: Example): [string, string] {
    const outputs = pass.outputs.at(-1)!;
    const { target } = asked.at(-1)!;
    if (!learner.classes) return [signOf(this.problem, outputs[0]), signOf(this.problem, target)];
    const best = outputs.indexOf(Math.max(...outputs));
    return [`${signOf(this.problem, best)} (${Math.round(100 * Math.exp(logShare(outputs, best)))} %)`, signOf(this.problem, target)];
  }

  private plot(id: string, curves: Curves): void {
    drawCurves(find(id), curves, this.theme);
  }
}
