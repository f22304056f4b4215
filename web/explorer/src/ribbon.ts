/** The passage around the moment, one line that stays in sight, and under it the followed unit's curves. */
import { CURVE_STYLES, roleColour, signedPalette, type Theme } from "./colours";
import { glyphOf } from "./glyphs";
import { signed } from "./diagram";
import { shares, type Ledger } from "./ledger";
import { curvesOf, type Curve } from "./own_cells";
import { at, type Network, type Reading } from "./reading";

const TEXT_HEIGHT = 22;
const CURVES_HEIGHT = 62;
const EDGE = 4;
const COLUMN = 13;
const FONT = "14px ui-monospace, 'DejaVu Sans Mono', monospace";

/** What is drawn of each cell: a state on its own scale, and gates from 0 to 1. */
const CURVES: Record<string, Curve[]> = {
  lstm: [
    { name: "cell", symbol: "cₜ", style: "cell" },
    { name: "forget_gate", symbol: "fₜ", style: "keep" },
    { name: "input_gate", symbol: "iₜ", style: "write" },
  ],
  gru: [
    { name: "hidden", symbol: "hₜ", style: "hidden" },
    { name: "update_gate", symbol: "zₜ", style: "keep" },
    { name: "reset_gate", symbol: "rₜ", style: "read" },
  ],
  rnn: [{ name: "hidden", symbol: "hₜ", style: "hidden" }],
};

function curvesIn({ cell, definition }: Network): Curve[] {
  return definition ? curvesOf(definition) : CURVES[cell];
}

/** Another line that this one is drawn beside: the letters and steps of both, and where they part. */
export interface Beside {
  letters: string[];
  steps: number;
  parting: number | null;
}

export class Ribbon {
  private first = 0;
  private column = COLUMN;
  private steps = 1;
  /** Of the canvas; 0 where it has to be measured: that costs the browser a layout, so not at each step. */
  private width = 0;
  private again: () => void = () => undefined;
  private colours = { theme: "", ink: "", faint: "", panel: "", edge: "", lit: "" };

  constructor(private readonly canvas: HTMLCanvasElement, private readonly legend: HTMLElement, choose: (step: number) => void) {
    const pick = (event: PointerEvent) => {
      const place = Math.floor((event.clientX - canvas.getBoundingClientRect().left) / this.column);
      choose(Math.max(0, Math.min(this.steps - 1, this.first + place)));
    };
    // Who holds and moves would run after what moves itself: a press chooses, and nothing more.
    canvas.addEventListener("pointerdown", pick);
    new ResizeObserver(() => {
      if (!this.width || canvas.clientWidth === this.width) return;
      this.width = 0;
      this.again();
    }).observe(canvas);
  }

  /** Draw the line around a step; without characters all steps have a column. */
  draw(reading: Reading, network: Network, characters: string[], ledger: Ledger | null, step: number, unit: number, theme: Theme, beside: Beside | null = null): void {
    const { canvas } = this;
    this.again = () => this.draw(reading, network, characters, ledger, step, unit, theme, beside);
    const ratio = window.devicePixelRatio || 1;
    const width = (this.width ||= canvas.clientWidth);
    const texted = characters.length > 0;
    const wide = (beside?.letters ?? characters).some((character) => character > "\u2e80") ? 18 : COLUMN;
    const own = reading.arrays[network.states[0]].steps;
    this.steps = beside?.steps ?? own;
    this.column = texted ? wide : width / this.steps;
    const shown = Math.min(this.steps, Math.ceil(width / this.column));
    const whole = Math.floor(width / this.column);
    this.first = Math.max(0, Math.min(this.steps - whole, step - Math.floor(whole / 2)));
    const top = texted ? TEXT_HEIGHT : 0;
    const height = top + CURVES_HEIGHT;
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d")!;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const { ink, faint, panel, edge, lit } = this.coloursOf(theme);
    const x = (at: number) => (at - this.first) * this.column;
    const last = Math.max(this.first, Math.min(own, this.first + shown));
    const palette = signedPalette(theme);
    for (const [k, share] of ledger && texted ? shares(ledger) : []) {
      if (k < this.first || k >= last) continue;
      pen.fillStyle = palette(0.5 * share);
      pen.fillRect(x(k), 0, this.column, TEXT_HEIGHT - 2);
    }
    pen.font = FONT;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let k = this.first; texted && k < last; k++) {
      pen.fillStyle = characters[k] === "\n" ? faint : ink;
      pen.fillText(glyphOf(characters[k]), x(k) + this.column / 2, TEXT_HEIGHT / 2 - 1);
    }
    pen.fillStyle = panel;
    pen.fillRect(0, top, x(last), CURVES_HEIGHT);
    pen.fillStyle = edge;
    pen.fillRect(x(step), top, Math.max(2, this.column), CURVES_HEIGHT);
    this.curves(pen, reading, curvesIn(network), top, last, unit, theme, edge);
    pen.strokeStyle = lit;
    pen.lineWidth = 1.5;
    if (texted && step < own) pen.strokeRect(x(step) + 0.75, 0.75, this.column - 1.5, TEXT_HEIGHT - 3.5);
    if (beside?.parting !== null && beside?.parting !== undefined) {
      pen.lineWidth = 2;
      pen.setLineDash([4, 3]);
      pen.beginPath();
      pen.moveTo(x(beside.parting), 0);
      pen.lineTo(x(beside.parting), height);
      pen.stroke();
      pen.setLineDash([]);
    }
    this.say(reading, curvesIn(network), step, unit, theme);
  }

  private coloursOf(theme: Theme) {
    if (this.colours.theme === theme) return this.colours;
    const style = getComputedStyle(this.canvas);
    const named = (name: string) => style.getPropertyValue(`--${name}`);
    this.colours = { theme, ink: style.color, faint: named("faint"), panel: named("panel"), edge: named("edge"), lit: named("lit") };
    return this.colours;
  }

  private curves(pen: CanvasRenderingContext2D, reading: Reading, curves: Curve[], top: number, last: number, unit: number, theme: Theme, edge: string): void {
    const middle = top + CURVES_HEIGHT / 2;
    const reach = CURVES_HEIGHT / 2 - EDGE;
    pen.strokeStyle = edge;
    pen.lineWidth = 1;
    pen.strokeRect(0.5, middle + 0.5, (last - this.first) * this.column, 0);
    for (const { name, style } of curves) {
      const matrix = reading.arrays[name];
      const isState = style === "cell" || style === "hidden";
      let most = 1;
      if (isState) for (let t = 0; t < matrix.steps; t++) most = Math.max(most, Math.abs(at(matrix, t, unit)));
      const y = (value: number) => (isState ? middle - (reach * value) / most : middle + reach - 2 * reach * value);
      const { dash, width } = CURVE_STYLES[style];
      pen.strokeStyle = roleColour(style, theme);
      pen.lineWidth = width;
      pen.setLineDash(dash);
      pen.beginPath();
      for (let t = Math.max(0, this.first - 1); t < last; t++) pen.lineTo((t - this.first + 0.5) * this.column, y(at(matrix, t, unit)));
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  private say(reading: Reading, curves: Curve[], step: number, unit: number, theme: Theme): void {
    if (this.legend.children.length !== curves.length) {
      this.legend.replaceChildren(...curves.map(() => Object.assign(document.createElement("span"), { className: "curve-key" })));
    }
    curves.forEach(({ name, symbol, style }, place) => {
      const key = this.legend.children[place] as HTMLElement;
      const matrix = reading.arrays[name];
      key.textContent = `${symbol} ${step < matrix.steps ? signed(at(matrix, step, unit)) : "–"}`;
      key.style.setProperty("--colour", roleColour(style, theme));
      key.style.setProperty("--line", CURVE_STYLES[style].dash.length ? "dashed" : "solid");
    });
  }
}
