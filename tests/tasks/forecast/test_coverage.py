import numpy as np
import pytest
from scipy.stats import beta

from gated.tasks.forecast.coverage import Coverage, coverage_of, share_interval

QUANTILES = (0.1, 0.5, 0.9)


def forecasts(inside, horizon=10):
    """Windows of which so many of ten values lie in the interval, half of the others above it."""
    truth = np.zeros((len(inside), horizon))
    for window, count in enumerate(inside):
        truth[window, count:] = np.resize([9, -9], horizon - count)
    return np.broadcast_to([-1.0, 0.0, 1.0], (*truth.shape, 3)), truth


def covered(inside, clusters=None):
    forecast, truth = forecasts(inside)
    return coverage_of(
        forecast, truth, QUANTILES, np.arange(len(inside)) if clusters is None else clusters
    )


def test_the_shares_are_counted():
    found = covered([6, 4, 8, 6])
    assert (found.promised, found.inside, found.below) == pytest.approx((0.8, 0.6, 0.2))
    assert (found.values, found.clusters) == (40, 4)


def test_too_narrow_too_wide_or_neither_than_chance_would_have_it():
    narrow, wide, right = covered([5, 6, 5, 4] * 5), covered([10] * 30), covered([8, 7, 9] * 7)
    assert [of.off for of in (narrow, wide, right)] == [True, True, False]
    low, high = f"{narrow.low:.0%}", f"{narrow.high:.0%}"
    assert narrow.warning == (
        f"Its 80% interval is too narrow: 50% of 200 values were inside ({low} to {high} with "
        "chance allowed for), 22% below and 28% above; plan for more than it says."
    )
    assert wide.warning.startswith("Its 80% interval is wider than it need be: 100% of 300 values")
    assert right.warning == ""


def test_two_windows_prove_nothing_however_many_values_they_have():
    found = covered([3, 7])
    assert not found.off
    assert found.low < 0.05
    # Windows at one time are one case.
    assert not covered([3] * 20, clusters=np.zeros(20)).off


def test_what_is_certain_but_small_is_no_warning():
    found = Coverage(
        promised=0.8, inside=0.77, below=0.1, low=0.76, high=0.78, values=9999, clusters=99
    )
    assert not found.off


def test_values_that_are_independent_have_the_exact_interval_of_clopper_and_pearson():
    held = np.array([1.0, 0, 1, 1, 1, 0, 1, 1, 1, 1])
    low, high = share_interval(held, np.ones(10))
    # The jackknife's variance has n - 1 for n: nine values in place of ten.
    expected = beta.ppf(0.025, 7.2, 2.8), beta.ppf(0.975, 8.2, 1.8)
    assert (low, high) == pytest.approx(expected, abs=1e-9)


def test_the_interval_holds_the_share_as_often_as_it_says():
    """Shares of windows that differ as those of a beta distribution do."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        held = rng.binomial(24, rng.beta(2.4, 0.6, 20)).astype(np.float64)
        low, high = share_interval(held, np.full(20, 24.0))
        missed += not low <= 0.8 <= high
    assert missed / 400 == pytest.approx(0.05, abs=0.025)


def test_without_interval_or_value_there_is_no_coverage():
    forecast, truth = forecasts([5])
    assert coverage_of(forecast[..., 1:2], truth, (0.5,), np.zeros(1)) is None
    assert coverage_of(forecast, np.full_like(truth, np.nan), QUANTILES, np.zeros(1)) is None
