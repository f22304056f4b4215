/** Has networks read passages: those over characters here in the page, forecasters on the server. */
import { definitionOf } from "./definitions";
import type { Clamp, Edit, Exhibit, Network, Passage, Reading } from "./reading";
import { fetchReading } from "./server";
import { gradientByDistance, readText } from "./text_reader";
import { weightsOf, type Weights } from "./weights";

declare global {
  interface Window {
    /** Called by the script of a network, with its safetensors file in base64. */
    gatedNetwork?: (file: string, weights: string) => void;
  }
}

/** Readings that are kept, by what was asked: the tour speaks of what the page shows. */
const MOST_KEPT = 12;

export class Readers {
  private readonly kept = new Map<string, Promise<Reading>>();
  private readonly weights = new Map<string, Promise<Weights>>();
  private readonly gradients = new WeakMap<Reading, Promise<Reading>>();

  constructor(
    private readonly exhibit: Exhibit,
    /** Files of networks that were opened here, by their names. */
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
    const { run } = reading;
    if (reading.gradient || !run) return Promise.resolve(reading);
    const found = this.gradients.get(reading) ?? gradientByDistance(run, wanted).then((gradient) => {
      reading.gradient = gradient;
      this.gradients.delete(reading);
      return reading;
    });
    this.gradients.set(reading, found);
    // Who asked first may have lost interest.
    return found.then((done) => (done.gradient || !wanted() ? done : this.withGradient(done, wanted)));
  }

  weightsOf(network: Network): Promise<Weights> {
    const found = this.weights.get(network.name) ?? this.load(network);
    this.weights.set(network.name, found);
    found.catch(() => this.weights.delete(network.name));
    return found;
  }

  private async compute(name: string, passage: Passage, clamp: Clamp | null, edits: Edit[]): Promise<Reading> {
    if (this.exhibit.kind === "series") return fetchReading(name, passage, clamp);
    const network = this.exhibit.networks.find((network) => network.name === name)!;
    return readText(network, await this.weightsOf(network), passage.text, clamp, edits);
  }

  private async load(network: Network): Promise<Weights> {
    const file = this.opened.get(network.name) ?? (await loadScript(network.file!));
    return weightsOf(file, definitionOf(network));
  }
}

const waiting = new Map<string, (weights: string) => void>();

/** A script, not a request: pages that are opened as files may not request others. */
function loadScript(file: string): Promise<Uint8Array> {
  window.gatedNetwork ??= (name, weights) => waiting.get(name)?.(weights);
  return new Promise((resolve, reject) => {
    waiting.set(file, (weights) => {
      waiting.delete(file);
      resolve(Uint8Array.from(atob(weights), (character) => character.charCodeAt(0)));
    });
    const script = document.createElement("script");
    script.src = file;
    script.onerror = () => reject(new Error(`${file} cannot be loaded.`));
    document.head.append(script);
  });
}
