from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gated.errors import DataError
from gated.tasks.forecast.calibration import (
    FACTORS,
    UNTRIED,
    Calibration,
    scaled_errors,
    spread,
)

QUANTILES = (0.1, 0.5, 0.9)
Z90 = 1.2815515655446004
"""The 0.9 quantile of the standard normal distribution."""
NOTHING = np.zeros((0, 4, 3))


def normal(count, below=1.0, above=1.0, horizon=4, seed=0):
    """Forecasts `(count, horizon, 3)` sure of a deviation of 1, and outcomes of other ones."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(50, 10, (count, horizon))
    error = rng.normal(size=middle.shape)
    forecast = middle[..., None] + np.array([-Z90, 0, Z90])
    return forecast, middle + error * np.where(error < 0, below, above)


def errors_of(forecast, truth, quantiles=QUANTILES):
    middle = quantiles.index(0.5)
    distances = np.abs(forecast - forecast[..., middle, None])
    return scaled_errors(forecast, truth, distances, quantiles)


def calibration(errors=NOTHING, windows=0.0):
    return Calibration.of(errors, windows, "naive", None)


def factors(of, later=None, quantiles=QUANTILES, horizon=4):
    """After each of the later errors `(steps, Q)` of one series."""
    later = np.zeros((0, len(quantiles))) if later is None else later
    return of.factors(later[None], quantiles, horizon)[0]


@pytest.mark.parametrize(("below", "above"), [(1, 1), (2, 2), (0.5, 3)])
def test_each_tail_gets_the_factor_that_its_errors_ask_for(below, above):
    forecast, truth = normal(2000, below, above)
    found = factors(calibration(errors_of(forecast, truth), 500.0))[0]
    # Beside sixteen windows stands one with errors that are larger.
    np.testing.assert_allclose(found, [below, 1, above], rtol=0.12)
    assert (found >= [0.95 * below, 1, 0.95 * above]).all()


def test_quantiles_between_have_factors_of_their_own():
    levels = (0.1, 0.5, 0.9, 0.99)
    forecast, truth = normal(4000, above=2)
    forecast = np.insert(forecast, 3, forecast[..., 2] + 1, axis=-1)
    distances = np.abs(forecast - forecast[..., 1, None])
    of = calibration(errors_of(forecast, truth, levels), 1000.0)
    moved = spread(forecast, distances, factors(of, quantiles=levels), levels)
    share = np.mean(truth[..., None] <= moved, (0, 1))
    np.testing.assert_allclose(share, levels, atol=0.03)


def test_what_was_not_observed_does_not_count():
    forecast, truth = normal(60)
    holes = np.random.default_rng(1).random(truth.shape) < 0.3
    with_holes = calibration(errors_of(forecast, np.where(holes, np.nan, truth)), 5.0)
    left = errors_of(forecast[~holes][:, None], truth[~holes][:, None])
    np.testing.assert_allclose(with_holes.counts, calibration(left, 5.0).counts)
    gaps = np.full((5, 3), np.nan)
    quiet = factors(with_holes, gaps)
    np.testing.assert_array_equal(quiet, np.repeat(quiet[:1], 6, axis=0))


def test_without_validation_the_interval_is_that_of_the_baseline():
    of = calibration()
    forecast = np.array([[[9.0, 10.0, 11.0]]])
    baseline = np.array([[[1.0, 5.0, 13.0]]])
    distances = of.distances(forecast, baseline, QUANTILES)
    # Four below and eight above are six on both sides.
    np.testing.assert_array_equal(distances, [[[6, 0, 6]]])
    np.testing.assert_allclose(factors(of)[0], [UNTRIED, 1, UNTRIED], rtol=0.05)
    assert of.said == (
        "Nothing was held out for validation, so the interval is that of naive, 1.6 times as wide."
    )


def test_the_more_windows_the_more_the_interval_is_the_networks_own():
    forecast, baseline = np.array([[9.0, 10.0, 12.0]]), np.array([[0.0, 6.0, 12.0]])
    few, many = (
        replace(calibration(), windows=windows).distances(forecast, baseline, QUANTILES)
        for windows in (2.0, 1e6)
    )
    np.testing.assert_allclose(few, [[3.5, 0, 4]])
    np.testing.assert_allclose(many, [[1, 0, 2]], rtol=1e-4)


@pytest.mark.parametrize("size", [0.4, 3.0])
def test_the_width_follows_a_drift(size):
    of = calibration(errors_of(*normal(2000)), 500.0)
    later = size * errors_of(*normal(1500, horizon=1, seed=2))[:, 0]
    found = factors(of, later)
    assert found[0, 2] == pytest.approx(1, rel=0.12)
    # A level that moves lets a few more values out than it should.
    inside = (later[700:] <= found[700:-1]).all(axis=1).mean()
    assert inside == pytest.approx(0.8, abs=0.04)
    assert found[700:, 2].mean() == pytest.approx(size, rel=0.2)


def test_no_factor_has_seen_the_value_that_it_is_for():
    of = calibration(errors_of(*normal(50)), 12.0)
    later = errors_of(*normal(30, horizon=1, seed=3))[:, 0]
    changed = later.copy()
    changed[20:] = 40
    before, after = factors(of, later), factors(of, changed)
    np.testing.assert_array_equal(before[:21], after[:21])
    assert (after[21:, 2] > before[21:, 2]).all()


def test_a_series_has_the_same_factors_beside_others():
    of = calibration(errors_of(*normal(50)), 12.0)
    later = 2 * errors_of(*normal(600, horizon=20, seed=4))
    found = of.factors(later, QUANTILES, 4)
    for s in (0, 299, 599):
        np.testing.assert_array_equal(found[s], factors(of, later[s]))


def test_the_median_stays_whatever_its_errors():
    errors = np.full((40, 3), 45.0)
    found = factors(calibration(errors[:, None], 10.0), errors)
    assert (found[:, 1] == 1).all()
    assert (found[-1, ::2] > 10).all()
    assert found.max() <= FACTORS[-1]


@pytest.mark.parametrize(
    "damaged",
    [
        {"counts": np.ones((2, len(FACTORS)))},
        {"counts": -np.ones((3, len(FACTORS)))},
        {"counts": np.full((3, len(FACTORS)), np.nan)},
        {"windows": np.inf},
    ],
)
def test_damage_is_refused(damaged):
    with pytest.raises(DataError):
        replace(calibration(), **damaged).check(3)
    calibration().check(3)


@given(
    arrays(np.float64, (5, 2, 5), elements=st.floats(-1e6, 1e6)),
    arrays(np.float64, 5, elements=st.floats(0.02, 50)),
    st.sampled_from([None, 0.0]),
)
def test_spread_keeps_the_order_and_the_median(values, factors, least):
    forecast, quantiles = np.sort(values), (0.05, 0.25, 0.5, 0.75, 0.95)
    distances = np.abs(forecast - forecast[..., 2:3])
    moved = spread(forecast, distances, factors, quantiles, least)
    assert (np.diff(moved) >= 0).all()
    bound = -np.inf if least is None else least
    assert (moved >= bound).all()
    np.testing.assert_array_equal(moved[..., 2], np.maximum(forecast[..., 2], bound))
    ones = spread(forecast, distances, np.ones(5), quantiles)
    np.testing.assert_allclose(ones, forecast, rtol=1e-9, atol=1e-9)
