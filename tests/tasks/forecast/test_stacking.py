"""Shares of several forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from gated.tasks.forecast.stacking import stacked, stacking_shares


def shares_of(forecasts, truth, series=None, windows=None, count=1, usual=None):
    series = np.zeros(len(truth), np.int64) if series is None else series
    windows = np.full(count, len(truth) / count) if windows is None else windows
    return stacking_shares(
        forecasts,
        truth,
        [0.5],
        scale=np.ones(len(truth)),
        series=series,
        count=count,
        windows=windows,
        usual=usual,
    )


def noisy(random, truth, size):
    return (truth + size * random.normal(size=truth.shape))[..., None]


def test_independent_errors_of_one_size_are_averaged():
    random = np.random.default_rng(0)
    truth = random.normal(size=(300, 4))
    shares = shares_of([noisy(random, truth, 1), noisy(random, truth, 1)], truth)
    assert shares[0] == pytest.approx([0.5, 0.5], abs=0.1)


def test_shares_follow_the_errors_of_each_series():
    random = np.random.default_rng(1)
    truth = random.normal(size=(200, 4))
    series = np.arange(200) % 2
    good, bad = noisy(random, truth, 0.1), noisy(random, truth, 2)
    first = np.where((series == 0)[:, None, None], good, bad)
    second = np.where((series == 0)[:, None, None], bad, good)
    shares = shares_of([first, second], truth, series, np.array([100.0, 100.0]), 2)
    assert shares[0, 0] > 0.9
    assert shares[1, 1] > 0.9


def test_without_windows_all_count_alike():
    truth = np.full((2, 3), np.nan)
    shares = shares_of([np.zeros((2, 3, 1))] * 3, truth, count=2)
    assert shares == pytest.approx(np.full((2, 3), 1 / 3))


def test_without_windows_shares_are_the_usual_ones_and_windows_move_them():
    nothing = np.full((2, 3), np.nan)
    usual = [0.7, 0.2, 0.1]
    shares = shares_of([np.zeros((2, 3, 1))] * 3, nothing, count=2, usual=usual)
    assert shares == pytest.approx(np.tile(usual, (2, 1)))

    # Windows on which all are the same say nothing.
    truth = np.zeros((50, 1))
    same = [truth[..., None] + 1.0] * 3
    assert shares_of(same, truth, usual=usual)[0] == pytest.approx(usual)
    # And those on which the least usual is best, everything.
    best = [truth[..., None] + 1.0, truth[..., None] + 1.0, truth[..., None] + 0.1]
    assert shares_of(best, truth, usual=usual)[0, 2] > 0.85


def test_a_series_without_windows_has_the_shares_of_the_others():
    random = np.random.default_rng(2)
    truth = random.normal(size=(100, 4))
    forecasts = [noisy(random, truth, 0.1), noisy(random, truth, 2)]
    shares = shares_of(forecasts, truth, windows=np.array([100.0, 0.0]), count=2)
    assert shares[1, 0] > 0.8
    assert shares.sum(1) == pytest.approx([1, 1])


def test_of_many_methods_the_best_is_found_and_equals_are_averaged():
    random = np.random.default_rng(4)
    truth = random.normal(size=(300, 4))
    worse = [noisy(random, truth, 1.5) for _ in range(3)]
    assert shares_of([*worse, noisy(random, truth, 0.3)], truth)[0, 3] > 0.85
    # Errors of one size that are independent of each other: the mean of all has the least.
    alike = [noisy(random, truth, 1) for _ in range(4)]
    assert shares_of(alike, truth)[0] == pytest.approx([0.25] * 4, abs=0.1)


def test_few_windows_say_little():
    truth = np.zeros((1, 1))
    shares = shares_of([truth[..., None] + 1.0, truth[..., None] + 1.2], truth)
    assert 0.5 < shares[0, 0] < 0.7


def test_forecasts_are_added_up():
    forecasts = [np.full((2, 1, 3), 1.0), np.full((2, 1, 3), 3.0)]
    found = stacked(forecasts, np.array([[1.0, 0.0], [0.25, 0.75]]))
    assert found[:, 0].tolist() == [[1, 1, 1], [2.5, 2.5, 2.5]]
