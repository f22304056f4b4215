from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.preparation import prepare, prepare_new
from gated.tasks.forecast.preprocessing import OWN
from gated.tasks.forecast.windows import (
    gather,
    held_out_origins,
    member_of,
    shuffled,
    training_origins,
    validation_origins,
    walk_forward,
)

CONFIG = ForecastConfig(
    time="t", target="y", series="s", horizon=3, history=4, test=12, validation=0.2, members=1
)


@pytest.fixture(scope="module")
def prepared():
    """Series `a` of 50 steps, and `b` of 40 that begins later; the value is the step."""
    t = [*range(50), *range(10, 50)]
    y = [float(i) for i in t]
    y[20] = None
    frame = pl.DataFrame({"t": t, "y": y, "s": ["a"] * 50 + ["b"] * 40, "x": [7 * i for i in t]})
    return prepare(frame, CONFIG)


def test_a_window_holds_what_stands_around_its_origin(prepared):
    fitted = prepared.preprocessing
    windows = gather(prepared, np.array([19, 60]))
    unscaled = fitted.target.invert(windows.inputs[..., 0], windows.series)
    np.testing.assert_allclose(unscaled.T, [[16, 17, 18, 19], [17, 18, 19, 20]], atol=1e-4)
    ahead = fitted.target.invert(windows.target, windows.series)
    np.testing.assert_allclose(ahead.T, [[19, 21, 22], [21, 22, 23]], atol=1e-4)
    assert windows.weight.T.tolist() == [[0, 1, 1], [1, 1, 1]]
    np.testing.assert_allclose(
        fitted.target.invert(windows.last, windows.series), [19, 20], atol=1e-4
    )
    assert windows.series.tolist() == [0, 1]
    assert {array.dtype for array in (windows.inputs, windows.target, windows.weight)} == {
        np.dtype("float32")
    }


def test_future_inputs_are_the_known_part_of_the_inputs():
    frame = pl.DataFrame(
        {"t": range(60), "y": np.arange(60) % 7, "k": np.arange(60) % 5, "p": np.arange(60) % 3}
    )
    config = ForecastConfig(time="t", target="y", known=("k",), horizon=2, history=3)
    known = prepare(frame, config)
    windows = gather(known, np.array([10]))
    assert known.preprocessing.future_names == ("k",)
    k = known.preprocessing.numbers.invert(windows.future[:, 0, 0], 0)
    np.testing.assert_allclose(k, [11 % 5, 12 % 5], atol=1e-5)
    later = gather(known, np.array([12]))
    np.testing.assert_array_equal(windows.future[:, 0, 0], later.inputs[1:, 0, OWN])


def test_training_windows_end_before_the_validation_part(prepared):
    split = prepared.split
    assert (split.validation, split.test, split.end) == (((30, 38),), 38, 50)
    ticks = prepared.panel.ticks[training_origins(prepared)]
    assert ticks.tolist() == [*range(3, 27), *range(13, 27)]


def test_no_training_target_lies_in_a_stretch_of_validation():
    config = replace(CONFIG, series=None, test=20)
    prepared = prepare(pl.DataFrame({"t": range(120), "y": np.arange(120.0) % 7}), config)
    assert prepared.split.validation == ((27, 33), (60, 66), (94, 100))
    held_out = {t for begin, end in prepared.split.validation for t in range(begin, end)}
    trained = {t + ahead for t in training_origins(prepared) for ahead in (1, 2, 3)}
    validated = {t + ahead for t in validation_origins(prepared, 1) for ahead in (1, 2, 3)}
    assert not trained & held_out
    assert validated == held_out
    assert max(trained) < 100


def test_validation_windows_lie_in_their_part(prepared):
    ticks = prepared.panel.ticks[validation_origins(prepared)]
    assert ticks.tolist() == [29, 32] * 2
    assert prepared.panel.ticks[validation_origins(prepared, 1)].tolist() == [*range(29, 35)] * 2


def test_held_out_windows_walk_forward_from_the_first_test_step(prepared):
    ticks = prepared.panel.ticks[held_out_origins(prepared)]
    assert ticks.tolist() == [37, 40, 43, 46] * 2
    assert prepared.panel.ticks[held_out_origins(prepared, 5)].tolist() == [37, 42] * 2


def test_walking_starts_where_there_is_a_history(prepared):
    ticks = prepared.panel.ticks[walk_forward(prepared, 0, 50, 10)]
    assert ticks.tolist() == [9, 19, 29, 39, 19, 29, 39]


def test_windows_without_a_truth_are_left_out():
    y = np.arange(60.0)
    y[30:33] = np.nan
    frame = pl.DataFrame({"t": range(60), "y": y})
    config = ForecastConfig(time="t", target="y", horizon=3, history=4, test=12)
    prepared = prepare(frame, config)
    origins = training_origins(prepared)
    assert 29 not in origins
    assert {28, 30} <= set(origins)


def test_new_data_have_no_parts(prepared):
    frame = pl.DataFrame({"t": range(9), "y": range(9), "s": ["a"] * 9, "x": range(9)})
    new = prepare_new(frame, prepared.preprocessing, future=False)
    with pytest.raises(DataError, match="no training or test part"):
        training_origins(new)
    assert len(walk_forward(new, 0, 9, 1)) == 9 - 4 - 3 + 1


def test_weather_is_scored_on_84_windows_and_its_seasonal_naive_is_known(weather):
    """The value of a day before, 6.75 °F off: the score to beat."""
    origins = held_out_origins(weather)
    assert len(origins) == 84
    first = {weather.panel.label(row + 1) for row in origins[::28]}
    assert first == {
        f"'{airport}' at 2013-12-03 00:00:00+00:00" for airport in ("EWR", "JFK", "LGA")
    }
    ahead = origins + np.arange(1, 25)[:, None]
    error = np.abs(weather.panel.target[ahead] - weather.filled[ahead - 24])
    assert np.nanmean(error) == pytest.approx(6.75, abs=0.005)
    assert np.isnan(error).sum() == (gather(weather, origins).weight == 0).sum()


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (10, 10), (7, 20), (1, 3)])
def test_each_epoch_shows_every_example_once(count, batch):
    seen = np.concatenate([shuffled(count, step, batch, seed=3) for step in range(count)])
    assert len(seen) == count * batch
    for epoch in seen.reshape(batch, count):
        assert sorted(epoch) == list(range(count))


def test_batches_are_a_function_of_step_and_seed():
    again = [shuffled(50, step, 8, seed=1) for step in (6, 2, 6)]
    assert again[0].tolist() == again[2].tolist() != again[1].tolist()
    assert shuffled(50, 6, 8, seed=2).tolist() != again[0].tolist()


def test_nothing_to_shuffle():
    with pytest.raises(DataError, match="no training window"):
        shuffled(0, 0, 4, seed=0)


@pytest.fixture(scope="module")
def uneven():
    """Series `a` of 50 steps, `b` that begins at 33 and has a hole, and `c` that begins at 46."""
    t = [*range(50), *range(33, 50), *range(46, 50)]
    y = [float(i * i) for i in t]
    y[50 + 1] = None
    x = [None if i % 5 == 0 else 7.0 * i for i in t]
    names = ["a"] * 50 + ["b"] * 17 + ["c"] * 4
    return prepare(
        pl.DataFrame({"t": t, "y": y, "s": names, "x": x}), replace(CONFIG, test=3, validation=0)
    )


def test_what_lies_before_a_series_is_padding_and_marked_as_missing(uneven):
    fitted = uneven.preprocessing
    assert fitted.input_names == ("y", "observed(y)", "error(y)", "x", "observed(x)")
    assert fitted.mask_places == (1, 4)
    windows = gather(uneven, np.array([52, 67]))  # of b at 35, and of c at 46
    assert windows.inputs[:, 0, 1].tolist() == [0, 1, 0, 1]
    assert windows.inputs[:, 0, 4].tolist() == [0, 1, 1, 0]
    y = fitted.target.invert(windows.inputs[:, 0, 0].astype(float), np.array([1]))
    np.testing.assert_allclose(y, [33**2, 33**2, 33**2, 35**2], rtol=1e-5)
    assert windows.inputs[:, 1, 1].tolist() == [0, 0, 0, 1]
    assert windows.inputs[:, 1, 4].tolist() == [0, 0, 0, 1]


def test_short_series_are_learned_from_as_soon_as_they_have_a_value(uneven):
    assert uneven.preprocessing.series == ("a", "b")
    panel = uneven.panel
    rows = training_origins(uneven)
    ticks = {s: panel.ticks[rows[panel.series_of[rows] == s]].tolist() for s in range(3)}
    assert ticks[0] == [*range(3, 44)]
    assert ticks[1] == [*range(36, 44)]  # 14 steps before the test part are twice a window's 7
    assert ticks[2] == []
    short = prepare_new(
        pl.DataFrame({"t": range(40, 46), "y": range(6), "s": "b", "x": range(6)}),
        uneven.preprocessing,
        future=False,
    )
    assert short.panel.ticks[walk_forward(short, 0, 99, 1)].tolist() == [40, 41, 42]


def test_a_window_of_an_unseen_series_knows_nothing_of_what_comes_later(uneven):
    t = np.arange(40)
    frame = pl.DataFrame({"t": t, "y": 100.0 + t, "s": "new", "x": t * 1.0})
    later = frame.with_columns(y=pl.when(pl.col("t") > 20).then(pl.col("y") * 50).otherwise("y"))
    one, other = (prepare_new(of, uneven.preprocessing, future=False) for of in (frame, later))
    rows = np.array([0, 5, 20])
    for name in ("inputs", "last", "series"):
        np.testing.assert_array_equal(
            getattr(gather(one, rows), name), getattr(gather(other, rows), name)
        )
    assert gather(one, rows).series.tolist() == [-1] * 3
    windows = gather(one, rows)
    back = one.unscaled(windows.target.T.astype(float), rows)
    np.testing.assert_allclose(back, 100 + rows[:, None] + [1, 2, 3], rtol=1e-5)


def test_lags_are_the_latest_values_a_whole_number_of_seasons_before():
    config = replace(CONFIG, series=None, season=(2, 5), validation=0)
    prepared = prepare(pl.DataFrame({"t": range(60), "y": np.arange(60.0)}), config)
    windows = gather(prepared, np.array([20, 4]))

    def values(scaled):
        return prepared.preprocessing.target.invert(scaled.astype(float), 0).round(3)

    # The steps ahead of 20 are 21, 22 and 23; of 4 and of its history nothing precedes row 0.
    assert values(windows.future_lags[:, 0]).T.tolist() == [[19, 20, 19], [16, 17, 18]]
    assert values(windows.future_lags[:, 1]).T.tolist() == [[3, 4, 3], [0, 1, 2]]
    assert values(windows.lags[:, 0]).T.tolist() == [[15, 16, 17, 18], [12, 13, 14, 15]]
    assert values(windows.lags[:, 1]).T.tolist() == [[0, 0, 1, 2], [0, 0, 0, 0]]


def test_each_member_is_trained_without_its_blocks_and_together_they_are_validated_on_all():
    config = replace(CONFIG, series=None, members=3, test=20)
    prepared = prepare(pl.DataFrame({"t": range(120), "y": np.arange(120.0) % 7}), config)
    blocks = prepared.split.validation
    assert len(blocks) == 6
    assert [begin for begin, _ in blocks] == [4, *(end for _, end in blocks[:-1])]
    assert blocks[-1][1] == 100
    held = validation_origins(prepared, 1)
    member = member_of(prepared, held)
    for m in range(3):
        steps = {t for begin, end in blocks[m::3] for t in range(begin, end)}
        trained = {t + h for t in training_origins(prepared, m) for h in (1, 2, 3)}
        assert not trained & steps
        assert {t + h for t in held[member == m] for h in (1, 2, 3)} == steps
        assert max(trained) < 100
