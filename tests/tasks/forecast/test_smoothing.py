import json

import numpy as np
import pytest
import torch

import gated
from gated.cells import library
from gated.configuration import from_json_values, json_values
from gated.tasks.forecast.smoothing import Form, Smoothing, State, candidates, learn
from gated.tasks.forecast.smoothing_step import SmoothingStep

NAN = np.nan


def alone(*parameters, seasons=(), logs=False):
    """One form, with the same parameters for the only series and for one that was not seen."""
    form = Form(
        logs=logs, seasons=seasons, parameters=np.array([parameters] * 2), shares=np.ones(2)
    )
    return Smoothing(forms=(form,), floor=1e-3, logs=logs)


def run(smoothing, values, which=0):
    values = np.asarray(values, float)
    return smoothing.run(values, np.array([0, len(values)]), np.array([which]))


def learned(values, horizon=6, seasons=()):
    return learn(values, np.array([0, len(values)]), horizon, seasons, np.ones(1, np.bool_))


def test_a_damped_trend_is_that_of_holt():
    """Against the equations written out, with the first gains those of a line of least squares."""
    values = np.random.default_rng(0).normal(size=300).cumsum()
    alpha, beta, phi = 0.3, 0.2, 0.9
    level, trend = values[0], 0.0
    for n, value in enumerate(values, start=1):
        expected = level + phi * trend
        gain = max(alpha, min(1, 2 * (2 * n - 1) / (n * (n + 1))))
        slope = max(alpha * beta, 6 / (n * (n + 1)) if n > 4 else 0)
        level = expected + gain * (value - expected)
        trend = phi * trend + slope * (value - expected)
    ahead = run(alone(alpha, beta, phi, 0, 0), values).ahead(np.array([299]), 3)[0]
    damped = np.cumsum(phi ** np.arange(1, 4))
    np.testing.assert_allclose(ahead, level + damped * trend, rtol=1e-5)


@pytest.mark.parametrize("logs", [False, True])
def test_what_moves_little_around_a_large_level_is_followed(logs):
    noise = np.random.default_rng(4).normal(0, 5, 200).cumsum()
    smoothing, origins = alone(0.4, 0, 0, 0, 0, logs=logs), np.arange(20, 200)
    moved = run(smoothing, 1e12 + noise).ahead(origins, 1) - 1e12
    # So near to its level the logarithm of a series is a line.
    right = run(alone(0.4, 0, 0, 0, 0), noise).ahead(origins, 1)
    np.testing.assert_allclose(moved, right, atol=0.1)


def test_its_step_is_a_cell_of_the_library():
    """Once the first cycles are over; the cell's states are those that smoothing keeps."""
    rng, season, start = np.random.default_rng(3), 12, 60
    values = np.tile(rng.normal(size=season), 10) + rng.normal(size=120).cumsum() / 5
    alpha, beta, phi, gamma = 0.3, 0.2, 0.9, 0.4
    smoothed = run(alone(alpha, beta, phi, 0, gamma, seasons=(season,)), values)
    cell = gated.nn.Recurrent(library.holt_winters, 1, 1, delay=season, dtype=torch.float64)
    gains = {"damping": phi, "level": alpha, "slope": alpha * beta, "season": gamma * (1 - alpha)}
    given = [[gains[name]] for name in library.holt_winters.parameters[0].gates]
    weights = {"weight_ih_l0": [[1.0]], "bias_ih_l0": [0.0], "p_l0": given}
    cell.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    latest = [smoothed.season[0][start - back + season, 0] for back in range(season)]
    level = smoothed.begin[0, 0] + smoothed.level[start, 0]
    kept = [level, smoothed.trend[start, 0] / phi, *latest]
    states = tuple(torch.full((1, 1, 1), float(value), dtype=torch.float64) for value in kept)
    forecasts, _ = cell(torch.from_numpy(values[start + 1 :]).reshape(-1, 1, 1), states)
    np.testing.assert_allclose(
        forecasts.detach().numpy()[:, 0, 0], smoothed.fitted[start + 1 :], rtol=1e-4, atol=1e-4
    )


def test_a_season_without_smoothing_of_the_level_is_the_seasonal_naive_forecast():
    values = np.random.default_rng(1).normal(size=50)
    ahead = run(alone(0, 0, 0, 0, 1.0, seasons=(7,)), values).ahead(np.array([30, 49]), 10)
    rows = np.array([[30], [49]]) + np.arange(1, 11) - 7 * np.array([1] * 7 + [2] * 3)
    np.testing.assert_allclose(ahead, values[rows], atol=1e-5)


def test_the_mean_slope_goes_on_as_in_a_random_walk_with_drift():
    values = np.random.default_rng(2).normal(1, 1, size=40).cumsum()
    ahead = run(alone(1.0, 0, 1.0, 1.0, 0), values).ahead(np.array([39]), 4)[0]
    slope = (values[-1] - values[0]) / 39
    np.testing.assert_allclose(ahead, values[-1] + slope * np.arange(1, 5) * 39 / 40, rtol=1e-4)


def test_growth_in_percent_is_found_and_goes_on():
    values = 100 * 1.06 ** np.arange(60)
    smoothing = learned(values)
    assert smoothing.logs
    ahead = run(smoothing, values).ahead(np.array([59]), 6)[0]
    np.testing.assert_allclose(ahead, 100 * 1.06 ** np.arange(60, 66), rtol=0.03)


def test_two_seasons_are_told_apart():
    rng, t = np.random.default_rng(3), np.arange(600)
    short, long = rng.normal(size=6), rng.normal(size=42)
    values = short[t % 6] + long[t % 42] + 0.05 * rng.normal(size=600)
    smoothing = learned(values[:500], seasons=(6, 42))
    assert 42 in smoothing.seasons
    origins = np.arange(500, 590)
    error = run(smoothing, values).ahead(origins, 6) - values[origins[:, None] + np.arange(1, 7)]
    assert np.abs(error).mean() < 0.12
    one = run(learned(values[:500], seasons=(6,)), values).ahead(origins, 6)
    assert np.abs(one - values[origins[:, None] + np.arange(1, 7)]).mean() > 0.5


def test_nothing_looks_ahead():
    rng = np.random.default_rng(4)
    values = np.exp(rng.normal(size=90) + np.tile(rng.normal(size=6), 15))
    smoothing = learned(values, seasons=(6, 24))
    other = values.copy()
    for origin in (0, 3, 5, 6, 11, 12, 24, 30, 48, 60):
        other[origin + 1 :] = 1000.0
        one, two = (run(smoothing, of).ahead(np.array([origin]), 5) for of in (values, other))
        np.testing.assert_array_equal(one, two)
        other = values.copy()


def test_a_missing_value_changes_nothing():
    values = np.array([3.0, 5.0, 4.0, NAN, NAN, 6.0])
    smoothed = run(alone(0.5, 0, 0, 0, 0), values)
    assert smoothed.ahead(np.array([2]), 1) == smoothed.ahead(np.array([4]), 1)
    assert np.isfinite(smoothed.fitted).all()


@pytest.mark.parametrize("which", [0, -1])
def test_series_are_smoothed_each_by_itself(which):
    rng = np.random.default_rng(5)
    parts = [rng.normal(size=n).cumsum() for n in (40, 9, 25)]
    starts = np.array([0, 40, 49, 74])
    smoothing = learned(parts[0])
    together = smoothing.run(np.concatenate(parts), starts, np.full(3, which))
    for part, begin in zip(parts, starts, strict=False):
        single = run(smoothing, part, which).ahead(np.array([4, len(part) - 1]), 3)
        both = together.ahead(begin + np.array([4, len(part) - 1]), 3)
        np.testing.assert_allclose(single, both)


def test_shares_sum_to_one_and_saved_they_are_the_same():
    values = np.random.default_rng(6).normal(size=80).cumsum()
    smoothing = learned(values)
    np.testing.assert_allclose(sum(form.shares for form in smoothing.forms), [1, 1])
    again = from_json_values(Smoothing, json.loads(json.dumps(json_values(smoothing))))
    at = np.array([79])
    np.testing.assert_array_equal(
        run(again, values).ahead(at, 5), run(smoothing, values).ahead(at, 5)
    )


def test_logarithms_are_not_tried_where_a_value_is_not_positive():
    assert not learned(np.arange(40.0)).logs
    assert not any(form.logs for form in candidates((7,), logs=False))
    assert {form.seasons for form in candidates((7, 30), logs=True)} == {(), (7,), (30,), (7, 30)}


def test_a_series_without_a_value_or_of_one_stops_nothing():
    for values in (np.array([5.0]), np.array([NAN, NAN]), np.zeros(30)):
        ahead = run(learned(values), values).ahead(np.array([len(values) - 1]), 3)
        np.testing.assert_allclose(ahead, np.full((1, 3), np.nan_to_num(values[0])))


def test_a_series_that_is_read_in_parts_is_smoothed_as_if_at_once():
    rng, lengths = np.random.default_rng(5), np.array([90, 60, 75])
    values = np.exp(rng.normal(0, 0.1, lengths.sum()).cumsum())
    values[rng.random(len(values)) < 0.1] = NAN
    forms = (
        Form(
            logs=False,
            seasons=(),
            parameters=np.tile([0.2, 0.1, 0.9, 0.5, 0], (4, 1)),
            shares=np.full(4, 0.4),
        ),
        Form(
            logs=True,
            seasons=(7, 10),
            parameters=np.tile([0.3, 0.1, 1, 0, 0.2], (4, 1)),
            shares=np.full(4, 0.6),
        ),
    )
    smoothing = Smoothing(forms=forms, floor=1e-3, logs=False)
    starts, which = np.append(0, np.cumsum(lengths)), np.array([0, -1, 2])
    whole = smoothing.run(values, starts, which)
    cut = np.array([45, 50, 42])  # two of the longest seasons, or more, are over
    heads, tails = ([], [])
    for begin, at, end in zip(starts[:-1], cut, starts[1:], strict=True):
        heads.append(values[begin : begin + at])
        tails.append(values[begin + at : end])
    first = smoothing.run(np.concatenate(heads), np.append(0, np.cumsum(cut)), which)
    assert first.state.settled.all()
    order = np.array([2, 0, 1])  # and in another order
    rest = smoothing.run(
        np.concatenate([tails[s] for s in order]),
        np.append(0, np.cumsum((lengths - cut)[order])),
        which[order],
        first.state.taken(order),
    )
    expected = whole.ahead(starts[1:] - 1, 12)[order]
    np.testing.assert_array_equal(rest.ahead(rest.starts[1:] - 1, 12), expected)
    both = State.joined([rest.state.taken(np.array([s])) for s in range(3)])
    np.testing.assert_array_equal(both.level, whole.state.level[order])


@pytest.mark.parametrize("begun", [20, 260])
def test_a_step_is_that_of_many_rows_to_the_bit(begun):
    """Of forms with and without seasons, logarithms and a mean slope; young series and old ones."""
    rng, which, more = np.random.default_rng(2), np.array([1, -1, 0]), 5
    forms = [
        Form(
            logs=logs,
            seasons=seasons,
            parameters=rng.uniform(0.05, 0.9, (3, 5)) * [1, 1, 1, drift, 1],
            shares=rng.uniform(0.1, 1, (3,)),
        )
        for logs, seasons, drift in [(False, (), 1), (True, (4,), 0), (False, (4, 6), 0)]
    ]
    smoothing = Smoothing(forms=tuple(forms), floor=1e-3, logs=False)
    values = 50 + rng.normal(size=(3, begun + more)).cumsum(axis=1)
    values[rng.random(values.shape) < 0.1] = NAN
    starts = np.arange(4) * begun
    first = smoothing.run(values[:, :begun].ravel(), starts, which)
    assert first.state.settled.all()
    state, step = first.state, SmoothingStep(smoothing, which, 7)
    parts = [state.taken(np.array([s])) for s in range(3)]
    for column in range(begun, begun + more):
        smoothed = smoothing.run(values[:, column], np.arange(4), which, state)
        state = smoothed.state
        parts, ahead = step.of(parts, values[:, column])
        assert (ahead == smoothed.ahead(np.arange(3), 7)).all()
        for s, part in enumerate(parts):
            like = state.taken(np.array([s]))
            for name in ("steps", "first", "level", "trend", "begin", "seen", "begins"):
                assert (getattr(part, name) == getattr(like, name)).all(), name
            assert all((a == b).all() for a, b in zip(part.season, like.season, strict=True))
    blank = smoothing.blank(3)
    for name in ("steps", "first", "level", "trend", "begin", "seen", "begins"):
        empty, full = getattr(blank, name), getattr(state, name)
        assert (empty.shape, empty.dtype) == (full.shape, full.dtype), name
    for empty, full in zip(blank.season, state.season, strict=True):
        assert (empty.shape, empty.dtype) == (full.shape, full.dtype)
