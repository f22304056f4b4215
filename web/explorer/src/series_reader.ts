/** Reads a window of a series with a forecaster: gates and states of a layer, the forecast, how far it looks back. */
import { middleOf, quantilesOf } from "./distributions";
import type { ForecastWeights, Layer } from "./forecast_weights";
import type { Clamp, ForecasterFacts, Matrix, Network, Reading, SeriesExhibit } from "./reading";
import { addTransposed, Back, Breath, forward, type Initial, type Run } from "./recurrence";
import type { Series } from "./series_file";
import { momentsOf } from "./text_reader";
import { dot } from "./weights";

/** The level, an input, is kept within ± this. */
const FARTHEST_LEVEL = 3;
const HIGHEST_LOG = 80;

/** A row of inputs for each step. */
type Rows = Float32Array[];

/** What a forecaster computed: a run for each layer, of the history and of the horizon. */
interface Runs {
  encoder: Run[];
  decoder: Run[];
}

export async function readWindow(exhibit: SeriesExhibit, network: Network, weights: ForecastWeights, series: Series, moment: number, clamp: Clamp | null): Promise<Reading> {
  const { history, quantiles } = exhibit;
  const facts = network.forecaster!;
  const { horizon, layer } = facts;
  const inputs = inputsOf(facts, weights, series, moment, history);
  const runs = await run(weights, inputs, facts.layer, clamp, history);
  const first = series.origins[moment] - history + 1;
  const observed = series.observed.slice(first, first + history + horizon);
  const forecast = new Float32Array((history + horizon) * quantiles.length).fill(NaN);
  const middle = quantiles.indexOf(0.5);
  let [sum, count] = [0, 0];
  for (let step = 0; step < horizon; step++) {
    const values = forecastAt(facts, quantiles, weights, series, moment, runs.decoder.at(-1)!, step);
    forecast.set(values, (history + step) * quantiles.length);
    const error = Math.abs(values[middle] - observed[history + step]);
    if (Number.isNaN(error)) continue;
    sum += error;
    count += 1;
  }
  const plain = clamp ? null : runs;
  return {
    network: network.name,
    score: count ? sum / count : null,
    labels: series.labels.slice(first, first + history + horizon),
    arrays: {
      ...joined(runs.encoder[layer], runs.decoder[layer]),
      observed: { steps: history + horizon, width: 1, numbers: observed },
      forecast: { steps: history + horizon, width: quantiles.length, numbers: forecast },
    },
    // A held gate does not change the gradient.
    backwards: async (wanted) => gradientByDistance(weights, plain ?? (await run(weights, inputs, layer, null, history)), middleOf(facts, quantiles), series.trust * series.remainder, wanted),
    gradient: null,
  };
}

/** What encoder and decoder read, as `ForecastNetwork` makes it of the rows. */
function inputsOf(facts: ForecasterFacts, { categories }: ForecastWeights, series: Series, moment: number, history: number): { past: Rows; ahead: Rows } {
  const { own, futures, texts, seasons, horizon } = facts;
  const { labels, earlier, rescale, shift, inputs, codes, smooth, origins } = series;
  const rows = labels.length;
  const windows = origins.length;
  const origin = origins[moment];
  // Before the beginning of a series there is its first value.
  const target = (row: number) => Math.fround(rescale[moment] * series.target[Math.max(0, row + earlier)] + shift[moment]);
  const last = target(origin);
  const level = Math.max(-FARTHEST_LEVEL, Math.min(FARTHEST_LEVEL, last));
  const columns = inputs.length / rows;
  const column = (row: number, first: number, end: number) => Array.from({ length: end - first }, (_, k) => inputs[(first + k) * rows + row]);
  const embedded = (row: number, count: number) =>
    categories.slice(0, count).flatMap(({ numbers, shape }, k) => [...numbers.subarray(codes[k * rows + row] * shape[1], (codes[k * rows + row] + 1) * shape[1])]);
  const constant = [...series.series, level];
  const past = Array.from({ length: history }, (_, step) => {
    const row = origin - history + 1 + step;
    const lags = seasons.map((season) => target(row - season) - last);
    return Float32Array.from([target(row) - last, ...column(row, 0, columns), ...lags, ...embedded(row, categories.length), ...constant]);
  });
  const ahead = Array.from({ length: horizon }, (_, step) => {
    const row = origin + 1 + step;
    const lags = seasons.map((season) => target(row - season * Math.ceil((step + 1) / season)) - last);
    return Float32Array.from([...column(row, own - 1, own - 1 + futures), ...lags, smooth[step * windows + moment] - last, ...embedded(row, texts), ...constant]);
  });
  return { past, ahead };
}

/** Run encoder and decoder, which begins from the encoder's last states; a gate of one layer may be held. */
async function run(weights: ForecastWeights, { past, ahead }: { past: Rows; ahead: Rows }, held: number, clamp: Clamp | null, history: number): Promise<Runs> {
  const later = clamp && (clamp.last ?? Infinity) >= history ? { ...clamp, first: clamp.first - history, last: clamp.last === null ? null : clamp.last - history } : null;
  // Steps of the decoder count from the end of the history, and none is held in the other part.
  const encoder = await layers(weights.encoder, past, held, clamp, null);
  const states = encoder.map(({ arrays, weights: { units: H } }) => {
    const last = (name: string) => arrays[name].numbers.slice(-H);
    return { hidden: last("hidden"), ...(arrays.cell ? { cell: last("cell") } : {}) } as Initial;
  });
  return { encoder, decoder: await layers(weights.decoder, ahead, held, later, states) };
}

async function layers(all: Layer[], inputs: Rows, held: number, clamp: Clamp | null, initial: Initial[] | null): Promise<Run[]> {
  const runs: Run[] = [];
  const steps = Int32Array.from(inputs, (_, step) => step);
  for (const [place, weights] of all.entries()) {
    const read = place ? rowsOf(runs[place - 1].arrays.hidden) : inputs;
    const rows = weights.biasInput.length;
    const table = new Float32Array(steps.length * rows);
    read.forEach((row, step) => {
      for (let k = 0; k < rows; k++) table[step * rows + k] = dot(weights.input, k * weights.width, row, 0, weights.width);
    });
    // Each step reads a row of its own, as a text reads one of its vocabulary.
    runs.push(await forward({ ...weights, table, characters: steps.length }, steps, place === held ? clamp : null, [], initial?.[place] ?? null));
  }
  return runs;
}

function rowsOf({ numbers, steps, width }: Matrix): Rows {
  return Array.from({ length: steps }, (_, step) => numbers.subarray(step * width, (step + 1) * width));
}

function joined(encoder: Run, decoder: Run): Record<string, Matrix> {
  return Object.fromEntries(
    Object.entries(encoder.arrays).map(([name, { steps, width, numbers }]) => {
      const after = decoder.arrays[name];
      const both = new Float32Array(numbers.length + after.numbers.length);
      both.set(numbers);
      both.set(after.numbers, numbers.length);
      return [name, { steps: steps + after.steps, width, numbers: both }];
    }),
  );
}

/** The quantiles of a step of the horizon in the unit of the target: the network's with its partners, calibrated. */
function forecastAt(facts: ForecasterFacts, levels: number[], weights: ForecastWeights, series: Series, moment: number, decoder: Run, step: number): number[] {
  const { head, bias } = weights;
  const { remainder, trust, smooth, share, rest, borrowed, factors, least } = series;
  const windows = series.origins.length;
  const H = decoder.weights.units;
  const said = Float64Array.from(bias, (value, k) => value + dot(head.numbers, k * H, decoder.arrays.hidden.numbers, step * H, H));
  const scaling = { location: series.location[moment], scale: series.scale[moment], remainder };
  const centre = smooth[step * windows + moment] + trust * remainder * said[middleOf(facts, levels)];
  const scaled = quantilesOf(facts, levels, centre, said, scaling);
  const at = (k: number) => (step * levels.length + k) * windows + moment;
  const mixed = scaled.map((value, k) => {
    const unscaled = value * scaling.scale + scaling.location;
    const own = facts.logarithms ? Math.exp(Math.max(-HIGHEST_LOG, Math.min(HIGHEST_LOG, unscaled))) : unscaled;
    return share[moment] * own + rest[at(k)];
  });
  const middle = levels.indexOf(0.5);
  const spread = mixed.map((value, k) => {
    const distance = facts.width * Math.abs(value - mixed[middle]) + borrowed[at(k)];
    return mixed[middle] + Math.sign(levels[k] - 0.5) * distance * factors[k * windows + moment];
  });
  for (let k = middle + 1; k < levels.length; k++) spread[k] = Math.max(spread[k], spread[k - 1]);
  for (let k = middle - 1; k >= 0; k--) spread[k] = Math.min(spread[k], spread[k + 1]);
  return spread.map((value) => Math.max(value, least)).map((value) => (facts.whole ? Math.floor(value + 0.5) : value));
}

/**
 * The gradient of the scaled median with respect to the input d steps before, (D,): the mean of the norms
 * over steps of the horizon. Null where it is no longer `wanted`.
 */
async function gradientByDistance({ head }: ForecastWeights, { encoder, decoder }: Runs, middle: number, factor: number, wanted: () => boolean): Promise<Matrix | null> {
  const [history, horizon, H] = [encoder[0].characters.length, decoder[0].characters.length, decoder[0].weights.units];
  const moments = momentsOf(0, horizon - 1);
  const means = new Float32Array(history + 1);
  const breath = new Breath();
  for (const moment of moments) {
    const upstream = Array.from({ length: moment + 1 }, () => new Float64Array(H));
    head.numbers.subarray(middle * H, (middle + 1) * H).forEach((weight, unit) => (upstream[moment][unit] = factor * weight));
    const ahead = await back(decoder, upstream, null, breath);
    const past = await back(encoder, Array.from({ length: history }, () => new Float64Array(H)), ahead.states, breath);
    const norms = [...past.inputs, ...ahead.inputs].map((gradient) => Math.sqrt(gradient.reduce((sum, part) => sum + part * part, 0)));
    for (let d = 0; d <= history; d++) means[d] += norms[history + moment - d] / moments.length;
    if (!wanted()) return null;
  }
  return { steps: means.length, width: 1, numbers: means };
}

type States = [hidden: Float64Array, cell: Float64Array];

/**
 * Gradients back through layers, from those with respect to the hidden states of the last one, a row for each step,
 * and with respect to the states after the last step of each layer: to the inputs and to the states before.
 */
async function back(runs: Run[], upstream: Float64Array[], final: States[] | null, breath: Breath): Promise<{ inputs: Float64Array[]; states: States[] }> {
  let gradients = upstream;
  const states: States[] = [];
  for (let place = runs.length - 1; place >= 0; place--) {
    const { weights } = runs[place];
    const { units: H, input, width } = weights;
    const [hidden, cell] = final?.[place] ?? [new Float64Array(H), new Float64Array(H)];
    const going = new Back(runs[place], hidden, cell);
    const inputs: Float64Array[] = [];
    for (let t = gradients.length - 1; t >= 0; t--) {
      gradients[t].forEach((value, unit) => (going.hidden[unit] += value));
      going.through(t);
      inputs[t] = new Float64Array(width);
      addTransposed(going.toInput, input, width, inputs[t]);
      going.before();
      if (breath.due) await breath.pause();
    }
    states[place] = [going.hidden, going.state];
    gradients = inputs;
  }
  return { inputs: gradients, states };
}
