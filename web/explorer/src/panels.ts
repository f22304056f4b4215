/** Bars beside the diagram: what comes next, and who wrote the memory. */
import { signedPalette, type Theme } from "./colours";
import { signed } from "./diagram";
import { nameOfCharacter } from "./glyphs";
import { FAINTEST, type Ledger } from "./ledger";
import type { Reading } from "./reading";
import type { Words } from "./words";

const SHOWN = 8;
const WRITERS = 8;

export function visible(character: string, words: Words): string {
  return { " ": "␣", "\ufffd": words.other }[character] ?? nameOfCharacter(character);
}

/** The places of the largest numbers, largest first. */
export function largest(numbers: ArrayLike<number>, count: number): number[] {
  const found: number[] = [];
  for (let place = 0; place < numbers.length; place++) {
    if (found.length === count && numbers[place] <= numbers[found[count - 1]]) continue;
    const rank = found.findIndex((other) => numbers[place] > numbers[other]);
    found.splice(rank < 0 ? found.length : rank, 0, place);
    if (found.length > count) found.pop();
  }
  return found;
}

export function topCharacters(reading: Reading, step: number, count: number): { place: number; share: number }[] {
  const odds = reading.probabilities!(step);
  return largest(odds, count).map((place) => ({ place, share: odds[place] }));
}

/** Rows of a name, a bar and a number, made when they are first filled, and refilled. */
export class Bars {
  private readonly rows: { row: HTMLElement; name: HTMLElement; bar: HTMLElement; mark: HTMLElement; number: HTMLElement }[] = [];

  constructor(private readonly parent: HTMLElement) {}

  private row(place: number) {
    while (this.rows.length <= place) {
      const [row, name, track, bar, mark, number] = ["row", "name", "track", "bar", "mark", "number"].map((part) => {
        const element = document.createElement("div");
        element.className = `bars-${part}`;
        return element;
      });
      track.append(bar, mark);
      row.append(name, track, number);
      this.parent.append(row);
      this.rows.push({ row, name, bar, mark, number });
    }
    return this.rows[place];
  }

  /** Where the name of a row stands. */
  nameOf(place: number): HTMLElement {
    return this.row(place).name;
  }

  /** Fill a row; without a `name` that stays as it is. */
  fill(place: number, name: string | null, share: number, number: string, colour: string, mark: number | null, strong: boolean): void {
    const parts = this.row(place);
    parts.row.hidden = false;
    parts.row.classList.toggle("strong", strong);
    if (name !== null) parts.name.textContent = name;
    parts.bar.style.transform = `scaleX(${Math.min(1, share)})`;
    parts.bar.style.backgroundColor = colour;
    parts.mark.hidden = mark === null;
    if (mark !== null) parts.mark.style.transform = `translateX(${100 * mark}%)`;
    parts.number.textContent = number;
  }

  hideFrom(place: number): void {
    for (const { row } of this.rows.slice(place)) row.hidden = true;
  }
}

export class PredictionPanel {
  private readonly bars: Bars;

  constructor(parent: HTMLElement) {
    this.bars = new Bars(parent);
  }

  /** The likeliest next characters; with a change, a mark stands where each was without it. */
  fill(reading: Reading, plain: Reading, vocabulary: string[], step: number, next: string | undefined, words: Words): void {
    const before = reading === plain ? null : plain.probabilities!(step);
    const top = topCharacters(reading, step, SHOWN);
    top.forEach(({ place, share }, rank) => {
      const mark = before && before[place];
      const character = vocabulary[place];
      this.bars.fill(rank, visible(character, words), share, `${(100 * share).toFixed(1)} %`, "var(--accent)", mark, character === next);
    });
    this.bars.hideFrom(top.length);
  }
}

export class LedgerPanel {
  private readonly bars: Bars;

  constructor(parent: HTMLElement, private readonly sum: HTMLElement) {
    this.bars = new Bars(parent);
  }

  /** The steps that wrote most of what is remembered, in time's order; `writer` names a step. */
  fill(ledger: Ledger | null, writer: (step: number) => string, symbol: string, theme: Theme, words: Words): void {
    if (!ledger) {
      this.sum.textContent = words.noLedger;
      this.bars.hideFrom(0);
      return;
    }
    const sizes = ledger.written.map(Math.abs);
    const first = largest(sizes, WRITERS);
    const most = Math.max(sizes[first[0]], 1e-9);
    const writers = first.filter((k) => sizes[k] >= FAINTEST * most).sort((a, b) => a - b);
    const rest = ledger.state - writers.reduce((total, k) => total + ledger.written[k], 0);
    const wrote = ledger.set === null ? ledger.written.length : ledger.written.length - 1 - ledger.set;
    this.sum.textContent = words.sum(symbol, signed(ledger.state), wrote, signed(rest), ledger.set);
    const palette = signedPalette(theme);
    writers.forEach((k, rank) => {
      const value = ledger.written[k];
      this.bars.fill(rank, writer(k), sizes[k] / most, signed(value), palette(0.75 * Math.sign(value)), null, false);
    });
    this.bars.hideFrom(writers.length);
  }
}
