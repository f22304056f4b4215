import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from gated.configuration import from_json_values, json_values
from gated.errors import DataError
from gated.tasks.forecast import baselines
from gated.tasks.forecast.baselines import Baselines, naive, seasonal_naive, seasonal_scale
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.preparation import prepare, prepare_new
from gated.tasks.forecast.windows import held_out_origins, training_origins

NAN = np.nan
CONFIG = ForecastConfig(
    time="t", target="y", series="s", season=4, horizon=6, history=5, test=12, validation=0
)


def prepared_of(config, **series):
    columns = {
        "t": np.concatenate([np.arange(len(values)) for values in series.values()]),
        "y": np.concatenate([np.asarray(values, float) for values in series.values()]),
        "s": [name for name, values in series.items() for _ in values],
    }
    frame = pl.DataFrame(columns)
    return prepare(frame if config.series else frame.drop("s"), config)


@pytest.fixture(scope="module")
def gaps():
    """Series `a` counts to 40 with holes, `b` is its square."""
    a = np.arange(40.0)
    a[[9, 10, 17]] = NAN
    return prepared_of(CONFIG, a=a, b=np.arange(40.0) ** 2)


@pytest.fixture(scope="module")
def noise():
    """Series `a` is noise around a wave of four steps, `b` the same ten times as large."""
    values = np.tile([0, 3, 5, 3], 500) + np.random.default_rng(0).normal(size=2000)
    return prepared_of(CONFIG, a=values, b=10 * values)


def test_naive_repeats_the_last_value_observed(gaps):
    forecast = naive(gaps, np.array([8, 10, 45]))
    np.testing.assert_array_equal(forecast, np.repeat([[8], [8], [25]], 6, axis=1))


def test_seasonal_naive_repeats_the_last_season_without_its_holes(gaps):
    forecast = seasonal_naive(gaps, np.array([7, 12, 46]))
    np.testing.assert_array_equal(
        forecast,
        [[4, 5, 6, 7, 4, 5], [8, 8, 11, 12, 8, 8], [9, 16, 25, 36, 9, 16]],
    )


def hourly(hours, weekly, daily):
    """A series with two seasons, of some strength each, and noise."""
    step = np.arange(hours)
    random = np.random.default_rng(0)
    week = random.normal(size=168)[step % 168]
    day = random.normal(size=24)[step % 24]
    return pl.DataFrame(
        {
            "t": pl.datetime_range(
                pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(hours=hours - 1),
                "1h", eager=True,
            ),
            "y": weekly * week + daily * day + 0.1 * random.normal(size=hours),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("weekly", "name"), [(3.0, "seasonal naive, 168 steps"), (0.0, "seasonal naive")]
)
def test_the_season_is_the_best_that_the_calendar_suggests(weekly, name):
    config = ForecastConfig(time="t", target="y", horizon=24, test="7d")
    prepared = prepare(hourly(24 * 60, weekly, daily=1.0), config)
    learned = Baselines.fit(prepared)
    assert learned.season == (168 if weekly else 24)
    again = from_json_values(Baselines, json.loads(json.dumps(json_values(learned))))
    forecast = again.forecast(prepared, held_out_origins(prepared))
    assert list(forecast) == ["naive", name]
    np.testing.assert_array_equal(
        forecast[name][..., 1],
        seasonal_naive(prepared, held_out_origins(prepared), learned.season),
    )


def test_a_season_that_half_of_the_windows_do_not_have_behind_them_is_not_tried():
    config = ForecastConfig(time="t", target="y", horizon=24, history=24, test="1d")
    assert Baselines.fit(prepare(hourly(24 * 12, 3.0, 0.0), config)).season == 24


def test_a_season_does_not_reach_into_the_series_before(gaps):
    forecast = seasonal_naive(gaps, np.array([1, 42]))
    np.testing.assert_array_equal(forecast, [[1, 1, 0, 1, 1, 1], [4, 0, 1, 4, 4, 0]])


def test_forecasts_look_at_nothing_after_the_origin(gaps):
    later = np.arange(len(gaps.filled)) > 20
    blind = replace(gaps, filled=np.where(later, NAN, gaps.filled))
    for forecast in Baselines.fit(gaps).forecast(blind, np.array([20])).values():
        assert not np.isnan(forecast).any()


def test_scale_is_the_change_over_a_season_before_the_test_part(gaps):
    rows = np.arange(4, 28)
    squares = rows**2 - (rows - 4) ** 2
    np.testing.assert_allclose(seasonal_scale(gaps), [4, squares.mean()])


def test_scale_without_a_season_is_the_change_over_a_step():
    config = replace(CONFIG, season=1, series=None)
    values = np.cumsum(np.arange(40) % 5)
    scale = seasonal_scale(prepared_of(config, a=values))
    np.testing.assert_allclose(scale, [np.diff(values[:28]).mean()])


def test_what_never_changes_has_no_scale(gaps):
    still = prepared_of(CONFIG, a=np.tile([1, 2, 3, 4], 10), b=np.arange(40))
    np.testing.assert_array_equal(seasonal_scale(still), [NAN, 4])


def test_nothing_is_learned_from_the_test_part(noise):
    panel = noise.panel
    test = panel.ticks >= noise.split.test
    other = replace(noise, panel=replace(panel, target=np.where(test, 1e6, panel.target)))
    assert json_values(Baselines.fit(other)) == json_values(Baselines.fit(noise))


def test_quantiles_are_those_of_the_training_errors(gaps):
    learned = Baselines.fit(gaps)
    rows = training_origins(gaps)[:, None] + np.arange(1, 7)
    scale = gaps.preprocessing.target.scale
    for method, point in (("naive", naive), ("seasonal naive", seasonal_naive)):
        error = gaps.panel.target[rows] - point(gaps, rows[:, 0] - 1)
        error /= scale[gaps.series_of[rows]]
        forecast = learned.forecast(gaps, np.array([60, 20]))[method]
        assert forecast.shape == (2, 6, 3)
        np.testing.assert_array_equal(forecast[..., 1], point(gaps, np.array([60, 20])))
        width = (forecast[..., 2] - forecast[..., 1]) / scale[[1, 0], None]
        np.testing.assert_allclose(width, np.tile(np.nanquantile(error, 0.9, axis=0), (2, 1)))
        # What only rises is never below its last value.
        np.testing.assert_array_equal(forecast[..., 0], forecast[..., 1])


@pytest.mark.parametrize("most", [50, 4096])
def test_intervals_hold_what_they_say(noise, most, monkeypatch):
    monkeypatch.setattr(baselines, "MOST_ORIGINS", most)
    origins = np.arange(1000, 3000, 7)
    origins = origins[(origins < 1990) | (origins > 2010)][:-5]
    truth = noise.panel.target[origins[:, None] + np.arange(1, 7)]
    for method, forecast in Baselines.fit(noise).forecast(noise, origins).items():
        assert (np.diff(forecast, axis=-1) > 0).all()
        inside = (forecast[..., 0] <= truth) & (truth <= forecast[..., 2])
        assert inside.mean() == pytest.approx(0.8, abs=0.05), method


def test_a_step_without_an_error_takes_those_of_all_steps():
    y = np.where(np.arange(40) == 6, NAN, np.arange(40) % 7)
    config = replace(CONFIG, series=None, test=29)
    tight = prepared_of(config, a=y)
    assert training_origins(tight).tolist() == [4]
    offsets = Baselines.fit(tight).offsets["naive"] * tight.preprocessing.target.scale
    error = np.array([1, NAN, -4, -3, -2, -1])
    upper = np.maximum(error, 0)
    upper[1] = max(np.nanquantile(error, 0.9), 0)
    np.testing.assert_allclose(offsets[:, 2], upper)


def test_without_a_season_only_the_naive_forecast_is_made():
    config = replace(CONFIG, season=1, series=None)
    one = prepared_of(config, a=np.arange(40) % 7)
    assert list(Baselines.fit(one).forecast(one, np.array([9]))) == ["naive"]


def test_saved_and_read_again(gaps):
    learned = replace(Baselines.fit(gaps), scales=np.array([NAN, 2.5]))
    again = from_json_values(
        Baselines, json.loads(json.dumps(json_values(learned), allow_nan=False))
    )
    np.testing.assert_array_equal(again.scales, learned.scales)
    origins = np.array([30, 70])
    for method, forecast in learned.forecast(gaps, origins).items():
        np.testing.assert_array_equal(again.forecast(gaps, origins)[method], forecast)


def test_data_that_came_after_fitting_are_forecast_but_not_learned_from(gaps):
    frame = pl.DataFrame({"t": range(100, 120), "y": np.arange(20.0), "s": ["b"] * 20})
    new = prepare_new(frame, gaps.preprocessing, future=False)
    forecast = Baselines.fit(gaps).forecast(new, np.array([8]))["seasonal naive"]
    assert forecast[0, :, 1].tolist() == [5, 6, 7, 8, 5, 6]
    deviation = gaps.preprocessing.target.scale[1]
    np.testing.assert_allclose(
        forecast[0, :, 2] - forecast[0, :, 1],
        Baselines.fit(gaps).offsets["seasonal naive"][:, 2] * deviation,
    )
    with pytest.raises(DataError, match="no training"):
        seasonal_scale(new)


def test_weather(weather):
    origins = held_out_origins(weather)
    assert len(origins) == 84
    learned = Baselines.fit(weather)
    truth = weather.panel.target[origins[:, None] + np.arange(1, 25)]
    forecast = learned.forecast(weather, origins)
    mae = {m: np.nanmean(np.abs(truth - values[..., 1])) for m, values in forecast.items()}
    assert list(mae) == ["naive", "seasonal naive"]
    assert mae["seasonal naive"] == pytest.approx(6.75, abs=0.005)
    last = weather.filled[origins]
    assert mae["naive"] == pytest.approx(np.nanmean(np.abs(truth - last[:, None])))
    assert learned.scales.shape == (3,)
    assert ((learned.scales > 3) & (learned.scales < 7)).all()
