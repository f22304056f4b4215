/** What differs between a text and a series: the passage, its picture, and what is predicted. */
import type { Theme } from "./colours";
import type { Ledger } from "./ledger";
import type { Notice } from "./notices";
import type { Network, Passage, Reading } from "./reading";
import type { View } from "./view";
import type { Words } from "./words";

export interface Shown {
  /** What the network computed, with the change where there is one. */
  reading: Reading;
  /** The same without the change. */
  plain: Reading;
  network: Network;
  words: Words;
  theme: Theme;
}

export interface Moment extends Shown {
  step: number;
  ledger: Ledger | null;
  /** The first and the last step at which a gate is held. */
  held: [number, number] | null;
}

export interface Scene {
  /** The view with a passage that there is. */
  within(view: View): View;
  passage(view: View): Passage;
  /** Keep a text of the reader's own, which another one is about to replace. */
  keep(view: View): void;
  /** The text that is kept while a passage is shown; "" where there is none. */
  kept(view: View): string;
  /** Take over a passage that has been read, and say how many steps it has. */
  take(passage: Passage, reading: Reading): number;
  /** Words and the state of its controls. */
  say(view: View, words: Words): void;
  /** Everything that does not depend on the moment. */
  paint(shown: Shown): void;
  /** What depends on it: all that a scrub redraws. */
  draw(moment: Moment): void;
  /** What a network reads at a step, as short as the diagram wants it. */
  input(step: number, network: Network, words: Words): string;
  /** How many steps of the passage a network does not know. */
  unknown(network: Network): number;
  /** What of the passage is left out or means nothing to a network. */
  /** `reading` is of the network, where there is one. */
  notices(network: Network, reading?: Reading): Notice[];
  /** The characters of a text; none of a series. */
  letters(): string[];
  /** A step in words. */
  name(step: number, words: Words): string;
  /** A step as the ledger names it. */
  writer(step: number, words: Words): string;
  /** The prediction of a step in a few words. */
  glance(reading: Reading, network: Network, step: number, words: Words): string;
}
