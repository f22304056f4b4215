/** A window of a series: what was observed, what was forecast, and what a unit remembers of it. */
import { scaleLinear, type ScaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { signedPalette, type Theme } from "./colours";
import { shares, type Ledger } from "./ledger";
import { at, type Matrix, type Reading, type SeriesExhibit } from "./reading";

const HEIGHT = 230;
const EDGE = { left: 46, right: 10, top: 12, bottom: 26 };
const LABEL_WIDTH = 130;

export class SeriesChart {
  private readonly lines = document.createElement("canvas");
  private steps = 1;
  private width = 600;
  private ratio = 1;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly exhibit: SeriesExhibit,
    choose: (step: number) => void,
  ) {
    const pick = (event: PointerEvent) => {
      const column = this.x.invert(event.clientX - canvas.getBoundingClientRect().left);
      choose(Math.max(0, Math.min(this.steps - 1, Math.floor(column))));
    };
    canvas.addEventListener("pointerdown", pick);
    canvas.addEventListener("pointermove", (event) => event.buttons && pick(event));
  }

  /** From steps to pixels: a step is a column, its value in the middle. */
  private get x(): ScaleLinear<number, number> {
    return scaleLinear([0, this.steps], [EDGE.left, this.width - EDGE.right]);
  }

  /** Draw the lines, once for a reading, a width and a theme. */
  lay(reading: Reading, plain: Reading): void {
    const { observed, forecast } = reading.arrays;
    this.steps = observed.steps;
    this.width = Math.max(240, this.canvas.parentElement!.clientWidth);
    this.ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.lines]) {
      canvas.width = this.width * this.ratio;
      canvas.height = HEIGHT * this.ratio;
    }
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${HEIGHT}px`;
    const pen = this.lines.getContext("2d")!;
    pen.scale(this.ratio, this.ratio);
    const y = this.scale(observed, forecast, plain.arrays.forecast);
    const style = getComputedStyle(this.canvas);
    const colour = (name: string) => style.getPropertyValue(`--${name}`);
    this.axes(pen, y, reading.labels, colour);
    const [first, last] = [0, forecast.width - 1];
    const middle = this.exhibit.quantiles.indexOf(0.5);
    this.band(pen, y, forecast, first, last, colour("accent"));
    if (reading !== plain) this.curve(pen, y, plain.arrays.forecast, middle, colour("lit"), [5, 4]);
    this.curve(pen, y, forecast, middle, colour("accent"), []);
    this.curve(pen, y, observed, 0, colour("ink"), []);
  }

  /** Colour each step by its share of what is remembered, and mark the moment and a held gate. */
  mark(ledger: Ledger | null, step: number, held: [number, number] | null, theme: Theme): void {
    const pen = this.canvas.getContext("2d")!;
    const { x } = this;
    const palette = signedPalette(theme);
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const [k, share] of ledger ? shares(ledger) : []) {
      pen.fillStyle = palette(0.6 * share);
      pen.fillRect(x(k), EDGE.top, x(k + 1) - x(k), HEIGHT - EDGE.top - EDGE.bottom);
    }
    const style = getComputedStyle(this.canvas);
    if (held) {
      pen.fillStyle = style.getPropertyValue("--lit");
      pen.fillRect(x(held[0]), EDGE.top - 6, x(held[1] + 1) - x(held[0]), 4);
    }
    pen.drawImage(this.lines, 0, 0, this.width, HEIGHT);
    pen.strokeStyle = style.getPropertyValue("--lit");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(x(step + 0.5), EDGE.top);
    pen.lineTo(x(step + 0.5), HEIGHT - EDGE.bottom);
    pen.stroke();
  }

  private scale(...matrices: Matrix[]): ScaleLinear<number, number> {
    const numbers = matrices.flatMap((matrix) => [...matrix.numbers]).filter(Number.isFinite);
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    return scaleLinear([low, high === low ? low + 1 : high], [HEIGHT - EDGE.bottom, EDGE.top]).nice(5);
  }

  private axes(pen: CanvasRenderingContext2D, y: ScaleLinear<number, number>, labels: string[], colour: (name: string) => string): void {
    const { x } = this;
    pen.font = "12px system-ui, 'Noto Sans', sans-serif";
    pen.lineWidth = 1;
    pen.strokeStyle = colour("edge");
    pen.fillStyle = colour("soft");
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const tick of y.ticks(5)) {
      rule(pen, EDGE.left, y(tick), this.width - EDGE.right, y(tick));
      pen.fillText(y.tickFormat(5)(tick), EDGE.left - 6, y(tick));
    }
    const begins = x(this.exhibit.history);
    pen.strokeStyle = colour("faint");
    rule(pen, begins, EDGE.top, begins, HEIGHT - EDGE.bottom);
    pen.textAlign = "center";
    const count = Math.max(1, Math.floor((this.width - EDGE.left - EDGE.right) / LABEL_WIDTH));
    for (let place = 0; place < count; place++) {
      const step = Math.floor(((place + 0.5) * this.steps) / count);
      rule(pen, x(step + 0.5), HEIGHT - EDGE.bottom, x(step + 0.5), HEIGHT - EDGE.bottom + 4);
      pen.fillText(labels[step], x(step + 0.5), HEIGHT - 10);
    }
  }

  private band(pen: CanvasRenderingContext2D, y: ScaleLinear<number, number>, matrix: Matrix, low: number, high: number, colour: string): void {
    const steps = Array.from({ length: matrix.steps }, (_, step) => step);
    const shape = area<number>((step) => this.x(step + 0.5), (step) => y(at(matrix, step, low)), (step) => y(at(matrix, step, high)));
    pen.globalAlpha = 0.25;
    pen.fillStyle = colour;
    pen.beginPath();
    shape.defined((step) => Number.isFinite(at(matrix, step, low))).context(pen)(steps);
    pen.fill();
    pen.globalAlpha = 1;
  }

  private curve(pen: CanvasRenderingContext2D, y: ScaleLinear<number, number>, matrix: Matrix, column: number, colour: string, dash: number[]): void {
    const steps = Array.from({ length: matrix.steps }, (_, step) => step);
    const shape = line<number>((step) => this.x(step + 0.5), (step) => y(at(matrix, step, column)));
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    pen.setLineDash(dash);
    pen.beginPath();
    shape.defined((step) => Number.isFinite(at(matrix, step, column))).context(pen)(steps);
    pen.stroke();
    pen.setLineDash([]);
  }
}

function rule(pen: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}
