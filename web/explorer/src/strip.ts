/** The text, character by character, each on what the followed unit remembers of it. */
import { signedPalette, type Theme } from "./colours";
import { glyphOf } from "./glyphs";
import { shares, type Ledger } from "./ledger";

const CELL_WIDTH = 9;
const CELL_HEIGHT = 20;
/** For the frame of the moment, which stands around its cell, in the first column and the last. */
const MARGIN = 2;
/** How strongly a cell is filled, at most; less where the frame is, so that its character is read. */
const STRONGEST = 0.5;
const FRAMED = 0.2;
const FONT = "14px ui-monospace, 'DejaVu Sans Mono', monospace";

/** Where a character stands: its column and row, and how many columns it takes, two for Chinese. */
interface Place {
  x: number;
  y: number;
  columns: number;
}

export class TextStrip {
  private letters = document.createElement("canvas");
  private places: Place[] = [];
  private ratio = 1;
  /** The line of the moment, which is kept in sight. */
  private row = 0;

  constructor(private readonly canvas: HTMLCanvasElement, choose: (step: number) => void) {
    const pick = (event: PointerEvent) => {
      const box = canvas.getBoundingClientRect();
      const [column, row] = [(event.clientX - box.left - MARGIN) / CELL_WIDTH, (event.clientY - box.top) / CELL_HEIGHT];
      const step = this.places.findIndex(({ x, y, columns }) => x <= column && column < x + columns && y === Math.floor(row));
      if (step >= 0) choose(step);
    };
    canvas.addEventListener("pointerdown", pick);
    canvas.addEventListener("pointermove", (event) => event.buttons && pick(event));
  }

  /** Lay out and draw the letters, once for a text, a width and a theme. */
  lay(text: string[]): void {
    const columns = Math.max(8, Math.floor(this.canvas.parentElement!.clientWidth / CELL_WIDTH) - 2);
    this.ratio = window.devicePixelRatio || 1;
    const pen = this.letters.getContext("2d")!;
    pen.font = FONT;
    let [x, y] = [0, 0];
    this.places = text.map((character) => {
      const place = { x, y, columns: pen.measureText(glyphOf(character)).width > 1.25 * CELL_WIDTH ? 2 : 1 };
      if (x + place.columns > columns) [place.x, place.y] = [0, y + 1];
      [x, y] = character === "\n" ? [0, place.y + 1] : [place.x + place.columns, place.y];
      return place;
    });
    const height = ((this.places.at(-1)?.y ?? 0) + 1) * CELL_HEIGHT;
    for (const canvas of [this.canvas, this.letters]) {
      canvas.width = (columns * CELL_WIDTH + 2 * MARGIN) * this.ratio;
      canvas.height = height * this.ratio;
    }
    this.canvas.style.width = `${columns * CELL_WIDTH + 2 * MARGIN}px`;
    this.canvas.style.height = `${height}px`;
    pen.setTransform(this.ratio, 0, 0, this.ratio, MARGIN * this.ratio, 0);
    pen.font = FONT;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const style = getComputedStyle(this.canvas);
    text.forEach((character, step) => {
      const { x, y, columns } = this.places[step];
      pen.fillStyle = character === "\n" ? style.getPropertyValue("--faint") : style.color;
      pen.fillText(glyphOf(character), (x + columns / 2) * CELL_WIDTH, (y + 0.5) * CELL_HEIGHT);
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
      const { x, y, columns } = this.places[k];
      pen.fillRect(x * CELL_WIDTH, y * CELL_HEIGHT, columns * CELL_WIDTH, CELL_HEIGHT);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.letters, 0, 0);
    pen.setTransform(this.ratio, 0, 0, this.ratio, MARGIN * this.ratio, 0);
    const style = getComputedStyle(this.canvas);
    if (held) {
      pen.fillStyle = style.getPropertyValue("--lit");
      for (const { x, y, columns } of this.places.slice(held[0], held[1] + 1)) pen.fillRect(x * CELL_WIDTH, (y + 1) * CELL_HEIGHT - 3, columns * CELL_WIDTH, 2);
    }
    const { x, y, columns } = this.places[step] ?? { x: 0, y: 0, columns: 1 };
    if (y !== this.row) this.canvas.parentElement!.scrollTop = (y - 2) * CELL_HEIGHT;
    this.row = y;
    pen.strokeStyle = style.color;
    pen.lineWidth = 1.5;
    pen.strokeRect(x * CELL_WIDTH - 1, y * CELL_HEIGHT + 1, columns * CELL_WIDTH + 2, CELL_HEIGHT - 2);
  }
}
