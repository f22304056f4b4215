"""Time stamps of any usual form as microseconds or counts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.data.columns import NUMBER_SHARE
from gated.errors import DataError, option

DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d %B %Y",
    "%d-%B-%Y",
    "%B %d, %Y",
    "%B %d %Y",
)
TIMES = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "%H%M%S")
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%B %Y", "%B-%Y")
FORMATS = (
    *(f"{date}{time}" for date, time in product(DATES, TIMES)),
    *(f"{date}{time}%#z" for date, time in product(DATES, TIMES[1:])),
    *MONTHS,
)
REWRITTEN = {
    r"^(\S*\d)T(\d)": "$1 $2",
    r" ?(UTC|GMT)$": "Z",
    r"^(\d{4})[- ]?Q1$": "$1-01",
    r"^(\d{4})[- ]?Q2$": "$1-04",
    r"^(\d{4})[- ]?Q3$": "$1-07",
    r"^(\d{4})[- ]?Q4$": "$1-10",
}
"""Ways to write a time, and the one way that `FORMATS` reads."""
UNIX_UNITS = {"seconds": 1_000_000, "milliseconds": 1000, "microseconds": 1, "nanoseconds": 1}
"""Microseconds in each unit (nanoseconds are divided first)."""
EARLIEST_UNIX, LATEST_UNIX = 10**8, 4_102_444_800  # March 1973 and January 2100, in seconds
SAMPLE = 200


@dataclass(frozen=True)
class Clock:
    """Unit, format and zone of a time column."""

    unit: Literal["time", "count"]
    """`time`: microseconds since 1970 in UTC. `count`: steps of a plain counter."""
    form: str
    """A strptime format, a Unix unit, `count`, or `typed` for a column of a time type."""
    zone: str | None = None
    """Time zone of the column, if it has one."""


class UnreadableTimeError(Exception):
    """Some values are no times: indices of their rows, and the error of the first."""

    def __init__(self, rows: pl.Series, reason: str) -> None:
        super().__init__(f"row {rows[0]} {reason}")
        self.rows, self.reason = rows.to_list(), reason


def read_times(
    column: pl.Series, time_format: str | None = None, earlier: Clock | None = None
) -> tuple[NDArray[np.int64], Clock]:
    """Return the times `(N,)` of `column`, and their clock.

    Args:
        column: dates, times, texts or whole numbers.
        time_format: strptime format of texts; by default it is found.
        earlier: how the time was read when the model was fitted; decides where two formats fit.

    Raises:
        UnreadableTimeError: a value is missing, or not a time.
        DataError: the column's type is no time, or days and months cannot be told apart.
    """
    if column.null_count():
        raise UnreadableTimeError(column.is_null().arg_true(), "is missing")
    if isinstance(column.dtype, pl.Datetime):
        microseconds = column.dt.cast_time_unit("us").to_physical().to_numpy()
        return microseconds, Clock("time", "typed", column.dtype.time_zone)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).to_physical().to_numpy(), Clock("time", "typed")
    if column.dtype == pl.String:
        stripped = column.str.strip_chars()
        counts = stripped.cast(pl.Int64, strict=False)
        wrong = counts.is_null()
        if time_format is not None or wrong.sum() > (1 - NUMBER_SHARE) * len(counts):
            return _read_texts(stripped, time_format, earlier)
        if wrong.any():
            raise UnreadableTimeError(wrong.arg_true(), "is not a whole number, as the others are")
        column = counts
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        odd = (whole.cast(pl.Float64) != column).fill_null(True)
        if odd.any():
            raise UnreadableTimeError(odd.arg_true(), "is not a whole number or a date")
        column = whole
    if column.dtype.is_integer():
        return _read_integers(column.cast(pl.Int64, strict=False), earlier)
    raise DataError(
        f"column '{column.name}' holds {column.dtype}, which cannot be a time. "
        "Expected dates, times, texts such as 2024-03-31 14:00, or whole numbers."
    )


def _read_integers(column: pl.Series, earlier: Clock | None) -> tuple[NDArray[np.int64], Clock]:
    """Compact dates (20240331), Unix times, or plain counters."""
    if column.null_count():
        raise UnreadableTimeError(column.is_null().arg_true(), "is too large a number")
    counts = column.to_numpy()
    form = _integer_form(column)
    if earlier is not None and earlier.form in (*UNIX_UNITS, "count", "%Y%m%d"):
        form = earlier.form
    if form in UNIX_UNITS:
        microseconds = counts // 1000 if form == "nanoseconds" else counts * UNIX_UNITS[form]
        return microseconds, Clock("time", form)
    if form == "count":
        if len(counts) and np.abs(counts.astype(np.float64)).max() > 2**53:
            raise UnreadableTimeError(
                column.abs().eq(column.abs().max()).arg_true(), "is too large a counter"
            )
        return counts, Clock("count", "count")
    return _read_texts(column.cast(pl.String), "%Y%m%d", None)


def _integer_form(column: pl.Series) -> str:
    counts = column.to_numpy()
    if not len(counts):
        return "count"
    low, high = int(counts.min()), int(counts.max())
    if (
        low >= 19000101
        and high <= 21001231
        and _parse(column.cast(pl.String), "%Y%m%d").null_count() == 0
    ):
        return "%Y%m%d"
    for unit, per_second in zip(UNIX_UNITS, (1, 10**3, 10**6, 10**9), strict=True):
        if low >= EARLIEST_UNIX * per_second and high <= LATEST_UNIX * per_second:
            return unit
    return "count"


def _read_texts(
    column: pl.Series, time_format: str | None, earlier: Clock | None
) -> tuple[NDArray[np.int64], Clock]:
    texts = _normalise(column) if time_format is None else column
    formats = (time_format,) if time_format is not None else _plausible_formats(texts)
    readings = {form: _parse(texts, form) for form in formats}
    complete = {form: times for form, times in readings.items() if times.null_count() == 0}
    if not complete:
        best = min(readings, key=lambda form: readings[form].null_count())
        rows = readings[best].is_null().arg_true()
        expected = best if readings[best].null_count() < len(column) else "2024-03-31 14:00"
        raise UnreadableTimeError(rows, f"is not a time; expected one such as {expected}")
    if earlier is not None and earlier.form in complete:
        form = earlier.form
    else:
        form = next(iter(complete))
        others = [other for other in complete if not complete[other].equals(complete[form])]
        if others:
            raise DataError(
                f"column '{column.name}': times such as {column[0]!r} can be read as {form} or as "
                f"{others[0]}, and no row tells which. Say so with "
                f"{option('time_format')}."
            )
    return complete[form].to_numpy(), Clock("time", form, "UTC" if form.endswith("z") else None)


def _plausible_formats(texts: pl.Series) -> list[str]:
    """The formats that read most of a sample, all of them where several read the same number."""
    sample = texts if len(texts) <= SAMPLE else texts.gather_every(len(texts) // SAMPLE)
    failures = {form: _parse(sample, form).null_count() for form in FORMATS}
    fewest = min(failures.values())
    return [form for form, count in failures.items() if count == fewest]


def _parse(texts: pl.Series, form: str) -> pl.Series:
    """Microseconds, null where `form` does not fit."""
    if form in MONTHS:
        texts, form = pl.Series(texts.name, "01 " + texts), f"%d {form}"
    times = texts.str.to_datetime(form, time_unit="us", strict=False, exact=True)
    times = times.to_physical()
    earliest = -30_610_224_000_000_000  # the year 1000: chrono reads 24 as the year 24
    return times.set(times < earliest, None)


def _normalise(column: pl.Series) -> pl.Series:
    """One way to write what ISO 8601 and others write in several."""
    for pattern, replacement in REWRITTEN.items():
        if column.head(SAMPLE).str.contains(pattern).any():
            column = column.str.replace(pattern, replacement)
    return column
