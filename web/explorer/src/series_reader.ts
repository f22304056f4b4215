/** Reads a window of a series with a forecaster: gates and states of a layer, the forecast, how far it looks back. */
import { middleOf, quantilesOf } from "./distributions";
import { namedIn, type Engine, type Numbers, type Trace } from "./engine";
import type { ForecastWeights } from "./forecast_weights";
import type { Clamp, ForecasterFacts, Matrix, Network, Reading, SeriesExhibit } from "./reading";
import { Breath, holds } from "./recurrence";
import type { Series } from "./series_file";
import { momentsOf } from "./text_reader";
import { dot } from "./weights";

/** The level, an input, is kept within ± this. */
const FARTHEST_LEVEL = 3;
const HIGHEST_LOG = 80;

/** A row of inputs for each step. */
type Rows = Float32Array[];

/** What a layer computed. */
interface Run {
  engine: Engine;
  trace: Trace;
  /** Gates and states by name. */
  arrays: Record<string, Matrix>;
}

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
  const states = encoder.map(({ engine, arrays }) => engine.definition.states.map(({ name }) => arrays[name].numbers.slice(-arrays[name].width)));
  return { encoder, decoder: await layers(weights.decoder, ahead, held, later, states) };
}

/** Run layers one above the other; each begins from its states in `initial`, or from zeros. */
async function layers(engines: Engine[], inputs: Rows, held: number, clamp: Clamp | null, initial: Numbers[][] | null): Promise<Run[]> {
  const runs: Run[] = [];
  const breath = new Breath();
  let read = inputs;
  for (const [layer, engine] of engines.entries()) {
    const { definition, sizes } = engine;
    const gate = clamp && layer === held ? definition.gates[clamp.gate] : null;
    const hold = clamp && gate !== null ? (node: number, step: number, unit: number) => (node === gate && holds(clamp, clamp.gate, step, unit) ? clamp.value : undefined) : null;
    const rows = read;
    const trace = engine.begin(rows.length, { vector: (step) => rows[step] }, hold, initial?.[layer]);
    for (let step = 0; step < rows.length; step++) {
      engine.step(trace, step);
      if (breath.due) await breath.pause();
    }
    const matrix = (node: number): Matrix => ({ steps: rows.length, width: sizes[definition.nodes[node].width], numbers: engine.valuesOf(trace, node) });
    const arrays = Object.fromEntries(Object.entries(namedIn(definition)).map(([name, node]) => [name, matrix(node)]));
    runs.push({ engine, trace, arrays });
    read = rowsOf(matrix(definition.output));
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
  const H = head.shape[1];
  const { engine, trace } = decoder;
  const hidden = engine.valuesOf(trace, engine.definition.output);
  const said = Float64Array.from(bias, (value, k) => value + dot(head.numbers, k * H, hidden, step * H, H));
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
  const [history, horizon, H] = [encoder[0].trace.steps, decoder[0].trace.steps, head.shape[1]];
  const moments = momentsOf(0, horizon - 1);
  const means = new Float32Array(history + 1);
  const breath = new Breath();
  for (const moment of moments) {
    const upstream: (Float64Array | null)[] = Array.from({ length: moment + 1 }, () => null);
    upstream[moment] = Float64Array.from(head.numbers.subarray(middle * H, (middle + 1) * H), (weight) => factor * weight);
    const ahead = await back(decoder, upstream, null, breath);
    const past = await back(encoder, Array.from({ length: history }, () => null), ahead.states, breath);
    const norms = [...past.inputs, ...ahead.inputs].map((gradient) => Math.sqrt(gradient!.reduce((sum, part) => sum + part * part, 0)));
    for (let d = 0; d <= history; d++) means[d] += norms[history + moment - d] / moments.length;
    if (!wanted()) return null;
  }
  return { steps: means.length, width: 1, numbers: means };
}

/**
 * Gradients back through layers, from those with respect to the outputs of the last one, a row for each step, and
 * with respect to the states after the last step of each layer: to the inputs and to the states before.
 */
async function back(runs: Run[], upstream: (Float64Array | null)[], final: Float64Array[][] | null, breath: Breath): Promise<{ inputs: (Float64Array | null)[]; states: Float64Array[][] }> {
  let gradients = upstream;
  const states: Float64Array[][] = [];
  for (let layer = runs.length - 1; layer >= 0; layer--) {
    const { engine, trace } = runs[layer];
    const { definition, sizes } = engine;
    states[layer] = final?.[layer] ?? definition.states.map(({ width }) => new Float64Array(sizes[width]));
    const inputs: Float64Array[] = [];
    for (let step = gradients.length - 1; step >= 0; step--) {
      inputs[step] = engine.back(trace, step, gradients[step], states[layer]).vector;
      if (breath.due) await breath.pause();
    }
    gradients = inputs;
  }
  return { inputs: gradients, states };
}
