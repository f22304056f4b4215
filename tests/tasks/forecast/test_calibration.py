import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gated.tasks.forecast.calibration import (
    FEWEST,
    NARROWEST,
    WIDEST,
    spread,
    spread_factors,
)

QUANTILES = (0.1, 0.5, 0.9)
Z90 = 1.2815515655446004
"""The 0.9 quantile of the standard normal distribution."""


def normal(count, below=1.0, above=1.0, horizon=4):
    """Forecasts `(count, horizon, 3)` sure of a deviation of 1, and outcomes of other ones."""
    rng = np.random.default_rng(0)
    middle = rng.normal(50, 10, (count, horizon))
    error = rng.normal(size=middle.shape)
    forecast = middle[..., None] + np.array([-Z90, 0, Z90])
    return forecast, middle + error * np.where(error < 0, below, above)


@pytest.mark.parametrize(("below", "above"), [(1, 1), (2, 2), (0.5, 3)])
def test_each_tail_gets_the_factor_that_its_errors_ask_for(below, above):
    forecast, truth = normal(2000, below, above)
    factors = spread_factors(forecast, truth, QUANTILES)
    np.testing.assert_allclose(factors, [below, 1, above], rtol=0.05)
    moved = spread(forecast, factors, QUANTILES)
    assert np.mean(truth < moved[..., 0]) == pytest.approx(0.1, abs=0.002)
    assert np.mean(truth > moved[..., 2]) == pytest.approx(0.1, abs=0.002)


def test_quantiles_between_have_factors_of_their_own():
    forecast, truth = normal(2000, above=2)
    forecast = np.insert(forecast, 3, forecast[..., 2] + 1, axis=-1)
    factors = spread_factors(forecast, truth, (0.1, 0.5, 0.9, 0.99))
    share = np.mean(truth[..., None] <= spread(forecast, factors, (0.1, 0.5, 0.9, 0.99)), (0, 1))
    np.testing.assert_allclose(share, [0.1, 0.5, 0.9, 0.99], atol=0.01)


def test_what_was_not_observed_does_not_count():
    forecast, truth = normal(60)
    holes = np.random.default_rng(1).random(truth.shape) < 0.3
    with_holes = spread_factors(forecast, np.where(holes, np.nan, truth), QUANTILES)
    left = spread_factors(forecast[~holes][:, None], truth[~holes][:, None], QUANTILES)
    np.testing.assert_array_equal(with_holes, left)


@pytest.mark.parametrize(("observed", "learned"), [(FEWEST - 1, False), (FEWEST, True)])
def test_too_few_observations_change_nothing(observed, learned):
    forecast, truth = normal(100, below=2, above=2, horizon=1)
    truth[observed:] = np.nan
    assert (spread_factors(forecast, truth, QUANTILES) != 1).any() == learned


def test_factors_have_bounds():
    forecast, truth = normal(500, below=1e-3, above=1e3)
    assert spread_factors(forecast, truth, QUANTILES).tolist() == [NARROWEST, 1, WIDEST]


def test_an_interval_without_width_has_no_factor():
    forecast, truth = normal(500)
    forecast[..., 2] = forecast[..., 1]
    factors = spread_factors(forecast, truth, QUANTILES)
    assert factors[0] == pytest.approx(1, rel=0.1)
    assert factors[2] == 1


@given(
    arrays(np.float64, (5, 2, 5), elements=st.floats(-1e6, 1e6)),
    arrays(np.float64, 5, elements=st.floats(NARROWEST, WIDEST)),
)
def test_spread_keeps_the_order_and_the_median(values, factors):
    forecast, quantiles = np.sort(values), (0.05, 0.25, 0.5, 0.75, 0.95)
    moved = spread(forecast, factors, quantiles)
    assert (np.diff(moved) >= 0).all()
    np.testing.assert_array_equal(moved[..., 2], forecast[..., 2])
    ones = spread(forecast, np.ones(5), quantiles)
    np.testing.assert_allclose(ones, forecast, rtol=1e-9, atol=1e-9)
