"""The regular grid of steps that series are put on: how it is found, and its time stamps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gated.data.typed_columns import Clock
from gated.errors import ConfigurationError, DataError, option

Integers = NDArray[np.int64]

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
WEEK, YEAR = 7 * DAY, 31_556_952 * SECOND
MONTHS = {"mo": 1, "q": 3, "y": 12}
DURATIONS = {"us": 1, "ms": 1000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
EPOCH = datetime(1970, 1, 1)
FIRST_TIME, LAST_TIME = -62_135_510_400 * SECOND, 253_402_214_400 * SECOND
"""The days at the ends of the years that Python's calendar has, 1 to 9999."""
ON_GRID = 0.9
"""Share of the time stamps that must lie on the steps found from them."""


@dataclass(frozen=True)
class Grid:
    """Steps of equal length, numbered by ticks."""

    unit: Literal["microsecond", "month", "count", "row"]
    """With `row`, each time stamp in the table is a step, however far apart they are."""
    size: int
    """Units from one step to the next; for `row` the most common difference, in microseconds or
    counts."""
    phase: int
    """Time of tick 0; for `month` the time after the month's beginning, -1 for its last day."""
    clock: Clock
    first_month: int = 0
    """For `month`: month of tick 0, counted from January 1970."""
    nearest: bool = True
    """Whether a time between two ticks belongs to the nearest, or to the one before."""
    weekdays: tuple[int, ...] = ()
    """For `row` of days: the days of the week (Monday 0) on which steps happen."""

    @property
    def local(self) -> bool:
        """Whether steps follow local time, as days and months do, and not UTC."""
        return self.unit == "month" or self.size % DAY == 0

    @property
    def every(self) -> str:
        """The step as text, as `duration` reads it.

        >>> Grid("microsecond", 2 * HOUR, 0, Clock("time", "typed")).every
        '2h'
        """
        if self.unit == "row":
            return "row"
        if self.unit == "count":
            return f"{self.size}"
        units = MONTHS if self.unit == "month" else DURATIONS
        name = next(name for name in reversed(units) if self.size % units[name] == 0)
        return f"{self.size // units[name]}{name}"

    @property
    def season(self) -> int:
        """Steps of the usual cycle: a day for steps below a day, else a week, else a year."""
        if self.clock.unit == "count":
            return 1
        if self.unit == "month":
            return max(12 // self.size, 1)
        if self.unit == "row" and self.weekdays:
            return len(self.weekdays)
        cycle = next((cycle for cycle in (DAY, WEEK, YEAR) if cycle // self.size >= 2), self.size)
        return round(cycle / self.size)

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps of every cycle that the calendar suggests: of an hour, a day, a week, a year.

        A year is 52 weeks, so that it keeps the day of the week; for daily steps also 365 days.

        >>> Grid("microsecond", HOUR, 0, Clock("time", "typed")).seasons
        (24, 168, 8736)
        """
        if self.clock.unit == "count":
            return ()
        if self.unit == "month":
            found = [12 // self.size]
        elif self.unit == "row":
            week = len(self.weekdays) or round(WEEK / self.size)
            found = [week, 52 * week]
        else:
            cycles = (HOUR, DAY, WEEK, 52 * WEEK, *([365 * DAY] if self.size == DAY else []))
            found = [cycle // self.size for cycle in cycles if cycle % self.size == 0]
        return tuple(season for season in found if season > 1)

    def to_wall(self, times: Integers) -> Integers:
        """Convert times to those that this grid counts: local for days and months, else UTC."""
        return wall_times(times, self.clock.zone) if self.local else times

    def ticks(self, times: Integers) -> Integers:
        """Return the tick that each time belongs to."""
        if self.unit == "month":
            return (_months(times) - self.first_month) // self.size
        return (times - self.phase + (self.size // 2 if self.nearest else 0)) // self.size

    def times(self, ticks: Integers) -> Integers:
        """Return the time of each tick."""
        if self.unit != "month":
            return ticks * self.size + self.phase
        months = ticks * self.size + self.first_month
        if self.phase == -1:
            return _month_starts(months + 1) - DAY
        return _month_starts(months) + self.phase

    def following(self, time: int, count: int) -> Integers:
        """Return the `count` steps after `time`; for `row`, on the days of `weekdays`."""
        if self.unit != "row":
            return self.times(self.ticks(np.array([time]))[0] + np.arange(1, count + 1))
        candidates = time + np.arange(1, 7 * count + 8) * self.size
        if self.weekdays:
            candidates = candidates[np.isin(weekday(candidates), self.weekdays)]
        return candidates[:count]

    def dates(self, times: Integers) -> bool:
        """Whether `times` are days, with nothing to say of the hour."""
        return self.clock.unit == "time" and self.local and bool(np.all(times % DAY == 0))

    def values(self, times: Integers) -> list[int] | list[date] | list[datetime]:
        """Return `times` of this grid as counts, dates, or times in the table's zone.

        Raises:
            OverflowError: one is after the year 9999.
        """
        if self.clock.unit == "count":
            return [*map(int, times)]
        if self.dates(times):
            return [(EPOCH + timedelta(microseconds=int(of))).date() for of in times]
        stamps = [EPOCH + timedelta(microseconds=int(of)) for of in times]
        if self.local or self.clock.zone is None:
            return stamps
        zone = _zone(self.clock.zone)
        return [of.replace(tzinfo=UTC).astimezone(zone) for of in stamps]

    def parse(self, given: str | datetime, name: str) -> int:
        """Return the time of this grid for a date or time, in ISO 8601 or as a table may have it.

        Without a zone it is in the zone of the column.

        Raises:
            ConfigurationError: the argument called `name` holds no time.
        """
        try:
            if self.clock.unit == "count":
                return int(str(given))
            stamp = self._stamp(given) if isinstance(given, str) else given
        except ValueError:
            expected = "a whole number" if self.clock.unit == "count" else "a date or time"
            example = "120" if self.clock.unit == "count" else "2013-12-04 or 2013-12-04T06:00"
            raise ConfigurationError(
                f"{option(name)} is '{given}': expected {expected} such as {example}."
            ) from None
        if stamp.tzinfo is None:
            stamp = stamp.replace(tzinfo=_zone(self.clock.zone) if self.clock.zone else UTC)
        utc = np.array([round(stamp.timestamp() * SECOND)], np.int64)
        return int(self.to_wall(utc)[0])

    def _stamp(self, given: str) -> datetime:
        try:
            return datetime.fromisoformat(given)
        except ValueError:
            import polars as pl  # what follows is how tables are read

            from gated.data.timestamps import UnreadableTimeError, read_times

            try:
                times, clock = read_times(pl.Series([given]), earlier=self.clock)
            except UnreadableTimeError as error:
                raise ValueError(error) from error
            if clock.unit == "count":
                raise
            zone = None if clock.zone is None else UTC
            return datetime.fromtimestamp(times[0] / SECOND, UTC).replace(tzinfo=zone)

    def stamps(self, times: Integers) -> NDArray[np.int64] | NDArray[np.datetime64]:
        """Return `times` of this grid as counts or `datetime64`, for the axis of a figure."""
        return times if self.clock.unit == "count" else times.astype("datetime64[us]")

    def label(self, time: int) -> str:
        """Return one time of this grid as text."""
        try:
            return str(self.values(np.array([time], np.int64))[0])
        except (OverflowError, ValueError):  # after the year 9999
            return str(np.datetime64(time, "us"))


def wall_times(times: Integers, zone: str | None) -> Integers:
    """Convert UTC microseconds to local time in `zone`."""
    if zone is None or zone == "UTC" or not len(times):
        return times
    offset = _offsets(zone)
    days, place = np.unique(times // DAY, return_inverse=True)
    # The clocks change on few days: between two midnights with one offset it holds all day.
    bounds = np.array([(offset(day * DAY), offset((day + 1) * DAY)) for day in days.tolist()])
    found: Integers = bounds[place, 0]
    changed = np.flatnonzero((bounds[:, 0] != bounds[:, 1])[place])
    if len(changed):
        moments, of = np.unique(times[changed], return_inverse=True)
        found[changed] = np.array([offset(moment) for moment in moments.tolist()])[of]
    return times + found


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # few tables have a zone, and it takes its time

    return ZoneInfo(name)


@lru_cache(maxsize=16)
def _offsets(zone: str) -> Callable[[int], int]:
    """By what local time in a zone is ahead of UTC at a time, in microseconds; remembered."""
    known = _zone(zone)

    @lru_cache(maxsize=4096)
    def offset(time: int) -> int:
        time = min(max(time, FIRST_TIME), LAST_TIME)
        stamp = datetime.fromtimestamp(time // SECOND, UTC).astimezone(known)
        ahead = stamp.utcoffset()
        return 0 if ahead is None else ahead // timedelta(microseconds=1)

    return offset


def weekday(times: Integers) -> Integers:
    """Return the day of the week, Monday 0 (1970 began on a Thursday)."""
    return (times // DAY + 3) % 7


def _months(times: Integers) -> Integers:
    """Months since January 1970."""
    return times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _month_starts(months: Integers) -> Integers:
    return months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)


def duration(text: str) -> tuple[Literal["microsecond", "month"], int]:
    """Read `15m`, `1h`, `28d` or `3mo`.

    Raises:
        ConfigurationError: `text` is none of these.

    >>> duration("2d")
    ('microsecond', 172800000000)
    """
    match = re.fullmatch(r"(\d+)\s*([a-z]+)", text.strip())
    if match and int(match[1]) > 0:
        if match[2] in DURATIONS:
            return "microsecond", int(match[1]) * DURATIONS[match[2]]
        if match[2] in MONTHS:
            return "month", int(match[1]) * MONTHS[match[2]]
    raise ConfigurationError(
        f"'{text}' is not a length of time. Expected a number and a unit, such as 15m, 1h, 28d, "
        "1w, 3mo or 1y."
    )


def find_grid(times: Integers, series: Integers, clock: Clock, every: str | None) -> Grid:
    """Find the step that most time stamps follow, or place the given step on them.

    Args:
        times: `(N,)` sorted by series and time, as `clock` says.
        series: `(N,)` which series each row belongs to.
        clock: what `times` are.
        every: the step where it is given: a length of time, a count, or `row`.

    Raises:
        DataError: too few of the time stamps follow one step.
        ConfigurationError: `every` does not suit these times.
    """
    wall = wall_times(times, clock.zone)
    differences, same = np.diff(wall), np.diff(series) == 0
    differences = differences[same & (differences > 0)]
    if not len(differences):
        raise DataError("No series has two different time stamps, so there are no steps.")
    if every is not None and every != "row":
        return _given_grid(times, wall, clock, every, float(np.median(differences)))
    sizes, counts = np.unique(differences, return_counts=True)
    size = int(sizes[counts.argmax()])
    daily = clock.unit == "time" and size == DAY
    weekdays = np.unique(weekday(wall)).tolist() if daily else []
    # Filling the weekends of a stock exchange would invent prices.
    idle_days = 0 < len(weekdays) < 7 and wall.max() - wall.min() >= 14 * DAY
    if every == "row" or idle_days:
        return Grid("row", size, 0, clock, weekdays=tuple(weekdays))
    if clock.unit == "count":
        return _fitting(Grid("count", size, _most_common(times % size), clock), times)
    if size >= 28 * DAY:
        months = np.diff(_months(wall))[same]
        if months.any():
            grid = _month_grid(wall, _most_common(months[months > 0]), clock)
            if np.mean(grid.times(grid.ticks(wall)) == wall) >= ON_GRID:
                return grid
    times = wall if size % DAY == 0 else times
    return _fitting(Grid("microsecond", size, _most_common(times % size), clock), times)


def _most_common(values: Integers) -> int:
    distinct, counts = np.unique(values, return_counts=True)
    return int(distinct[counts.argmax()])


def _month_grid(wall: Integers, size: int, clock: Clock) -> Grid:
    """Months by their last day, or by the most common one."""
    months = _months(wall)
    last_days = np.all(wall + DAY == _month_starts(months + 1))
    phase = -1 if last_days else _most_common(wall - _month_starts(months))
    return Grid("month", size, phase, clock, first_month=_most_common(months % size))


def _given_grid(times: Integers, wall: Integers, clock: Clock, every: str, usual: float) -> Grid:
    """`usual` is the median difference: where it is far below the step, steps are averages."""
    if clock.unit == "count":
        if not every.isdecimal() or int(every) < 1:
            raise ConfigurationError(
                f"{option('every')} is '{every}', but the time column holds plain counts: "
                f"expected a whole "
                "number such as 1, or row."
            )
        unit: Literal["microsecond", "month", "count"] = "count"
        size = int(every)
    else:
        unit, size = duration(every)
    finer = usual < 0.5 * size * (28 * DAY if unit == "month" else 1)
    if unit == "month":
        return Grid("month", size, 0, clock) if finer else _month_grid(wall, size, clock)
    times = wall if size % DAY == 0 else times
    if finer:
        monday = 4 * DAY if size % WEEK == 0 else 0
        return Grid(unit, size, monday, clock, nearest=False)
    return Grid(unit, size, _most_common(times % size), clock)


def _fitting(grid: Grid, times: Integers) -> Grid:
    share = float(np.mean((times - grid.phase) % grid.size == 0))
    if share < ON_GRID:
        raise DataError(
            f"The time stamps follow no regular step: the most common one, {grid.every}, holds "
            f"for {share:.0%} of them. Give the step with {option('every')} (what falls "
            f"into one step is "
            f"averaged), or {option('every', 'row')} where each row is a step."
        )
    return grid
