/** What the page says in English. */
import { degree, effect, openness, type Claims, type Degree, type Effect, type Openness } from "./claims";
import { signed } from "./diagram";
import type { ColumnKind, NetworkPart } from "./columns";
import type { EditKind, Network, SeriesExhibit } from "./reading";
import type { Problem } from "./problems";
import type { StopName } from "./tour";
import type { Part } from "./view";
import type { Words } from "./words";

const two = (value: number | null | undefined) => value?.toFixed(2) ?? "–";
const some = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
const written = (symbol: string, state: string, count: number, what: string, rest: string) =>
  count === 1
    ? `${symbol} = ${state}, what the first ${what} wrote: there was nothing before it.`
    : `${symbol} = ${state}, the sum of what ${count} ${what}s wrote, each shrunk by the gates since. The largest, and the rest: ${rest}.`;
const percent = (share: number) => `${share < 0.01 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`;
const listed = (names: string[]) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
const DEGREES: Record<Degree, string> = { all: "nearly all", most: "most", half: "about half", part: "a part", none: "next to nothing" };
const OPEN: Record<Openness, string> = { open: "almost open", half: "neither open nor shut", shut: "almost shut" };
const GUESSES: Record<Effect, string> = { muchWorse: "much worse", worse: "worse", same: "no differently", better: "better" };
const reading = ({ reads: { seasons, cycles, known } }: SeriesExhibit) =>
  listed([
    ...(seasons.length ? [`the values ${seasons.join(", ")} steps before, the latest that are known`] : []),
    "how smoothing would go on",
    ...(cycles.length ? [`the time (${cycles.join(", ")})`] : []),
    ...(known.length ? [known.join(", ")] : []),
    "which series it is, and its level",
  ]);
const reached = ({ reaches }: Claims) => {
  const far = [...reaches!].sort((a, b) => a.steps - b.steps);
  return `Here it is ${listed(far.map(({ name, steps, whole }) => `${whole ? "at least " : ""}${some(steps, "step")} for the ${name}`))}.`;
};
const called = (network: Network) => network.name.toUpperCase();

export const ENGLISH = {
  title: "explorer",
  exhibit: "Networks trained on",
  openRun: "Open a run…",
  forecasterFolder: (folder: string): string => `${folder} is a forecaster. Its folder does not hold the series that it reads. Run “gated explore ${folder} --out page” where the run lies, and open page/index.html, or the folder “page” here.`,
  leftOut: (windows: number, series: number): string =>
    `This page holds the latest windows alone: ${some(windows, "earlier one")} ${windows === 1 ? "is" : "are"} left out${series ? `, with ${series} whole series` : ""}, so that its files stay small.`,
  rounded: (name: string): string => `The weights of the ${name} are rounded to 16 bits here, so that their file stays small: the last digits of its forecasts may differ from those of gated predict.`,
  noExhibit: "exhibit.js is missing beside this page: there is no network to show.",
  language: "中文",
  light: "Light",
  dark: "Dark",
  about: (network: Network, _target: string): string =>
    `A small network of ${network.units} units that reads a text character by character and guesses the next one. Trained on ${network.trained_on?.en || "a text of yours"}${network.score === null ? "" : `; on works it never saw it needs ${two(network.score)} bits a character`}. Type a text, move through time, and watch what it keeps.`,
  input: "Text",
  passage: "A passage",
  own: "your own",
  series: "Series",
  origin: "Forecast from",
  keys: "← → step · ↑ ↓ unit · space plays",
  time: "Time",
  back: "One step back",
  forward: "One step on",
  play: "▶ Play",
  pause: "❚❚ Pause",
  step: "Step",
  network: "Network",
  unit: "Unit",
  moment: (step: number, steps: number, name: string): string => `step ${step} of ${steps - 1}: ${name}`,
  part: (label: string, _known: boolean): string => label,
  cell: "The cell",
  diagram: (name: string): string => `The ${name} cell with the values of the followed unit`,
  cellHint: "A box is a layer with weights: σ gives values from 0 to 1, tanh from −1 to 1. Wide wires carry large values; blue is positive, orange negative. Point at an equation and its wires light up, or at a wire.",
  boxTip: "Press a box, or the equation of a gate, to open it.",
  boxTitle: (gate: string, value: string): string => `${gate}: why it is ${value}`,
  boxHint: (symbol: string, reset: string | null, _part: NetworkPart): string =>
    `The parts of the sum for ${symbol}ₜ of this unit${reset === null ? "" : ` (those of the state times rₜ = ${reset})`}: the weight of the character, each unit of hₜ₋₁ times its weight, the bias.`,
  boxHeld: (value: string): string => `The gate is held at ${value}. This is the sum that it would follow.`,
  boxOwnHint: (symbol: string, reset: string | null, _part: NetworkPart): string =>
    `The parts of the sum for ${symbol}ₜ of this unit${reset === null ? "" : ` (those of the state times ${reset})`}: the weight of the character, each unit of the state that it reads times its weight, what else the definition adds, the bias.`,
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
  boxOtherInputs: (inputs: number): string => `the other ${inputs} inputs`,
  boxState: (symbol: string, unit: number): string => `${symbol} of unit ${unit}`,
  boxUnit: (unit: number): string => `unit ${unit}`,
  boxOthers: (units: number): string => `the other ${units} units`,
  boxBias: "bias",
  boxSum: "sum",
  boxResult: (squash: string): string => `${squash} of the sum`,
  boxHeldRow: "held at",
  boxClose: "Close",
  boxBefore: "This unit’s state before:",
  boxEdit: "The numbers in frames can be changed: type another and press Enter, or press ↑ ↓. The network then reads the text anew with it. A weight or a bias holds at every step; a state is set at the step before this one, and all that follows is computed from it.",
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
  similarHint: "A moment is like another if the states of all units are: h, and c where there is one. The cosine is 1 where they point the same way, 0 where they have nothing in common.",
  findSimilar: "Find moments like this one",
  similarTo: (step: number, around: string, found: number): string =>
    found ? `Nearest to step ${step}, ${around}, without the 5 steps on either side of it and of each other:` : `There is none: the passage has no step that is more than 5 steps away from step ${step}.`,
  stepOf: (step: number): string => `step ${step}`,
  backTo: (step: number): string => `back to step ${step}`,
  cosine: (value: string): string => `cosine ${value}`,
  second: "Compare with a second text",
  secondHint: "The same network, with all that is changed of it, reads both texts from the beginning. They stand one above the other, step by step, with the curves of the unit that you follow; an upright broken line marks where they part.",
  copyFirst: "Start from the first text",
  dropSecond: "Remove",
  firstText: "First text",
  secondText: "Second text",
  textEnd: "the end",
  gap: " ",
  sameTexts: "Both texts are the same. Change a word of the second.",
  parted: (step: number, first: string, second: string): string => `The texts part at step ${step}: ${first} in the first, ${second} in the second.${step ? " Before it the network does the same in both." : ""}`,
  twoScores: (first: number, second: number): string =>
    `The first needs ${two(first)} bits a character, the second ${two(second)}: ${two(first) === two(second) ? "as many" : `${two(Math.abs(second - first))} ${second > first ? "more" : "less"}`}.`,
  twoScoresAfter: (first: number, second: number): string => `Of the characters from there on: ${two(first)} and ${two(second)}.`,
  unknownInSecond: (count: number): string => `${some(count, "character")} of the second text ${count === 1 ? "is" : "are"} unknown to the network.`,
  editsTitle: "Changed numbers",
  edited: (name: string, old: string, now: string): string => `${name}: ${old} → ${now}`,
  colon: ": ",
  takeBack: "Take back",
  takeAllBack: "Take all back",
  noNumber: (typed: string): string => `“${typed}” is not a number. Write one like −0.25; the old value stays.`,
  outside: (hidden: boolean, typed: string, low: string, high: string): string =>
    `${typed} cannot be: ${hidden ? `tanh and gates give a hidden state between ${low} and ${high}` : `this page takes numbers between ${low} and ${high} here`}. The old value stays.`,
  tooManyEdits: (most: number): string => `${most} numbers are changed: there is room for no more. Take one back first.`,
  curves: "The text around the moment, and the followed unit’s state and gates over time",
  spoken: (moment: string, unit: number, values: string, next: string): string => `${moment}. Unit ${unit}: ${values}. Next: ${next}`,
  prediction: "What comes next",
  observed: "observed",
  median: "forecast",
  without: "forecast without the change",
  quantile: (percent: number): string => `${percent} % lie below`,
  legend: (_share: number): Record<string, string> => ({}),
  change: "Change a gate",
  gate: "Gate",
  all: "of every unit",
  value: "Value of the gate",
  when: "when",
  spans: { all: "all the time", on: "from a step on", range: "from a step to a step" },
  first: "from step",
  last: "to step",
  release: "Set free",
  free: "free",
  noGate: "A plain RNN has no gate to change.",
  noHeldGate: "This cell has no gate with a sigmoid that could be held.",
  noSum: "No state of this cell is a sum over the past with a factor of what is kept: there is no sum to take apart.",
  unchanged: "Hold a gate at a value, and the network reads the text anew.",
  effect: (plain: number | null, changed: number | null): string =>
    `${plain === null ? "" : `Surprise at this text: ${two(plain)} bits a character, ${two(changed)} with the change. `}A mark shows each prediction without the change.`,
  ledger: "What the unit remembers, and who wrote it",
  noLedger: "A plain RNN overwrites its state at every step: there is no sum to take apart.",
  sum: (symbol: string, state: string, count: number, rest: string): string => written(symbol, state, count, "character", rest),
  maps: "Gates and states over time",
  mapsHint: "Time runs across, units stand below one another. Click to choose moment and unit. The strip of colours beside a name is its key: a gate goes from 0, shut, to 1, open; of the others blue is positive, orange negative, and the 3 % that are largest all have the strongest colour.",
  comparison: (networks: number): string => (networks === 3 ? "Three networks, one text" : networks === 1 ? "How far the network looks back" : `${networks} networks, one text`),
  facts: (units: number, score: number | null, reach: number | null, whole: boolean): string =>
    `${units} units${score === null ? "" : `, ${two(score)} bits a character here`}${reach === null ? "" : "; "}${reach === null ? "" : whole && !reach ? "the text is too short to tell how far its gradient reaches back" : `its gradient reaches back ${whole ? "at least " : ""}${some(reach, "step")}`}.`,
  reach: "How far the gradient reaches",
  reachHint: "How strongly the guess at one moment depends on a character so many steps before, as a share of the strongest. Below 1 % (the thick line) the past hardly has an effect; values below a millionth are not drawn.",
  distance: "distance in steps",
  other: "other",
  train: "Train three networks here",
  trainHint: "An RNN, a GRU and an LSTM of 16 units each learn the same problem from the same examples, in this page. Watch the loss, the gate that keeps, and how much of the gradient comes back to the beginning.",
  problemChoice: "Problem",
  problems: { recall: "recall a sign", adding: "add two numbers", brackets: "count open brackets" } as Record<Problem, string>,
  problemTold: {
    recall: "A sign is shown once, at the first step. After a pause the network is asked which of the four it was.",
    adding: "A number from 0 to 1 is shown at every step. Two of them are marked (only these are written below): the network is asked for their sum.",
    brackets: "Brackets open and close between dots. After every step the network is asked how many are open.",
  } as Record<Problem, string>,
  length: "Length",
  some: (steps: number): string => some(steps, "step"),
  clip: "clip the gradient at a norm of 1",
  drop: "dropout of 20 % before the output",
  transfer: "start from the weights of the last training",
  learn: "▶ Train",
  anew: "Start anew",
  learnt: (updates: number, loss: string | null): string => `${some(updates, "update")}${loss === null ? "" : `, loss ${loss}`}`,
  answer: (answered: string, target: string): string => `predicted ${answered}, target ${target}`,
  losses: "Loss; the broken line is that of who remembers nothing",
  flow: "Gradient by steps back, as a share of the last step’s, six powers of ten high",
  tour: "Guided tour",
  tourPlace: (stop: number, stops: number): string => `Stop ${stop} of ${stops}`,
  tourBack: "Back",
  tourOn: "Next",
  tourEnd: "End the tour",
  notices: "Notices",
  parts: {
    text: "text", exhibit: "exhibit", series: "series", moment: "moment", network: "network", step: "step", unit: "unit", gate: "gate", value: "value of a gate", all: "“of every unit”", span: "“when”", first: "first step", last: "last step", edits: "changed number", other: "second text", tour: "stop of the tour", story: "time of the story", language: "language", theme: "theme", box: "opened gate",
  } as Record<Part, string>,
  absent: (what: string, asked: string, there: string, shown: string): string => `There is no ${what} “${asked}”. There is: ${there}. Shown: ${shown}.`,
  strange: (name: string, parts: string): string => `“${name}” in the link means nothing here. A link holds: ${parts}.`,
  cut: (length: number, longest: number): string => `The text has ${length.toLocaleString("en")} characters. The first ${longest.toLocaleString("en")} are read, the rest is left out.`,
  heldNowhere: (first: number, end: number): string => `The gate is held nowhere: step ${first} is after the last, ${end}.`,
  heldOnce: (first: number, last: number): string => `The range ends at step ${last}, before it begins: the gate is held at step ${first} alone.`,
  heldToEnd: (last: number, end: number): string => `There is no step ${last}: the gate is held up to the last, ${end}.`,
  unknown: (name: string, count: number, length: number, kinds: string[], more: number): string =>
    `The ${name} does not know ${count === length ? "any" : count} of the ${some(length, "character")} of this text: ${kinds.join(" ")}${more ? ` and ${more} more` : ""}. It reads each as “other”, whatever it is, and what is shown of them means nothing. Bits a character count only those that it knows.`,
  unknownShort: (count: number): string => `${some(count, "character")} of this text ${count === 1 ? "is" : "are"} unknown to it.`,
  titles: {
    reads: "It reads, and guesses",
    counts: "One unit of memory",
    forgets: "The forget gate",
    adds: "Who wrote the memory",
    held: "What if it had not forgotten?",
    shut: "Always forget",
    reach: "How far back they look",
    yours: "Your turn",
  } as Record<StopName, string>,
  /** Every number in it, and every word that a number chooses, is of the networks that are shown. */
  told: {
    reads: () => "The network reads this text one character at a time, as you would through a keyhole. Press ▶ Play: the frame moves on, and “What comes next” shows its guesses. All it knows of what came before is its memory: that is what this page opens up.",
    counts: ({ counted }) => {
      const { start, last, along, steps, correlation } = counted!;
      const counts = Math.abs(correlation) >= 0.7 ? "Nobody asked for it, but this unit has learned to count how long the line is" : "This unit does not simply count how long the line is";
      return `The drawing is one of its memory cells, the unit that you follow. cₜ at the top is what it remembers. Press ▶ Play and watch cₜ: ${signed(start)} at the start of the line, it ${last > start ? "climbs" : "falls"} at ${along} of the next ${steps} characters, to ${signed(last)} at the end. ${counts}: over this text, cₜ and the place in the line have a correlation of ${signed(correlation)}.`;
    },
    forgets: ({ forgotten }) => {
      const { within, here, before, kept, input, written } = forgotten!;
      return `How does the count start anew? Look at fₜ, the forget gate: the old memory cₜ₋₁ is multiplied by it. Within a line it is ${two(within)} on average, so that from one character to the next ${DEGREES[degree(within)]} is kept. Here, at the end of the line ↵, it is ${two(here)}, ${OPEN[openness(here)]}: of cₜ₋₁ = ${signed(before)} it leaves fₜ ⊙ cₜ₋₁ = ${signed(kept)}, and through the input gate, iₜ = ${two(input)}, comes a new start, ${signed(written)}. Step back and forth with ◀ and ▶, and watch it.`;
    },
    adds: ({ remembered }) => {
      const { left, older } = remembered!;
      return `So the memory is a sum: what each character wrote, times every forget gate since. The list shows the largest parts, and in the strip of text at the top of the page, under “Text”, each character is coloured by its own. Of what the characters of this line wrote, ${DEGREES[degree(left)]} is still there (${percent(left)}); of the memory, ${DEGREES[degree(older)]} (${percent(older)}) is from before the last ↵.`;
    },
    held: ({ held }) => {
      const { plain, changed, state, stateChanged } = held!;
      const expects = changed > 2 * plain ? "as if the line had gone on" : changed > 1.2 * plain ? "somewhat more" : "hardly otherwise";
      return `Here the forget gate of this unit is held open, at 1, at the one step of the line's end (underlined in the text at the top of the page). The count is not deleted: cₜ is ${signed(stateChanged)}, not ${signed(state)}. The network expects another end of the line, ${expects}: with ${percent(changed)}, not ${percent(plain)}, which the mark on the bar of ↵ shows. Move the slider towards 0, or press “Set free”.`;
    },
    shut: ({ bits }) => {
      const still = "Now the gate that keeps is held shut, at 0, in every unit and at every step. Nothing but what the last step wrote is left, as the ledger shows.";
      if (!bits) return still;
      const { plain, none, everything, blind } = bits;
      const compared = { muchWorse: "that is much worse still", worse: "that is worse still", same: "that is as bad", better: "that is better" }[effect(none, everything)];
      return `${still} The network guesses ${GUESSES[effect(plain, none)]}: ${two(none)} bits a character, not ${two(plain)}. (A bit is one question that yes or no answers. Whoever knows nothing of the text needs ${blind.toFixed(1)} for each character.) Move the slider to 1, to never forget: ${compared}, ${two(everything)}${everything > blind ? ", more than whoever knows nothing" : ""}.`;
    },
    reach: (claims) => {
      const cells = claims.reaches!.map(({ name }) => name.split(" ")[0]);
      const gates = [...(cells.includes("RNN") ? ["A plain RNN has no gate that keeps."] : []), ...(cells.includes("GRU") ? ["A GRU has one gate for keeping and writing."] : []), ...(cells.includes("LSTM") ? ["An LSTM has one for each."] : [])];
      return `${gates.join(" ")} The picture shows how far back each can look: how strongly a guess depends on a character so many steps before. Down to 1 % of the strongest counts. ${reached(claims)}`;
    },
    yours: () => "Type a text of your own, follow other units (↑ ↓, or the field “Unit”), hold other gates. The link in the address bar carries what you see. The documentation explains the cell, equation by equation, on the page “From the RNN to the LSTM, in pictures”.",
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
    `A network of ${network.units} ${called(network)} units (${network.parameters?.toLocaleString("en")} weights) that reads the past of ${target} step by step and forecasts what follows. The times shown are those that it was not trained on. Choose a moment, move through time, and watch what it keeps.`,
  input: "The series",
  boxHint: (symbol, reset, part) =>
    `The parts of the sum for ${symbol}ₜ of this unit${reset === null ? "" : ` (those of the state times rₜ = ${reset})`} in the ${part}, which ${part === "encoder" ? "reads the history" : "forecasts"}: each input times its weight, each unit of hₜ₋₁ times its weight, the bias. Where an input has a unit of its own, → gives the scaled number that the network reads.`,
  boxEdit: "The numbers in frames can be changed: type another and press Enter, or press ↑ ↓. The network then reads the window anew with it. A weight or a bias holds at every step of the encoder or of the decoder; an input is changed at this step alone; a state is set at the step before this one, and all that follows is computed from it.",
  part: (label, known) => `${label}, ${known ? "history" : "forecast"}`,
  prediction: "History and forecast",
  legend: (share) => ({ observed: "observed", median: "forecast", interval: `${share} % interval`, without: "forecast without a change", remembered: "columns: what the unit remembers of each step" }),
  unchanged: "Hold a gate at a value, and the network reads the window anew.",
  effect: (plain, changed) => `The forecast is off by ${two(plain)} on average, by ${two(changed)} with the change. The broken line is the forecast without it.`,
  sum: (symbol, state, count, rest) => written(symbol, state, count, "step", rest),
  comparison: (networks) => (networks === 1 ? "How far the network looks back" : `${networks} networks, one window`),
  facts: (units, score, reach, whole) => `${units} units, off by ${two(score)} on average here; its forecast depends on ${whole ? "at least " : ""}${some(reach ?? 0, "step")} before.`,
  reachHint: "How strongly the forecast of one step depends on what was read so many steps before, as a share of the strongest. Below 1 % (the thick line) the past hardly has an effect; values below a millionth are not drawn.",
  titles: {
    ...ENGLISH.titles,
    reads: "It reads the past, and forecasts",
    counts: "What the forecast starts from",
    adds: "What is left of the history",
    shut: "Forget the history",
    reach: "How far it looks back",
  },
  told: {
    ...ENGLISH.told,
    reads: () => "Left of the upright line is the history: the network reads it one step at a time. Right of it is its forecast, with an interval, and what really came. Choose another moment with “Forecast from”, then press ▶ Play: the line of the moment moves through time.",
    counts: (_, exhibit) =>
      `This is the last step of the history. The states of all units, here of the one that you follow, go on into the forecast. Besides them the forecast reads at each step ${reading(exhibit)}. All else of the past has to be in the states, or it is lost. Follow other units with ↑ ↓.`,
    adds: ({ history }) => {
      const { unit, into, share, mean, oldest, ago } = history!;
      const still = ago > 0 ? ` The oldest part that stands out is of ${oldest}, ${some(ago, "step")} before the forecast began.` : "";
      return `The memory of a gated unit is a sum: what each step wrote, times every gate that kept it since. The list shows the largest parts, and the columns behind the curve are coloured by them. Here, ${some(into, "step")} into the forecast, ${DEGREES[degree(share)]} of what unit ${unit} remembers is of the history (${percent(share)}), more than in any other; on average it is ${percent(mean)}.${still}`;
    },
    shut: ({ moved }) => {
      const { distance, plain, changed } = moved!;
      const off = plain === null || changed === null ? "" : ` It is off by ${two(changed)} on average, ${two(plain)} without the change.`;
      return `Now the gate that keeps is held shut, at 0, in every unit, at the one step where the forecast begins (the mark above the curve). What came out of the history is wiped out, and the forecast ${distance >= 0.005 ? `moves by ${two(distance)} on average: the broken line is the one without the change` : "hardly moves: this network makes little of its memory"}.${off} Move the slider, or press “Set free”.`;
    },
    reach: (claims) => {
      const hills = claims.reaches!.filter(({ hill }) => hill !== null);
      const second = hills.length ? ` There is a second hill: ${listed(hills.map(({ name, hill }) => `${some(hill!, "step")} back for the ${name}`))}.` : "";
      return `How strongly the forecast of a step depends on what was read so many steps before. Down to 1 % of the strongest counts. ${reached(claims)}${second}`;
    },
    yours: () => "Choose another series and another moment, follow other units (↑ ↓, or the field “Unit”), hold other gates at other times. The link in the address bar carries what you see. The documentation explains the cell, equation by equation, on the page “From the RNN to the LSTM, in pictures”.",
  },
};
