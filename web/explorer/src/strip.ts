/** The text, character by character, each on what the followed unit remembers of it. */
import { signedPalette, type Theme } from "./colours";
import { shares, type Ledger } from "./ledger";

const CELL_WIDTH = 9;
const CELL_HEIGHT = 20;
/** For the frame of the moment, which stands around its cell, in the first column and the last. */
const MARGIN = 2;
/** How strongly a cell is filled, at most; less where the frame is, so that its character is read. */
const STRONGEST = 0.5;
const FRAMED = 0.2;

export class TextStrip {
  private letters = document.createElement("canvas");
  private places: [number, number][] = [];
  private ratio = 1;
  /** The line of the moment, which is kept in sight. */
  private row = 0;

  constructor(private readonly canvas: HTMLCanvasElement, choose: (step: number) => void) {
    const pick = (event: PointerEvent) => {
      const box = canvas.getBoundingClientRect();
      const [column, row] = [(event.clientX - box.left - MARGIN) / CELL_WIDTH, (event.clientY - box.top) / CELL_HEIGHT];
      const step = this.places.findIndex(([x, y]) => x === Math.floor(column) && y === Math.floor(row));
      if (step >= 0) choose(step);
    };
    canvas.addEventListener("pointerdown", pick);
    canvas.addEventListener("pointermove", (event) => event.buttons && pick(event));
  }

  /** Lay out and draw the letters, once for a text, a width and a theme. */
  lay(text: string[]): void {
    const columns = Math.max(8, Math.floor(this.canvas.parentElement!.clientWidth / CELL_WIDTH) - 2);
    this.ratio = window.devicePixelRatio || 1;
    let [column, row] = [0, 0];
    this.places = text.map((character) => {
      if (column === columns) [column, row] = [0, row + 1];
      const place: [number, number] = [column, row];
      [column, row] = character === "\n" ? [0, row + 1] : [column + 1, row];
      return place;
    });
    const height = ((this.places.at(-1)?.[1] ?? 0) + 1) * CELL_HEIGHT;
    for (const canvas of [this.canvas, this.letters]) {
      canvas.width = (columns * CELL_WIDTH + 2 * MARGIN) * this.ratio;
      canvas.height = height * this.ratio;
    }
    this.canvas.style.width = `${columns * CELL_WIDTH + 2 * MARGIN}px`;
    this.canvas.style.height = `${height}px`;
    const pen = this.letters.getContext("2d")!;
    pen.setTransform(this.ratio, 0, 0, this.ratio, MARGIN * this.ratio, 0);
    pen.font = "14px ui-monospace, 'DejaVu Sans Mono', monospace";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const style = getComputedStyle(this.canvas);
    text.forEach((character, step) => {
      const [x, y] = this.places[step];
      pen.fillStyle = character === "\n" ? style.getPropertyValue("--faint") : style.color;
      pen.fillText(character === "\n" ? "↵" : character, (x + 0.5) * CELL_WIDTH, (y + 0.5) * CELL_HEIGHT);
    });
  }

  /** Colour each character by its share of what is remembered, mark the moment, underline where a gate is held. */
  mark(ledger: Ledger | null, step: number, held: [number, number] | null, theme: Theme): void {
    const pen = this.canvas.getContext("2d")!;
    const palette = signedPalette(theme);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.setTransform(this.ratio, 0, 0, this.ratio, MARGIN * this.ratio, 0);
    for (const [k, share] of ledger ? shares(ledger) : []) {
      pen.fillStyle = palette((k === step ? FRAMED : STRONGEST) * share);
      pen.fillRect(this.places[k][0] * CELL_WIDTH, this.places[k][1] * CELL_HEIGHT, CELL_WIDTH, CELL_HEIGHT);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.letters, 0, 0);
    pen.setTransform(this.ratio, 0, 0, this.ratio, MARGIN * this.ratio, 0);
    const style = getComputedStyle(this.canvas);
    if (held) {
      pen.fillStyle = style.getPropertyValue("--lit");
      for (const [x, y] of this.places.slice(held[0], held[1] + 1)) pen.fillRect(x * CELL_WIDTH, (y + 1) * CELL_HEIGHT - 3, CELL_WIDTH, 2);
    }
    const [x, y] = this.places[step] ?? [0, 0];
    if (y !== this.row) this.canvas.parentElement!.scrollTop = (y - 2) * CELL_HEIGHT;
    this.row = y;
    pen.strokeStyle = style.color;
    pen.lineWidth = 1.5;
    pen.strokeRect(x * CELL_WIDTH - 1, y * CELL_HEIGHT + 1, CELL_WIDTH + 2, CELL_HEIGHT - 2);
  }
}
