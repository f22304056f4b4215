/** Opens the page: what there is, and the view that the address or a first visit asks for. */
import { Engine } from "./engine";
import { readEdits, wholeOf } from "./edits";
import { Explorer } from "./explorer";
import { chosenFiles, openRun } from "./folder";
import { Learner } from "./learner";
import { chanceFrom, exampleOf, SHAPES } from "./problems";
import { Readers } from "./readers";
import type { Clamp, Exhibit, Passage, Reading } from "./reading";
import { readView, type View } from "./view";
import { bringUp } from "./sight";
import { pictureAt } from "./story_picture";
import { wasToured } from "./visits";
import { wordsFor } from "./words";

declare global {
  interface Window {
    /** What exhibit.js lists. */
    gatedExhibits?: Exhibit[];
    /** For scripts of a page that shows this one. */
    gated?: object;
  }
}

const SYSTEM = {
  language: navigator.language.startsWith("zh") ? "zh" : "en",
  theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
} as const;

function firstView(exhibit: Exhibit, { language, theme }: Pick<View, "language" | "theme">): View {
  const series = exhibit.kind === "series" ? exhibit.series[0].windows : 0;
  return {
    exhibit: exhibit.name,
    text: exhibit.kind === "text" ? (Object.values(exhibit.passages)[0] ?? "The memory of a network.") : "",
    series: 0,
    moment: Math.floor(series / 2),
    network: exhibit.networks.at(-1)!.name,
    step: exhibit.kind === "series" ? exhibit.history : 40,
    unit: 0,
    box: "",
    gate: "",
    value: null,
    all: false,
    span: "all",
    first: 0,
    last: 0,
    other: "",
    edits: "",
    tour: null,
    story: null,
    language,
    theme,
  };
}

const exhibits = window.gatedExhibits ?? [];
const readers = new Map<Exhibit, Readers>();
const empty = document.body.cloneNode(true) as HTMLElement;
let explorer: Explorer | null = null;

function readersOf(exhibit: Exhibit): Readers {
  const found = readers.get(exhibit) ?? new Readers(exhibit);
  readers.set(exhibit, found);
  return found;
}

/** What a link may say without saying which networks. */
const OF_THE_PAGE = ["story", "tour", "at", "language", "theme"];
/** What a first visitor may bring along and still be shown around. */
const OF_THE_VISITOR = ["language", "theme"];

/** What a link asks for; where it names no network or text, networks that read the language of the page. */
function askedExhibit(hash: string): Exhibit {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const named = [...asked.keys()].some((name) => !OF_THE_PAGE.includes(name));
  const spoken = asked.get("language") ?? SYSTEM.language;
  const alike = named ? undefined : exhibits.find(({ language }) => language === spoken);
  return exhibits.find((exhibit) => exhibit.name === asked.get("exhibit")) ?? alike ?? exhibits[0];
}

/** What a forecaster makes of a window: as `reading`, by the places of the series and of the window in it. */
async function forecast(network: string, series: number, moment: number, clamp: Clamp | null = null, edits = "") {
  const found = exhibits.find(({ kind }) => kind === "series");
  if (!found) throw new Error("The page shows no forecaster.");
  const { score, labels, arrays, gradient } = await read(found, network, { text: "", series, moment }, clamp, edits);
  return { score, labels, arrays, gradient };
}

/** What a network makes of a passage, with its gradient. */
async function read(exhibit: Exhibit, name: string, passage: Passage, clamp: Clamp | null, edits: string): Promise<Reading> {
  const network = exhibit.networks.find((network) => network.name === name);
  if (!network) throw new Error(`There is no network ${name}; there is ${exhibit.networks.map(({ name }) => name).join(", ")}.`);
  const all = readersOf(exhibit);
  return all.withGradient(await all.read(name, passage, clamp, readEdits(edits, wholeOf(network, exhibit.networks))));
}

/** Show an exhibit in a page that is as it was first. */
async function show(exhibit: Exhibit, hash: string, before: Pick<View, "language" | "theme">): Promise<Explorer> {
  explorer?.close();
  if (explorer) document.body.replaceWith(empty.cloneNode(true));
  const view = { ...readView(hash, firstView(exhibit, before)), exhibit: exhibit.name };
  explorer = new Explorer(view, exhibit, exhibits, readersOf(exhibit), {
    leave: (name, hash, now) => void show(exhibits.find((other) => other.name === name) ?? exhibit, hash, now),
    open: (now) => void openFolder(now),
  });
  const mine = explorer;
  mine.paint();
  await mine.ask();
  return mine;
}

async function openFolder(now: View): Promise<void> {
  const files = await chosenFiles();
  if (!files.length) return;
  try {
    const { found, opened } = await openRun(files);
    for (const exhibit of found) {
      const place = exhibits.findIndex(({ name }) => name === exhibit.name);
      exhibits.splice(place < 0 ? exhibits.length : place, 1, exhibit);
      readers.set(exhibit, new Readers(exhibit, opened));
    }
    await show(found[0], "", now);
  } catch (error) {
    explorer?.report(error);
  }
}

/** What a network makes of a text: numbers by gate and state, with steps and width; `edits` as the address has them. */
async function reading(exhibit: string, network: string, text: string, clamp: Clamp | null = null, edits = "") {
  const found = exhibits.find(({ name }) => name === exhibit);
  if (!found) throw new Error(`There is no exhibit ${exhibit}; there is ${exhibits.map(({ name }) => name).join(", ")}.`);
  const { score, arrays, gradient, probabilities } = await read(found, network, { text, series: 0, moment: 0 }, clamp, edits);
  return { score, arrays, gradient, probabilities };
}

async function start(): Promise<void> {
  window.gated = { reading, forecast, Engine, pictureAt, Learner, SHAPES, exampleOf, chanceFrom };
  if (!exhibits.length) {
    document.body.textContent = wordsFor("text", SYSTEM.language).noExhibit;
    return;
  }
  const hash = location.hash;
  const opening = show(askedExhibit(hash), hash, SYSTEM);
  if (new URLSearchParams(hash.slice(1)).has("story")) bringUp(document.getElementById("story"));
  const shown = await opening;
  // Whoever comes for the first time, and not by a link to a place, is shown around.
  const plain = [...new URLSearchParams(hash.slice(1)).keys()].every((name) => OF_THE_VISITOR.includes(name));
  if (plain && !wasToured()) shown.visit(0, false);
}

void start();
