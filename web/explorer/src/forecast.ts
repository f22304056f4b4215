/** The forecast of one step in figures: its interval, what came, and what it was without a change. */
import { at, type Reading, type SeriesExhibit } from "./reading";
import type { Words } from "./words";

export class ForecastPanel {
  private readonly list = document.createElement("dl");

  constructor(parent: HTMLElement, private readonly exhibit: SeriesExhibit) {
    this.list.className = "figures";
    parent.append(this.list);
  }

  fill(reading: Reading, plain: Reading, step: number, words: Words): void {
    const { quantiles, history, target } = this.exhibit;
    const { observed, forecast } = reading.arrays;
    const middle = quantiles.indexOf(0.5);
    const rows: [string, string][] = [[[target, words.observed].join(words.comma), number(at(observed, step, 0))]];
    if (step >= history) {
      rows.push([words.median, number(at(forecast, step, middle))]);
      quantiles.forEach((quantile, place) => {
        if (place !== middle) rows.push([words.quantile(Math.round(100 * quantile)), number(at(forecast, step, place))]);
      });
      if (reading !== plain) rows.push([words.without, number(at(plain.arrays.forecast, step, middle))]);
    }
    this.list.replaceChildren(
      ...rows.flatMap(([name, value]) => {
        const [term, told] = [document.createElement("dt"), document.createElement("dd")];
        [term.textContent, told.textContent] = [name, value];
        return [term, told];
      }),
    );
  }
}

/** Four digits that count; a dash where there is none. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return (Math.abs(value) >= 1e5 ? value.toExponential(2) : String(Number(value.toPrecision(4)))).replace("-", "−");
}
