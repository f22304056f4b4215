/** Finds in a passage the moments whose states are nearest to those of one. */
import type { Network, Reading } from "./reading";
import type { Scene } from "./scene";
import type { Words } from "./words";

/** Moments that are listed. */
const LISTED = 5;
/** Steps around a moment that are no find: what is next to it is like it. */
const APART = 5;
/** Characters that are shown on either side of a moment. */
const AROUND = 14;

export interface Likeness {
  step: number;
  cosine: number;
}

/** The moments of the nearest states of a layer (h, and c where there is one), by cosine, apart from each other. */
export function likeMoments(reading: Reading, states: string[], moment: number): Likeness[] {
  const matrices = states.map((name) => reading.arrays[name]);
  const { steps, width } = matrices[0];
  const products = (a: number, b: number) => {
    let sum = 0;
    for (const { numbers } of matrices) for (let unit = 0; unit < width; unit++) sum += numbers[a * width + unit] * numbers[b * width + unit];
    return sum;
  };
  const own = Math.sqrt(products(moment, moment));
  const all = Array.from({ length: steps }, (_, step) => ({ step, cosine: products(moment, step) / (own * Math.sqrt(products(step, step)) || 1) }));
  const found: Likeness[] = [];
  for (const one of all.sort((a, b) => b.cosine - a.cosine)) {
    if (found.length === LISTED) break;
    if ([moment, ...found.map(({ step }) => step)].every((step) => Math.abs(one.step - step) > APART)) found.push(one);
  }
  return found;
}

export class SimilarPanel {
  private readonly button = document.createElement("button");
  private readonly told = document.createElement("p");
  private readonly list = document.createElement("ol");
  /** What was found, for which moment of which reading. */
  private found: { reading: Reading; moment: number; likes: Likeness[] } | null = null;

  constructor(panel: HTMLElement, private readonly scene: Scene, private readonly go: (step: number) => void, now: () => { reading: Reading | undefined; network: Network; step: number; words: Words }) {
    this.button.type = "button";
    this.button.id = "find-similar";
    this.told.setAttribute("role", "status");
    this.button.addEventListener("click", () => {
      const { reading, network, step, words } = now();
      if (!reading || reading.network !== network.name) return;
      this.found = { reading, moment: step, likes: likeMoments(reading, network.states, step) };
      this.write(words);
    });
    panel.append(this.button, this.told, this.list);
  }

  /** Words; what was found in a reading that is no longer shown is forgotten. */
  paint(reading: Reading | undefined, words: Words): void {
    this.button.textContent = words.findSimilar;
    if (this.found && this.found.reading !== reading) this.found = null;
    this.write(words);
  }

  private write(words: Words): void {
    const { found } = this;
    this.told.textContent = found ? words.similarTo(found.moment, this.around(found.moment, words), found.likes.length) : "";
    const focused = [...this.list.children].findIndex((item) => item.contains(document.activeElement));
    this.list.replaceChildren(
      ...(found ? [...found.likes, { step: found.moment, cosine: 1 }] : []).map(({ step, cosine }) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        const own = step === found!.moment;
        item.className = own ? "own" : "";
        const place = Object.assign(document.createElement("span"), { textContent: own ? words.backTo(step) : words.stepOf(step) });
        const around = Object.assign(document.createElement("span"), { className: "around", textContent: this.around(step, words) });
        const share = Object.assign(document.createElement("span"), { textContent: own ? "" : words.cosine(cosine.toFixed(3)) });
        button.append(place, around, share);
        button.addEventListener("click", () => this.go(step));
        item.append(button);
        return item;
      }),
    );
    if (focused >= 0) this.list.children[focused]?.querySelector("button")!.focus();
  }

  /** A moment with what stands around it. */
  private around(step: number, words: Words): string {
    const letters = this.scene.letters();
    if (!letters.length) return this.scene.name(step, words);
    const shown = (first: number, end: number) => letters.slice(Math.max(0, first), end).join("").replaceAll("\n", "↵");
    return `${shown(step - AROUND, step)}[${shown(step, step + 1)}]${shown(step + 1, step + 1 + AROUND)}`;
  }
}
