import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from gated.configuration import from_json_values, json_values
from gated.errors import DataError, ModelFileError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.preparation import prepare, prepare_new
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.windows import (
    forecast_origins,
    gather,
    held_out_origins,
    training_origins,
    validation_origins,
    walk_forward,
)

ROWS = 120
SHOP = ForecastConfig(
    time="day",
    target="sales",
    series="shop",
    known=("price", "promo"),
    horizon=3,
    history=5,
    test=20,
)


def shops(days=ROWS):
    """Two shops with every kind of column, and holes in each."""
    rng = np.random.default_rng(1)
    rows = 2 * days
    frame = pl.DataFrame(
        {
            "day": [date(2024, 1, 1) + timedelta(i % days) for i in range(rows)],
            "shop": ["north"] * days + ["south"] * days,
            "sales": rng.normal(50, 9, rows),
            "price": rng.uniform(1, 2, rows),
            "promo": rng.choice(["none", "half", "gift"], rows),
            "visits": rng.normal(200, 30, rows),
            "sky": rng.choice(["sun", "rain", "snow"], rows),
        }
    )
    return frame.with_columns(
        pl.when(pl.Series(rng.random(rows) > 0.1)).then(name).alias(name)
        for name in ("sales", "visits", "sky")
    )


def prepared_equal(one, other):
    """Whether everything that was learned is the same."""
    return json_values(one) == json_values(other)


def windows_equal(one, other, *names):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


INPUTS = ("inputs", "categories", "future", "future_categories", "last", "series")
ALL = (*INPUTS, "target", "weight")


@pytest.mark.parametrize("values", ["others", "missing", "huge"])
def test_the_test_part_is_not_looked_at(values):
    frame = shops()
    first = prepare(frame, SHOP)
    cut = date(2024, 1, 1) + timedelta(ROWS - 20)
    changed = {
        "others": {"sales": pl.col("sales") * 3, "visits": -pl.col("visits"), "sky": pl.lit("fog")},
        "missing": {"sales": None, "visits": None, "sky": None},
        "huge": {"sales": 1e17, "visits": -1e17, "sky": pl.lit("zenith")},
    }[values]  # fmt: skip
    # The last day stays, for it says where the data end; the known columns may be known.
    during = (pl.col("day") >= cut) & (pl.col("day") < pl.col("day").max())
    second = prepare(
        frame.with_columns(
            pl.when(during).then(value).otherwise(name).alias(name)
            for name, value in changed.items()
        ),
        SHOP,
    )
    assert prepared_equal(first.preprocessing, second.preprocessing)
    assert first.split == second.split
    for origins in (training_origins, validation_origins):
        rows = origins(first)
        assert len(rows) > 5
        np.testing.assert_array_equal(rows, origins(second))
        assert windows_equal(gather(first, rows), gather(second, rows), *ALL)
    opening = held_out_origins(first)[[0, len(held_out_origins(first)) // 2]]
    assert first.panel.ticks[opening].tolist() == [first.split.test - 1] * 2
    assert windows_equal(gather(first, opening), gather(second, opening), *INPUTS)
    later = held_out_origins(first)[1:2]
    assert not windows_equal(gather(first, later), gather(second, later), "inputs")


@pytest.mark.parametrize("when", [104, 111, 118])
def test_a_window_depends_on_nothing_after_its_origin(when):
    frame = shops()
    moment = date(2024, 1, 1) + timedelta(when)
    secret = [pl.col("sales") + 100, pl.col("visits") + 100, pl.lit("hail").alias("sky")]
    after = (pl.col("day") > moment) & (pl.col("day") < pl.col("day").max())
    second = prepare(
        frame.with_columns(
            pl.when(after).then(value).otherwise(value.meta.output_name()).alias(value.meta.output_name())
            for value in secret
        ),
        SHOP,
    )  # fmt: skip
    first = prepare(frame, SHOP)
    origins = walk_forward(first, first.split.test, first.split.end, stride=1)
    before = origins[first.panel.ticks[origins] - first.split.first <= when]
    assert len(before)
    assert windows_equal(gather(first, before), gather(second, before), *INPUTS)


def test_the_past_of_weather_does_not_know_the_test_days(weather, weather_csv, weather_config):
    frame = pl.read_csv(weather_csv, infer_schema=False)
    late = pl.col("time_hour") >= "2013-12-03T00:00:00Z"
    numbers = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "pressure", "visib"]
    other = prepare(
        frame.with_columns(pl.when(late).then(pl.lit("7")).otherwise(n).alias(n) for n in numbers),
        weather_config,
    )
    assert prepared_equal(weather.preprocessing, other.preprocessing)
    rows = np.append(training_origins(weather), held_out_origins(weather)[::28])
    np.testing.assert_array_equal(rows[:-3], training_origins(other))
    np.testing.assert_array_equal(rows[-3:] % 8730, [8057] * 3)
    for some in np.array_split(rows, 20):
        assert windows_equal(gather(weather, some), gather(other, some), *INPUTS)


def test_statistics_are_those_of_the_rows_before_the_test():
    frame = shops()
    fitted = prepare(frame, SHOP).preprocessing
    before = frame.filter(pl.col("day") < date(2024, 1, 1) + timedelta(ROWS - 20))
    for s, shop in enumerate(["north", "south"]):
        sales = before.filter(pl.col("shop") == shop)["sales"].drop_nulls()
        assert fitted.target.location[s] == pytest.approx(sales.mean())
        assert fitted.target.scale[s] == pytest.approx(sales.std(ddof=0))
        assert fitted.before[s] == pytest.approx(sales.median())
    assert fitted.numbers.location.tolist() == pytest.approx(
        [before["price"].mean(), before["visits"].mean()]
    )
    assert fitted.categories == (("gift", "half", "none"), ("rain", "snow", "sun"))
    assert fitted.masked == ("visits",)


def test_inputs_are_named():
    fitted = prepare(shops(), SHOP).preprocessing
    assert fitted.future_names == ("price", "sin(week)", "cos(week)")
    assert fitted.input_names == (
        "sales", "observed(sales)", "error(sales)", "price", "sin(week)", "cos(week)", "visits",
        "observed(visits)",
    )  # fmt: skip
    assert fitted.text_names == ("promo", "sky")
    assert fitted.category_counts == (4, 4)


def test_values_and_masks_stand_where_they_belong():
    frame = shops()
    prepared = prepare(frame, SHOP)
    fitted, names = prepared.preprocessing, prepared.preprocessing.input_names
    column = {name: prepared.inputs[:, i] for i, name in enumerate(names)}
    sales = frame["sales"].to_numpy()
    seen = ~np.isnan(sales)
    np.testing.assert_array_equal(column["observed(sales)"], seen)
    np.testing.assert_array_equal(prepared.weight, seen)
    restored = fitted.target.invert(column["sales"], prepared.series_of)
    np.testing.assert_allclose(restored[seen], sales[seen], rtol=1e-5)
    np.testing.assert_array_equal(column["observed(visits)"], frame["visits"].is_not_null())
    price = fitted.numbers.invert(column["price"], 0)
    np.testing.assert_allclose(price, frame["price"], rtol=1e-5)
    hole = int(np.flatnonzero(~seen)[3])
    assert prepared.filled[hole] == prepared.filled[hole - 1]
    vocabulary = ("", *fitted.categories[0])
    assert [vocabulary[code] for code in prepared.categories[:, 0]] == frame["promo"].to_list()
    assert np.isfinite(prepared.inputs).all()


def test_preprocessing_goes_through_json():
    fitted = prepare(shops(), SHOP).preprocessing
    again = from_json_values(Preprocessing, json.loads(json.dumps(json_values(fitted))))
    assert prepared_equal(fitted, again)
    assert (again.config, again.grid, again.categories) == (
        fitted.config,
        fitted.grid,
        fitted.categories,
    )
    new = shops().filter(pl.col("day") > date(2024, 2, 1))
    one, other = (prepare_new(new, f, future=False) for f in (fitted, again))
    np.testing.assert_array_equal(one.inputs, other.inputs)


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved.pop("grid"),
        lambda saved: saved.update(target=3),
        lambda saved: saved.update(config={"horizon": "x"}),
        lambda saved: saved["grid"].update(clock=[]),
        lambda saved: saved.update(more=1),
    ],
)
def test_damaged_preprocessing_is_refused(damage):
    saved = json_values(prepare(shops(), SHOP).preprocessing)
    damage(saved)
    with pytest.raises(ModelFileError, match="The saved Preprocessing"):
        from_json_values(Preprocessing, saved)


def with_future(frame, days=3):
    """Rows of the days to come: known columns, no sales."""
    last = frame["day"].max()
    coming = pl.DataFrame(
        {
            "day": [last + timedelta(i + 1) for i in range(days)] * 2,
            "shop": ["north"] * days + ["south"] * days,
            "price": [1.5] * 2 * days,
            "promo": ["gift"] * 2 * days,
        }
    )
    return pl.concat([frame, coming], how="diagonal")


def test_new_data_with_rows_of_the_future():
    frame = shops().with_columns(pl.col("sales").fill_null(50.0))
    fitted = prepare(frame, SHOP).preprocessing
    new = prepare_new(with_future(frame.filter(pl.col("day") > date(2024, 3, 1))), fitted)
    origins = forecast_origins(new)
    last = frame["day"].max()
    labels = [new.panel.label(row + 1) for row in origins]
    assert labels == [f"'north' at {last + timedelta(1)}", f"'south' at {last + timedelta(1)}"]
    windows = gather(new, origins)
    assert windows.inputs.shape == (5, 2, 8)
    np.testing.assert_allclose(fitted.numbers.invert(windows.future[..., 0], 0), 1.5, rtol=1e-6)
    assert (windows.future_categories == 1).all()
    assert windows.weight.sum() == 0


def test_a_model_of_all_series_predicts_for_one():
    frame = shops().with_columns(pl.col("sales").fill_null(50.0))
    fitted = prepare(frame, SHOP).preprocessing
    both = prepare_new(with_future(frame), fitted)
    south = prepare_new(with_future(frame).filter(pl.col("shop") == "south"), fitted)
    one, two = gather(south, forecast_origins(south)), gather(both, forecast_origins(both)[1:])
    assert one.series.tolist() == [1]
    assert windows_equal(one, two, *ALL)


def test_texts_that_were_not_seen_are_unknown():
    frame = shops().with_columns(pl.col("sales").fill_null(50.0))
    fitted = prepare(frame, SHOP).preprocessing
    later = with_future(frame).with_columns(promo=pl.lit("raffle"))
    new = prepare_new(later, fitted)
    assert (new.categories[:, 0] == 0).all()
    finding = next(finding for finding in new.findings if finding.kind == "unseen-text")
    assert (finding.column, finding.count) == ("promo", len(later))
    assert "'raffle'" in finding.what


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f, r"known covariate 'price' is missing for 'north' at 2024-04-30"),
        (
            lambda f: with_future(f).with_columns(
                pl.when(pl.col("day") < date(2024, 5, 2)).then("promo").alias("promo")
            ),
            r"known covariate 'promo' is missing for 'north' at 2024-05-02",
        ),
        (lambda f: f.drop("visits"), "no column 'visits'"),
        (lambda f: f.with_columns(sales=None), "'sales' has no value to forecast from"),
        (lambda f: f.with_columns(day=pl.int_range(pl.len())), "holds counts, but the model"),
    ],
)
def test_what_bad_new_data_get(change, message):
    frame = shops().with_columns(pl.col("sales").fill_null(50.0))
    fitted = prepare(frame, SHOP).preprocessing
    with pytest.raises(DataError, match=message):
        prepare_new(change(frame), fitted)


@pytest.mark.parametrize(
    ("sales", "message"),
    [
        ([5.0] * ROWS, r"target 'sales' is constant \(5\)"),
        ([None] * 110 + [1.0] * 10, "target 'sales' has no value to learn from"),
    ],
)
def test_targets_from_which_nothing_can_be_learned(sales, message):
    frame = pl.DataFrame({"t": range(ROWS), "sales": sales})
    config = ForecastConfig(time="t", target="sales", horizon=2, history=2, test=20)
    with pytest.raises(DataError, match=message):
        prepare(frame, config)


def test_one_series_of_many_may_be_constant():
    frame = shops().with_columns(
        sales=pl.when(pl.col("shop") == "north").then(3.0).otherwise("sales")
    )
    fitted = prepare(frame, SHOP).preprocessing
    assert fitted.target.location[0] == 3
    assert fitted.target.scale[0] == fitted.target.scale[1] > 1


def test_findings_of_weather(weather):
    found = {(finding.kind, finding.column): finding.count for finding in weather.findings}
    assert found["gap", "time_hour"] == 75
    assert found["missing", "temp"] == 1
    assert found["missing", "wind_gust"] == 20_778
    assert found["outlier", "wind_speed"] == 1
    assert found["constant", "year"] == 1
    assert {column for kind, column in found if kind == "repeats-time"} == {"month", "day", "hour"}


def test_order_of_rows_and_columns_does_not_matter():
    frame = shops()
    mixed = frame.sample(fraction=1, shuffle=True, seed=3).select(reversed(frame.columns))
    one, other = prepare(frame, SHOP), prepare(mixed, replace(SHOP))
    assert prepared_equal(one.preprocessing, other.preprocessing)
    np.testing.assert_array_equal(one.inputs, other.inputs)


def test_decimals_are_read_as_they_were_in_training(tmp_path):
    config = ForecastConfig(time="day", target="sales", horizon=2, history=4)
    path = tmp_path / "shop.csv"
    path.write_text("day;sales\n" + "".join(f"{day};{day}.{day:03},5\n" for day in range(1, 41)))
    fitted = prepare(path, config).preprocessing
    assert fitted.config.decimal == ","
    path.write_text("day;sales\n" + "".join(f"{day};{day}.250\n" for day in range(1, 9)))
    new = prepare_new(path, fitted)
    assert new.panel.target[:3].tolist() == [1250, 2250, 3250]
    # A point that groups no thousands separates decimals, whatever it was in training.
    path.write_text("day;sales\n" + "".join(f"{day};{day}.25\n" for day in range(1, 9)))
    assert prepare_new(path, fitted).panel.target[:3].tolist() == [1.25, 2.25, 3.25]
