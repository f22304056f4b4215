/** A series as a passage: a window of it, drawn as lines, its future forecast. */
import { SeriesChart } from "./chart";
import { ForecastPanel, number } from "./forecast";
import type { Notice } from "./notices";
import type { Moment, Scene, Shown } from "./scene";
import { at, type Network, type Passage, type Reading, type SeriesExhibit } from "./reading";
import type { View } from "./view";
import type { Words } from "./words";

export class SeriesScene implements Scene {
  private readonly chart: SeriesChart;
  private readonly forecast: ForecastPanel;
  private labels: string[] = [];

  constructor(
    canvas: HTMLCanvasElement,
    prediction: HTMLElement,
    private readonly series: HTMLSelectElement,
    private readonly moment: HTMLInputElement,
    private readonly from: HTMLOutputElement,
    private readonly legend: HTMLElement,
    private readonly exhibit: SeriesExhibit,
    /** The last known time of a window, where it is known. */
    private readonly momentOf: (series: number, moment: number) => string | undefined,
    go: (change: Partial<View>) => void,
  ) {
    this.chart = new SeriesChart(canvas, exhibit, (step) => go({ step }));
    this.forecast = new ForecastPanel(prediction, exhibit);
    series.append(...exhibit.series.map(({ name }, place) => new Option(name, String(place))));
    series.addEventListener("change", () => go({ series: Number(series.value) }));
    moment.addEventListener("input", () => go({ moment: Number(moment.value) }));
  }

  within(view: View): View {
    const series = Math.min(this.exhibit.series.length - 1, view.series);
    return { ...view, series, moment: Math.min(this.exhibit.series[series].windows - 1, view.moment) };
  }

  passage({ series, moment }: View): Passage {
    return { text: "", series, moment };
  }

  keep(): void {}

  kept(): string {
    return "";
  }

  take(_: Passage, reading: Reading): number {
    this.labels = reading.labels;
    return this.labels.length;
  }

  say({ series, moment }: View, words: Words): void {
    this.series.value = String(series);
    this.moment.max = String(this.exhibit.series[series].windows - 1);
    this.moment.value = String(moment);
    this.from.textContent = this.momentOf(series, moment) ?? "…";
    this.legend.replaceChildren(
      ...Object.entries(words.legend(this.share())).map(([key, word]) => {
        const entry = document.createElement("span");
        entry.className = `key ${key}`;
        entry.textContent = word;
        return entry;
      }),
    );
  }

  paint({ reading, plain }: Shown): void {
    this.chart.lay(reading, plain);
  }

  draw({ reading, plain, words, theme, step, ledger, held }: Moment): void {
    this.chart.mark(ledger, step, held, theme);
    this.forecast.fill(reading, plain, step, words);
  }

  input(): string {
    return "";
  }

  unknown(): number {
    return 0;
  }

  notices(network: Network, reading?: Reading): Notice[] {
    const { windows, series } = this.exhibit.left_out;
    const left: Notice[] = windows || series ? [(words) => words.leftOut(windows, series)] : [];
    const rounded: Notice[] = network.rounded ? [(words) => words.rounded(network.name.toUpperCase())] : [];
    const credit = reading?.credit;
    const weightless: Notice[] = credit && !credit.median ? [(words) => words.weightless(network.cell.toUpperCase(), credit.interval)] : [];
    return [...weightless, ...left, ...rounded];
  }

  letters(): string[] {
    return [];
  }

  name(step: number, words: Words): string {
    return words.part(this.labels[step] ?? "", step < this.exhibit.history);
  }

  writer(step: number): string {
    return this.labels[step] ?? "";
  }

  glance(reading: Reading, _: Network, step: number, words: Words): string {
    const { observed, forecast } = reading.arrays;
    if (step < this.exhibit.history) return `${words.observed} ${number(at(observed, step, 0))}`;
    return `${words.median} ${number(at(forecast, step, this.exhibit.quantiles.indexOf(0.5)))}`;
  }

  /** Percent that lie between the lowest and the highest quantile. */
  private share(): number {
    const { quantiles } = this.exhibit;
    return Math.round(100 * (quantiles.at(-1)! - quantiles[0]));
  }
}
