/** A gate or state over time: painted once for a reading; a scrub only moves two lines over it. */
import { bytes, gatePalette, signedPalette, stops, type Theme } from "./colours";
import type { Matrix } from "./reading";

export class HeatMap {
  readonly element = document.createElement("figure");
  private readonly canvas = document.createElement("canvas");
  private readonly title = document.createElement("span");
  private readonly low = document.createElement("span");
  private readonly swatch = document.createElement("span");
  private readonly high = document.createElement("span");
  private readonly field = document.createElement("div");
  private readonly time = document.createElement("div");
  private readonly unit = document.createElement("div");
  private matrix: Matrix = { steps: 1, width: 1, numbers: new Float32Array(1) };

  constructor(choose: (step: number, unit: number) => void) {
    this.element.className = "map";
    this.field.className = "field";
    this.time.className = "time-line";
    this.unit.className = "unit-line";
    this.canvas.setAttribute("role", "img");
    this.field.append(this.canvas, this.time, this.unit);
    this.swatch.className = "swatch";
    const caption = document.createElement("figcaption");
    caption.append(this.title, this.low, this.swatch, this.high);
    this.element.append(caption, this.field);
    this.field.addEventListener("pointerdown", (event) => this.pick(event, choose));
    this.field.addEventListener("pointermove", (event) => event.buttons && this.pick(event, choose));
  }

  /** Paint all steps (across) and units (down); `signed` values get their own scale, which the largest few exceed. */
  paint(matrix: Matrix, label: string, signed: boolean, theme: Theme): void {
    this.matrix = matrix;
    const extent = signed ? extentOf(matrix.numbers) : 1;
    const [low, high] = signed ? [-extent, extent] : [0, 1];
    const [palette, least] = signed ? [signedPalette(theme), -1] : [gatePalette(theme), 0];
    const table = bytes(palette, least, 1);
    const ratio = window.devicePixelRatio || 1;
    const pixels = (length: number, fallback: number) => Math.max(1, Math.round((length || fallback) * ratio));
    const shown = averaged(matrix, pixels(this.field.clientWidth, 600), pixels(this.field.clientHeight, 130));
    const image = new ImageData(shown.steps, shown.width);
    const scale = 255 / (high - low);
    for (let t = 0; t < shown.steps; t++) {
      for (let u = 0; u < shown.width; u++) {
        const value = Math.max(low, Math.min(high, shown.numbers[t * shown.width + u]));
        const shade = 4 * Math.round((value - low) * scale);
        const pixel = 4 * (u * shown.steps + t);
        for (let channel = 0; channel < 4; channel++) image.data[pixel + channel] = table[shade + channel];
      }
    }
    this.canvas.width = shown.steps;
    this.canvas.height = shown.width;
    this.canvas.getContext("2d")!.putImageData(image, 0, 0);
    this.canvas.setAttribute("aria-label", label);
    const most = extent.toFixed(signed && extent < 10 ? 2 : 0);
    this.title.textContent = label;
    const [below, above] = signed && extent < 0.999 * largestOf(matrix.numbers) ? ["≤ ", "≥ "] : ["", ""];
    this.low.textContent = signed ? `${below}−${most}` : "0";
    this.high.textContent = signed ? `${above}+${most}` : "1";
    this.swatch.style.background = `linear-gradient(90deg, ${stops(palette, least, 1)})`;
  }

  point(step: number, unit: number): void {
    const { steps, width } = this.matrix;
    // The lines fill the field and are shifted by shares of it: no layout, only compositing.
    this.time.style.transform = `translateX(${(100 * (step + 0.5)) / steps}%)`;
    this.unit.style.transform = `translateY(${(100 * (Math.min(unit, width - 1) + 0.5)) / width}%)`;
  }

  private pick(event: PointerEvent, choose: (step: number, unit: number) => void): void {
    const box = this.field.getBoundingClientRect();
    const share = (value: number, size: number, count: number) =>
      Math.max(0, Math.min(count - 1, Math.floor((value / size) * count)));
    choose(
      share(event.clientX - box.left, box.width, this.matrix.steps),
      share(event.clientY - box.top, box.height, this.matrix.width),
    );
  }
}

/** The share of the values that a scale has room for: one unit of large ones does not make the others pale. */
const WITHIN = 0.97;

function largestOf(numbers: Float32Array): number {
  return numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
}

function extentOf(numbers: Float32Array): number {
  const sizes = numbers.map(Math.abs).sort();
  return Math.max(1e-6, sizes[Math.floor(WITHIN * (sizes.length - 1))] || largestOf(numbers));
}

/**
 * At most so many steps and units: where there are more, each is the mean of its neighbours, so
 * that nothing which happens between two pixels is lost.
 */
function averaged(matrix: Matrix, most: number, mostUnits: number): Matrix {
  const steps = Math.min(matrix.steps, most);
  const width = Math.min(matrix.width, mostUnits);
  if (steps === matrix.steps && width === matrix.width) return matrix;
  const numbers = new Float32Array(steps * width);
  const counts = new Float32Array(steps * width);
  for (let t = 0; t < matrix.steps; t++) {
    const row = Math.floor((t * steps) / matrix.steps) * width;
    for (let u = 0; u < matrix.width; u++) {
      const place = row + Math.floor((u * width) / matrix.width);
      numbers[place] += matrix.numbers[t * matrix.width + u];
      counts[place] += 1;
    }
  }
  return { steps, width, numbers: numbers.map((sum, place) => sum / counts[place]) };
}
