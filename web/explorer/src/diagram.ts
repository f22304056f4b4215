/** Draws a cell, fills its wires with values, and ties them to the equations. */
import { select, type Selection } from "d3-selection";
import { signedPalette, type Theme } from "./colours";
import { definitionOf } from "./definitions";
import { DIAGRAMS, type Diagram, type Operation, type Wire } from "./diagrams";
import { drawnOf } from "./own_cells";
import type { Network, Reading } from "./reading";
import type { Words } from "./words";

type Group = Selection<SVGGElement, Wire, SVGSVGElement, unknown>;
const THINNEST = 2;
const WIDEST = 11;

export class CellDiagram {
  private diagram: Diagram = DIAGRAMS.lstm;
  private wires!: Group;
  private drawn = "";
  private label = "";
  private comma = "";
  /** Wires that stay lit while nothing is pointed at. */
  private lasting: string[] = [];

  constructor(
    private readonly svg: SVGSVGElement,
    private readonly equations: HTMLElement,
    /** Open a gate, or close it where it is open. */
    private readonly open: (gate: string) => void,
  ) {}

  /** Draw the cell of a network, unless it is the one that stands there. */
  draw(network: Network, words: Words): void {
    this.label = `${words.diagram(network.cell.toUpperCase())}${words.colon}`;
    this.comma = words.comma;
    if (this.drawn === network.cell) return;
    this.drawn = network.cell;
    this.diagram = network.definition ? drawnOf(definitionOf(network)) : DIAGRAMS[network.cell];
    this.svg.replaceChildren();
    const svg = select<SVGSVGElement, unknown>(this.svg);
    this.wires = svg.selectAll<SVGGElement, Wire>("g.wire").data(this.diagram.wires).join("g").attr("class", "wire");
    this.wires.attr("data-wire", (wire) => wire.id);
    this.wires.filter((wire) => !!wire.over).append("path").attr("class", "gap").attr("d", (wire) => wire.path);
    this.wires.append("path").attr("class", "halo").attr("d", (wire) => wire.path);
    this.wires.append("path").attr("class", "line").attr("d", (wire) => wire.path);
    const labels = this.wires.filter((wire) => !wire.quiet).append("text").attr("text-anchor", (wire) => wire.anchor ?? "start");
    labels.attr("x", (wire) => wire.label[0]).attr("y", (wire) => wire.label[1]);
    labels.append("tspan").attr("class", "symbol").text((wire) => wire.symbol);
    labels.append("tspan").attr("class", "value").attr("dx", 6);
    this.wires.on("pointerenter", (_, wire) => this.light([wire.id])).on("pointerleave", () => this.light(this.lasting));
    const operations = svg.selectAll("g.operation").data(this.diagram.operations).join("g").attr("class", "operation");
    operations.attr("transform", (operation) => `translate(${operation.place})`);
    operations.filter((operation) => !!operation.box).append("rect").attr("x", -26).attr("y", -15).attr("width", 52).attr("height", 30).attr("rx", 4);
    operations.filter((operation) => !operation.box).append("ellipse").attr("rx", (operation) => (operation.symbol.length > 1 ? 24 : 12)).attr("ry", (operation) => (operation.symbol.length > 1 ? 15 : 12));
    operations.append("text").text((operation) => operation.symbol).attr("dy", 5);
    operations.attr("data-role", (operation) => operation.role ?? null);
    operations.filter((operation) => !!operation.gate).classed("gate", true).on("click", (_, operation) => this.open(operation.gate!));
    this.list();
    this.light(this.lasting);
  }

  /** Show the values of a unit at a step: wide for large, blue for positive, orange for negative. */
  fill(reading: Reading, step: number, unit: number, character: string, theme: Theme): void {
    const said = this.diagram.wires.filter(({ value, quiet }) => value && !quiet).map(({ symbol, value }) => `${symbol} ${signed(value!(reading, step, unit))}`);
    this.svg.setAttribute("aria-label", `${this.label}${[character, ...said].filter(Boolean).join(this.comma)}`);
    const palette = signedPalette(theme);
    this.wires.each(function (wire) {
      const group = this as SVGGElement;
      const line = group.querySelector<SVGPathElement>(".line")!;
      const value = wire.value?.(reading, step, unit);
      const strength = value === undefined ? 0 : Math.min(1, Math.abs(value));
      line.setAttribute("stroke-width", (THINNEST + (WIDEST - THINNEST) * strength).toFixed(2));
      // Zero has the colour of the paper: the wire stays to be seen, faintly.
      line.style.stroke = !value ? "" : palette(0.25 * Math.sign(value) + 0.75 * Math.max(-1, Math.min(1, value)));
      if (!wire.quiet) group.querySelector(".value")!.textContent = wire.input ? character : value === undefined ? "" : signed(value);
    });
  }

  /** Mark the gate that is open. */
  mark(gate: string): void {
    select(this.svg).selectAll<SVGGElement, Operation>("g.operation").classed("open", (operation) => !!gate && operation.gate === gate);
    this.diagram.equations.forEach((equation, place) => {
      if (!equation.gate) return;
      const button = this.equations.children[place];
      button.setAttribute("aria-expanded", String(equation.gate === gate));
      button.setAttribute("aria-controls", "box");
    });
  }

  /** Keep wires lit until others are. */
  keepLit(wires: string[]): void {
    this.lasting = wires;
    if (this.drawn) this.light(wires);
  }

  private list(): void {
    const { equations } = this.diagram;
    this.equations.replaceChildren(
      ...equations.map(({ html, wires, gate }) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "equation";
        button.innerHTML = html;
        if (gate) button.addEventListener("click", () => this.open(gate));
        for (const on of ["pointerenter", "focus"]) button.addEventListener(on, () => this.light(wires, button));
        for (const off of ["pointerleave", "blur"]) button.addEventListener(off, () => this.light(this.lasting));
        return button;
      }),
    );
  }

  /** Light wires, and the equations that speak of them, or the `only` one that is pointed at. */
  private light(wires: string[], only?: Element): void {
    this.wires.classed("lit", (wire) => wires.includes(wire.id));
    this.svg.classList.toggle("some-lit", wires.length > 0);
    const { equations } = this.diagram;
    [...this.equations.children].forEach((button, place) => {
      const own = equations[place].wires;
      button.classList.toggle("lit", only ? button === only : wires.some((wire) => own.includes(wire)));
    });
  }
}

export function signed(value: number): string {
  const size = Math.abs(value).toFixed(2);
  return value < 0 && Number(size) ? `−${size}` : size;
}
