import numpy as np
import pytest

from gated.data.typed_columns import Clock
from gated.tasks.forecast.calendar_features import (
    calendar_features,
    choose_cycles,
    repeats_the_time,
)
from gated.tasks.forecast.grid import DAY, HOUR, WEEK, YEAR, Grid

UTC = Clock("time", "typed")
HOURLY = Grid("microsecond", HOUR, 0, UTC)


def micros(text):
    return np.array([np.datetime64(text, "us").astype(np.int64)])


@pytest.mark.parametrize(
    ("grid", "span", "cycles"),
    [
        (HOURLY, 2 * YEAR, ("day", "week", "year")),
        (HOURLY, 10 * DAY, ("day", "week")),
        (Grid("microsecond", DAY, 0, UTC), 2 * YEAR, ("week", "year")),
        (Grid("row", DAY, 0, UTC, weekdays=(0, 1, 2, 3, 4)), 2 * YEAR, ("week", "year")),
        (Grid("microsecond", WEEK, 0, UTC), 2 * YEAR, ("year",)),
        (Grid("month", 1, 0, UTC), 2 * YEAR, ("year",)),
        (Grid("month", 12, 0, UTC), 9 * YEAR, ()),
        (Grid("count", 1, 0, Clock("count", "count")), 9 * YEAR, ()),
    ],
)
def test_cycles_are_those_that_the_steps_divide(grid, span, cycles):
    assert choose_cycles(grid, span) == cycles


@pytest.mark.parametrize(
    ("cycle", "time", "quarter"),
    [
        ("day", "2024-05-07T00:00", 0),
        ("day", "2024-05-07T06:00", 1),
        ("day", "1969-05-07T18:00", 3),
        ("week", "2024-05-06T00:00", 0),  # a Monday
        ("week", "2024-05-09T12:00", 2),
        ("year", "2023-01-01T00:00", 0),
        ("year", "2024-07-02T00:00", 2),  # the middle of a leap year
        ("year", "2023-07-02T12:00", 2),
    ],
)
def test_phases(cycle, time, quarter):
    sine, cosine = calendar_features(HOURLY, micros(time), (cycle,))[0]
    expected = [(0, 1), (1, 0), (0, -1), (-1, 0)][quarter]
    np.testing.assert_allclose((sine, cosine), expected, atol=1e-9)


def test_the_day_is_that_of_the_zone():
    berlin = Grid("microsecond", HOUR, 0, Clock("time", "typed", "Europe/Berlin"))
    features = calendar_features(berlin, micros("2024-07-01T22:00"), ("day",))
    np.testing.assert_allclose(features, [[0, 1]], atol=1e-9)  # midnight in summer time


def test_no_cycles_no_columns():
    assert calendar_features(HOURLY, micros("2024-01-01"), ()).shape == (1, 0)


def test_columns_that_repeat_the_time_are_found():
    times = micros("2023-01-01") + np.arange(9000) * HOUR
    stamps = times.astype("datetime64[us]")
    months = stamps.astype("datetime64[M]")
    parts = {
        "month": months.astype(int) % 12 + 1,
        "day": (stamps.astype("datetime64[D]") - months).astype(int) + 1,
        "hour": times // HOUR % 24,
        "hour elsewhere": (times // HOUR - np.where(np.arange(9000) < 3000, 5, 4)) % 24,
        "weekday": (times // DAY + 3) % 7,
        "day of the year": (stamps - stamps.astype("datetime64[Y]")).astype(int) // DAY + 1,
    }
    for name, part in parts.items():
        assert repeats_the_time(HOURLY, times, part.astype(float)), name
    rng = np.random.default_rng(0)
    others = {
        "counter": np.arange(9000),
        "flag": rng.random(9000) < 0.02,
        "uniform": rng.integers(0, 24, 9000),
        "noon flag": times // HOUR % 24 == 12,
        "fraction": (times // HOUR % 24) + 0.5,
    }
    for name, values in others.items():
        assert not repeats_the_time(HOURLY, times, values.astype(float)), name
