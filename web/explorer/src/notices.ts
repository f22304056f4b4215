/** What the page did otherwise than it was asked, and why: nothing is changed or left out in silence. */
import { editForms } from "./edits";
import { apart, composedIn, nameOfCharacter } from "./glyphs";
import type { Exhibit, Network } from "./reading";
import { partsOf, SPANS, TEXTS, type Part, type View } from "./view";
import { LAST } from "./story_picture";
import type { Words } from "./words";

export type Notice = (words: Words) => string;

/** Unknown characters that are named; of more, only how many. */
const NAMED = 12;

/** What there is for a part of a view, as the address writes it. */
function there(part: Part, exhibit: Exhibit, exhibits: Exhibit[], network: Network, stops: number, steps: number): string {
  const upTo = (count: number) => `0 – ${count - 1}`;
  switch (part) {
    case "exhibit":
      return exhibits.map(({ name }) => name).join(", ");
    case "network":
      return exhibit.networks.map(({ name }) => name).join(", ");
    case "unit":
      return upTo(network.units);
    case "box":
      return network.gates.join(", ");
    case "gate":
      return network.clampable.join(", ") || "–";
    case "series":
      return exhibit.kind === "series" ? upTo(exhibit.series.length) : "–";
    case "moment":
      return exhibit.kind === "series" ? upTo(Math.min(...exhibit.series.map(({ windows }) => windows))) : "–";
    case "tour":
      return upTo(stops);
    case "story":
      return `0 – ${LAST}`;
    case "value":
      return "0 – 1";
    case "span":
      return SPANS.join(", ");
    case "language":
      return "en, zh";
    case "theme":
      return "light, dark";
    case "all":
      return "1";
    case "edits":
      return editForms(network);
    default:
      return upTo(steps || Infinity).replace("Infinity", "…");
  }
}

/** What is shown for a part of the view, as the address writes it; nothing where it is not there. */
function shown(part: Part, view: View): string {
  if (part === "all") return view.all ? "1" : "0";
  return String(view[part] ?? "");
}

/** A notice for `part` where another value is shown than was asked for. */
export function refused(part: Part, asked: string, view: View, exhibit: Exhibit, exhibits: Exhibit[], network: Network, stops: number, steps: number): Notice | null {
  const is = shown(part, view);
  if (asked === is || (asked.trim() !== "" && Number(asked) === Number(is))) return null;
  return (words) => words.absent(words.parts[part], asked, there(part, exhibit, exhibits, network, stops, steps), is);
}

/** The parts of a link, each with what it asks for, the place in the page, and the names in it that mean nothing here. */
export function askedBy(hash: string, exhibit: Exhibit): { parts: [Part, string][]; strange: string[]; at: string | null } {
  const given = [...new URLSearchParams(hash.replace(/^#/, ""))];
  const here = partsOf(exhibit.kind);
  return {
    parts: given.filter((pair): pair is [Part, string] => here.includes(pair[0] as Part)),
    at: given.find(([name]) => name === "at")?.[1] ?? null,
    strange: given.map(([name]) => name).filter((name) => name !== "at" && !here.includes(name as Part) && !TEXTS.slice(0, exhibit.kind === "text" ? 2 : 1).includes(name as Part)),
  };
}

/** What is odd about the steps at which a gate is held. */
export function oddRange({ value, span, first, last }: View, steps: number): Notice[] {
  if (value === null || span === "all" || !steps) return [];
  const end = steps - 1;
  if (first > end) return [(words) => words.heldNowhere(first, end)];
  if (span === "range" && last < first) return [(words) => words.heldOnce(first, last)];
  return span === "range" && last > end ? [(words) => words.heldToEnd(last, end)] : [];
}

const vocabularies = new WeakMap<Network, Set<string>>();

/** The characters of a text that a network does not know. */
export function unknownTo(network: Network, characters: string[]): string[] {
  const known = vocabularies.get(network) ?? new Set([...(network.vocabulary ?? "")].slice(1));
  vocabularies.set(network, known);
  return characters.filter((character) => !known.has(character));
}

export function unknownNotice(network: Network, characters: string[]): Notice[] {
  const unknown = unknownTo(network, characters);
  if (!unknown.length) return [];
  const kinds = [...new Set(unknown)];
  return [(words) => words.unknown(network.name.toUpperCase(), unknown.length, characters.length, kinds.slice(0, NAMED).map((kind) => apart(nameOfCharacter(kind))), Math.max(0, kinds.length - NAMED))];
}

/** Where what is seen as one sign is read as several characters, or in another direction than it is written. */
export function composedNotice(text: string): Notice[] {
  const { signs, characters, turned } = composedIn(text);
  return [
    ...(signs ? [(words: Words) => words.composed(signs, characters)] : []),
    ...(turned ? [(words: Words) => words.turned] : []),
  ];
}
