from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from gated.errors import DataError
from gated.tasks.forecast.timestamps import Clock, UnreadableTimeError, read_times


def times(*texts):
    return [np.datetime64(text, "us").astype(np.int64) for text in texts]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["2024-03-31", "2024-04-01"], ["2024-03-31", "2024-04-01"]),
        (["2024-03-31T14:00:00Z"], ["2024-03-31T14:00"]),
        (["2024-03-31T14:00:00+02:00", "2024-10-31T14:00:00+0100"],
         ["2024-03-31T12", "2024-10-31T13"]),
        (["2024-03-31 14:00:00.25", "2024-03-31 14:00:01"],
         ["2024-03-31T14:00:00.25", "2024-03-31T14:00:01"]),
        (["2024-03-31 14:00"], ["2024-03-31T14:00"]),
        (["2024-03-31 14:00:00 UTC"], ["2024-03-31T14:00"]),
        (["31/03/2024", "01/04/2024"], ["2024-03-31", "2024-04-01"]),
        (["03/31/2024 2:30 PM"], ["2024-03-31T14:30"]),
        (["31.3.2024", "1.4.2024"], ["2024-03-31", "2024-04-01"]),
        (["2024/03/31"], ["2024-03-31"]),
        (["31 March 2024", "1 Apr 2024"], ["2024-03-31", "2024-04-01"]),
        (["Mar 31, 2024"], ["2024-03-31"]),
        (["2024-03", "2024-04"], ["2024-03-01", "2024-04-01"]),
        (["Mar 2024"], ["2024-03-01"]),
        (["2024-Q1", "2024Q4"], ["2024-01-01", "2024-10-01"]),
        (["20240331", "20240401"], ["2024-03-31", "2024-04-01"]),
        (["1711893600", "1711897200"], ["2024-03-31T14", "2024-03-31T15"]),
        ([1711893600000], ["2024-03-31T14"]),
        ([1711893600000000000], ["2024-03-31T14"]),
        ([date(2024, 3, 31)], ["2024-03-31"]),
        ([datetime(2024, 3, 31, 14)], ["2024-03-31T14"]),
        (pl.Series([datetime(2024, 3, 31, 14)], dtype=pl.Datetime("ns")), ["2024-03-31T14"]),
    ],
    ids=str,
)  # fmt: skip
def test_usual_ways_to_write_a_time(written, meant):
    found, clock = read_times(pl.Series("t", written))
    assert found.tolist() == times(*meant)
    assert clock.unit == "time"


@pytest.mark.parametrize("counts", [[0, 1, 2], ["7", "8"], [1.0, 2.0], [1998, 1999], [-3, 5]])
def test_plain_counts(counts):
    found, clock = read_times(pl.Series(counts))
    assert found.tolist() == [int(count) for count in counts]
    assert clock == Clock("count", "count")


def test_day_and_month_that_cannot_be_told_apart():
    column = pl.Series("t", ["01/02/2024", "01/03/2024"])
    with pytest.raises(DataError, match=r"'01/02/2024' can be read as %d/%m/%Y or as %m/%d/%Y"):
        read_times(column)
    assert read_times(column, "%d/%m/%Y")[0].tolist() == times("2024-02-01", "2024-03-01")
    _, clock = read_times(pl.Series(["01/31/2024"]))
    assert read_times(column, earlier=clock)[0].tolist() == times("2024-01-02", "2024-01-03")


@pytest.mark.parametrize(
    ("values", "row", "reason"),
    [
        (["2024-01-01", "2024-02-30"], 1, "expected one such as %Y-%m-%d"),
        (["2024-01-01", None], 1, "missing"),
        (["soon", "later"], 0, "expected one such as 2024-03-31"),
        (["5/6/24"], 0, "not a time"),
        ([1.5, 2.0], 0, "not a whole number"),
        ([1.0, float("nan")], 1, "not a whole number"),
        ([2, 2**60], 1, "too large"),
    ],
)
def test_the_row_that_is_no_time_is_named(values, row, reason):
    with pytest.raises(UnreadableTimeError, match=reason) as caught:
        read_times(pl.Series("t", values, strict=False))
    assert caught.value.rows[0] == row


def test_a_wrong_format_of_ones_own():
    with pytest.raises(UnreadableTimeError, match="expected one such as"):
        read_times(pl.Series("t", ["2024-01-01"]), "%d/%m/%Y")


def test_a_column_that_is_no_time():
    with pytest.raises(DataError, match="column 't' holds Boolean"):
        read_times(pl.Series("t", [True]))


def test_zone_is_kept():
    column = pl.Series([datetime(2024, 3, 31, 1)]).dt.replace_time_zone("Europe/Berlin")
    found, clock = read_times(column)
    assert found.tolist() == times("2024-03-31T00:00")
    assert clock.zone == "Europe/Berlin"
