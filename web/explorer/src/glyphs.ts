/** How characters are shown one by one, as networks read them: also those that are no sign by themselves. */

const MARK = /^\p{M}$/u;
const UNSEEN = /^[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]$/u;
const ORIENTAL = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;
/** Stands for a character that nothing is drawn of. */
const BLANK = "▯";

/** What is drawn in the place of a character: accents have a circle beneath them, what is not seen has a frame. */
export function glyphOf(character: string): string {
  if (character === "\n") return "↵";
  if (character === "\t") return "⇥";
  if (character === " ") return " ";
  if (MARK.test(character) && !UNSEEN.test(character)) return `◌${character}`;
  return UNSEEN.test(character) ? BLANK : character;
}

/** The name of a character in a sentence: what is not seen is named by its number. */
export function nameOfCharacter(character: string): string {
  if (character === "\n") return "↵";
  const glyph = glyphOf(character);
  return glyph === BLANK && character !== BLANK ? `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}` : glyph;
}

/** A character as it stands among others in a line: one of a script that runs from right to left turns none of them. */
export function apart(shown: string): string {
  return ORIENTAL.test(shown) ? `\u2068${shown}\u2069` : shown;
}

/** Signs of a text that several characters make up, and those characters; and whether letters run from right to left. */
export interface Composed {
  signs: number;
  characters: number;
  turned: boolean;
}

export function composedIn(text: string): Composed {
  const found = { signs: 0, characters: 0, turned: ORIENTAL.test(text) };
  if (!/[^\x00-\x7f]/.test(text) || !("Segmenter" in Intl)) return found;
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text)) {
    const characters = [...segment].length;
    if (characters === 1 || segment === "\r\n") continue;
    found.signs += 1;
    found.characters += characters;
  }
  return found;
}
