"""The forecaster that needs no training."""

from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from gated.cli.app import run
from gated.errors import ConfigurationError, DataError
from gated.tasks.forecast.pretrained.forecaster import predict_untrained
from gated.tasks.forecast.pretrained.inputs import QUANTILES
from gated.tasks.forecast.pretrained.network import PretrainedNetwork
from gated.tasks.forecast.pretrained.smoothing import MIDDLE, RATES, smoothed
from gated.tasks.forecast.pretrained.training import PretrainingTask
from gated.tasks.forecast.pretrained.zero_shot import WEIGHTS, zero_shot
from gated.training.task import Shard

MONTHS = np.arange(96)
SALES = 100 * 1.01**MONTHS * (1 + 0.3 * np.sin(MONTHS * np.pi / 6))
AHEAD = 100 * 1.01 ** (96 + np.arange(12)) * (1 + 0.3 * np.sin((96 + np.arange(12)) * np.pi / 6))
MONTHLY = np.array([[12, 1]])


def months(count: int) -> list[str]:
    return [f"{2016 + i // 12}-{i % 12 + 1:02d}" for i in range(count)]


@pytest.fixture
def table() -> pl.DataFrame:
    return pl.DataFrame({"month": months(96), "sales": SALES})


def test_growth_with_a_season_is_a_line_with_a_season_in_logs():
    of = smoothed(SALES[None], MONTHLY, 12)
    assert of.in_logs[0]
    assert of.strength[0, 0] > 0.9
    line = np.exp(of.anchors[0, :, -3])
    assert np.abs(line / AHEAD - 1).max() < 0.02


def test_the_bank_is_exponential_smoothing_of_what_is_left_of_the_seasons():
    random = np.random.default_rng(0)
    values = np.cumsum(random.normal(size=40))
    of = smoothed(values[None], np.array([[1, 1]]), 3)
    rate = RATES[MIDDLE, 0]
    level = values[0]
    for t, value in enumerate(values[1:], 2):
        level += max(rate, 1 / t) * (value - level)
    assert of.center[0] == pytest.approx(level)
    assert of.anchors[0, :, 3 + MIDDLE] == pytest.approx([level] * 3)


def test_the_damped_trend_is_that_of_gardner():
    values = 3.0 * np.arange(60) + 7
    of = smoothed(values[None], np.array([[1, 1]]), 4)
    undamped = of.anchors[0, :, 3 + len(RATES) - 1]
    assert undamped == pytest.approx(values[-1] + 3 * np.arange(1, 5), rel=1e-6)


def test_a_season_that_is_noise_is_shrunk():
    random = np.random.default_rng(1)
    noise = smoothed(random.normal(size=(20, 84)), np.tile([[7, 1]], (20, 1)), 7)
    assert noise.strength[:, 0].mean() < 0.3
    week = np.tile(random.normal(size=7), 12) + 0.1 * random.normal(size=(20, 84))
    assert smoothed(week, np.tile([[7, 1]], (20, 1)), 7).strength[:, 0].min() > 0.9


def test_two_seasons_are_told_apart():
    hours = np.arange(24 * 7 * 4)
    day, week = np.sin(hours * np.pi / 12), 3.0 * ((hours // 24) % 7 >= 5)
    of = smoothed((day + week)[None], np.array([[24, 168]]), 24)
    truth = np.sin(hours[:24] * np.pi / 12)
    assert of.anchors[0, :, 3 + MIDDLE] == pytest.approx(truth, abs=0.25)


def test_what_is_missing_changes_nothing_that_is_there():
    padded = np.concatenate([np.full(30, np.nan), SALES])
    whole, behind = smoothed(SALES[None], MONTHLY, 12), smoothed(padded[None], MONTHLY, 12)
    assert behind.anchors == pytest.approx(whole.anchors, rel=1e-9)
    assert behind.scale == pytest.approx(whole.scale)


def test_the_weights_are_small_and_the_networks_own():
    assert WEIGHTS.stat().st_size < 1_000_000
    assert sum(of.numel() for of in PretrainedNetwork().parameters()) <= 250_000


def test_growth_with_a_season_is_forecast(table):
    forecast, _ = predict_untrained(table)
    assert len(forecast) == 12
    assert forecast["month"][0].isoformat() == "2024-01-01"
    error = np.abs(forecast["q50"].to_numpy() / AHEAD - 1)
    assert error.mean() < 0.05  # that of the same month a year before is 11 %
    assert (forecast["q10"] < forecast["q50"]).all()
    assert (forecast["q50"] < forecast["q90"]).all()


def test_a_season_that_repeats_itself_goes_on():
    week = np.array([5.0, 8, 11, 14, 17, 20, 23])
    forecast = zero_shot([np.tile(week, 4)], np.array([[7, 1]]), 14, (0.1, 0.5, 0.9))
    assert forecast[0, :, 1] == pytest.approx(np.tile(week, 2), abs=1)


def test_forecasts_of_counts_are_counts():
    counts = np.random.default_rng(0).poisson(0.7, 200).astype(float)
    forecast, _ = predict_untrained(pl.DataFrame({"t": np.arange(200), "sold": counts}))
    values = forecast.select("q10", "q50", "q90").to_numpy()
    assert (values == np.round(values)).all()
    assert (values >= 0).all()


def test_dates_with_dots_are_times():
    dates = [f"{1 + i % 28}.{1 + i // 28}.2024" for i in range(80)]
    forecast, _ = predict_untrained(pl.DataFrame({"Tag": dates, "Umsatz": 5 + np.sin(range(80))}))
    assert forecast["Tag"][0].isoformat() == "2024-03-25"


def test_noise_around_a_large_level_keeps_its_width():
    noise = np.random.default_rng(1).normal(0, 5, 200)
    asked = np.array([[1, 1]]), 3, (0.1, 0.5, 0.9)
    moved, plain = (zero_shot([level + noise], *asked) - level for level in (1e12, 100.0))
    assert np.ptp(moved, axis=2) == pytest.approx(np.ptp(plain, axis=2), rel=0.5)
    assert np.abs(moved[..., 1]).max() < 5


@pytest.mark.parametrize("horizon", [0, -3])
def test_a_horizon_that_is_none_is_refused(table, horizon):
    with pytest.raises(ConfigurationError, match=f"horizon is {horizon}"):
        predict_untrained(table, horizon=horizon)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_unit_makes_no_difference(unit):
    one, other = (zero_shot([SALES * of], MONTHLY, 6, (0.1, 0.5, 0.9)) for of in (1.0, unit))
    assert other / unit == pytest.approx(one, rel=1e-3)


def test_series_that_say_little():
    nan = np.nan
    histories = [np.array(of, float) for of in ([5], [5, 5, 5, 5], [nan, 2, nan], [1, 3], [0] * 50)]
    seasons = np.tile([[7, 1]], (len(histories), 1))
    forecast = zero_shot(histories, seasons, 4, (0.1, 0.5, 0.9))
    assert np.isfinite(forecast).all()
    assert forecast[0].tolist() == [[5, 5, 5]] * 4
    assert forecast[1].tolist() == [[5, 5, 5]] * 4
    assert forecast[2].tolist() == [[2, 2, 2]] * 4
    assert (np.diff(forecast, axis=2) >= 0).all()


def test_a_series_has_the_same_forecast_among_others():
    random = np.random.default_rng(3)
    histories = [np.cumsum(random.normal(size=length)) for length in (20, 100, 300, 50)]
    seasons = np.tile([[7, 1]], (4, 1))
    together = zero_shot(histories, seasons, 5, (0.5,))
    for s, history in enumerate(histories):
        alone = zero_shot([history], seasons[:1], 5, (0.5,))
        assert together[s] == pytest.approx(alone[0], abs=1e-3 * np.ptp(history))


def test_any_quantiles_in_order():
    levels = (0.01, 0.06, 0.25, 0.5, 0.51, 0.999)
    forecast = zero_shot([SALES], MONTHLY, 3, levels)
    assert (np.diff(forecast, axis=2) > 0).all()
    exact = zero_shot([SALES], MONTHLY, 3, QUANTILES)
    assert forecast[..., 3] == pytest.approx(exact[..., 6])


def test_each_series_from_its_own_end():
    table = pl.DataFrame(
        {
            "shop": ["a"] * 60 + ["b"] * 40,
            "month": months(60) + months(40),
            "sales": [*SALES[:60], *(2 * SALES[:40])],
        }
    )
    forecast, _ = predict_untrained(table, horizon=2)
    assert forecast["shop"].to_list() == ["a", "a", "b", "b"]
    days = [str(day) for day in forecast["month"]]
    assert days == ["2021-01-01", "2021-02-01", "2019-05-01", "2019-06-01"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"other": range(96)},
            "Which column of the table is the target.*sales, other all hold numbers",
        ),
        ({"end": months(96)}, "Which column of the table is the time"),
    ],
)
def test_a_doubtful_column_is_asked_for(table, columns, message):
    table = table.with_columns(**{name: pl.Series(list(of)) for name, of in columns.items()})
    with pytest.raises(DataError, match=message):
        predict_untrained(table)
    named, _ = predict_untrained(table, time="month", target="sales")
    assert len(named) == 12


def test_counts_in_place_of_dates():
    table = pl.DataFrame({"step": range(96), "sales": SALES})
    forecast, _ = predict_untrained(table)
    assert forecast["step"].to_list() == list(range(96, 96 + len(forecast)))
    assert len(forecast) == 12  # the season shows in the values


def test_the_command(table, tmp_path, capsys):
    path, out = tmp_path / "sales.csv", tmp_path / "out.csv"
    table.write_csv(path)
    assert run(["predict", "pretrained", str(path)]) == 0
    printed = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert printed.columns == ["month", "q10", "q50", "q90"]
    assert run(["predict", "pretrained", str(path), "--horizon", "3", "--out", str(out)]) == 0
    assert_frame_equal(pl.read_csv(out), printed.head(3), rel_tol=1e-3)
    assert run(["predict", "pretrained", str(path), "--horizon", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert run(["predict", str(tmp_path), str(path), "--horizon", "2"]) != 0
    assert "--horizon goes with `pretrained` alone" in capsys.readouterr().err


def test_a_step_of_training_is_drawn_from_its_number():
    task = PretrainingTask(PretrainedNetwork(8), seed=0, held_out=256)
    one, again, other = (task.training_batch(step, 32, Shard(0, 1)) for step in (5, 5, 6))
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.target, other.target)
    assert all(np.isfinite(of).all() for of in (*one.inputs, one.target.numpy()))
    with torch.no_grad():
        before = task.validate(task.network)["loss"]
    optimizer = torch.optim.Adam(task.network.parameters(), 1e-2)
    for step in range(5):
        optimizer.zero_grad()
        loss = task.loss(task.network, task.training_batch(step, 32, Shard(0, 1)))
        (loss.total / loss.weight).backward()
        optimizer.step()
    with torch.no_grad():
        assert task.validate(task.network)["loss"] < before
