/** Curves of networks on a canvas, with numbers at both axes. */
import { CURVE_STYLES, NETWORK_STYLES, type Theme } from "./colours";

/** Room for the numbers, in pixels. */
const EDGE = { left: 38, right: 8, top: 8, bottom: 20 };
const SVG = "http://www.w3.org/2000/svg";

/** A place from 0 to 1 along an axis, and the number there. */
export type Tick = [number, string];

export interface Curves {
  /** Values from 0 to 1, as many at most as there are columns. */
  lines: { cell: string; values: number[] }[];
  columns: number;
  /** A level that is drawn broken. */
  level: number | null;
  across: Tick[];
  up: Tick[];
}

export function drawCurves(canvas: HTMLCanvasElement, { lines, columns, level, across, up }: Curves, theme: Theme): void {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const pen = canvas.getContext("2d")!;
  pen.scale(ratio, ratio);
  const x = (share: number) => EDGE.left + (width - EDGE.left - EDGE.right) * share;
  const y = (share: number) => height - EDGE.bottom - (height - EDGE.top - EDGE.bottom) * share;
  const style = getComputedStyle(canvas);
  const rule = (share: number) => {
    pen.beginPath();
    pen.moveTo(x(0), y(share));
    pen.lineTo(x(1), y(share));
    pen.stroke();
  };
  pen.font = "12px system-ui, 'Noto Sans', sans-serif";
  pen.fillStyle = style.getPropertyValue("--soft");
  pen.strokeStyle = style.getPropertyValue("--edge");
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const [share, number] of up) {
    rule(share);
    pen.fillText(number, EDGE.left - 6, y(share));
  }
  for (const [share, number] of across) {
    pen.textAlign = share > 0.95 ? "right" : share < 0.05 ? "left" : "center";
    pen.fillText(number, x(share), height - EDGE.bottom / 2);
  }
  if (level !== null) {
    pen.strokeStyle = style.getPropertyValue("--faint");
    pen.setLineDash([2, 3]);
    rule(level);
  }
  for (const { cell, values } of lines) {
    pen.strokeStyle = NETWORK_STYLES[cell][theme];
    pen.lineWidth = CURVE_STYLES.hidden.width;
    pen.setLineDash(dashesOf(cell));
    pen.beginPath();
    values.forEach((value, place) => pen.lineTo(x((place + 0.5) / columns), y(value)));
    pen.stroke();
  }
}

function dashesOf(cell: string): number[] {
  const { dash } = NETWORK_STYLES[cell];
  return dash === "none" ? [] : dash.split(" ").map(Number);
}

/** A short piece of the line of a network, for its heading. */
export class LineSample {
  readonly element = document.createElementNS(SVG, "svg");
  private readonly line = document.createElementNS(SVG, "path");

  constructor(private readonly cell: string) {
    const { element, line } = this;
    for (const [name, value] of Object.entries({ width: "32", height: "8", class: "sample", "aria-hidden": "true" })) element.setAttribute(name, value);
    line.setAttribute("d", "M0 4h32");
    line.setAttribute("stroke-dasharray", NETWORK_STYLES[cell].dash);
    element.append(line);
  }

  paint(theme: Theme): void {
    this.line.setAttribute("stroke", NETWORK_STYLES[this.cell][theme]);
    this.line.setAttribute("stroke-width", String(CURVE_STYLES.hidden.width));
  }
}
