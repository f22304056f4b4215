/** What the page says in English. */
import type { Network } from "./server";
import type { StopName } from "./tour";
import type { Words } from "./words";

const two = (value: number | null | undefined) => value?.toFixed(2) ?? "–";
const some = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
const written = (symbol: string, state: string, count: number, what: string, rest: string) =>
  count === 1
    ? `${symbol} = ${state}, what the first ${what} wrote: there was nothing before it.`
    : `${symbol} = ${state}, the sum of what ${count} ${what}s wrote, each shrunk by the gates since. The largest, and the rest: ${rest}.`;
const called = (network: Network) => network.name.toUpperCase();

export const ENGLISH = {
  title: "explorer",
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
  unchanged: "Hold a gate at a value, and the network reads the text anew.",
  effect: (plain: number | null, changed: number | null): string =>
    `${plain === null ? "" : `Surprise at this text: ${two(plain)} bits a character, ${two(changed)} with the change. `}A mark shows each prediction without the change.`,
  ledger: "What the unit remembers, and who wrote it",
  noLedger: "A plain RNN overwrites its state at every step: there is no sum to take apart.",
  sum: (symbol: string, state: string, count: number, rest: string): string => written(symbol, state, count, "character", rest),
  maps: "Gates and states over time",
  mapsHint: "Time runs across, units stand below one another. Click to choose moment and unit. The strip of colours beside a name is its key: a gate goes from 0, shut, to 1, open; of the others blue is positive, orange negative.",
  comparison: (networks: number): string => (networks === 3 ? "Three networks, one text" : networks === 1 ? "How far the network looks back" : `${networks} networks, one text`),
  facts: (units: number, score: number | null, reach: number, whole: boolean): string =>
    `${units} units${score === null ? "" : `, ${two(score)} bits a character here`}; ${whole && !reach ? "the text is too short to tell how far its gradient reaches back" : `its gradient reaches back ${whole ? "at least " : ""}${some(reach, "step")}`}.`,
  reach: "How far the gradient reaches",
  reachHint: "How strongly the guess at one moment depends on a character so many steps before, as a share of the strongest. Below 1 % (the thick line) the past hardly has an effect; values below a millionth are not drawn.",
  distance: "distance in steps",
  other: "other",
  tour: "Guided tour",
  tourPlace: (stop: number, stops: number): string => `Stop ${stop} of ${stops}`,
  tourBack: "Back",
  tourOn: "Next",
  tourEnd: "End the tour",
  stops: {
    reads: [
      "It reads, and guesses",
      "The network reads this text one character at a time, as you would through a keyhole. Press ▶ Play: the frame moves on, and “What comes next” shows its guesses. All it knows of what came before is its memory: that is what this page opens up.",
    ],
    counts: [
      "One unit of memory",
      "The drawing is one of its memory cells, the unit that you follow. cₜ at the top is what it remembers. Press ▶ Play and watch cₜ: about −1.7 at the start of the line, it climbs with every character. Nobody asked for it, but this unit has learned to count how long the line is.",
    ],
    forgets: [
      "The forget gate",
      "How does the count start anew? Look at fₜ, the forget gate: the old memory cₜ₋₁ is multiplied by it. Within a line it is near 1, so that all is kept. Here, at the end of the line ↵, it is almost 0: fₜ·cₜ₋₁ is wiped out, and the input gate iₜ writes a new start. Step back and forth with ◀ and ▶, and watch it shut.",
    ],
    adds: [
      "Who wrote the memory",
      "So the memory is a sum: what each character wrote, times every forget gate since. The list shows the largest parts, and in the strip of text at the top of the page, under “Text”, each character is coloured by its own. All of this line is still there, as its gates stayed open; of what came before the last ↵ next to nothing is left.",
    ],
    held: [
      "What if it had not forgotten?",
      "Here the forget gate of this unit is held open, at 1, at the one step of the line's end (underlined in the text at the top of the page). The count goes on, as if no line had begun, and the network expects the next line's end far too early: the mark on the bar of ↵ is its guess without the change. Move the slider towards 0, or press “Set free”.",
    ],
    shut: [
      "Always forget",
      "Now the gate that keeps is held shut, at 0, in every unit and at every step. The ledger shows it: nothing but the last step is left, and the network guesses much worse: see the bits a character under the slider. (A bit is one question that yes or no answers. Without any knowledge of the text, about six are needed for each character.) Move the slider to 1, to never forget: that is worse still.",
    ],
    reach: [
      "Three networks",
      "A plain RNN has no such gate, a GRU has one gate for both tasks. The picture shows how far back each can look: how strongly a guess depends on a character so many steps before.",
    ],
    yours: [
      "Your turn",
      "Type a text of your own, follow other units (↑ ↓, or the field “Unit”), hold other gates. The link in the address bar carries what you see. The documentation explains the cell, equation by equation, on the page “From the RNN to the LSTM, in pictures”.",
    ],
  } as Record<StopName, [string, string]>,
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
  part: (label, known) => `${label}, ${known ? "history" : "forecast"}`,
  prediction: "History and forecast",
  legend: (share) => ({ observed: "observed", median: "forecast", interval: `${share} % interval`, without: "forecast without a change", remembered: "columns: what the unit remembers of each step" }),
  unchanged: "Hold a gate at a value, and the network reads the window anew.",
  effect: (plain, changed) => `The forecast is off by ${two(plain)} on average, by ${two(changed)} with the change. The broken line is the forecast without it.`,
  sum: (symbol, state, count, rest) => written(symbol, state, count, "step", rest),
  comparison: (networks) => (networks === 1 ? "How far the network looks back" : `${networks} networks, one window`),
  facts: (units, score, reach, whole) => `${units} units, off by ${two(score)} on average here; its forecast depends on ${whole ? "at least " : ""}${some(reach, "step")} before.`,
  reachHint: "How strongly the forecast of one step depends on what was read so many steps before, as a share of the strongest. Below 1 % (the thick line) the past hardly has an effect; values below a millionth are not drawn.",
  stops: {
    ...ENGLISH.stops,
    reads: [
      "It reads the past, and forecasts",
      "Left of the upright line is the history: the network reads it one step at a time. Right of it is its forecast, with an interval, and what really came. Choose another moment with “Forecast from”, then press ▶ Play: the red line moves through time.",
    ],
    counts: [
      "What the forecast starts from",
      "This is the last step of the history. The state of all units, here of the one that you follow, is all that goes on into the forecast: the past has to be in it, or it is lost. Follow other units with ↑ ↓.",
    ],
    adds: [
      "What it remembers of yesterday",
      "In the middle of the forecast the memory of a gated unit is a sum: what each step wrote, times every gate that kept it since. The list shows the largest parts, and the columns behind the curve are coloured by them.",
    ],
    shut: [
      "Forget the history",
      "Now the gate that keeps is held shut in every unit, at the one step where the forecast begins (the mark above the curve). What came out of the history is wiped out, and the forecast changes: the broken line is the one without the change. Move the slider, or press “Set free”.",
    ],
    reach: ["How far it looks back", "How strongly the forecast of a step depends on what was read so many steps before. Where the curve has a second hill, the network looks back by a whole day or week."],
    yours: [
      "Your turn",
      "Choose another series and another moment, follow other units (↑ ↓, or the field “Unit”), hold other gates at other times. The link in the address bar carries what you see. The documentation explains the cell, equation by equation, on the page “From the RNN to the LSTM, in pictures”.",
    ],
  },
};
