/** Everything the page says, in English and Chinese, of texts and of series. */
import { CHINESE, CHINESE_OF_SERIES } from "./chinese";
import { ENGLISH, ENGLISH_OF_SERIES } from "./english";

export type Words = typeof ENGLISH;

const SPOKEN = {
  text: { en: ENGLISH, zh: CHINESE },
  series: { en: { ...ENGLISH, ...ENGLISH_OF_SERIES }, zh: { ...CHINESE, ...CHINESE_OF_SERIES } },
};

export function wordsFor(kind: "text" | "series", language: "en" | "zh"): Words {
  return SPOKEN[kind][language];
}
