"""A forecaster that is fed row by row says what it says of a table."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.fitted_outlook import at_runtime
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.inputs import panel_of
from gated.tasks.forecast.live_forecast import LiveForecast
from gated.tasks.forecast.outlook import RuntimeOutlook
from gated.tasks.forecast.panel import build_panel, one_step_each
from gated.tasks.forecast.preparation import read_panel
from gated.tasks.forecast.typed_rows import typed_rows
from gated.training.options import TrainingOptions

START = dt.datetime(2024, 1, 1)
TRAINED, STEPS = 300, 420
QUANTILES = ["q10", "q50", "q90"]


def hours(count: int) -> dt.datetime:
    return START + dt.timedelta(hours=count)


def table(names: str = "AB", steps: int = STEPS) -> pl.DataFrame:
    """Series with a day, values missing, a number and a text beside, and a plan known ahead."""
    rng, frames = np.random.default_rng(0), []
    for place, name in enumerate(names):
        step = np.arange(steps)
        plan = rng.choice([0.0, 1.0], steps)
        y = 10 + place + 3 * np.sin(2 * np.pi * step / 24) + 2 * plan + rng.normal(0, 1, steps)
        x = rng.normal(size=steps)
        y[rng.random(steps) < 0.05], x[rng.random(steps) < 0.1] = np.nan, np.nan
        columns = {
            "when": [hours(int(of)) for of in step],
            "who": [name] * steps,
            "y": y,
            "x": x,
            "kind": rng.choice(["a", "b"], steps),
            "plan": plan,
        }
        frames.append(pl.DataFrame(columns, nan_to_null=True))
    return pl.concat(frames)


def until(frame: pl.DataFrame, step: int) -> pl.DataFrame:
    return frame.filter(pl.col("when") < hours(step))


def fitted(frame: pl.DataFrame, **options: Any) -> Forecaster:
    """A forecaster that has begun to learn, and is trusted all the same."""
    given = {"time": "when", "target": "y", "series": "who", "horizon": 12, "test": 60} | options
    torch.manual_seed(0)
    training = TrainingOptions(steps=3, batch_size=16)
    forecaster = Forecaster(ForecastConfig(hidden=8, members=1, **given), training).fit(frame)
    forecaster.first_network.trust.fill_(1.0)
    return forecaster


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return fitted(until(table(), TRAINED), known=("plan",))


def same(forecast: LiveForecast, expected: pl.DataFrame) -> None:
    found = forecast.table()
    assert found.drop(QUANTILES).equals(expected.drop(QUANTILES))
    left, right = (of.select(QUANTILES).to_numpy() for of in (found, expected))
    np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-6)


def test_row_by_row_it_forecasts_what_it_forecasts_of_the_table(forecaster: Forecaster) -> None:
    frame = table("ABC")  # C is a series that training has not seen
    live = forecaster.live(until(frame, TRAINED - 10))
    ahead = frame.with_columns(pl.lit(None, pl.Float64).alias("y"))
    for step in range(TRAINED - 10, STEPS - 12):
        live.update(frame.filter(pl.col("when") == hours(step)))
        if step % 17 == 0:
            future = ahead.filter(pl.col("when") >= hours(step + 1))
            whole = pl.concat([until(frame, step + 1), until(future, step + 16)])
            same(live.predict(until(future, step + 16)), forecaster.predict(whole))
    assert len(live._memory.rows.ticks) < 3 * (live.needed + 30)  # no more is kept than is read


def test_rows_that_are_finished_when_they_come_are_those_of_the_table() -> None:
    """Without a column known ahead: row by row, then together, with gaps and a series behind."""
    some = pl.int_range(pl.len()) % 8 > 1  # also at hours whose forecasts are looked at
    frame = table("AB").drop("plan").with_columns(kind=pl.when(some).then("kind"))
    forecaster = fitted(until(frame, TRAINED), history=30, partner=("none",))
    live = forecaster.live(until(frame, TRAINED))
    finished, behind = 0, 0
    for step in range(TRAINED, TRAINED + 85):  # longer than there is room for
        for row in frame.filter(pl.col("when") == hours(step)).to_dicts():
            live.update(row)
            if row["who"] == "A" and step % 25 == 0:  # B is a row behind
                known = until(frame, step + 1).filter(
                    (pl.col("who") == "A") | (pl.col("when") < hours(step))
                )
                same(live.predict(), forecaster.predict(known))
                behind += live._finished is not None
        if step % 8 == 0:
            same(live.predict(), forecaster.predict(until(frame, step + 1)))
            finished += live._finished is not None and bool(live._finished.observed.all())
            other = forecaster.live()  # which has to prepare its rows
            other.restore(live.state())
            assert (other.predict().values == live.predict().values).all()
    assert finished > 5
    assert behind > 1
    live.update(frame.filter(pl.col("when").is_between(hours(TRAINED + 85), hours(TRAINED + 89))))
    assert live._finished is None  # several rows a series
    same(live.predict(), forecaster.predict(until(frame, TRAINED + 90)))
    other = forecaster.live()
    other.restore(live.state())
    assert (other.predict().values == live.predict().values).all()


def test_it_may_begin_with_nothing(forecaster: Forecaster) -> None:
    frame = table("A", 90)
    live = forecaster.live()
    with pytest.raises(DataError, match="no row to forecast from"):
        live.predict()
    for row in until(frame, 60).to_dicts():
        live.update(row)
    future = [
        {"when": of["when"], "who": "A", "plan": of["plan"]} for of in frame.to_dicts()[60:75]
    ]
    ahead = frame.with_columns(y=pl.when(pl.col("when") < hours(60)).then("y"))
    same(live.predict(future), forecaster.predict(until(ahead, 75)))
    assert live.series == ("A",)


def test_what_is_left_out_is_missing(forecaster: Forecaster) -> None:
    frame = table().filter(~pl.col("when").is_between(hours(310), hours(330)))
    live = forecaster.live(until(frame, 305))
    live.update(until(frame, 340).filter(pl.col("when") >= hours(305)))
    ahead = frame.with_columns(y=pl.when(pl.col("when") < hours(340)).then("y"))
    future = frame.filter(pl.col("when") >= hours(340)).drop("y")
    same(live.predict(until(future, 355)), forecaster.predict(until(ahead, 355)))


def test_a_row_is_given_once_and_in_order(forecaster: Forecaster) -> None:
    frame = table()
    live = forecaster.live(until(frame, 310))
    again = {"when": hours(309), "who": "A", "y": 1.0, "x": 1.0, "kind": "a", "plan": 0.0}
    with pytest.raises(DataError, match=r"'A' at 2024-01-13 21:00:00 is not after the last one"):
        live.update([again | {"when": hours(310), "who": "B"}, again])
    ahead = frame.with_columns(y=pl.when(pl.col("when") < hours(310)).then("y"))
    future = until(frame, 325).filter(pl.col("when") >= hours(310)).drop("y")
    same(live.predict(future), forecaster.predict(until(ahead, 325)))  # none was taken
    with pytest.raises(DataError, match="what was observed is given to update"):
        live.predict(until(frame, 325).filter(pl.col("when") >= hours(310)))
    with pytest.raises(DataError, match="'plan' is missing"):
        live.predict()
    with pytest.raises(DataError, match="no row in what was given"):
        live.update([])
    with pytest.raises(DataError, match="Row 2 of what was given is NoneType; a row is a dict"):
        live.update([again, None])
    with pytest.raises(DataError, match="a number that is too large"):
        live.update(again | {"when": hours(310), "y": 10**400})
    for column in "y", "x":  # one row, and two that are read as a table is
        for rows in ([], [again | {"when": hours(311)}]):
            large = again | {"when": hours(310), column: -1e200}
            with pytest.raises(DataError, match=f"'{column}' of the row of 'A' at .* is -1e.200"):
                live.update([large, *rows])


def test_a_plan_that_came_otherwise_counts_as_it_came() -> None:
    frame = table().filter(pl.col("who") == "A")
    forecaster = fitted(until(frame, TRAINED), known=("plan",))
    torch.nn.init.normal_(forecaster.first_network.head.weight)  # so that the plan has a say
    live = forecaster.live(until(frame, 315))
    future = until(frame, 340).filter(pl.col("when") >= hours(315)).drop("y")
    live.predict(until(future, 330).with_columns(plan=50 * pl.col("plan") - 25))
    live.update(until(frame, 320).filter(pl.col("when") >= hours(315)))
    ahead = frame.with_columns(y=pl.when(pl.col("when") < hours(320)).then("y"))
    later = until(future, 335).filter(pl.col("when") >= hours(320))
    same(live.predict(later), forecaster.predict(until(ahead, 335)))


def test_values_from_before_the_rows_that_are_kept_stand_where_later_ones_miss() -> None:
    place = pl.int_range(pl.len())
    frame = table("A").drop("plan")
    forecaster = fitted(until(frame, TRAINED))
    live = forecaster.live(until(frame, 200))
    origin = 311  # at which errors begin to be counted anew: nothing older is kept for them
    first = origin + 1 - live.needed
    hole = place.is_between(first - 2, first + 1)
    frame = frame.with_columns(
        y=pl.when(hole).then(None).otherwise(pl.col("y").fill_null(10.0)),
        x=pl.when(place < 200).then("x"),
        kind=pl.when(place < 200).then("kind"),
    )
    live = forecaster.live(until(frame, origin))
    live.update(until(frame, origin + 1).filter(pl.col("when") == hours(origin)))
    assert live._memory.rows.ticks[-1] - live._memory.rows.ticks[0] + 1 == live.needed
    same(live.predict(), forecaster.predict(until(frame, origin + 1)))


def test_a_time_that_is_far_off_is_refused(forecaster: Forecaster) -> None:
    live = forecaster.live(until(table("A"), 310))
    row = {"who": "A", "y": 1.0, "x": 1.0, "kind": "a", "plan": 0.0}
    with pytest.raises(DataError, match="at most 100,000 may be missing"):
        live.update(row | {"when": dt.datetime(9999, 1, 1)})
    live.update(row | {"when": hours(310)})


def test_its_partner_reads_the_latest_rows() -> None:
    frame = table("A").select("when", "y")
    forecaster = fitted(until(frame, TRAINED), series=None, partner="pretrained")
    live = forecaster.live(until(frame, 350))
    for step in range(350, 380):
        live.update(frame.filter(pl.col("when") == hours(step)))
    same(live.predict(), forecaster.predict(until(frame, 380)))


def test_steps_may_be_rows() -> None:
    frame = table("AB").filter(pl.col("when").dt.hour() < 20).drop("plan")
    forecaster = fitted(until(frame, TRAINED), every="row", season=20)
    live = forecaster.live(until(frame, 320))
    for step in range(320, 350):
        if hours(step).hour < 20:
            live.update(frame.filter(pl.col("when") == hours(step)))
    expected = forecaster.predict(until(frame, 350))
    same(live.predict(), expected)
    with pytest.raises(DataError, match="lies between steps that are known"):
        live.update(
            {"when": hours(339) + dt.timedelta(minutes=5), "who": "A", "y": 1, "x": 1, "kind": "a"}
        )


def test_several_targets_are_forecast_beside_one_another() -> None:
    frame = table("ABC").drop("plan")  # C is a series that training has not seen
    frame = frame.with_columns(
        z=5 - pl.col("y").shift(3),
        y=pl.when(pl.col("when").dt.day() != 14).then("y"),  # a day without one of the two
    )
    trained = until(frame, TRAINED).filter(pl.col("who") != "C")
    forecaster = fitted(trained, target=("y", "z"), partner="none")
    torch.nn.init.normal_(forecaster.first_network.head.weight)  # so that the other has a say
    live = forecaster.live(until(frame, TRAINED))
    for step in range(TRAINED, TRAINED + 46):
        live.update(frame.filter(pl.col("when") == hours(step)).to_dicts())
        if step % 15 == 0:  # also while the errors of one are known further
            same(live.predict(), forecaster.predict(until(frame, step + 1)))
    ahead = {"when": hours(step + 1), "who": "A", "z": 1.0}
    with pytest.raises(DataError, match="future holds values of 'z'"):
        live.predict(ahead)


@pytest.mark.parametrize("options", [{"cell": "gru", "layers": 2}, {"cell": "rnn", "members": 2}])
def test_its_network_is_that_of_training(options: dict[str, Any]) -> None:
    frame = table("AB", 250)
    given: dict[str, Any] = {"time": "when", "target": "y", "series": "who", "members": 1}
    config = ForecastConfig(horizon=12, known=("plan",), hidden=8, test=60, **given | options)
    forecaster = Forecaster(config, TrainingOptions(steps=2, batch_size=16)).fit(frame)
    for network in forecaster.outlook.networks:
        network.trust.fill_(0.75)
        network.register_buffer("trust_unseen", torch.tensor(0.25))  # as with static columns
        torch.nn.init.normal_(network.head.weight)
    live, origins = at_runtime(forecaster.outlook), np.array([100, 350])
    assert isinstance(live, RuntimeOutlook)
    prepared = forecaster.prepared
    unseen = np.where(np.arange(len(prepared.series_of)) < 200, prepared.series_of, -1)
    prepared = replace(prepared, series_of=unseen)
    expected = forecaster.outlook.raw(prepared, origins)
    np.testing.assert_allclose(live.raw(prepared, origins), expected, rtol=1e-5)
    with torch.no_grad():
        forecaster.outlook.networks[-1].head.bias[0] += 1
    changed = at_runtime(forecaster.outlook).raw(prepared, origins)
    assert np.abs(changed - expected).max() > 1e-2


def test_rows_with_types_are_read_as_those_of_a_table(forecaster: Forecaster) -> None:
    rows = until(table("BA"), 40).to_dicts()
    rows[3] = rows[3] | {"kind": None, "x": 7}
    panel = read_panel(pl.DataFrame(rows, infer_schema_length=None), forecaster.preprocessing)
    typed = typed_rows(rows, forecaster.preprocessing)
    texts = [row | {"when": row["when"].isoformat()} for row in rows]
    for read in (typed, typed_rows(texts, forecaster.preprocessing)):
        assert read is not None
        found = panel_of(read, forecaster.preprocessing)
        assert (found.series, found.values) == (panel.series, panel.values)
        for name in ("ticks", "times", "target", "starts"):
            np.testing.assert_array_equal(getattr(found, name), getattr(panel, name))
        for of, expected in ((found.numbers, panel.numbers), (found.codes, panel.codes)):
            for name, values in expected.items():
                np.testing.assert_array_equal(of[name], values)


def test_a_row_of_each_series_needs_no_grid_to_be_found(forecaster: Forecaster) -> None:
    rows = until(table("CBA"), 40).filter(pl.col("when") == hours(39)).to_dicts()
    rows[1]["when"] += dt.timedelta(minutes=20)  # to the nearest step, which is said
    config, grid = forecaster.config, forecaster.preprocessing.grid
    read = typed_rows(rows, forecaster.preprocessing)
    assert read is not None
    found, expected = one_step_each(read, config, grid), build_panel(read, config, grid)
    assert found is not None
    assert found.findings == expected.findings
    assert [of.kind for of in found.findings] == ["resampled"]
    assert found.series == expected.series == tuple("ABC")
    for name in ("starts", "ticks", "times", "present", "target"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for of in ("numbers", "codes"):
        for name, values in getattr(expected, of).items():
            np.testing.assert_array_equal(getattr(found, of)[name], values)
    assert found.values == expected.values
    twice = typed_rows([rows[0], rows[0]], forecaster.preprocessing)
    assert twice is not None
    assert one_step_each(twice, config, grid) is None


def test_a_row_between_two_steps_says_that_it_was_moved(forecaster: Forecaster) -> None:
    live = forecaster.live(until(table(), 310))
    row = until(table("A"), 311).to_dicts()[-1]
    assert live.update(row) == ()
    between = row | {"when": hours(311) + dt.timedelta(minutes=30)}
    (found,) = live.update(between)
    assert str(found) == (
        "column 'when': time stamps between steps of 1h (1, first: row 1); moved to the nearest "
        "step, several on one averaged."
    )
    with pytest.raises(DataError, match="is not after the last one"):
        live.update(row | {"when": hours(312)})  # where it was moved to


@pytest.mark.parametrize(
    "other",
    [
        {"when": "Jan-01-2024"},
        {"when": "2024-13-01"},
        {"when": START.replace(tzinfo=dt.UTC)},
        {"y": "1,5"},
        {"y": 10**400},
        {"y": True},
        {"x": float("inf")},
        {"kind": " a"},
        {"kind": "N/A"},
        {"who": ""},
        {"who": 1.0},
    ],
)
def test_what_has_another_type_is_left_to_the_reading_of_tables(
    forecaster: Forecaster, other: dict[str, Any]
) -> None:
    row = table("A").to_dicts()[0]
    assert typed_rows([row], forecaster.preprocessing) is not None
    assert typed_rows([row | other], forecaster.preprocessing) is None
    del row["x"]
    assert typed_rows([row], forecaster.preprocessing) is None
