"""Paths whose sums have the right quantiles, by series whose dependence is known."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats
from tests.documents import replace_in_document

from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.paths import Dependence, error_correlation
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions

HORIZON = 12
STEPS = np.arange(1, HORIZON + 1)
CONFIG = ForecastConfig(
    time="t", target="y", horizon=HORIZON, history=24, hidden=8, test=60, members=1,
    partner="none",
)  # fmt: skip
SHORT = TrainingOptions(steps=20, threads=1)


def errors_of(kind: str, windows: int) -> np.ndarray:
    """Errors `(windows, HORIZON)` of the best forecast of a walk or of noise, by their spread."""
    noise = np.random.default_rng(3).normal(size=(windows, HORIZON))
    return noise.cumsum(axis=1) / STEPS**0.5 if kind == "walk" else noise


def spread_of_sums(kind: str) -> float:
    """The deviation of the sum of a walk's, or of noise's, next values; that of a step is 1."""
    # The sum of a walk holds what is new at step j in all steps from j on.
    return float(np.sum(STEPS**2.0)) ** 0.5 if kind == "walk" else HORIZON**0.5


@pytest.mark.parametrize("kind", ["walk", "noise"])
@pytest.mark.parametrize(("windows", "tolerance"), [(5, 0.25), (30, 0.08), (1000, 0.04)])
def test_sums_of_paths_have_the_right_spread(kind, windows, tolerance):
    dependence = Dependence.of(errors_of(kind, windows), windows, whole=False)
    levels = dependence.uniforms(20_000, np.random.default_rng(0))
    values = stats.norm.ppf(levels) * (STEPS**0.5 if kind == "walk" else 1)
    assert values.sum(axis=1).std() == pytest.approx(spread_of_sums(kind), rel=tolerance)
    # Were walks' steps drawn in one order, the sum would be right within 15 %, steps would not.
    change = np.diff(values, axis=1).std()
    assert change == pytest.approx(1 if kind == "walk" else 2**0.5, rel=tolerance)


def test_pairs_that_were_not_observed_count_for_nothing():
    errors = errors_of("walk", 2000)
    errors[np.random.default_rng(0).random(errors.shape) < 0.3] = np.nan
    errors[:, 4] = np.nan  # never
    dependence = Dependence.of(errors, 2000, whole=False)
    dependence.check(HORIZON)
    others = np.delete(np.arange(HORIZON), 4)
    right = (np.minimum.outer(STEPS, STEPS) / np.maximum.outer(STEPS, STEPS)) ** 0.5
    found = dependence.correlation[np.ix_(others, others)]
    np.testing.assert_allclose(found, right[np.ix_(others, others)], atol=0.06)


def test_without_errors_steps_are_independent():
    for scores in (np.zeros((0, HORIZON)), np.zeros((5, HORIZON)), np.full((5, HORIZON), np.nan)):
        found = Dependence.of(scores, len(scores), whole=True)
        np.testing.assert_array_equal(found.correlation, np.eye(HORIZON))


def test_one_step_needs_no_dependence():
    assert Dependence.of(np.ones((4, 1)), 4, whole=False).correlation.tolist() == [[1.0]]


@pytest.mark.parametrize(("gain", "fade"), [(1.0, 1.0), (0.3, 0.8), (-0.4, 0.0)])
def test_errors_of_smoothing_go_together_as_simulated_ones(gain, fade):
    new = np.random.default_rng(1).normal(size=(100_000, 5))
    weights = [1.0, *(gain * fade**j for j in range(4))]
    errors = np.stack([new[:, : h + 1] @ weights[h::-1] for h in range(5)], axis=1)
    right = np.corrcoef(errors[:, [0, 2, 4]].T)
    np.testing.assert_allclose(error_correlation(gain, fade, np.array([1, 3, 5])), right, atol=0.02)


def test_an_error_that_all_steps_share_is_found_in_few_windows():
    rng = np.random.default_rng(5)
    errors = 0.6 * rng.normal(size=(12, 1)) + 0.8 * rng.normal(size=(12, HORIZON))
    found = Dependence.of(errors, 12, whole=False).correlation
    apart = found[~np.eye(HORIZON, dtype=bool)]
    assert apart.mean() == pytest.approx(0.36, abs=0.15)


def test_a_series_whose_intervals_are_too_narrow_counts_as_the_others():
    rng = np.random.default_rng(6)
    together = 0.2 * np.repeat(rng.normal(size=(200, 1)), HORIZON, axis=1)
    errors = np.concatenate([together, rng.normal(size=(200, HORIZON))])
    found = Dependence.of(errors, 400, whole=False, series=np.repeat([0, 1], 200))
    apart = found.correlation[~np.eye(HORIZON, dtype=bool)]
    assert apart.mean() == pytest.approx(0.5, abs=0.05)


def test_of_few_paths_each_part_of_a_step_has_one():
    dependence = Dependence.of(errors_of("walk", 50), 50, whole=False)
    levels = dependence.uniforms(8, np.random.default_rng(0))
    np.testing.assert_array_equal(
        np.sort(levels * 8 // 1, axis=0), np.arange(8)[:, None] + 0 * levels
    )
    # A single path is not the median, and its steps go together too.
    alone = [dependence.uniforms(1, np.random.default_rng(seed))[0] for seed in range(2000)]
    normal = stats.norm.ppf(alone)
    assert normal.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(normal.T)[5, 11] == pytest.approx(0.5**0.5, abs=0.08)


def series(kind: str, rows: int = 500) -> pl.DataFrame:
    noise = np.random.default_rng(6).normal(size=rows)
    return pl.DataFrame(
        {"t": np.arange(rows), "y": 100 + (noise.cumsum() if kind == "walk" else noise)}
    )


@pytest.fixture(scope="module")
def walker() -> Forecaster:
    return Forecaster(CONFIG, SHORT).fit(series("walk"))


def sums(paths: pl.DataFrame) -> np.ndarray:
    return paths.group_by("path").agg(pl.col("value").sum())["value"].to_numpy()


@pytest.mark.parametrize("kind", ["walk", "noise"])
def test_a_forecaster_knows_the_spread_of_the_total(kind):
    forecaster = Forecaster(replace(CONFIG, members=4), SHORT).fit(series(kind))
    assert forecaster.calibration.windows > 20
    low, high = np.quantile(sums(forecaster.sample_paths(count=2000)), [0.1, 0.9])
    # How wide each step is was learned too: of the right correlation the spread is this.
    forecast = forecaster.predict()
    wide = (forecast["q90"] - forecast["q10"]).to_numpy()
    ratio = np.minimum.outer(STEPS, STEPS) / np.maximum.outer(STEPS, STEPS)
    right = (wide @ (ratio**0.5 if kind == "walk" else np.eye(HORIZON)) @ wide) ** 0.5
    assert high - low == pytest.approx(right, rel=0.1)
    assert right == pytest.approx(2 * stats.norm.ppf(0.9) * spread_of_sums(kind), rel=0.4)


def test_each_step_has_the_quantiles_of_the_forecast(walker):
    paths = walker.sample_paths(count=999)
    assert paths.columns == ["t", "path", "value"]
    assert paths["path"].to_list() == np.repeat(np.arange(999), HORIZON).tolist()
    assert paths["t"][:HORIZON].to_list() == walker.predict()["t"].to_list()
    forecast = walker.predict().select("q10", "q50", "q90").to_numpy()
    values = paths["value"].to_numpy().reshape(999, HORIZON)
    found = np.quantile(values, [0.1, 0.5, 0.9], axis=0).T
    np.testing.assert_allclose(found, forecast, atol=0.02 * np.ptp(forecast))


def test_the_seed_decides_the_paths_of_a_series_whichever_others_there_are():
    table = pl.concat(
        [series(kind, 300).with_columns(name=pl.lit(kind)) for kind in ("walk", "noise")]
    )
    forecaster = Forecaster(replace(CONFIG, series="name"), SHORT).fit(table)
    both = forecaster.sample_paths(count=5)
    assert both.columns == ["name", "t", "path", "value"]
    alone = forecaster.sample_paths(table.filter(pl.col("name") == "walk"), count=5)
    first = both.filter(pl.col("name") == "walk")
    np.testing.assert_allclose(alone["value"], first["value"], rtol=1e-6)
    other = forecaster.sample_paths(count=5, seed=1)
    assert (other["value"] != both["value"]).all()


@pytest.mark.parametrize("distribution", ["quantiles", "negative-binomial"])
def test_paths_of_counts_are_counts(distribution, tmp_path):
    rng = np.random.default_rng(0)
    sold = np.where(rng.random(300) < 0.3, 1 + rng.poisson(2, 300), 0)
    table = pl.DataFrame({"t": np.arange(300), "y": sold})
    config = replace(CONFIG, distribution=distribution)
    forecaster = Forecaster(config, replace(SHORT, steps=60)).fit(table)
    paths = forecaster.sample_paths(count=400)
    values = paths["value"].to_numpy()
    np.testing.assert_array_equal(values, np.round(values))
    assert values.min() == 0
    # The mean of a day is 0.9, its deviation 1.5: days are independent.
    assert sums(paths).mean() == pytest.approx(HORIZON * 0.9, rel=0.35)
    assert sums(paths).std() == pytest.approx(HORIZON**0.5 * 1.5, rel=0.35)
    forecaster.save(tmp_path)
    assert Forecaster.load(tmp_path).sample_paths(table, count=400).equals(paths)


def test_a_model_of_before_there_were_paths_forecasts_and_says_what_it_lacks(tmp_path, walker):
    walker.save(tmp_path)
    _, description = load_model(tmp_path, "forecast")
    del description["dependence"], description["config"]["distribution"]
    save_model(tmp_path, walker.network, description, {})
    loaded = Forecaster.load(tmp_path)
    assert loaded.predict(series("walk")).equals(walker.predict())
    with pytest.raises(ConfigurationError, match=r"earlier version.*Fit it anew"):
        loaded.sample_paths(series("walk"))
    begun = replace(SHORT, steps=2, init_from=tmp_path)
    assert Forecaster(CONFIG, begun).fit(series("walk")).config.distribution == "quantiles"


def test_paths_that_cannot_be_drawn_are_refused(walker):
    with pytest.raises(ConfigurationError, match="0 paths"):
        walker.sample_paths(count=0)


def test_damage_is_refused(tmp_path, walker):
    eye = np.eye(HORIZON)
    for damaged in (np.eye(3), np.where(eye, 1, 2.0), np.where(eye, 1, np.nan)):
        with pytest.raises(DataError, match="orrelation"):
            Dependence(correlation=damaged, whole=False).check(HORIZON)
    walker.save(tmp_path)
    replace_in_document(tmp_path / "model.json", '"whole": false', '"whole": 3')
    with pytest.raises(ModelFileError, match="whole"):
        Forecaster.load(tmp_path)
