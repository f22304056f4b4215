from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gated.errors import DataError
from gated.tasks.forecast.cleaning import carry_forward, choose_columns, last_observed, outliers
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.panel import build_panel
from gated.tasks.forecast.reading import read_table

NAN = np.nan


def test_holes_take_the_last_value_of_their_own_series():
    values = np.array([NAN, 1, NAN, NAN, 4, NAN, NAN, 7])
    filled = carry_forward(values, np.array([0, 5, 8]), np.array([-1.0, -2.0]))
    assert filled.tolist() == [-1, 1, 1, 1, 4, -2, -2, 7]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=4))
def test_last_observed_is_what_a_loop_finds(series):
    observed = np.array([seen for one in series for seen in one])
    starts = np.cumsum([0, *(len(one) for one in series)])
    expected = []
    for begin, end in pairwise(starts):
        latest = -1
        for row in range(begin, end):
            latest = row if observed[row] else latest
            expected.append(latest)
    assert last_observed(observed, starts).tolist() == expected


def panel_of(columns, config):
    rows = len(next(iter(columns.values())))
    frame = pl.DataFrame({"t": range(rows), "y": np.arange(rows) % 5 + 0.0, **columns})
    return build_panel(read_table(frame, config), config)


CONFIG = ForecastConfig(time="t", target="y", horizon=1)


def test_columns_that_say_nothing_are_left_out():
    columns = {
        "good": np.arange(100) % 7,
        "constant": [3] * 100,
        "later": [3] * 80 + [4] * 20,
        "empty": [None] * 99 + [1.0],
        "flag": [1.0 if i % 10 == 0 else None for i in range(100)],
        "kind": ["a", "b"] * 50,
        "same": ["a"] * 100,
        "remark": [f"remark {i}" for i in range(100)],
    }
    panel = panel_of(columns, CONFIG)
    chosen = choose_columns(panel, np.arange(100) < 80, CONFIG)
    assert chosen.past_numbers == ("good", "flag")
    assert chosen.past_texts == ("kind",)
    assert chosen.known_numbers == chosen.known_texts == ()
    assert {finding.column: finding.kind for finding in chosen.findings} == {
        "constant": "constant",
        "later": "constant",
        "empty": "all-missing",
        "same": "constant",
        "remark": "too-many-texts",
    }


def test_a_text_column_that_was_asked_for_is_not_dropped_silently():
    config = ForecastConfig(time="t", target="y", past=("remark",), horizon=1)
    panel = panel_of({"remark": [f"remark {i}" for i in range(100)]}, config)
    with pytest.raises(DataError, match="column 'remark' has 80 different texts; at most 64"):
        choose_columns(panel, np.arange(100) < 80, config)


def test_known_columns_keep_the_order_asked_for():
    config = ForecastConfig(time="t", target="y", known=("b", "k", "a"), horizon=1)
    columns = {"a": np.arange(40) % 3, "b": np.arange(40) % 4, "c": np.arange(40) % 6}
    panel = panel_of(columns | {"k": ["x", "y"] * 20}, config)
    chosen = choose_columns(panel, np.ones(40, bool), config)
    assert chosen.known_numbers == ("b", "a")
    assert chosen.known_texts == ("k",)
    assert chosen.past_numbers == ("c",)


def test_another_name_of_the_series_is_redundant():
    config = ForecastConfig(time="t", target="y", series="s", horizon=1)
    frame = pl.DataFrame(
        {
            "t": [*range(20), *range(20)],
            "y": np.arange(40.0),
            "s": ["a"] * 20 + ["b"] * 20,
            "full name": ["Ann"] * 20 + ["Bob"] * 20,
            "mood": ["up"] * 19 + ["down"] * 21,
        }
    )
    panel = build_panel(read_table(frame, config), config)
    chosen = choose_columns(panel, np.ones(40, bool), config)
    assert chosen.past_texts == ("mood",)
    assert [finding.kind for finding in chosen.findings] == ["redundant"]


def test_outliers_are_measured_against_the_training_part_and_left_alone():
    values = np.random.default_rng(0).normal(size=200)
    values[150], values[190] = 40, -50
    panel = panel_of({"x": values}, CONFIG)
    finding = outliers(panel, "x", np.arange(200) < 100)
    assert (finding.count, finding.example) == (2, "150, 40")
    assert panel.numbers["x"][150] == 40
    assert outliers(panel, "y", np.arange(200) < 100) is None


def test_no_outliers_where_most_values_are_one():
    values = np.zeros(100)
    values[3] = 9
    assert outliers(panel_of({"x": values}, CONFIG), "x", np.ones(100, bool)) is None
