from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from gated.data.timestamps import UnreadableTimeError, read_times
from gated.data.typed_columns import Clock
from gated.errors import DataError


def times(*texts):
    return [np.datetime64(text, "us").astype(np.int64) for text in texts]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["2024-03-31", "2024-04-01"], ["2024-03-31", "2024-04-01"]),
        (["2024-03-31T14:00:00Z"], ["2024-03-31T14:00"]),
        (["2024-03-31_14:00", "2024-03-31 15:00"], ["2024-03-31T14", "2024-03-31T15"]),
        (["2024-03-31 24:00", "2024-04-01 01:00"], ["2024-04-01", "2024-04-01T01"]),
        (["31.12.2024 24:00:00"], ["2025-01-01"]),
        (["31.03.2024, 14:00"], ["2024-03-31T14:00"]),
        (["2024-03-31 14h30"], ["2024-03-31T14:30"]),
        (["2024-03-31 14:00:00,25"], ["2024-03-31T14:00:00.25"]),
        (["31 Mar 2024 2:30PM", "31 Mar 2024 2 p.m."], ["2024-03-31T14:30", "2024-03-31T14"]),
        (["2024-03-31 14:00 (UTC)"], ["2024-03-31T14:00"]),
        (["2024-03-31T14:00+02:00[Europe/Berlin]"], ["2024-03-31T12:00"]),
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
        (["Jan-01-2000", "Jan-02-2000"], ["2000-01-01", "2000-01-02"]),
        (["January 2nd, 2000", "Jan 3, 2000"], ["2000-01-02", "2000-01-03"]),
        (["31-Jan-00", "29-Feb-00"], ["2000-01-31", "2000-02-29"]),
        (["31MAR2024"], ["2024-03-31"]),
        (["Sun, 31 Mar 2024", "Monday, 1 April 2024"], ["2024-03-31", "2024-04-01"]),
        (["31. März 2024", "1. Mai 2024"], ["2024-03-31", "2024-05-01"]),
        (["1er août 2024", "31 déc. 2024"], ["2024-08-01", "2024-12-31"]),
        (["31 de marzo de 2024"], ["2024-03-31"]),
        (["2024年3月31日", "2024年4月1日"], ["2024-03-31", "2024-04-01"]),
        (["２０２４-０３-３１", "2024-04-01\u00a0"], ["2024-03-31", "2024-04-01"]),
        (["3/31/24", "4/1/24"], ["2024-03-31", "2024-04-01"]),
        (["30/01/24", "31/01/24", "01/02/24"], ["2024-01-30", "2024-01-31", "2024-02-01"]),
        (["Jan-00", "Feb-00"], ["2000-01-01", "2000-02-01"]),
        (["Jan-49", "Dec-60"], ["1949-01-01", "1960-12-01"]),
        (["Jan. 2000", "Sept 2000"], ["2000-01-01", "2000-09-01"]),
        (["01/2000", "12/2000"], ["2000-01-01", "2000-12-01"]),
        (["2000M01", "2000M12"], ["2000-01-01", "2000-12-01"]),
        (["2000.01", "2000.10"], ["2000-01-01", "2000-10-01"]),
        (["2000年1月"], ["2000-01-01"]),
        (["Q1 2000", "Q4 2000"], ["2000-01-01", "2000-10-01"]),
        (["2Q00", "3Q00"], ["2000-04-01", "2000-07-01"]),
        (["2000年第1季度"], ["2000-01-01"]),
        (["2000-S1", "2000-S2"], ["2000-01-01", "2000-07-01"]),
        (["2000-W05", "2000W6"], ["2000-01-31", "2000-02-07"]),
        ([200001, 200002, 200012], ["2000-01-01", "2000-02-01", "2000-12-01"]),
        ([2024033101, 2024033102, 2024033103],
         ["2024-03-31T01", "2024-03-31T02", "2024-03-31T03"]),
        ([202403311400], ["2024-03-31T14"]),
        ([36526, 36557, 36586], ["2000-01-01", "2000-02-01", "2000-03-01"]),
        ([36526.5, 36527.0], ["2000-01-01T12", "2000-01-02"]),
        (["36526.25", "36527"], ["2000-01-01T06", "2000-01-02"]),
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


def test_days_of_excel_that_may_be_a_count():
    column = pl.Series("t", [36526, 36527, 36528])
    with pytest.raises(DataError, match=r"36526 is 2000-01-01.*'count' or time_format='excel'"):
        read_times(column)
    assert read_times(column, "excel")[0][0] == times("2000-01-01")[0]
    assert read_times(column.cast(pl.String), "excel")[0][0] == times("2000-01-01")[0]
    assert read_times(column.alias("Date"))[0][0] == times("2000-01-01")[0]
    assert read_times(column, "count")[0].tolist() == [36526, 36527, 36528]
    _, clock = read_times(column, "excel")
    assert read_times(pl.Series([40000]), earlier=clock)[0].tolist() == times("2009-07-06")
    # Working days only, as of an exchange.
    days = [45292 + day for day in range(28) if day % 7 < 5]
    assert read_times(pl.Series(days))[1].form == "excel"


def test_years_of_two_digits_that_come_first():
    column = pl.Series(["24-01-30", "24-01-31", "24-02-01"])
    with pytest.raises(DataError, match=r"%d-%m-%y or as %y-%m-%d.*Say so with time_format"):
        read_times(column)
    assert read_times(column, "%y-%m-%d")[0][0] == times("2024-01-30")[0]
    assert read_times(pl.Series(["24-01-30", "97-12-31"]))[0].tolist() == times(
        "2024-01-30", "1997-12-31"
    )


def test_days_without_a_year():
    with pytest.raises(DataError, match=r"'Jan-30' seem to be days without their year"):
        read_times(pl.Series(["Jan-30", "Jan-31", "Feb-01"]))
    with pytest.raises(UnreadableTimeError, match="with its year"):
        read_times(pl.Series(["5-Jan", "6-Jan"]))


def test_days_of_a_zone_begin_at_its_midnight():
    days = pl.Series(["2024-03-30T00:00:00+01:00", "2024-04-01T00:00:00+02:00"])
    found, clock = read_times(days)
    assert found.tolist() == times("2024-03-30", "2024-04-01")
    assert clock.zone is None
    hours = pl.Series(["2024-03-30T00:00:00-05:00", "2024-03-30T01:00:00-05:00"])
    found, clock = read_times(hours)
    assert found.tolist() == times("2024-03-30T05", "2024-03-30T06")
    assert clock.zone == "Etc/GMT+5"
    assert read_times(days, earlier=clock)[0].tolist() == times("2024-03-29T23", "2024-03-31T22")


def test_every_row_of_a_text_that_is_no_time_is_named():
    column = pl.Series(["2024-01-01", "soon", "2024-01-02", "soon"])
    with pytest.raises(UnreadableTimeError, match="as in '2024-01-01'") as caught:
        read_times(column)
    assert caught.value.rows == [1, 3]


def test_day_and_month_that_cannot_be_told_apart():
    column = pl.Series("t", ["01/02/2024", "01/03/2024"])
    with pytest.raises(
        DataError, match=r"'01/02/2024' can be read as %d/%m/%Y or as %m/%d/%Y.*day_first=True"
    ):
        read_times(column)
    assert read_times(column, day_first=True)[0][0] == times("2024-02-01")[0]
    assert read_times(column, day_first=False)[0][0] == times("2024-01-02")[0]
    assert read_times(pl.Series(["31/01/2024"]), day_first=False)[0].tolist() == times("2024-01-31")
    assert read_times(column, "%d/%m/%Y")[0].tolist() == times("2024-02-01", "2024-03-01")
    _, clock = read_times(pl.Series(["01/31/2024"]))
    assert read_times(column, earlier=clock)[0].tolist() == times("2024-01-02", "2024-01-03")


@pytest.mark.parametrize(
    ("values", "row", "reason"),
    [
        (["2024-01-01", "2024-02-30"], 1, "expected one such as %Y-%m-%d"),
        (["2024-01-01", None], 1, "missing"),
        (["soon", "later"], 0, "expected one such as 2024-03-31"),
        (["13/01/2024", "01/31/2024"], 1, r"%d/%m/%Y, as in '13/01/2024'"),
        (["2024-01-01", "2024-01-02", "01/02/2024"], 2, "%Y-%m-%d"),
        (["31 CET 2024"], 0, "not a time"),
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
