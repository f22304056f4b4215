/** What the page says in English. */
import { degree, effect, openness, shortest, type Claims, type Degree, type Effect, type Openness } from "./claims";
import { signed } from "./diagram";
import type { ColumnKind, NetworkPart } from "./columns";
import type { Credit, EditKind, Network, SeriesExhibit } from "./reading";
import type { Problem } from "./problems";
import { nameOfCharacter } from "./glyphs";
import type { StopName } from "./tour";
import type { Part, View } from "./view";
import type { Words } from "./words";

const two = (value: number | null | undefined) => value?.toFixed(2) ?? "–";
const some = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
const written = (symbol: string, state: string, count: number, what: string, rest: string, set: number | null) =>
  set !== null
    ? `${symbol} = ${state}, ${count ? `the sum of what is left of the value set by hand after step ${set} and of what ${some(count, what)} wrote since. The largest parts are below; all others together are ${rest}.` : "the value set by hand."}`
    : count === 1
    ? `${symbol} = ${state}, what the first ${what} wrote: there was nothing before it.`
    : `${symbol} = ${state}, the sum of what ${count} ${what}s wrote, each reduced by the gates of the steps since. The largest parts are below; all others together are ${rest}.`;
const percent = (share: number) => `${share < 0.01 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`;
const listed = (names: string[]) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
const DEGREES: Record<Degree, string> = { all: "nearly all", most: "most", half: "about half", part: "a part", none: "almost none" };
const OPEN: Record<Openness, string> = { open: "almost open", half: "neither open nor shut", shut: "almost shut" };
const PREDICTS: Record<Effect, string> = { muchWorse: "much worse", worse: "worse", same: "no differently", better: "better" };
const signOf = ({ sign }: Claims) => (sign!.verse ? `“${sign!.character}”` : nameOfCharacter(sign!.character));
const sentence = (words: string) => words[0].toUpperCase() + words.slice(1);
const reading = ({ reads: { seasons, cycles, known } }: SeriesExhibit) =>
  listed([
    ...(seasons.length ? [`the values ${listed(seasons.map(String))} steps before (the latest known ones)`] : []),
    "the continuation by smoothing",
    ...(cycles.length ? [`the time (${cycles.join(", ")})`] : []),
    ...(known.length ? [known.join(", ")] : []),
    "the name of the series and its level",
  ]);
const reached = ({ reaches }: Claims) => {
  const far = [...reaches!].sort((a, b) => a.steps - b.steps);
  return `Here the reach is ${listed(far.map(({ name, steps, whole }) => `${steps ? `${whole ? "at least " : ""}${some(steps, "step")}` : "the step itself alone"} for the ${name}`))}.`;
};
const forgetting = ({ plain, none, everything }: NonNullable<Claims["bits"]>) => {
  if (!["worse", "muchWorse"].includes(effect(plain, everything))) return "For this text it does no harm to forget nothing.";
  const than = ["worse", "muchWorse"].includes(effect(none, everything)) ? "even than one whose memory keeps only what the last step wrote" : "than one whose gates decide what is kept";
  return `So it is not enough to remember everything: a network that never forgets predicts worse ${than}.`;
};
const forgetsFirst = (claims: Claims) => ({ yes: " The plain RNN has the shortest reach. The text under the next heading says why.", no: " The plain RNN does not have the shortest reach here.", none: "" })[shortest(claims, "RNN")];
const called = (network: Network) => network.name.toUpperCase();

export const ENGLISH = {
  title: "explorer",
  exhibit: "Networks trained on",
  openRun: "Open a trained network…",
  forecasterFolder: (folder: string): string => `${folder} is a forecaster. Its folder does not hold the series that it reads. Run “gated explore ${folder} --out page” in the directory that holds the run, then open page/index.html, or open the folder “page” here.`,
  noRun: (document: string): string => `This folder holds no ${document}. Choose the folder of a trained network.`,
  noDescription: (folder: string, document: string): string => `${document} in ${folder} does not describe a network: it is damaged, or was written by another program.`,
  noCell: (where: string, found: string, expected: string): string => `This is not the document of a cell that reads characters: ${where} is ${found}, expected ${expected}. Save the document of the cell, layer.cell.document, once more.`,
  /** What a place in the document of a cell has to hold. */
  wanted: {
    missing: "missing",
    object: "an object",
    list: (most: number): string => `a list of up to ${most}`,
    name: "a name of letters, digits and _",
    oneOf: (known: string[]): string => (known.length === 1 ? known[0] : `one of ${known.join(", ")}`),
    below: (count: number): string => `a whole number from 0 to ${count - 1}`,
    count: (count: number, operation: string): string => `a list of ${count}, as ${operation} takes them`,
    number: "a number",
    heads: "a number of heads, from 1 on",
    some: "at least one",
    text: (most: number): string => `text of up to ${most} characters`,
  },
  damagedWeights: (folder: string, file: string): string => `${file} in ${folder} is damaged or cut short, or is no safetensors file.`,
  noWeights: (folder: string): string => `${folder} holds no safetensors file.`,
  twoOfACell: (cell: string): string => `This folder holds two networks with the cell ${cell}. Choose the folder of one of them.`,
  otherTask: (folder: string, task: string): string =>
    `${folder} is a run of the task ${task}. Only language models of one layer that read characters can be opened here, and pages that “gated explore … --out” wrote. To look into this network, run “gated explain ${folder} DATA --out report”.`,
  unknownCell: (folder: string, cell: string): string =>
    `${folder} has a cell that this page does not know by its name: ${cell}. Run “gated explore ${folder}”, which knows the cells of gated.cells.library, or save the document of the cell, layer.cell.document, in place of its name.`,
  otherLanguageModel: (folder: string, layers: number, unit: string): string =>
    `${folder} is a language model of ${some(layers, "layer")} that reads ${unit}s; only models of one layer that read characters can be opened.`,
  leftOut: (windows: number, series: number): string =>
    `This page holds only the latest windows: ${some(windows, "earlier window")} ${windows === 1 ? "is" : "are"} left out${series ? `, among them all windows of ${series} series` : ""}, so that its files stay small.`,
  rounded: (name: string): string => `The weights of the ${name} are rounded to 16 bits here, so that their file stays small: the last digits of its forecasts may differ from those of gated predict.`,
  noExhibit: "exhibit.js is missing beside this page: there is no network to show.",
  language: "中文",
  light: "Light",
  dark: "Dark",
  about: (network: Network, _target: string): string =>
    `A small network that reads a text character by character and predicts the next one. It has ${network.units} units; each remembers one number. It was trained on ${network.trained_on?.en || "a text of yours"}${network.score === null ? "" : `; on works that are not in its training data it needs ${two(network.score)} bits a character (the fewer, the better it predicts)`}. Type a text, move through time, and watch what it remembers.`,
  input: "Text",
  passage: "A passage",
  own: "your own",
  series: "Series",
  origin: "Forecast from",
  keys: "← → step · ↑ ↓ unit · space plays",
  time: "Time",
  back: "One step back",
  forward: "One step forward",
  play: "▶ Play",
  pause: "❚❚ Pause",
  step: "Step",
  network: "Network",
  unit: "Unit",
  moment: (step: number, steps: number, name: string): string => `step ${step} of ${steps - 1}: ${name}`,
  part: (label: string, _known: boolean): string => label,
  cell: "The cell",
  diagram: (name: string): string => `The ${name} cell with the values of the selected unit`,
  cellHint: "A box is a layer with weights: σ gives values from 0 to 1, tanh from −1 to 1. In the circles, ⊙ multiplies and + adds, unit by unit. Wide wires carry large values; blue is positive, orange negative. Point at an equation to highlight its wires, or at a wire to highlight its equations. Press a box, or the equation of a gate, to see why it has its value.",
  boxTitle: (gate: string, value: string): string => `${gate}: why it is ${value}`,
  /** What a gate of a drawn cell is for, by the name of its array, with the values of the wires of the selected unit. */
  does: {
    forget_gate: ({ f, c0, kept }) => `The forget gate says how much of the old memory is kept. The old memory cₜ₋₁ is multiplied by it: 1 keeps all of it, 0 deletes it. Here: ${two(f)} × ${signed(c0)} = ${signed(kept)}.`,
    input_gate: ({ i, g, written }) => `The input gate says how much of the candidate, a value from −1 to 1, is written into the memory. Here: ${two(i)} × ${signed(g)} = ${signed(written)}.`,
    candidate: ({ i, g, written }) => `The candidate is the value, from −1 to 1, that could be written into the memory. The input gate says how much of it is written. Here: ${two(i)} × ${signed(g)} = ${signed(written)}.`,
    output_gate: ({ o, c, tanh }) => `The cell state c is the memory. The hidden state h = o ⊙ tanh(c) is the part of the memory that is output; the output gate says how much. The prediction and the gates of the next step read h, not c. Here: ${two(o)} × tanh(${signed(c)}) = ${signed(o * tanh)}.`,
    update_gate: ({ z, rest, h0, n, kept, written }) => `The update gate decides both what is kept and what is written: z of the old state stays, and 1 − z of the candidate is added. Here: ${two(z)} × ${signed(h0)} + ${two(rest)} × ${signed(n)} = ${signed(kept + written)}.`,
    reset_gate: () => "The reset gate says how much of the old state the candidate reads: 1 all of it, 0 nothing.",
    candidate_state: ({ rest, n, written }) => `The candidate is the value, from −1 to 1, that could be written into the state. 1 − z of it is written, where z is the update gate. Here: ${two(rest)} × ${signed(n)} = ${signed(written)}.`,
    hidden: () => "A plain RNN has no gate. At every step a new value, computed from this sum, replaces the whole state, and nothing of the old state is kept as it is.",
  } as Record<string, (wires: Record<string, number>) => string>,
  boxHint: (symbol: string, squash: string, reset: string | null, _part: NetworkPart): string =>
    `${symbol}ₜ of this unit is ${squash} of a sum. The parts of the sum${reset === null ? "" : ` (those from the state are multiplied by rₜ = ${reset})`}: the weight of the character, each unit of hₜ₋₁ times its weight, and the bias.`,
  boxHeld: (value: string): string => `The gate is held at ${value}. Below is the sum from which the network would compute it.`,
  boxOwnHint: (symbol: string, squash: string, reset: string | null, _part: NetworkPart): string =>
    `${symbol}ₜ of this unit is ${squash ? `${squash} of a sum` : "a sum"}. The parts of the sum${reset === null ? "" : ` (those from the state are multiplied by ${reset})`}: the weight of the character, each unit of the state that it reads times its weight, other terms of the definition, and the bias.`,
  boxRest: "other terms of the sum",
  ownName: (state: boolean, gate: boolean, name: string): string => `${state ? "State" : gate ? "Gate" : "Value"} ${name}`,
  columns: {
    character: (name) => `character ${name}`,
    unit: (name) => `h of unit ${name}, layer below`,
    target: (name) => name,
    observed: (name) => `${name} is known`,
    error: () => "error of smoothing",
    number: (name) => name,
    scaled: (name) => `${name}, scaled`,
    sine: (name) => `sine of the ${name}`,
    cosine: (name) => `cosine of the ${name}`,
    holiday: (name) => name,
    lag: (name, steps) => `${name} ${steps} steps before`,
    season: (name, steps) => `${name}, seasons of ${steps} before`,
    smooth: (name) => `${name} by smoothing`,
    category: (name) => name,
    series: () => "which series",
    level: (name) => `level of ${name}`,
  } as Record<ColumnKind, (name: string, steps: number) => string>,
  networkParts: { encoder: "encoder", decoder: "decoder" },
  layer: (layer: number): string => `layer ${layer}`,
  within: (name: string, where: string[]): string => `${name} (${where.join(", ")})`,
  factor: "a factor",
  boxOtherInputs: (inputs: number): string => (inputs === 1 ? "the other input" : `the other ${inputs} inputs`),
  boxState: (symbol: string, unit: number): string => `${symbol} of unit ${unit}`,
  boxUnit: (unit: number): string => `unit ${unit}`,
  boxOthers: (units: number, named: number): string => (!named ? (units === 1 ? "the only unit" : `all ${units} units`) : units === 1 ? "the other unit" : `the other ${units} units`),
  boxBias: "bias",
  boxSum: "sum",
  boxResult: (squash: string): string => (squash ? `${squash} of the sum` : "value"),
  boxHeldRow: "held at",
  boxClose: "Close",
  boxBefore: "This unit’s state at the step before:",
  boxEdit: "The numbers in frames can be changed: type another number and press Enter, or press ↑ ↓. The network then reads the text again with the new number. A weight or a bias is changed for every step; a state is changed at the step before this one, and everything after it is computed from the new value.",
  editName: (kind: EditKind, gate: string, unit: number, other: number, what: string): string =>
    ({
      input: `${what} at step ${other}`,
      input_weight: `${gate} of unit ${unit}, weight of ${what}`,
      weight: `${gate} of unit ${unit}, weight of h of unit ${other}`,
      bias: `${gate} of unit ${unit}, bias`,
      inner: `${gate} of unit ${unit}, bias that ${what} multiplies`,
      state: `${what} of unit ${unit} after step ${other}`,
    })[kind],
  similar: "Moments like this one",
  similarHint: "Two moments are alike if the states of all units are alike: h, and c if the network has one. The measure is the cosine between the states: 1 if they point in the same direction, 0 if they are at right angles.",
  findSimilar: "Find moments like this one",
  similarTo: (step: number, around: string, found: number): string =>
    found ? `The moments most like step ${step}, ${around}. The 5 steps on either side of it, and of each moment found, are left out:` : `The passage has no step that is more than 5 steps away from step ${step}.`,
  stepOf: (step: number): string => `step ${step}`,
  backTo: (step: number): string => `back to step ${step}`,
  cosine: (value: string): string => `cosine ${value}`,
  second: "Compare with a second text",
  secondHint: "The same network, with all your changes, reads both texts from the beginning. The texts are shown one above the other, step by step, with the curves of the selected unit. A vertical dashed line marks the first step at which they differ.",
  copyFirst: "Start from the first text",
  dropSecond: "Remove",
  firstText: "First text",
  secondText: "Second text",
  textEnd: "the end",
  gap: " ",
  sameTexts: "Both texts are the same. Change a word of the second.",
  parted: (step: number, first: string, second: string): string => `The texts differ from step ${step} on: ${first} in the first, ${second} in the second.${step ? " Before this step the network computes the same for both." : ""}`,
  twoScores: (first: number, second: number): string =>
    `The first text needs ${two(first)} bits a character, the second ${two(second)}: ${two(first) === two(second) ? "the same" : `${two(Math.abs(Number(two(second)) - Number(two(first))))} ${second > first ? "more" : "less"}`}.`,
  twoScoresAfter: (first: number, second: number): string => `For the characters from that step on: ${two(first)} and ${two(second)}.`,
  unknownInSecond: (count: number): string => `${some(count, "character")} of the second text ${count === 1 ? "is" : "are"} unknown to the network.`,
  editsTitle: "Changed numbers",
  edited: (name: string, old: string, now: string): string => `${name}: ${old} → ${now}`,
  colon: ": ",
  comma: ", ",
  takeBack: "Undo",
  takeAllBack: "Undo all",
  noNumber: (typed: string): string => `${typed.trim() ? `“${typed}” is not a number` : "The field is empty"}. Write a number like −0.25. The old value is kept.`,
  outside: (hidden: boolean, typed: string, low: string, high: string): string =>
    `${typed} is not possible: ${hidden ? `a hidden state, which gates and tanh compute, is between ${low} and ${high}` : `this field takes numbers between ${low} and ${high}`}. The old value is kept.`,
  tooManyEdits: (most: number): string => `${most} numbers are already changed, and no more can be. Undo one first.`,
  curves: "The text around the moment, and state and gates of the selected unit over time",
  spoken: (moment: string, unit: number, values: string, next: string): string => `${moment}. Unit ${unit}: ${values}. Next: ${next}`,
  prediction: "What comes next",
  observed: "observed",
  median: "forecast",
  without: "forecast without the change",
  quantile: (percent: number): string => `${percent} % quantile`,
  legend: (_share: number): Record<string, string> => ({}),
  change: "Change a gate",
  gate: "Gate",
  all: "of every unit",
  value: "Value of the gate",
  when: "when",
  spans: { all: "at every step", on: "from one step on", range: "from one step to another" },
  first: "from step",
  last: "to step",
  release: "Release",
  free: "not held",
  noGate: "A plain RNN has no gate to change.",
  noHeldGate: "This cell has no gate with a sigmoid, so none can be held.",
  noSum: "No state of this cell is a sum of what earlier steps wrote, so there are no parts to list.",
  unchanged: "Hold a gate at a value, and the network reads the text again.",
  effect: (plain: number | null, changed: number | null, _credit?: Credit): string =>
    `${plain === null ? "" : `The network needs ${two(plain)} bits a character for this text, ${two(changed)} with the change. `}Marks show the predictions without the change.`,
  ledger: "The ledger: what the unit remembers, and which steps wrote it",
  noLedger: "A plain RNN computes its state anew at every step, so it has no parts from earlier steps to list.",
  sum: (symbol: string, state: string, count: number, rest: string, set: number | null): string => written(symbol, state, count, "character", rest, set),
  byHand: (step: number): string => `set by hand ${step}`,
  maps: "Gates and states over time",
  mapsHint: "Time runs from left to right; each row is a unit. Click to choose a moment and a unit. The colour scale is beside each name: gates go from 0 (shut) to 1 (open); for other values blue is positive and orange negative, and the largest 3 % all have the strongest colour.",
  comparison: (networks: number): string => (networks === 3 ? "Three networks, one text" : networks === 1 ? "How far the network looks back" : `${networks} networks, one text`),
  /** How the cells that are compared differ. */
  differ: (cells: string[]): string =>
    [
      cells.includes("gru") && "A GRU has one gate, z, for keeping and for writing, and one state, h, which is both memory and output. Its other gate, r, says how much of this state the candidate reads.",
      cells.includes("lstm") && "An LSTM has one gate for keeping, f, and another for writing, i; and it has two states, the memory c and the output h, with a third gate, o, between them.",
    ].filter(Boolean).join("\n"),
  /** Why a gradient shrinks; of each network the mean of the gate that decides what is kept, in the unit where it is largest, if it has one. */
  shrinks: (networks: { cell: string; name: string; kept: number | null }[]): string =>
    [
      networks.some(({ cell }) => cell === "rnn") && "A plain RNN forgets because it has no gate: at every step its whole state is computed anew, through weights and a function such as tanh. Its gradient is multiplied by a matrix at each step back, and in most networks it soon shrinks to almost nothing.",
      networks.some(({ kept }) => kept !== null) && `Along a memory with gates the gradient is multiplied at each step only by the gate that decides what is kept: while this gate stays near 1, the gradient hardly shrinks. Here, in the unit that keeps most, this gate is on average ${listed(networks.filter(({ kept }) => kept !== null).map(({ name, kept }) => `${two(kept!)} in the ${name}`))}. The part of the gradient that goes through the weights shrinks as in a plain RNN.`,
    ].filter(Boolean).join("\n"),
  facts: (units: number, score: number | null, reach: number | null, whole: boolean, _weightless: boolean): string =>
    `${units} units${score === null ? "" : `, ${two(score)} bits a character here`}${reach === null ? "" : "; "}${reach === null ? "" : whole && !reach ? "the text is too short to tell how far its gradient reaches back" : !reach ? "its prediction depends only on the character at the step itself" : `its gradient reaches back ${whole ? "at least " : ""}${some(reach, "step")}`}.`,
  noReach: (nothing: boolean): string =>
    nothing
      ? "There is no curve: the prediction does not depend on anything that the network reads here."
      : "There is no curve: the prediction of a step depends on no step before it here. Choose a longer text, or another network.",
  reach: "How far the gradient reaches",
  reachHint: "The gradient says how strongly the prediction at one moment depends on the character a given number of steps before. It is drawn as a share of its largest value. The reach of a network is the largest number of steps at which its curve is still at 1 % (the thick line) or above: farther back, the past has hardly any effect. Values below a millionth are not drawn.",
  distance: "distance in steps",
  other: "other",
  train: "Train three networks here",
  trainHint: "An RNN, a GRU and an LSTM of 16 units each learn the same problem from the same examples, on this page. Watch the loss (how wrong the answers are: the lower, the better), the gate that decides what is kept, and how much of the gradient reaches the first step.",
  problemChoice: "Problem",
  problems: { recall: "recall a sign", adding: "add two numbers", brackets: "count open brackets" } as Record<Problem, string>,
  problemTold: {
    recall: "A sign is shown once, at the first step. After a pause (the dots below) the network is asked which of the four signs ▲ ● ■ ◆ it was.",
    adding: "A number from 0 to 1 is shown at every step. Two of them are marked (only these are written below): the network is asked for their sum.",
    brackets: "Brackets open and close between dots. After every step the network is asked how many are open.",
  } as Record<Problem, string>,
  /** What was measured of a problem: an update is of 8 examples; the problem is solved where the loss, the mean of 50 updates, is a tenth of that of a guess. */
  problemMeasured: {
    recall:
      "Measured with 20 steps, from four random starts: the GRU solves it after 156 to 188 updates, the RNN after 106 to 162 (once after 1,397), the LSTM once after 2,418 and three times not within 4,000. This does not mean that the LSTM is worse: its forget gate begins at σ(1) = 0.73, and 0.73 to the power of 19 leaves 0.3 % of the sign, and of the gradient, at the end. If its forget gate begins open (the switch above), the LSTM solves it after 93 to 134 updates. With 10 steps and without the switch it needs 90 to 343 (two starts).",
  } as Partial<Record<Problem, string>>,
  openGate: "the forget gate begins open (bias 3 in place of 1)",
  openGateTold: "Only the LSTM has a forget gate. It then begins at σ(3) = 0.95 in place of σ(1) = 0.73, so that more of the memory, and of the gradient, is left after many steps.",
  length: "Length",
  some: (steps: number): string => some(steps, "step"),
  clip: "clip the gradient at a norm of 1",
  clipTold: "Clipping bounds the gradient: if its norm, which is its length, is above 1, it is shortened to 1. So no single update changes the weights too much.",
  drop: "dropout of 20 % before the output",
  dropTold: "Dropout hides each value of h from the output with a probability of 20 %, anew at every update. So the network does not learn to rely on a few units. The answers below are given without dropout.",
  transfer: "start from the weights of the last training",
  transferTold: "A transferred start begins with trained weights in place of random ones: those that the last training of the same problem on this page has reached. Train with 10 steps first, then with 40. Before the first training the weights are random.",
  learn: "▶ Train",
  anew: "Start anew",
  learnt: (updates: number, loss: string | null): string => `${some(updates, "update")}${loss === null ? "" : `, loss ${loss}`}`,
  answer: (answered: string, target: string): string => `predicted ${answered}, target ${target}`,
  losses: "Loss of each network by the number of updates; the dashed line is the loss of a guess that uses no memory",
  flow: "Norm of the gradient by the number of steps back, as a share of its value at the last step; logarithmic, from 1 down to a millionth",
  tour: "Guided tour",
  tourPlace: (stop: number, stops: number): string => `Stop ${stop} of ${stops}`,
  tourBack: "Back",
  tourOn: "Next",
  tourEnd: "End the tour",
  tourAgain: "Show what this stop is about",
  /** A part of the view that a stop is about. */
  tourPart: (part: Part, { network, unit, value, step }: Partial<View>, until: number | undefined, passage: string): string =>
    ({ text: `the passage “${passage}”`, network: `the ${network?.toUpperCase()}`, unit: `unit ${unit}`, value: value === null ? "gates that are not held" : `the gate held at ${two(value)}`, edits: "the network without changed numbers", step: until ? `steps ${step} to ${until}` : `step ${step}` })[part as "text"],
  tourAway: (parts: string[], silent: boolean): string => `This stop is about ${listed(parts)}. The page now shows something else${silent ? ", so the text of the stop is left out" : ""}. `,
  tourKept: "Your own text is kept: choose “your own” under “A passage” to bring it back.",
  section: "Part of the page",
  notices: "Notices",
  parts: {
    text: "Text", exhibit: "Networks trained on", series: "Series", moment: "Forecast from", network: "Network", step: "Step", unit: "Unit", gate: "Gate", value: "Value of the gate", all: "of every unit", span: "when", first: "from step", last: "to step", edits: "Changed numbers", other: "Second text", tour: "Guided tour, stop", story: "Time of the story", language: "Language", theme: "Colours", box: "Opened gate",
  } as Record<Part, string>,
  absent: (what: string, asked: string, there: string, shown: string): string => `${what}: there is no “${asked}”. Possible: ${there}.${shown && ` The page shows: ${shown}.`}`,
  strange: (name: string, parts: string): string => `This page does not know “${name}” in the link. A link may contain: ${parts}.`,
  cut: (length: number, longest: number): string => `The text has ${length.toLocaleString("en")} characters. The network reads the first ${longest.toLocaleString("en")}; the rest is left out.`,
  heldNowhere: (first: number, end: number): string => `The gate is held at no step: the range begins at step ${first}, after the last step, ${end}.`,
  heldOnce: (first: number, last: number): string => `The range ends at step ${last}, before it begins: the gate is held at step ${first} only.`,
  heldToEnd: (last: number, end: number): string => `There is no step ${last}: the gate is held up to the last step, ${end}.`,
  unknown: (name: string, count: number, length: number, kinds: string[], more: number): string =>
    `The ${name} does not know ${count === length ? "any" : count} of the ${some(length, "character")} of this text: ${kinds.join(" ")}${more ? ` and ${more} more` : ""}. It reads each of them as the same character, “other”, so what is shown for them means nothing. They are not counted in the bits a character.`,
  composed: (signs: number, characters: number): string =>
    `${signs === 1 ? "One sign" : `${signs} signs`} of this text, such as a letter with an accent of its own or an emoji made of parts, ${signs === 1 ? "is" : "are"} read as ${characters} characters, one after the other. Each has a place of its own below: an accent stands on a dotted circle ◌, a character that has no shape of its own is a frame ▯.`,
  turned: "Letters that are written from right to left are read in the order in which they are typed. Below, they stand one by one from left to right, each in its separate form.",
  emptied: "The field is empty. Type a text, or choose a passage; until then the page shows the last text.",
  weightless: (_name: string, _interval: boolean): string => "",
  unknownShort: (count: number): string => `${some(count, "character")} of this text ${count === 1 ? "is" : "are"} unknown to this network.`,
  titles: {
    reads: "The network reads and predicts",
    counts: "One unit of memory",
    forgets: "The forget gate",
    adds: "Where the memory comes from",
    held: "What if the unit had not forgotten?",
    shut: "Forget at every step",
    reach: "How far back each network looks",
    yours: "Your turn",
  } as Record<StopName, string>,
  /** Every number in it, and every word that a number chooses, is of the networks that are shown. */
  told: {
    reads: () => "The network reads this text one character at a time. Press ▶ Play: the frame moves on, and “What comes next” shows its predictions. All it knows of what came before is its memory. This page shows what is in that memory, and how it got there.",
    counts: ({ counted }) => {
      const { start, last, along, steps, correlation } = counted!;
      const counts = Math.abs(correlation) >= 0.7 ? "The network was trained only to predict the next character, but this unit has learned to count how long the line is" : "This unit does not simply count how long the line is";
      return `The drawing shows one unit of the memory, the selected one. A unit remembers one number, cₜ at the top of the drawing, and what this number stands for is learned in training. Press ▶ Play and watch cₜ: it is ${signed(start)} at the start of the line, ${last > start ? "climbs" : "falls"} at ${along} of the next ${steps} characters, and is ${signed(last)} at the end. ${counts}: over this text, cₜ and the place in the line have a correlation of ${signed(correlation)}.`;
    },
    forgets: (claims) => {
      const { within, here, before, kept, input, written } = claims.forgotten!;
      return `How does the count start again? Look at fₜ, the forget gate. The old memory cₜ₋₁ is multiplied by it: 1 keeps all of it, 0 deletes it. Within a line it is ${two(within)} on average, so that ${DEGREES[degree(within)]} of the memory is kept from one character to the next. Here, at the end of the line ${signOf(claims)}, it is ${two(here)}, ${OPEN[openness(here)]}: of cₜ₋₁ = ${signed(before)} it leaves fₜ ⊙ cₜ₋₁ = ${signed(kept)}. The input gate iₜ says how much of the candidate c̃ₜ is written into the memory: here iₜ is ${two(input)}, and a new start, iₜ ⊙ c̃ₜ = ${signed(written)}, is written. Step back and forth with ◀ and ▶, and watch fₜ.`;
    },
    adds: (claims) => {
      const { left, older } = claims.remembered!;
      return `The memory is a sum of what each character wrote, multiplied by every forget gate since. The list shows the largest parts; in the strip of text at the top of the page, under “Text”, the colour of each character shows its part. ${sentence(DEGREES[degree(left)])} of what the characters of this line wrote is still in memory (${percent(left)}). ${sentence(DEGREES[degree(older)])} of the memory is from before the last ${signOf(claims)} (${percent(older)}).`;
    },
    held: (claims) => {
      const { into, plain, changed, state, stateChanged } = claims.held!;
      const expects =
        changed > 2 * plain ? "as if the line had gone on" : changed > 1.2 * plain ? "somewhat more than before" : plain > 1.2 * changed ? "less than before" : "hardly any difference";
      const [where, end, mark] = into
        ? [`here, ${some(into, "character")} into the next line, `, "an end of the line", "the marks on the bars"]
        : ["", "another end of the line", `the mark on the bar of ${signOf(claims)}`];
      return `To find out what a gate is for, hold it at another value and see what changes. ${into ? "At this stop" : "Here"} the forget gate of this unit is held open, at 1, at the one step where the line ends (underlined in the text at the top of the page). The count is not deleted: ${where}cₜ is ${signed(stateChanged)} instead of ${signed(state)}. The network gives ${end} a probability of ${percent(changed)} instead of ${percent(plain)} (${mark}): ${expects}. Move the slider towards 0, or press “Release”.`;
    },
    shut: ({ bits }) => {
      const still = "At this stop the gate that decides what is kept is held shut, at 0, in every unit and at every step. Only what the last step wrote is left.";
      if (!bits) return still;
      const { plain, none, everything, blind } = bits;
      const compared = { muchWorse: "this is much worse still", worse: "this is worse still", same: "this is just as bad", better: "this is better" }[effect(none, everything)];
      return `${still} The network predicts ${PREDICTS[effect(plain, none)]}: it needs ${two(none)} bits a character instead of ${two(plain)}. (A bit is the answer to one yes-or-no question. A guess that knows nothing of the text needs ${blind.toFixed(1)} bits for each character.) Move the slider to 1, so that nothing is ever forgotten: ${compared}, ${two(everything)} bits${everything > blind ? ", more than a guess that knows nothing of the text" : ""}. ${forgetting(bits)}`;
    },
    reach: (claims) => {
      return `The picture shows how far back each network can look: how strongly a prediction depends on the character a given number of steps before. The reach is the largest number of steps at which this is still at least 1 % of its largest value. ${reached(claims)}${forgetsFirst(claims)}`;
    },
    yours: () => "Type a text of your own, follow other units (↑ ↓, or the field “Unit”), hold other gates. The link in the address bar opens the page as you see it now. The documentation explains the cell, equation by equation, on the page “From the RNN to the LSTM, in pictures”.",
  } as Record<StopName, (claims: Claims, exhibit: SeriesExhibit) => string>,
  arrays: {
    input_gate: "Input gate i",
    forget_gate: "Forget gate f",
    candidate: "Candidate c̃",
    candidate_state: "Candidate n",
    output_gate: "Output gate o",
    reset_gate: "Reset gate r",
    update_gate: "Update gate z",
    cell: "Cell state c",
    hidden: "Hidden state h",
  } as Record<string, string>,
};

export const ENGLISH_OF_SERIES: Partial<Words> = {
  about: (network, target) =>
    `A network of ${network.units} ${called(network)} units (${network.parameters?.toLocaleString("en")} weights) that reads the past of ${target} step by step and forecasts what follows. It was not trained on the times that are shown. Choose a moment, move through time, and watch what it remembers.`,
  input: "The series",
  boxHint: (symbol, squash, reset, part) =>
    `${symbol}ₜ of this unit, in the ${part}, which ${part === "encoder" ? "reads the history" : "forecasts"}, is ${squash} of a sum. The parts of the sum${reset === null ? "" : ` (those from the state are multiplied by rₜ = ${reset})`}: each input times its weight, each unit of hₜ₋₁ times its weight, and the bias. Where an input has a unit of its own, → gives the scaled number that the network reads.`,
  boxEdit: "The numbers in frames can be changed: type another number and press Enter, or press ↑ ↓. The network then reads the window again with the new number. A weight or a bias is changed for every step of the encoder or of the decoder; an input is changed only at this step; a state is changed at the step before this one, and everything after it is computed from the new value.",
  part: (label, known) => `${label}, ${known ? "history" : "forecast"}`,
  prediction: "History and forecast",
  legend: (share) => ({ observed: "observed", median: "forecast", interval: `${share} % interval`, without: "forecast without a change", remembered: "columns: what the unit remembers of each step" }),
  unchanged: "Hold a gate at a value, and the network reads the window again.",
  effect: (plain, changed, credit) =>
    credit?.median === false
      ? `The change does not move the forecast: the network has no weight in its median here, whose mean absolute error stays ${two(plain)}.${credit.interval ? " Only the interval can change." : ""}`
      : `The mean absolute error of this forecast is ${two(plain)}, with the change ${two(changed)}. The dashed line is the forecast without the change.`,
  weightless: (name, interval) =>
    `The ${name} has no weight in the median of this forecast: when the forecaster was fitted, the network’s corrections did not help, so the line is that of smoothing, or of what the forecaster mixes with it. A held gate or a changed number cannot move it. ${interval ? `The ${name} is used for the width of the interval, and only that can change.` : "The interval does not depend on the network either."}`,
  sum: (symbol, state, count, rest, set) => written(symbol, state, count, "step", rest, set),
  comparison: (networks) => (networks === 1 ? "How far the network looks back" : "Several networks or layers, one window"),
  facts: (units, score, reach, whole, weightless) => weightless ? `${units} units; mean absolute error ${two(score)} here, of a forecast in whose median the network has no weight.` : `${units} units, mean absolute error ${two(score)} here; its forecast depends ${!reach && !whole ? "only on what is read at the step itself" : `on ${whole ? "at least " : ""}the last ${some(reach ?? 0, "step")}`}.`,
  noReach: (nothing) =>
    nothing
      ? "There is no curve: the median does not depend on anything that the network reads, since the network has no weight in it here."
      : "There is no curve: the forecast of a step depends only on what is read at the step itself, and on no step before it.",
  reachHint: "The gradient says how strongly the forecast of one step depends on what was read a given number of steps before. It is drawn as a share of its largest value. Below 1 % (the thick line) the past has hardly any effect; values below a millionth are not drawn.",
  titles: {
    ...ENGLISH.titles,
    reads: "The network reads the past and forecasts",
    counts: "What the forecast starts from",
    adds: "What is left of the history",
    shut: "Forget the history",
    reach: "How far the network looks back",
  },
  told: {
    ...ENGLISH.told,
    reads: () => "Left of the vertical line is the history: the network reads it one step at a time. Right of it are the forecast, with an interval, and the observed values. Choose another moment with “Forecast from”, then press ▶ Play: the moment moves through time.",
    counts: (_, exhibit) =>
      `This is the last step of the history. The states of all units are carried into the forecast; the drawing shows those of the selected unit. Besides the states, the forecast reads at each step ${reading(exhibit)}. Everything else about the past has to be in the states, or it is lost. Follow other units with ↑ ↓.`,
    adds: ({ history }) => {
      const { unit, into, share, mean, oldest, ago } = history!;
      const still = ago > 0 ? ` The oldest part that stands out was written at ${oldest}, ${some(ago, "step")} before the forecast began.` : "";
      return `The memory of a gated unit is a sum: what each step wrote, times every gate since that decides what is kept. The list shows the largest parts, and the columns behind the curve have their colours. Here, ${some(into, "step")} into the forecast, ${DEGREES[degree(share)]} of what unit ${unit} remembers is from the history (${percent(share)}), more than of any other unit; the mean over all units is ${percent(mean)}.${still}`;
    },
    shut: ({ moved }) => {
      const { distance, plain, changed, credit } = moved!;
      if (credit?.median === false) {
        return `At this stop the gate that decides what is kept is held shut, at 0, in every unit, at the one step where the forecast begins (the mark above the curve). What the units remember of the history is deleted, and yet the line of the forecast does not move: the network has no weight in the median here. When the forecaster was fitted, its corrections did not help, so the line is that of smoothing, or of what is mixed with it.${credit.interval ? " The network is used for the interval alone, which may change." : ""} What the gates do to the states can still be seen in the drawing and in the curves. Press “Release”.`;
      }
      const off = plain === null || changed === null ? "" : ` Its mean absolute error is ${two(changed)}, without the change ${two(plain)}.`;
      return `At this stop the gate that decides what is kept is held shut, at 0, in every unit, at the one step where the forecast begins (the mark above the curve). What the units remember of the history is deleted, and the forecast ${distance >= 0.005 ? `moves by ${two(distance)} on average: the dashed line is the forecast without the change` : "hardly moves: it depends little on what the network remembers"}.${off} Move the slider, or press “Release”.`;
    },
    reach: (claims) => {
      if (claims.reaches!.every(({ weightless }) => weightless)) return "A picture here would show how strongly the forecast of a step depends on what was read a given number of steps before. There is nothing to draw: the network has no weight in the median of this forecast, so nothing that it reads changes the median.";
      const hills = claims.reaches!.filter(({ hill }) => hill !== null);
      const second = hills.length ? ` There is a second peak: ${listed(hills.map(({ name, hill }) => `${some(hill!, "step")} back for the ${name}`))}.` : "";
      return `The picture shows how strongly the forecast of a step depends on what was read a given number of steps before. The reach is the largest number of steps at which this is still at least 1 % of its largest value. ${reached(claims)}${forgetsFirst(claims)}${second}`;
    },
    yours: () => "Choose another series and another moment, follow other units (↑ ↓, or the field “Unit”), hold other gates at other times. The link in the address bar opens the page as you see it now. The documentation explains the cell, equation by equation, on the page “From the RNN to the LSTM, in pictures”.",
  },
};
