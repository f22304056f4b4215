"""Parameters of distributions, and quantiles that come from them."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from gated.errors import DataError
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.calibration import piecewise_linear
from gated.tasks.forecast.distributions import LEAST, NegativeBinomial, Quantiles, StudentT
from gated.tasks.forecast.whole_numbers import whole_numbers
from gated.training.options import TrainingOptions

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.99)
CONFIG = ForecastConfig(time="t", target="y", horizon=6, history=26, hidden=8, test=60)
SHORT = TrainingOptions(steps=3, threads=1)


def batch_of(values: np.ndarray, *, location: float = 0.0, scale: float = 1.0, logs: bool = False):
    """Values `(horizon, B)` in their own unit, as windows hold them scaled."""
    scaled = ((np.log(values) if logs else values) - location) / scale
    series = values.shape[1]
    return SimpleNamespace(
        target=torch.tensor(scaled, dtype=torch.float32),
        weight=torch.ones(values.shape),
        remainder=torch.full((series,), 0.5),
        location=torch.full((series,), location, dtype=torch.float64),
        scale=torch.full((series,), scale, dtype=torch.float64),
    )


def test_the_loss_of_student_t_is_its_likelihood_in_typical_remainders():
    values = np.array([[1.0, -7.0], [3.0, 40.0]])
    outputs = torch.tensor([[[0.0, 1.0, 3.0], [2.0, 2.0, 4.0]], [[3.0, 0.5, 9.0], [9.0, 5.0, 2.1]]])
    location, scale, degrees = np.moveaxis(outputs.numpy().astype(float), -1, 0)
    # Of a value in remainders of 0.5 the scale is so many remainders.
    right = -stats.t.logpdf(values / 0.5, degrees, location / 0.5, scale / 0.5)
    found = StudentT(LEVELS).losses(outputs, batch_of(values))
    np.testing.assert_allclose(found, right, rtol=1e-5)


def test_quantiles_of_student_t_have_their_share_below_them():
    outputs = torch.tensor([[[4.0, 2.0, 3.0], [-1.0, 0.1, 30.0]]])
    found = StudentT(LEVELS).quantiles(outputs, batch_of(np.ones((1, 2)))).numpy()
    for window, (location, scale, degrees) in enumerate(outputs[0].tolist()):
        below = stats.t.cdf((found[0, window] - location) / scale, degrees)
        np.testing.assert_allclose(below, LEVELS, rtol=1e-6)


@pytest.mark.parametrize("logs", [False, True])
def test_the_loss_of_the_negative_binomial_is_its_likelihood_in_the_unit_of_the_target(logs):
    counts = np.array([[3.0, 60.0], [1.0, 12_000.0]])
    location, scale = (2.0, 1.5) if logs else (5.0, 4.0)
    mean = np.array([[2.5, 40.0], [7.0, 11_000.0]])
    deviation = np.array([[1.0, 30.0], [0.5, 500.0]])
    middle = ((np.log(mean) if logs else mean) - location) / scale
    spread = deviation / (mean if logs else 1) / scale
    outputs = torch.tensor(np.stack([middle, spread], axis=-1))
    batch = batch_of(counts, location=location, scale=scale, logs=logs)
    batch.remainder = torch.full((2,), 1e-4)
    size = mean**2 / deviation**2
    right = -stats.nbinom.logpmf(counts, size, size / (size + mean))
    found = NegativeBinomial(LEVELS, logs=logs).losses(outputs, batch)
    np.testing.assert_allclose(found, right, rtol=1e-5)


@pytest.mark.parametrize("logs", [False, True])
def test_quantiles_of_counts_are_rounded_to_the_right_ones(logs):
    location, scale = (1.0, 2.0) if logs else (3.0, 4.0)
    mean, size = np.array([0.2, 1.0, 30.0, 5_000.0]), np.array([0.3, 2.0, 1.5, 400.0])
    middle = ((np.log(mean) if logs else mean) - location) / scale
    spread = mean / size**0.5 / (mean if logs else 1) / scale
    outputs = torch.tensor(np.stack([middle, spread], axis=-1))[None]
    batch = batch_of(np.ones((1, 4)), location=location, scale=scale)
    batch.remainder = torch.full((4,), 1e-4)
    found = NegativeBinomial(LEVELS, logs=logs).quantiles(outputs, batch)[0].numpy()
    own = found * scale + location
    own = np.exp(own) if logs else own
    right = stats.nbinom.ppf(LEVELS, size[:, None], (size / (size + mean))[:, None])
    np.testing.assert_array_equal(whole_numbers(own), right)
    assert (np.diff(own) > 0).all() or logs  # of logarithms none is below that of 0.1


def test_a_mean_of_counts_is_positive_and_that_of_smoothing_where_it_can_be():
    middle = torch.tensor([[-50.0, -1.0, 0.0, 2.0, 100.0]])
    outputs = torch.stack([middle, torch.ones_like(middle)], dim=-1)
    mean, _ = NegativeBinomial(LEVELS).mean_and_size(outputs, batch_of(np.ones((1, 5))))
    assert (mean > 0).all()
    assert (mean.diff() > 0).all()
    np.testing.assert_allclose(mean[0, 3:], [2, 100], rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "drawn", "right"),
    [
        (StudentT, lambda size: stats.t.rvs(4, 3, 2, size, random_state=1), (3.0, 2.0, 4.0)),
        (
            NegativeBinomial,  # mean 6 and variance 6 + 4²
            lambda size: stats.nbinom.rvs(36 / 16, 6 / 22, size=size, random_state=0),
            (6.0, 4.0),
        ),
    ],
)
def test_the_least_loss_is_at_the_parameters_that_values_were_drawn_with(kind, drawn, right):
    distribution, batch = kind(LEVELS), batch_of(drawn(20_000)[:, None].astype(float))
    batch.target, batch.remainder = batch.target.double(), batch.remainder.double()
    steps = torch.zeros(1, 1, distribution.size, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([steps], max_iter=100, line_search_fn="strong_wolfe")

    def outputs() -> torch.Tensor:
        return distribution.outputs(10 * steps[..., 0], steps, batch.remainder[:1])

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        mean = distribution.mean_loss(outputs().expand(20_000, -1, -1), batch)
        mean.backward()
        return mean

    optimizer.step(loss)
    np.testing.assert_allclose(outputs()[0, 0].detach(), right, rtol=0.06)


def test_a_scale_has_a_least_so_that_a_known_value_has_a_bounded_likelihood():
    steps, typical = torch.full((1, 1, 3), -1e9), torch.full((1,), 0.5)
    outputs = StudentT(LEVELS).outputs(torch.zeros(1, 1), steps, typical)
    assert outputs[0, 0].tolist() == pytest.approx([0, 0.5 * LEAST, 2 + LEAST])


def test_levels_between_quantiles_are_those_of_a_normal_distribution_in_parts():
    levels, outputs = (0.1, 0.5, 0.9), torch.tensor([[[8.0, 10.0, 16.0]]])
    wanted = np.array([0.01, 0.3, 0.5, 0.8, 0.995])
    found = Quantiles(levels).quantiles(outputs, batch_of(np.ones((1, 1))), wanted)[0, 0]
    unit = stats.norm.ppf(0.9)
    right = 10 + np.where(wanted < 0.5, 2, 6) * stats.norm.ppf(wanted) / unit
    np.testing.assert_allclose(found, right)
    assert Quantiles(levels).quantiles(outputs, None) is outputs


def test_lines_where_knots_coincide_are_level():
    found = piecewise_linear(np.array([0.0, 3.0]), np.array([1.0, 1.0, 2.0]), np.array([4, 5, 6]))
    assert found.tolist() == [4, 6]


@pytest.mark.parametrize("value", [-3.0, 2.5])
def test_a_target_that_is_no_count_is_refused_by_name(value):
    counts = np.random.default_rng(0).poisson(4, 300).astype(float)
    counts[40] = value
    table = pl.DataFrame({"t": np.arange(300), "y": counts})
    config = replace(CONFIG, distribution="negative-binomial")
    with pytest.raises(DataError, match=re.escape(f"'y' is {value:g} for")) as raised:
        Forecaster(config, SHORT).fit(table)
    assert "distribution='student-t'" in str(raised.value)


@pytest.fixture(scope="module")
def counted() -> Forecaster:
    """Counts that are mostly 0, with a gap."""
    rng = np.random.default_rng(1)
    counts = np.where(rng.random(300) < 0.4, rng.poisson(3, 300), 0).astype(float)
    counts[100] = np.nan
    table = pl.DataFrame({"t": np.arange(300), "y": counts})
    config = replace(CONFIG, distribution="negative-binomial", quantiles=(0.1, 0.5, 0.8, 0.95))
    return Forecaster(config, replace(SHORT, steps=30)).fit(table)


def test_quantiles_of_counts_are_whole_and_ascend(counted):
    assert counted.history.measure == "negative log likelihood"
    evaluation = counted.score()
    ours = evaluation.forecasts.methods["LSTM"]
    np.testing.assert_array_equal(ours, np.round(ours))
    assert (ours >= 0).all()
    assert (np.diff(ours) >= 0).all()
    assert ours[..., -1].max() > 1
    forecast = counted.predict().select("q10", "q50", "q80", "q95").to_numpy()
    np.testing.assert_array_equal(forecast, np.round(forecast))


def test_quantiles_of_a_target_of_whole_numbers_are_whole():
    counts = np.random.default_rng(3).poisson(4, 300).astype(float)
    table = pl.DataFrame({"t": np.arange(300), "y": counts})
    forecaster = Forecaster(CONFIG, SHORT).fit(table)
    forecast = forecaster.predict().select("q10", "q50", "q90").to_numpy()
    np.testing.assert_array_equal(forecast, np.round(forecast))
    coverage = forecaster.score().coverage
    assert coverage is not None
    assert 0.75 < coverage.inside < 0.95

    # A single value between them, and the target is no count.
    table[7, "y"] = 3.5
    forecast = Forecaster(CONFIG, SHORT).fit(table).predict().select("q10", "q50", "q90").to_numpy()
    assert (forecast != np.round(forecast)).all()


@pytest.mark.parametrize("members", [1, 2])
def test_a_forecaster_of_student_t_is_saved_and_explained_as_others_are(tmp_path, members):
    noise = stats.t.rvs(3, size=300, random_state=2)
    table = pl.DataFrame({"t": np.arange(300), "y": 20 + noise})
    config = replace(CONFIG, distribution="student-t", members=members)
    forecaster = Forecaster(config, SHORT).fit(table)
    forecaster.save(tmp_path)
    loaded = Forecaster.load(tmp_path)
    assert loaded.predict(table).equals(forecaster.predict())
    coverage = forecaster.score().coverage
    assert coverage is not None
    assert 0.6 < coverage.inside < 0.95
    probe = forecaster.probe()
    with torch.no_grad():
        batch = probe.batches[0][0]
        outputs = probe.model(batch)
        assert torch.isfinite(probe.loss(outputs))
    prepared, origins = forecaster.parts.test.prepared, forecaster.parts.test.origins[:1]
    assert forecaster.in_unit(outputs[:, :1], prepared, origins).shape == (1, 6, 3)
