/** RNN, GRU and LSTM on the same text, and how far back the gradient of each reaches. */
import { scaleLinear, scaleLog } from "d3-scale";
import { select } from "d3-selection";
import { line } from "d3-shape";
import { NETWORK_STYLES, OTHER_STYLES, type Theme } from "./colours";
import { HeatMap } from "./heatmap";
import { dependenceOf, FLOOR, reachOf, relative } from "./reach";
import type { Network, Reading } from "./reading";
import { keeping } from "./tour";
import type { Words } from "./words";

/** Of the shortest names; longer ones get more. */
const LEGEND_WIDTH = 120;
const LETTER_WIDTH = 14;
const [WIDTH, ROW] = [640, 22];
const BOX = { left: 54, right: 630, top: 12, bottom: 170 };

interface Column {
  network: Network;
  element: HTMLElement;
  facts: HTMLElement;
  top: HTMLElement;
  map: HeatMap;
}

/** How far the gradient reaches, and whether that is the whole passage; null until it is known. */
function farthest(reading: Reading): [number | null, boolean] {
  if (!reading.gradient) return [null, false];
  const reach = reachOf(reading);
  return [reach, reach + 1 >= reading.gradient.steps];
}

/** Of the unit that keeps most, the mean over steps of the gate that decides; null without such a gate. */
function kept(network: Network, reading: Reading | undefined): number | null {
  const gate = keeping(network);
  const matrix = gate ? reading?.arrays[gate] : undefined;
  if (!matrix) return null;
  const totals = new Float64Array(matrix.width);
  matrix.numbers.forEach((number, place) => (totals[place % matrix.width] += number / matrix.steps));
  return Math.max(...totals);
}

export class Comparison {
  private readonly columns: Column[];

  constructor(
    parent: HTMLElement,
    private readonly plot: SVGSVGElement,
    /** Says in words what the plot cannot show. */
    private readonly told: HTMLElement,
    /** Says why a gradient shrinks, and by what gates. */
    private readonly why: HTMLElement,
    networks: Network[],
    choose: (network: string, step: number, unit: number) => void,
    private readonly glance: (reading: Reading, network: Network, step: number, words: Words) => string,
    /** How many characters of the passage a network does not know. */
    private readonly unknown: (network: Network) => number,
  ) {
    this.columns = networks.map((network) => {
      const [element, title, facts, top] = ["article", "h3", "p", "p"].map((tag) => document.createElement(tag));
      title.textContent = network.name.toUpperCase();
      top.className = "top";
      const map = new HeatMap((step, unit) => choose(network.name, step, unit));
      element.append(title, facts, map.element, top);
      parent.append(element);
      return { network, element, facts, top, map };
    });
  }

  /** Once for a reading: facts, maps of the hidden states, the plot. */
  paint(readings: Map<string, Reading>, chosen: string, words: Words, theme: Theme): void {
    for (const { network, element, facts, map } of this.columns) {
      const reading = readings.get(network.name);
      if (!reading) continue;
      element.classList.toggle("chosen", network.name === chosen);
      const unknown = this.unknown(network);
      facts.textContent = words.facts(network.units, reading.score, ...farthest(reading), reading.credit?.median === false) + (unknown ? words.gap + words.unknownShort(unknown) : "");
      map.paint(reading.arrays[network.states[0]], words.arrays.hidden, true, theme);
    }
    this.draw(readings, words, theme);
  }

  /** At each moment: the cursor, and what is predicted. */
  point(readings: Map<string, Reading>, step: number, unit: number, words: Words): void {
    for (const { network, top, map } of this.columns) {
      const reading = readings.get(network.name);
      if (!reading) continue;
      map.point(step, Math.min(unit, network.units - 1));
      top.textContent = this.glance(reading, network, step, words);
    }
  }

  private draw(readings: Map<string, Reading>, words: Words, theme: Theme): void {
    this.plot.setAttribute("aria-label", words.reach);
    this.why.textContent = words.shrinks(this.columns.map(({ network }) => ({ cell: network.cell, name: network.name.toUpperCase(), kept: kept(network, readings.get(network.name)) })));
    this.why.hidden = !this.why.textContent;
    const known = [...readings.values()].map(dependenceOf).filter((dependence) => dependence !== null);
    const curved = !known.length || known.includes("past");
    this.plot.toggleAttribute("hidden", !curved);
    this.told.hidden = curved;
    if (!curved) this.told.textContent = words.noReach(known.every((dependence) => dependence === "nothing"));
    this.plot.replaceChildren();
    const plot = select<SVGSVGElement, unknown>(this.plot);
    const farthest = Math.max(1, ...[...readings.values()].map((reading) => relative(reading).findLastIndex((share) => share >= FLOOR)));
    const x = scaleLinear([0, farthest], [BOX.left, BOX.right]);
    const y = scaleLog([FLOOR, 1], [BOX.bottom, BOX.top]);
    const grid = plot.append("g").attr("class", "grid");
    for (const power of [0, -2, -4, -6]) {
      const height = y(10 ** power);
      grid.append("line").attr("x1", BOX.left).attr("x2", BOX.right).attr("y1", height).attr("y2", height).classed("felt", power === -2);
      const label = grid.append("text").attr("x", BOX.left - 6).attr("y", height + 4).attr("text-anchor", "end");
      label.text(power === 0 ? "1" : "10").append("tspan").attr("dy", -5).attr("font-size", 9).text(power === 0 ? "" : `−${-power}`);
    }
    for (const tick of x.ticks(8).filter(Number.isInteger)) {
      grid.append("text").attr("x", x(tick)).attr("y", BOX.bottom + 19).attr("text-anchor", x(tick) > BOX.right - 12 ? "end" : "middle").text(tick);
    }
    grid.append("text").attr("x", (BOX.left + BOX.right) / 2).attr("y", BOX.bottom + 42).attr("text-anchor", "middle").text(words.distance);
    // The layers of one network share its gradient.
    const cells = this.columns.filter(({ network: { cell } }, place) => this.columns.findIndex((other) => other.network.cell === cell) === place);
    const wide = Math.max(LEGEND_WIDTH, ...cells.map(({ network: { cell } }) => 56 + LETTER_WIDTH * cell.length));
    const across = Math.max(1, Math.floor(WIDTH / wide));
    this.plot.setAttribute("viewBox", `0 0 ${WIDTH} ${BOX.bottom + 74 + ROW * (Math.ceil(cells.length / across) - 1)}`);
    cells.forEach(({ network: { name, cell } }, place) => {
      const reading = readings.get(name);
      if (!reading?.gradient) return;
      const style = Object.hasOwn(NETWORK_STYLES, cell) ? NETWORK_STYLES[cell] : OTHER_STYLES[place % OTHER_STYLES.length];
      const shares = relative(reading);
      const path = line<number>((_, d) => x(d), (share) => y(share)).defined((share) => share >= FLOOR);
      plot.append("path").attr("class", "curve").attr("d", path(shares)).attr("stroke", style[theme]).attr("stroke-dasharray", style.dash);
      const [left, height] = [(BOX.left + BOX.right) / 2 + wide * ((place % across) - Math.min(across, cells.length) / 2), BOX.bottom + 66 + ROW * Math.floor(place / across)];
      plot.append("path").attr("class", "curve").attr("d", `M${left} ${height} h32`).attr("stroke", style[theme]).attr("stroke-dasharray", style.dash);
      plot.append("text").attr("x", left + 40).attr("y", height + 4).text(cell.toUpperCase());
    });
  }
}
