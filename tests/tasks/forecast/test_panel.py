import numpy as np
import polars as pl
import pytest

from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.panel import build_panel
from gated.tasks.forecast.reading import read_table

ONE = ForecastConfig(time="t", target="y", horizon=1)
MANY = ForecastConfig(time="t", target="y", series="s", horizon=1)
NAN = np.nan


def panel_of(columns, config=ONE):
    return build_panel(read_table(pl.DataFrame(columns), config), config)


def kinds(panel):
    return {finding.kind: finding.count for finding in panel.findings}


def test_rows_are_sorted_and_holes_inserted():
    panel = panel_of({"t": [5, 1, 2, 3, 7], "y": [50, 10, 20, 30, 70], "k": list("edabc")})
    assert panel.ticks.tolist() == panel.times.tolist() == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(panel.target, [10, 20, 30, NAN, 50, NAN, 70])
    assert [panel.values["k"][code] if code >= 0 else None for code in panel.codes["k"]] == [
        *"dab", None, "e", None, "c",
    ]  # fmt: skip
    assert kinds(panel) == {"unsorted": 1, "gap": 2}
    unsorted, gap = panel.findings
    assert unsorted.example == "row 2"
    assert gap.example == "4"


def test_series_of_their_own_lengths():
    panel = panel_of({"t": [1, 2, 3, 2, 3, 5], "y": range(6), "s": list("bbbaaa")}, MANY)
    assert panel.series == ("a", "b")
    assert panel.starts.tolist() == [0, 4, 7]
    assert panel.ticks.tolist() == [2, 3, 4, 5, 1, 2, 3]
    np.testing.assert_array_equal(panel.target, [3, 4, NAN, 5, 0, 1, 2])
    assert panel.series_of.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert panel.label(2) == "'a' at 4"


def test_repeated_rows_are_dropped_and_conflicting_ones_averaged():
    t = [*range(20), 3, 7, 7]
    y = [*range(20), 3, 10, 13]
    x = [*[1.0] * 20, 1.0, None, 5.0]
    panel = panel_of({"t": t, "y": y, "x": x, "k": [*"a" * 20, *"abc"]})
    assert kinds(panel) == {"unsorted": 1, "duplicate": 1, "conflict": 2}
    assert panel.target[[3, 7]].tolist() == [3, 10]
    assert panel.numbers["x"][7] == 3
    assert panel.values["k"][panel.codes["k"][7]] == "c"
    assert panel.findings[2].example == "row 22"


def test_a_forgotten_series_column_is_guessed():
    t = [*range(20)] * 2
    columns = {"t": t, "y": range(40), "shop": ["a"] * 20 + ["b"] * 20, "kind": ["u", "v"] * 20}
    with pytest.raises(DataError, match=r"20 of 40 rows .*told apart by 'shop'\?"):
        panel_of(columns)
    with pytest.raises(DataError, match="Name the column that tells the series apart"):
        panel_of({"t": t, "y": range(40)})


def test_finer_rows_are_averaged_over_a_given_step():
    config = ForecastConfig(time="t", target="y", horizon=1, every="4")
    panel = panel_of({"t": range(12), "y": range(12)}, config)
    assert panel.target.tolist() == [1.5, 5.5, 9.5]
    assert kinds(panel) == {"resampled": 9}


def test_a_time_stamp_far_away_is_not_filled_up_to():
    columns = {"t": [*range(100), 10_000_000], "y": range(101)}
    with pytest.raises(DataError, match=r"would spread over 10,000,001 steps of 1"):
        panel_of(columns)


def test_rows_as_steps_share_their_calendar():
    config = ForecastConfig(time="t", target="y", series="s", horizon=1, every="row")
    columns = {"t": [1, 2, 9, 11, 1, 9, 11], "y": range(7), "s": list("aaaabbb")}
    panel = panel_of(columns, config)
    assert panel.times.tolist() == [1, 2, 9, 11] * 2
    np.testing.assert_array_equal(panel.target, [0, 1, 2, 3, 4, NAN, 5, 6])


def test_extend_adds_only_the_steps_that_are_not_there():
    panel = panel_of({"t": [1, 2, 3, 1, 2], "y": range(5), "s": list("aaabb")}, MANY)
    longer = panel.extend(np.array([1, 4]), 2)
    assert longer.starts.tolist() == [0, 4, 8]
    assert longer.ticks.tolist() == longer.times.tolist() == [1, 2, 3, 4] * 2
    np.testing.assert_array_equal(longer.target, [0, 1, 2, NAN, 3, 4, NAN, NAN])


def test_weather(weather_csv, weather_config):
    panel = build_panel(read_table(weather_csv, weather_config), weather_config)
    assert panel.grid.every == "1h"
    assert np.diff(panel.starts).tolist() == [8730] * 3
    assert kinds(panel) == {"gap": 75}
    assert np.isnan(panel.target).sum() == 76


def test_stocks_are_rows_and_not_days(stocks_csv):
    config = ForecastConfig(time="Date", target="Close", series="Ticker", horizon=5)
    panel = build_panel(read_table(stocks_csv, config), config)
    assert (panel.grid.every, panel.grid.season) == ("row", 5)
    assert panel.starts[-1] == 12_154
    assert panel.findings == ()
