/** A text as a passage: typed or chosen, drawn as letters, its next character predicted. */
import { composedNotice, unknownNotice, unknownTo, type Notice } from "./notices";
import { apart, glyphOf } from "./glyphs";
import { PredictionPanel, topCharacters, visible } from "./panels";
import type { Moment, Scene, Shown } from "./scene";
import type { Network, Passage, Reading, TextExhibit } from "./reading";
import { TextStrip } from "./strip";
import type { View } from "./view";
import type { Words } from "./words";

/** Characters that are shown before the one of the moment. */
const CONTEXT = 5;

export class TextScene implements Scene {
  private readonly strip: TextStrip;
  private readonly prediction: PredictionPanel;
  /** Characters of the text that was read; the text field may be ahead of them. */
  private characters: string[] = [];
  /** Characters of the text that was given, where it was cut. */
  private given = 0;
  private cut = "";
  /** What is read, or about to be. */
  private text = "";
  /** The last text of the reader's own. */
  private own = "";
  private composed: Notice[] = [];

  constructor(
    canvas: HTMLCanvasElement,
    prediction: HTMLElement,
    private readonly field: HTMLTextAreaElement,
    private readonly passages: HTMLSelectElement,
    private readonly exhibit: TextExhibit,
    go: (change: Partial<View>, typed?: boolean) => void,
  ) {
    this.strip = new TextStrip(canvas, (step) => go({ step }));
    this.prediction = new PredictionPanel(prediction);
    passages.append(new Option("", ""), ...Object.entries(exhibit.passages).map(([name, text]) => new Option(name, text)));
    passages.addEventListener("change", () => {
      this.keepText(field.value);
      const text = passages.value || this.own;
      if (text) go({ text, step: 0 });
      if (!passages.value) field.focus();
    });
    // The network goes on reading the last text while the field is empty, and says so.
    field.addEventListener("input", () => go(field.value ? { text: field.value } : {}, true));
    field.addEventListener("blur", () => {
      if (field.value) return;
      field.value = this.text;
      go({}, true);
    });
  }

  /** The view with its text cut to what is read. */
  within(view: View): View {
    const { longest } = this.exhibit;
    if (view.text.length <= longest) return view;
    const characters = [...view.text];
    if (characters.length <= longest) return view;
    this.given = characters.length;
    this.cut = characters.slice(0, longest).join("");
    return { ...view, text: this.cut };
  }

  passage({ text }: View): Passage {
    return { text, series: 0, moment: 0 };
  }

  keep({ text }: View): void {
    this.keepText(text);
  }

  kept({ text }: View): string {
    return this.isPassage(text) ? this.own : "";
  }

  private keepText(text: string): void {
    if (text && !this.isPassage(text)) this.own = text;
  }

  private isPassage(text: string): boolean {
    return Object.values(this.exhibit.passages).includes(text);
  }

  take({ text }: Passage): number {
    this.characters = [...text];
    this.composed = composedNotice(text);
    return this.characters.length;
  }

  say({ text }: View, words: Words): void {
    this.text = text;
    // Whoever empties the field is about to type.
    const emptied = !this.field.value && document.activeElement === this.field;
    if (this.field.value !== text && !emptied) this.field.value = text;
    this.passages.options[0].textContent = words.own;
    this.passages.value = [...this.passages.options].some((option) => option.value === text) ? text : "";
  }

  paint(_: Shown): void {
    this.strip.lay(this.characters);
  }

  draw({ reading, plain, network, words, theme, step, ledger, held }: Moment): void {
    this.strip.mark(ledger, step, held, theme);
    this.prediction.fill(reading, plain, [...network.vocabulary!], step, this.characters[step + 1], words);
  }

  input(step: number, network: Network, words: Words): string {
    const [character, shown] = [this.characters[step] ?? "", this.visible(step, words)];
    return character && unknownTo(network, [character]).length ? `${shown} → ${words.other}` : shown;
  }

  unknown(network: Network): number {
    return unknownTo(network, this.characters).length;
  }

  notices(network: Network): Notice[] {
    const { given, exhibit, characters } = this;
    const cut: Notice[] = characters.length === exhibit.longest && characters.join("") === this.cut ? [(words) => words.cut(given, exhibit.longest)] : [];
    const emptied: Notice[] = this.field.value ? [] : [(words) => words.emptied];
    return [...emptied, ...cut, ...unknownNotice(network, characters), ...this.composed];
  }

  letters(): string[] {
    return this.characters;
  }

  private visible(step: number, words: Words): string {
    return visible(this.characters[step] ?? "", words);
  }

  name(step: number, words: Words): string {
    const before = this.characters.slice(Math.max(0, step - CONTEXT), step).map((character) => apart(glyphOf(character))).join("");
    return `${before}[${apart(this.visible(step, words))}]`;
  }

  writer(step: number, words: Words): string {
    return `${this.name(step, words)} ${step}`;
  }

  glance(reading: Reading, network: Network, step: number, words: Words): string {
    const vocabulary = [...network.vocabulary!];
    const best = topCharacters(reading, step, 3);
    return best.map(({ place, share }) => `${visible(vocabulary[place], words)} ${Math.round(100 * share)} %`).join("   ");
  }
}
