/** Reads a window of a series with a forecaster: gates and states of a layer, the forecast, how far it looks back. */
import { middleOf, quantilesOf } from "./distributions";
import { unscaled, type NetworkPart, type TargetScaling } from "./columns";
import { editedWeights, wholeOf } from "./edits";
import { Engine, type Numbers } from "./engine";
import type { ForecastWeights } from "./forecast_weights";
import type { Clamp, Edit, ForecasterFacts, Matrix, Network, Reading, SeriesExhibit } from "./reading";
import { Breath, editedRows, runLayer, type Run } from "./recurrence";
import type { Series } from "./series_file";
import { momentsOf } from "./text_reader";
import { dot } from "./weights";

/** The level, an input, is kept within ± this. */
const FARTHEST_LEVEL = 3;

/** A row of inputs for each step. */
type Rows = Float32Array[];

/** What a forecaster computed: a run for each layer, of the history and of the horizon. */
interface Runs {
  encoder: Run[];
  decoder: Run[];
}

/** What is read in a window, and how its target is scaled. */
interface Inputs {
  past: Rows;
  ahead: Rows;
  target: TargetScaling;
}

/** A window as a layer of a forecaster sees it; what was changed is of all its layers, what is held of that one. */
export async function readWindow(exhibit: SeriesExhibit, network: Network, weights: ForecastWeights, series: Series, moment: number, clamp: Clamp | null, edits: Edit[] = []): Promise<Reading> {
  const { history, quantiles } = exhibit;
  const facts = network.forecaster!;
  const { horizon, layer } = facts;
  const layers = wholeOf(network, exhibit.networks).sort((one, other) => one.forecaster!.layer - other.forecaster!.layer);
  const inputs = inputsOf(facts, weights, series, moment);
  const runs = await run(layers, weights, inputs, clamp && { clamp, layer }, edits);
  const first = series.origins[moment] - history + 1;
  const observed = series.observed.slice(first, first + history + horizon);
  const forecast = new Float32Array((history + horizon) * quantiles.length).fill(NaN);
  const middle = quantiles.indexOf(0.5);
  let [sum, count] = [0, 0];
  for (let step = 0; step < horizon; step++) {
    const values = forecastAt(facts, quantiles, weights, series, moment, inputs.target, runs.decoder.at(-1)!, step);
    forecast.set(values, (history + step) * quantiles.length);
    const error = Math.abs(values[middle] - observed[history + step]);
    if (Number.isNaN(error)) continue;
    sum += error;
    count += 1;
  }
  const free = clamp ? null : runs;
  return {
    network: network.name,
    score: count ? sum / count : null,
    credit: { median: series.trust * series.share[moment] > 0, interval: quantiles.length > 1 && facts.width * series.share[moment] > 0 },
    labels: series.labels.slice(first, first + history + horizon),
    arrays: {
      ...joined(runs.encoder[layer], runs.decoder[layer]),
      observed: { steps: history + horizon, width: 1, numbers: observed },
      forecast: { steps: history + horizon, width: quantiles.length, numbers: forecast },
    },
    runs: [...runs.encoder, ...runs.decoder],
    // A held gate does not change the gradient.
    backwards: async (wanted) => gradientByDistance(weights, free ?? (await run(layers, weights, inputs, null, edits)), middleOf(facts, quantiles), series.trust * series.remainder, wanted),
    gradient: null,
  };
}

/** What encoder and decoder read, as `ForecastNetwork` makes it of the rows. */
function inputsOf(facts: ForecasterFacts, { categories }: ForecastWeights, series: Series, moment: number): Inputs {
  const { own, futures, texts, seasons, history, horizon, floor } = facts;
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
  return { past, ahead, target: { location: series.location[moment], scale: series.scale[moment], floor, last } };
}

/** Run encoder and decoder, which begins from the encoder's last states. */
async function run(layers: Network[], weights: ForecastWeights, { past, ahead, target }: Inputs, held: Held | null, edits: Edit[]): Promise<Runs> {
  const encoder = await runPart("encoder", layers, weights.encoder, past, target, 0, held, edits, null);
  const states = encoder.map(({ engine, arrays }) => engine.definition.states.map(({ name }) => arrays[name].numbers.slice(-arrays[name].width)));
  return { encoder, decoder: await runPart("decoder", layers, weights.decoder, ahead, target, past.length, held, edits, states) };
}

/** A gate of one layer that is held. */
interface Held {
  clamp: Clamp;
  layer: number;
}

/** Run layers one above the other, from a step of the window on; each begins from its states in `initial`, or from zeros. */
async function runPart(part: NetworkPart, layers: Network[], engines: Engine[], inputs: Rows, target: TargetScaling, first: number, held: Held | null, edits: Edit[], initial: Numbers[][] | null): Promise<Run[]> {
  const runs: Run[] = [];
  let read = editedRows(inputs, layers[0], part, first, target, edits);
  for (const [layer, { definition, sizes, weights }] of engines.entries()) {
    const network = layers[layer];
    const own = edits.filter((edit) => edit.network === network.name);
    const changed = own.filter((edit) => edit.part === part);
    const engine = changed.length ? new Engine(definition, sizes, editedWeights(definition, sizes, weights, changed)) : engines[layer];
    const rows = read;
    const clamp = held?.layer === layer ? held.clamp : null;
    runs.push(await runLayer(engine, { network, part, first, steps: rows.length, input: { vector: (step) => rows[step] }, clamp, edits: own, initial: initial?.[layer], target: layer ? undefined : target }));
    const { trace } = runs[layer];
    read = rowsOf({ steps: rows.length, width: sizes[definition.nodes[definition.output].width], numbers: engine.valuesOf(trace, definition.output) });
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
function forecastAt(facts: ForecasterFacts, levels: number[], weights: ForecastWeights, series: Series, moment: number, target: TargetScaling, decoder: Run, step: number): number[] {
  const { head, bias } = weights;
  const { remainder, trust, smooth, share, rest, borrowed, factors, least } = series;
  const windows = series.origins.length;
  const H = head.shape[1];
  const { engine, trace } = decoder;
  const hidden = engine.valuesOf(trace, engine.definition.output);
  const said = Float64Array.from(bias, (value, k) => value + dot(head.numbers, k * H, hidden, step * H, H));
  const scaling = { ...target, remainder };
  const centre = smooth[step * windows + moment] + trust * remainder * said[middleOf(facts, levels)];
  const scaled = quantilesOf(facts, levels, centre, said, scaling);
  const at = (k: number) => (step * levels.length + k) * windows + moment;
  const mixed = scaled.map((value, k) => share[moment] * unscaled(value, target) + rest[at(k)]);
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
