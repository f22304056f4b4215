"""Columns of a raw table as numbers and as texts; errors name the line of a bad value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.data.findings import RowError
from gated.data.raw_table import RawTable
from gated.errors import DataError

MISSING = ("", "na", "nan", "null", "n/a", "#n/a", "nat", "?", "-")
"""Markers of a missing value, whatever their case."""
MISSING_NUMBER = (*MISSING, "none")
"""Markers in columns of numbers; in columns of texts, `none` may be a category."""
BOOLEANS = {"true": 1.0, "false": 0.0}
LARGEST = 1e30
"""Numbers of a larger magnitude are refused: they are mistakes, and their squares overflow."""
NUMBER_SHARE = 0.9
"""A column with at least this share of numbers is a number column; its other values are errors."""


@dataclass(frozen=True)
class TextColumn:
    """A column of texts, encoded as indices into its sorted distinct values."""

    codes: NDArray[np.int64]
    """`(N,)`, indices into `values`; -1 where the value is missing."""
    values: tuple[str, ...]
    """The distinct values, sorted."""


def is_readable(column: pl.Series) -> bool:
    """Whether a column holds numbers, booleans or texts."""
    return column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.String)


def unreadable(raw: RawTable, name: str, what: str) -> DataError:
    """Return the error for a column of another type; `what` describes it in the message."""
    return DataError(
        f"{raw.name}: column '{name}' holds {raw.frame[name].dtype}, {what}. "
        "Convert it, or leave it out."
    )


def demand_columns(raw: RawTable, names: Iterable[str]) -> None:
    """Make sure that the table has columns of these `names`.

    Raises:
        DataError: one is missing; the message suggests the most similar name.
    """
    for name in names:
        if name in raw.frame.columns:
            continue
        close = difflib.get_close_matches(name, raw.frame.columns, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(
            f"{raw.name} has no column '{name}'.{hint} "
            f"Its columns are: {', '.join(raw.frame.columns)}."
        )


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers, and the rows where that failed."""

    values: pl.Series
    """`(N,)`, null where a value is missing or no number."""
    wrong: pl.Series
    """Indices of the rows whose text is no number."""

    @property
    def plausible(self) -> bool:
        """Whether this is a number column, perhaps with some wrong values."""
        read = self.values.count()
        return read >= NUMBER_SHARE * (read + len(self.wrong))


def parse_numbers(column: pl.Series) -> Numbers:
    """Read a column as numbers; null where a value is missing or no number."""
    if column.dtype != pl.String:
        return Numbers(column.cast(pl.Float64), pl.Series(dtype=pl.UInt32))
    values = column.cast(pl.Float64, strict=False)
    rows = (values.is_null() & column.is_not_null()).arg_true()
    texts = without_markers(column.gather(rows), MISSING_NUMBER)
    flags = texts.str.to_lowercase().replace_strict(BOOLEANS, default=None, return_dtype=pl.Float64)
    found = texts.cast(pl.Float64, strict=False).fill_null(flags)
    wrong = rows.filter(found.is_null() & texts.is_not_null())
    return Numbers(values.scatter(rows, found), wrong)


def without_markers(column: pl.Series, markers: tuple[str, ...]) -> pl.Series:
    """Strip texts of surrounding spaces; null where the value is missing."""
    stripped = column.str.strip_chars()
    return stripped.set(stripped.str.to_lowercase().is_in(markers), None)


def read_numbers(raw: RawTable, name: str, numbers: Numbers) -> NDArray[np.float64]:
    """Return the values, `(N,)`, NaN where one is missing.

    Raises:
        RowError: a value is no number, infinite or too large; the message names its line.
    """
    for _, error in wrong_numbers(raw, name, numbers):
        raise error
    array = numbers.values.fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(array, dtype=np.float64)


def wrong_numbers(raw: RawTable, name: str, numbers: Numbers) -> Iterator[tuple[int, RowError]]:
    """Yield rows whose value is no number, infinite or too large: the index and the error."""
    for row in numbers.wrong:
        text = str(raw.frame[name][row]).strip()
        comma = text.replace(",", "", 1).lstrip("+-").isdecimal()
        advice = "Write decimals with a point" if comma else "Correct it, or leave it empty"
        message = f"{raw.cell(name, row)} is not a number. {advice}."
        yield row, RowError(message, int(raw.lines[row]))
    array = numbers.values.fill_null(float("nan")).to_numpy()
    for row in np.flatnonzero(np.abs(array) > LARGEST).tolist():
        what = "infinite" if np.isinf(array[row]) else "too large"
        message = f"{raw.cell(name, row)} is {what}. Correct it, or leave it empty."
        yield row, RowError(message, int(raw.lines[row]))


def read_texts(column: pl.Series) -> TextColumn:
    """Encode a column of texts; the code of a missing value is -1."""
    return _encode(without_markers(column.cast(pl.String), MISSING))


def _encode(texts: pl.Series) -> TextColumn:
    """Encode texts, with codes in alphabetical order."""
    ranks = texts.rank("dense").cast(pl.Int64).fill_null(0)
    return TextColumn(ranks.to_numpy() - 1, tuple(texts.drop_nulls().unique().sort()))


def read_names(raw: RawTable, name: str | None) -> TextColumn:
    """Return the series of each row, by its name in column `name`.

    Where `name` is None, all rows are of one series without a name.

    Raises:
        DataError: a row names no series.
    """
    if name is None:
        return TextColumn(np.zeros(len(raw.lines), np.int64), ("",))
    column = raw.frame[name]
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = whole if (whole.cast(pl.Float64) == column).all() else column
    # Unlike elsewhere, "NA" is no marker of a missing value here: it may be Namibia.
    texts = column.cast(pl.String).str.strip_chars()
    blank = texts.is_null() | (texts == "")
    if blank.any():
        cell = raw.cell(name, int(blank.arg_true()[0]))
        raise DataError(f"{cell}: the name of the series is missing.")
    return _encode(texts)
