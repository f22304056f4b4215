from datetime import datetime

import numpy as np
import polars as pl
import pytest

from gated.data.typed_columns import Clock
from gated.errors import ConfigurationError, DataError
from gated.tasks.forecast.grid import DAY, HOUR, find_grid

TIME, COUNT = Clock("time", "typed"), Clock("count", "count")


def stamps(begin, end, every):
    values = pl.datetime_range(
        datetime.fromisoformat(begin), datetime.fromisoformat(end), every, eager=True
    )
    return values.to_physical().to_numpy()


def one_series(times):
    return np.zeros(len(times), np.int64)


def grid_of(times, clock=TIME, every=None):
    return find_grid(times, one_series(times), clock, every)


@pytest.mark.parametrize(
    ("begin", "end", "every", "season"),
    [
        ("2024-01-01", "2024-01-03", "15m", 96),
        ("2024-01-01T00:30", "2024-01-03", "1h", 24),
        ("2024-01-01", "2024-02-03", "1d", 7),
        ("2024-01-05", "2024-04-03", "1w", 52),
        ("2024-01-01", "2026-02-03", "1mo", 12),
        ("2024-01-15", "2026-02-16", "1mo", 12),
        ("2024-02-01", "2026-08-03", "1q", 4),
        ("2004-02-01", "2026-02-03", "1y", 1),
    ],
)
def test_finds_the_step_and_goes_on_with_it(begin, end, every, season):
    times = stamps(begin, end, every)
    seen, coming = times[:-3], times[-3:]
    grid = grid_of(seen)
    assert grid.every == every
    assert grid.season == season
    assert np.diff(grid.ticks(times)).tolist() == [1] * (len(times) - 1)
    np.testing.assert_array_equal(grid.times(grid.ticks(times)), times)
    np.testing.assert_array_equal(grid.following(int(seen[-1]), 3), coming)


def test_last_days_of_months():
    times = stamps("2023-02-01", "2025-03-01", "1mo") - DAY
    grid = grid_of(times[:-1])
    assert grid.following(int(times[-2]), 1).tolist() == times[-1:].tolist()
    assert grid.label(int(times[-1])) == "2025-02-28"


def test_holes_do_not_change_the_step():
    times = stamps("2024-01-01", "2024-01-10", "1h")
    assert grid_of(np.delete(times, [3, 4, 50, 99])).every == "1h"


def test_days_without_weekends_are_rows():
    times = stamps("2024-01-01", "2024-03-01", "1d")
    working = times[(times // DAY + 3) % 7 < 5]
    grid = grid_of(working)
    assert (grid.every, grid.season) == ("row", 5)
    friday = int(np.datetime64("2024-03-01", "us").astype(np.int64))
    following = [grid.label(int(t)) for t in grid.following(friday, 3)]
    assert following == ["2024-03-04", "2024-03-05", "2024-03-06"]


def test_counts():
    grid = grid_of(np.array([5, 15, 25, 45]), COUNT)
    assert grid.every == "10"
    assert grid.following(45, 2).tolist() == [55, 65]
    assert grid.label(55) == "55"


def test_days_follow_the_clock_on_the_wall():
    zone = "Europe/Berlin"
    local = pl.datetime_range(
        datetime(2024, 3, 25), datetime(2024, 4, 10), "1d", time_zone=zone, eager=True
    )
    times = local.dt.cast_time_unit("us").to_physical().to_numpy()
    assert sorted(set(np.diff(times))) == [23 * HOUR, 24 * HOUR]
    grid = grid_of(times, Clock("time", "typed", zone))
    assert grid.every == "1d"
    assert set(np.diff(grid.ticks(grid.to_wall(times)))) == {1}
    assert grid.label(int(grid.to_wall(times)[0])) == "2024-03-25"


def test_hours_follow_utc_and_are_labelled_in_the_zone():
    zone = "Europe/Berlin"
    grid = grid_of(stamps("2024-03-30", "2024-04-01", "1h"), Clock("time", "typed", zone))
    before = int(np.datetime64("2024-03-31T00:00", "us").astype(np.int64))
    labels = [grid.label(int(time)) for time in grid.following(before, 2)]
    assert labels == ["2024-03-31 03:00:00+02:00", "2024-03-31 04:00:00+02:00"]


def test_a_given_step_coarser_than_the_data():
    times = stamps("2024-01-01T00:00", "2024-01-01T03:00", "10m")
    ticks = grid_of(times, every="1h").ticks(times)
    assert np.bincount(ticks - ticks[0]).tolist() == [6, 6, 6, 1]
    days = stamps("2024-01-01", "2024-02-04", "1d")
    weeks = grid_of(days, every="1w")
    assert {weeks.label(int(t)) for t in weeks.times(weeks.ticks(days[:7]))} == {"2024-01-01"}
    assert grid_of(days, every="1mo").ticks(days).tolist() == [648] * 31 + [649] * 4


def test_stamps_that_shake_go_to_the_nearest_step():
    times = stamps("2024-01-01", "2024-01-02", "1m")
    shaken = times + np.random.default_rng(0).integers(-9, 9, len(times)) * 1_000_000
    with pytest.raises(DataError, match="no regular step"):
        grid_of(shaken)
    ticks = grid_of(shaken, every="1m").ticks(shaken)
    assert set(np.diff(ticks)) == {1}


def test_every_row_is_a_step():
    assert grid_of(np.array([1, 2, 7, 8]), COUNT, "row").every == "row"


@pytest.mark.parametrize(
    ("clock", "every", "error", "message"),
    [
        (TIME, "1x", ConfigurationError, "'1x' is not a length of time"),
        (TIME, "0d", ConfigurationError, "'0d' is not a length of time"),
        (COUNT, "1h", ConfigurationError, "plain counts"),
        (COUNT, "0", ConfigurationError, "plain counts"),
    ],
)
def test_steps_that_cannot_be(clock, every, error, message):
    with pytest.raises(error, match=message):
        grid_of(stamps("2024-01-01", "2024-01-10", "1h"), clock, every)


def test_no_two_stamps():
    with pytest.raises(DataError, match="no steps"):
        grid_of(np.array([5, 5]))


@pytest.mark.parametrize("given", ["2013-12-04", "4 Dec 2013", "04.12.2013", "20131204"])
def test_a_date_is_given_as_a_table_may_have_it(given):
    grid = grid_of(stamps("2013-12-01", "2013-12-09", "1d"))
    assert grid.label(grid.parse(given, "start")) == "2013-12-04"
    with pytest.raises(ConfigurationError, match="start is '04/05/2013'"):
        grid.parse("04/05/2013", "start")
