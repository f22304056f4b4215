/** Has networks read passages, with weights and series that scripts bring. */
import { definitionOf } from "./definitions";
import { forecastWeightsOf, type ForecastWeights } from "./forecast_weights";
import type { Clamp, Edit, Exhibit, Network, Passage, Reading } from "./reading";
import { inflated, seriesOf, type Series } from "./series_file";
import { readWindow } from "./series_reader";
import { readText } from "./text_reader";
import { weightsOf, type Weights } from "./weights";

declare global {
  interface Window {
    /** Called by the script of a network, with its safetensors file in base64. */
    gatedNetwork?: (file: string, weights: string) => void;
    /** Called by the script of a series, with its deflated file in base64. */
    gatedSeries?: (file: string, series: string) => void;
  }
}

/** Readings that are kept, by what was asked: the tour speaks of what the page shows. */
const MOST_KEPT = 12;

export class Readers {
  private readonly kept = new Map<string, Promise<Reading>>();
  private readonly weights = new Map<string, Promise<Weights>>();
  private readonly forecasters = new Map<string, Promise<ForecastWeights>>();
  private readonly series = new Map<string, Promise<Series>>();
  /** Series that have come, by their places. */
  private readonly come = new Map<number, Series>();
  private readonly gradients = new WeakMap<Reading, Promise<Reading>>();

  constructor(
    private readonly exhibit: Exhibit,
    /** Files that were opened here, by the names of networks or by their paths. */
    private readonly opened: Map<string, Uint8Array> = new Map(),
  ) {}

  read(network: string, passage: Passage, clamp: Clamp | null, edits: Edit[] = []): Promise<Reading> {
    const key = JSON.stringify([network, passage, clamp, edits]);
    const found = this.kept.get(key) ?? this.compute(network, passage, clamp, edits);
    this.kept.delete(key);
    this.kept.set(key, found);
    found.catch(() => this.kept.delete(key));
    for (const old of [...this.kept.keys()].slice(0, -MOST_KEPT)) this.kept.delete(old);
    return found;
  }

  /** A reading with its gradient; as it was where that is no longer `wanted`. */
  withGradient(reading: Reading, wanted: () => boolean = () => true): Promise<Reading> {
    if (reading.gradient) return Promise.resolve(reading);
    const found = this.gradients.get(reading) ?? reading.backwards(wanted).then((gradient) => {
      reading.gradient = gradient;
      this.gradients.delete(reading);
      return reading;
    });
    this.gradients.set(reading, found);
    // Who asked first may have lost interest.
    return found.then((done) => (done.gradient || !wanted() ? done : this.withGradient(done, wanted)));
  }

  weightsOf(network: Network): Promise<Weights> {
    return remembered(this.weights, network.name, async () => weightsOf(await this.file(network), definitionOf(network)));
  }

  /** The last known time of a window of a series that has come. */
  momentOf(series: number, moment: number): string | undefined {
    const { origins, labels } = this.come.get(series) ?? {};
    return origins && labels?.[origins[moment]];
  }

  private async compute(name: string, passage: Passage, clamp: Clamp | null, edits: Edit[]): Promise<Reading> {
    const network = this.exhibit.networks.find((network) => network.name === name)!;
    if (this.exhibit.kind === "text") return readText(network, await this.weightsOf(network), passage.text, clamp, edits);
    const weights = remembered(this.forecasters, network.file!, async () => forecastWeightsOf(await this.file(network), network));
    return readWindow(this.exhibit, network, await weights, await this.seriesOf(network, passage.series), passage.moment, clamp, edits);
  }

  private seriesOf(network: Network, place: number): Promise<Series> {
    const file = `${network.forecaster!.series}${place}.js`;
    return remembered(this.series, file, async () => {
      const series = seriesOf(await inflated(this.opened.get(file) ?? (await loadScript(file))));
      this.come.set(place, series);
      return series;
    });
  }

  private async file(network: Network): Promise<Uint8Array> {
    return this.opened.get(network.file ?? network.name) ?? loadScript(network.file!);
  }
}

function remembered<V>(all: Map<string, Promise<V>>, key: string, make: () => Promise<V>): Promise<V> {
  const found = all.get(key) ?? make();
  all.set(key, found);
  found.catch(() => all.delete(key));
  return found;
}

const waiting = new Map<string, (file: string) => void>();

/** A script, not a request: pages that are opened as files may not request others. */
function loadScript(file: string): Promise<Uint8Array> {
  window.gatedNetwork = window.gatedSeries = (name, content) => waiting.get(name)?.(content);
  return new Promise((resolve, reject) => {
    waiting.set(file, (content) => {
      waiting.delete(file);
      resolve(bytesOf(content));
    });
    const script = document.createElement("script");
    script.src = file;
    script.onerror = () => reject(new Error(`${file} cannot be loaded.`));
    document.head.append(script);
  });
}

/** What base64 stands for. */
export function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
