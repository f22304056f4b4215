/** A second text, read by the same network, beneath the first: where they part, and what that costs. */
import { unknownTo } from "./notices";
import { visible } from "./panels";
import { Ribbon } from "./ribbon";
import type { Theme } from "./colours";
import type { Network, Reading } from "./reading";
import type { View } from "./view";
import type { Words } from "./words";

/** The first place at which two texts differ, or where the shorter ends; null where they are the same. */
export function partingOf(first: string[], second: string[]): number | null {
  const place = first.findIndex((character, step) => character !== second[step]);
  if (place >= 0) return place;
  return second.length > first.length ? first.length : null;
}

/** What is compared: a reading of each text, and their bits a character from where they part. */
interface Pair {
  first: Reading;
  second: Reading;
  parting: number | null;
  after: [number | null, number | null];
}

class Lane {
  readonly element = document.createElement("div");
  readonly ribbon: Ribbon;
  private readonly title = document.createElement("h3");
  private readonly canvas = document.createElement("canvas");

  constructor(choose: (step: number) => void) {
    const legend = document.createElement("p");
    legend.className = "lane-curves";
    this.canvas.className = "lane-line";
    this.canvas.setAttribute("role", "img");
    this.element.className = "lane";
    this.element.append(this.title, this.canvas, legend);
    this.ribbon = new Ribbon(this.canvas, legend, choose);
  }

  say(title: string, words: Words): void {
    this.title.textContent = title;
    this.canvas.setAttribute("aria-label", `${title}${words.colon}${words.curves}`);
  }
}

export class SecondText {
  private readonly field: HTMLTextAreaElement;
  private readonly told: HTMLElement;
  private readonly lanes: Lane[];
  private readonly drawn = document.createElement("div");
  private letters: string[][] = [[], []];
  private both: string[] = [];
  private pair: Pair | null = null;
  /** Characters that were given, where the text was cut. */
  private given = 0;

  constructor(panel: HTMLElement, private readonly longest: number, private readonly now: () => View, go: (change: Partial<View>) => void) {
    const get = <E extends Element>(selector: string) => panel.querySelector<E>(selector)!;
    this.field = get("textarea");
    this.told = get("[role=status]");
    this.field.addEventListener("input", () => go({ other: this.field.value }));
    get("#copy-first").addEventListener("click", () => {
      go({ other: this.now().text });
      this.field.value = this.now().other;
      this.field.focus();
    });
    get("#drop-second").addEventListener("click", () => {
      go({ other: "" });
      this.field.value = "";
      this.field.focus();
    });
    this.lanes = [0, 1].map(() => new Lane((step) => go({ step: Math.min(step, this.letters[0].length - 1) })));
    this.drawn.hidden = true;
    this.drawn.append(...this.lanes.map(({ element }) => element));
    panel.append(this.drawn);
  }

  /** The view with the second text cut to what is read. */
  within(view: View): View {
    if (view.other.length <= this.longest) return { ...view, other: view.other };
    const characters = [...view.other];
    if (characters.length > this.longest) this.given = characters.length;
    return { ...view, other: characters.slice(0, this.longest).join("") };
  }

  /** Take over what a network made of both texts. */
  async take(first: Reading, second: Reading | null, texts: [string, string], wanted: () => boolean): Promise<void> {
    const letters = texts.map((text) => [...text]);
    const parting = partingOf(letters[0], letters[1]);
    const from = Math.max(0, (parting ?? 0) - 1);
    const after: Pair["after"] = [(await first.scoreFrom?.(from)) ?? null, (await second?.scoreFrom?.(from)) ?? null];
    if (!wanted()) return;
    this.letters = letters;
    this.both = letters.flat();
    this.pair = second && { first, second, parting, after };
  }

  paint(view: View, network: Network, words: Words): void {
    if (this.field.value !== view.other && document.activeElement !== this.field) this.field.value = view.other;
    const pair = this.pair && this.pair.first.network === network.name && view.other ? this.pair : null;
    this.drawn.hidden = !pair;
    this.lanes.forEach((lane, place) => lane.say([words.firstText, words.secondText][place], words));
    const told = pair ? this.tell(pair, network, words) : "";
    if (this.told.textContent !== told) this.told.textContent = told;
  }

  /** The moment in both, drawn on one axis. */
  draw(reading: Reading, network: Network, step: number, unit: number, theme: Theme): void {
    if (this.drawn.hidden || !this.pair || this.pair.first !== reading) return;
    const { first, second, parting } = this.pair;
    const beside = { letters: this.both, steps: Math.max(...this.letters.map(({ length }) => length)), parting };
    [first, second].forEach((reading, place) => this.lanes[place].ribbon.draw(reading, network, this.letters[place], null, step, unit, theme, beside));
  }

  private tell({ first, second, parting, after }: Pair, network: Network, words: Words): string {
    const [a, b] = this.letters;
    const name = (letters: string[]) => (letters[parting!] === undefined ? words.textEnd : visible(letters[parting!], words));
    const unknown = unknownTo(network, b).length;
    const cut = b.length === this.longest && this.given > this.longest;
    return [
      parting === null ? words.sameTexts : words.parted(parting, name(a), name(b)),
      parting === null || first.score === null || second.score === null ? "" : words.twoScores(first.score, second.score),
      parting && after[0] !== null && after[1] !== null ? words.twoScoresAfter(after[0], after[1]) : "",
      unknown ? words.unknownInSecond(unknown) : "",
      cut ? words.cut(this.given, this.longest) : "",
    ].filter(Boolean).join(words.gap);
  }
}
