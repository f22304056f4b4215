"""Columns that hold for a series as a whole."""

from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from gated.errors import ConfigurationError, DataError
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.mixture import trust
from gated.tasks.forecast.panel import build_panel
from gated.tasks.forecast.preparation import prepare, prepare_new
from gated.tasks.forecast.reading import read_table
from gated.training.options import TrainingOptions

CONFIG = ForecastConfig(time="t", target="y", series="s", horizon=2, static=("kind", "size"))
TABLE = {
    "t": [1, 2, 3, 1, 2, 4, 1, 2],
    "s": [*"aaabbbcc"],
    "y": range(8),
    "kind": [None, "u", None, None, None, "v", None, None],
    "size": [1.5, None, None, None, 0.1, None, None, None],
}


def test_one_value_in_a_series_stands_in_all_its_rows_also_ahead():
    panel = build_panel(read_table(pl.DataFrame(TABLE), CONFIG), CONFIG)
    # Series b has a gap, the third of its four rows; c has no value.
    assert panel.codes["kind"].tolist() == [0, 0, 0, 1, 1, 1, 1, -1, -1]
    np.testing.assert_array_equal(panel.numbers["size"], [1.5] * 3 + [0.1] * 4 + [np.nan] * 2)
    longer = panel.extend(panel.starts[1:] - 1, 2)
    assert longer.codes["kind"].tolist() == [0] * 5 + [1] * 6 + [-1] * 4
    np.testing.assert_array_equal(longer.numbers["size"], [1.5] * 5 + [0.1] * 6 + [np.nan] * 4)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("kind", [*"uuwv", None, *"vxx"], "'a': it is 'u' in row 1 and 'w' in row 3"),
        (
            "size",
            [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 4.5],
            "'c': it is 3 in row 7 and 4.5 in row 8",
        ),
    ],
)
def test_a_column_that_changes_within_a_series_is_refused(name, values, message):
    table = pl.DataFrame(TABLE | {name: values})
    with pytest.raises(DataError, match=f"'{name}' changes within series {message}") as error:
        read_table(table, CONFIG)
    assert "in known, if" in str(error.value)
    assert "in past." in str(error.value)


def test_static_columns_need_series_and_have_one_role():
    with pytest.raises(ConfigurationError, match=r"hold for a series \(kind\): name the column"):
        replace(CONFIG, series=None)
    with pytest.raises(ConfigurationError, match="'size' is named for two roles"):
        replace(CONFIG, known=("size",))


def shops(names: str, rows: int = 60) -> pl.DataFrame:
    """Series of two kinds; the kind of "c" and the others' sizes are given in one row only."""
    draw = np.random.default_rng(5)
    parts = [
        pl.DataFrame(
            {
                "t": range(rows),
                "s": name,
                "y": 10 + draw.normal(size=rows),
                "kind": ["u" if name in "ace" else "v"] + [None] * (rows - 1),
                "size": [None, float(ord(name) - ord("a"))] + [None] * (rows - 2),
            }
        )
        for name in names
    ]
    return pl.concat(parts)


def test_static_columns_are_read_at_every_step_and_before_the_first():
    config = replace(CONFIG, history=6)
    table = shops("abcdef").with_columns(
        size=pl.when(pl.col("s") == "b").then(None).otherwise(pl.col("size"))
    )
    prepared = prepare(table, config)
    fitted = prepared.preprocessing
    assert fitted.known_names == ("size", "kind")
    assert fitted.future_names[:2] == ("size", "observed(size)")
    size = prepared.inputs[:, fitted.input_names.index("size")]
    assert all(len(np.unique(size[60 * s : 60 * s + 60])) == 1 for s in range(6))
    # Of 0 2 3 4 5 the series without a value, b, has the median, as d does.
    assert len(np.unique(size)) == 5
    assert size[60] == size[180]
    assert [of.column for of in prepared.findings if of.kind == "missing"] == ["size"]
    assert next(of for of in prepared.findings if of.kind == "missing").series == ("b",)
    # The mark of the target is taken back before the first row, that of the size is not.
    assert fitted.mask_places == (1,)


def test_new_data_need_no_static_value_ahead_but_the_column():
    fitted = prepare(shops("abcdef"), replace(CONFIG, history=6)).preprocessing
    ahead = prepare_new(shops("gh", 9), fitted)
    assert ahead.panel.series == ("g", "h")
    assert (ahead.categories[:, 0] == fitted.categories[0].index("v") + 1).all()
    assert "held" not in {of.kind for of in ahead.findings}
    with pytest.raises(DataError, match="no column 'kind'"):
        prepare_new(shops("gh", 9).drop("kind"), fitted)


DAY = date(2024, 1, 1)  # a Monday
SHAPES = {"weekend": [0.6] * 5 + [1.6] * 2, "workday": [1.0] * 5 + [0.4] * 2}


def products(names: list[str], seed: int, first: int, days: int) -> pl.DataFrame:
    """Sales over the week, of one form or the other by the kind of the product."""
    draw, rows = np.random.default_rng(seed), []
    for place, name in enumerate(names):
        kind, level = [*SHAPES][place % 2], draw.uniform(50, 150)
        for day in range(first, first + days):
            sold = level * SHAPES[kind][day % 7] * np.exp(draw.normal(0, 0.05))
            rows.append((name, kind, DAY + timedelta(days=day), sold))
    return pl.DataFrame(rows, schema=["product", "kind", "day", "sold"], orient="row")


@pytest.fixture(scope="module")
def sellers() -> dict[bool, Forecaster]:
    """Forecasters that read the kind, and that do not."""
    config = ForecastConfig(
        time="day", target="sold", series="product", horizon=7, history=14, past=(), hidden=32
    )
    training = TrainingOptions(steps=150, learning_rate=1e-2, threads=1, seed=0)
    table = products([f"p{place}" for place in range(24)], 0, 0, 90)
    return {
        static: Forecaster(
            replace(config, static=("kind",) if static else (), partner="none"), training
        ).fit(table)
        for static in (False, True)
    }


def test_the_kind_of_a_new_product_says_how_its_week_goes(sellers):
    new = products([f"n{place}" for place in range(20)], 1, 91, 10)
    last = DAY + timedelta(days=93)
    errors = {}
    for static, forecaster in sellers.items():
        forecast = forecaster.predict(new.filter(pl.col("day") <= last))
        both = forecast.join(new, on=["product", "day"])
        assert len(both) == 140
        errors[static] = (both["q50"] - both["sold"]).abs().mean()
    assert errors[True] < 0.75 * errors[False]
    assert "and of series that training has not seen by" in sellers[True].chosen
    assert sellers[True].calibration.unseen is not None
    assert sellers[False].calibration.unseen is None


def test_a_series_that_was_not_seen_is_trusted_as_others_until_more_is_known(sellers):
    network = deepcopy(sellers[True].first_network)
    trust(network, 0.25)
    assert (float(network.trust), float(network.trust_unseen)) == (0.25, 0.25)
    trust(network, 0.5, "trust_unseen")
    assert (float(network.trust), float(network.trust_unseen)) == (0.25, 0.5)


def test_a_saved_forecaster_reads_static_columns_as_before(tmp_path, sellers):
    sellers[True].save(tmp_path)
    new = products(["new", "newer"], 2, 91, 4)
    expected = sellers[True].predict(new)
    assert Forecaster.load(tmp_path).predict(new).equals(expected)
    # One row has the kind, and the forecast is the same.
    once = new.with_columns(
        kind=pl.when(pl.col("day") == DAY + timedelta(days=92)).then(pl.col("kind"))
    )
    assert sellers[True].predict(once).equals(expected)
    other = new.with_columns(
        kind=pl.col("kind").replace(dict(zip(SHAPES, reversed(SHAPES), strict=True)))
    )
    assert not sellers[True].predict(other)["q50"].equals(expected["q50"])


def test_a_forecaster_begins_from_one_with_static_columns(tmp_path, sellers):
    sellers[True].save(tmp_path)
    config = ForecastConfig(time="day", target="sold", series="product", horizon=7)
    begun = Forecaster(config, TrainingOptions(steps=1, init_from=tmp_path)).adopt()
    assert (begun.config.static, begun.config.known, begun.config.past) == (("kind",), (), ())
