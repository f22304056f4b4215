/** Opens a run from its folder on this machine: model.json and its safetensors file, for each network. */
import { LAYOUTS, type Cell } from "./cells";
import { checkedDefinition } from "./definition_check";
import { FolderError } from "./folder_error";
import { bytesOf } from "./readers";
import type { Exhibit, Network, TextExhibit } from "./reading";

const DOCUMENT = "model.json";
/** What a page that was written as files lists, and its other scripts. */
const LISTED = "exhibit.js";
const SCRIPT = /^gated\w+\("([^"]+)","([^"]*)"\);/;
const LONGEST = 5000;
/** Tasks whose networks read characters. */
const READ = ["characters", "language"];
const CELLS: Record<string, Cell> = { rnn: "rnn", rnn_tanh: "rnn", rnn_relu: "rnn", gru: "gru", lstm: "lstm" };

/** Ask for a folder; without a choice there are no files. */
export function chosenFiles(): Promise<File[]> {
  const input = document.createElement("input");
  input.type = "file";
  input.webkitdirectory = true;
  input.id = "folder";
  input.hidden = true;
  document.body.append(input);
  return new Promise((resolve) => {
    const done = () => {
      input.remove();
      resolve([...(input.files ?? [])]);
    };
    input.addEventListener("change", done);
    input.addEventListener("cancel", done);
    input.click();
  });
}

interface Description {
  task?: string;
  /** Its name, or the document of a cell of one's own. */
  cell?: string | object;
  config?: { unit?: string; layers?: number; cell?: string };
  vocabulary?: string | { points: number[] };
  trained_on?: string | { en: string; zh: string };
  bits_per_character?: number;
  passages?: Record<string, string>;
}

export interface Opened {
  found: Exhibit[];
  /** Files, by the names of networks or by their paths. */
  opened: Map<string, Uint8Array>;
}

/** What is in a folder: a page that was written as files, or the networks in it or in the folders in it. */
export async function openRun(files: File[]): Promise<Opened> {
  const listed = files.find(({ name, webkitRelativePath: path }) => name === LISTED && path.split("/").length === 2);
  if (listed) return openPage(listed, files);
  const { exhibit, opened } = await openNetworks(files);
  return { found: [exhibit], opened };
}

async function openPage(listed: File, files: File[]): Promise<Opened> {
  const text = await listed.text();
  const [folder] = listed.webkitRelativePath.split("/");
  const found = exhibitsIn(text);
  if (!found) throw new FolderError((words) => words.noDescription(folder, LISTED));
  for (const exhibit of found) {
    if (exhibit.name === "run") exhibit.name = folder;
    for (const { definition } of exhibit.networks) if (definition) checkedDefinition(definition);
  }
  const opened = new Map<string, Uint8Array>();
  for (const file of files) {
    const [, path, content] = (file.name.endsWith(".js") && file !== listed && SCRIPT.exec(await file.text())) || [];
    if (path !== undefined) opened.set(path, bytesOf(content));
  }
  return { found, opened };
}

/** What the list of a page says; null where it is damaged, or another file of this name. */
function exhibitsIn(text: string): Exhibit[] | null {
  try {
    const found = JSON.parse(text.slice(text.indexOf("=") + 1, text.lastIndexOf(";"))) as Exhibit[];
    return found[0].networks.length ? found : null;
  } catch {
    return null;
  }
}

async function openNetworks(files: File[]): Promise<{ exhibit: TextExhibit; opened: Map<string, Uint8Array> }> {
  const folderOf = (file: File) => file.webkitRelativePath.split("/").slice(0, -1).join("/");
  const documents = files.filter(({ name }) => name === DOCUMENT);
  if (!documents.length) throw new FolderError((words) => words.noRun(DOCUMENT));
  const opened = new Map<string, Uint8Array>();
  const networks: Network[] = [];
  let passages: Record<string, string> = {};
  for (const document of documents) {
    const description = descriptionIn(await document.text());
    const task = description?.task;
    if (!description || typeof task !== "string") throw new FolderError((words) => words.noDescription(folderOf(document), DOCUMENT));
    if (task === "forecast") throw new FolderError((words) => words.forecasterFolder(folderOf(document).split("/")[0]));
    if (!READ.includes(task)) throw new FolderError((words) => words.otherTask(folderOf(document), task));
    const weights = files.find((file) => folderOf(file) === folderOf(document) && file.name.endsWith(".safetensors"));
    if (!weights) throw new FolderError((words) => words.noWeights(folderOf(document)));
    const file = new Uint8Array(await weights.arrayBuffer());
    const units = unitsOf(file);
    if (units === null) throw new FolderError((words) => words.damagedWeights(folderOf(document), weights.name));
    const network = networkOf(description, units, folderOf(document));
    if (opened.has(network.name)) throw new FolderError((words) => words.twoOfACell(network.cell));
    opened.set(network.name, file);
    networks.push(network);
    passages = description.passages ?? passages;
  }
  networks.sort((one, other) => Object.keys(LAYOUTS).indexOf(one.cell) - Object.keys(LAYOUTS).indexOf(other.cell));
  const name = folderOf(documents[0]).split("/")[0] || "run";
  return { exhibit: { kind: "text", name, title: { en: name, zh: name }, longest: LONGEST, passages, guide: null, networks }, opened };
}

/** What a model.json says of its network; null where it is damaged, or another file of this name. */
function descriptionIn(text: string): Description | null {
  try {
    const { description } = JSON.parse(text) as { description?: Description };
    return typeof description === "object" ? description : null;
  } catch {
    return null;
  }
}

function networkOf(description: Description, units: number, folder: string): Network {
  const { task, config = {}, vocabulary, trained_on: trained, bits_per_character: score } = description;
  const language = task === "language";
  const named = language ? config.cell : description.cell;
  const definition = task === "characters" && typeof named === "object" ? checkedDefinition(named) : undefined;
  const cell = definition ? ownName(definition.name) : CELLS[typeof named === "string" && Object.hasOwn(CELLS, named) ? named : ""];
  if (!cell) throw new FolderError((words) => words.unknownCell(folder, typeof named === "string" ? named : "–"));
  if (language && (config.unit !== "character" || config.layers !== 1)) {
    throw new FolderError((words) => words.otherLanguageModel(folder, Number(config.layers), String(config.unit)));
  }
  const known = typeof vocabulary === "string" ? vocabulary : `\ufffd${String.fromCodePoint(...(vocabulary?.points ?? []))}`;
  const { gates, states, clampable } = definition ? { gates: Object.keys(definition.gates), states: definition.states.map(({ name }) => name), clampable: definition.held } : LAYOUTS[cell as Cell];
  return {
    name: cell,
    cell,
    ...(definition ? { definition } : {}),
    relu: named === "rnn_relu",
    units,
    gates,
    states,
    clampable,
    vocabulary: known,
    trained_on: typeof trained === "object" ? trained : { en: trained ?? "", zh: trained ?? "" },
    score: score ?? null,
  };
}

/** A name that no cell of the page has. */
function ownName(name: string): string {
  return Object.hasOwn(LAYOUTS, name) ? `own_${name}` : name;
}

/** The number of units, from the shape of the recurrent weights in the header of the file; null where the file is damaged. */
function unitsOf(file: Uint8Array): number | null {
  try {
    const length = Number(new DataView(file.buffer).getBigUint64(0, true));
    const { __metadata__: _, ...header } = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<string, { shape: number[]; data_offsets: number[] }>;
    if (Object.values(header).some(({ data_offsets: [, last] }) => 8 + length + last > file.length)) return null;
    const recurrent = Object.entries(header).find(([name]) => name.endsWith("weight_hh_l0") || name.endsWith("0.weight_hh"));
    return header["output.weight"]?.shape[1] ?? recurrent?.[1].shape[1] ?? 0;
  } catch {
    return null;
  }
}
