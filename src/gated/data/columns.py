"""Columns of a raw table as numbers and as texts, each mistake named with its line."""

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
"""The same among numbers; among texts, none may well be a category."""
BOOLEANS = {"true": 1.0, "false": 0.0}
LARGEST = 1e30
"""Numbers beyond this are mistakes, and their squares would overflow."""
NUMBER_SHARE = 0.9
"""A column in which so many of the values are numbers is a number column, the others mistakes."""


@dataclass(frozen=True)
class TextColumn:
    """A column of texts, as places in the sorted list of its different values."""

    codes: NDArray[np.int64]
    """`(N,)`, -1 where the value is missing."""
    values: tuple[str, ...]


def is_readable(column: pl.Series) -> bool:
    """Whether a column holds numbers, truths or texts."""
    return column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.String)


def unreadable(raw: RawTable, name: str, what: str) -> DataError:
    """Say that a column holds something else, which is `what`."""
    return DataError(
        f"{raw.name}: column '{name}' holds {raw.frame[name].dtype}, {what}. "
        "Convert it, or leave it out."
    )


def demand_columns(raw: RawTable, names: Iterable[str]) -> None:
    """Make sure that there are columns of these `names`.

    Raises:
        DataError: there is none; the message knows what name may be meant.
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
    """A column read as numbers, and where that failed."""

    values: pl.Series
    wrong: pl.Series
    """Rows whose text is no number."""

    @property
    def plausible(self) -> bool:
        """Whether this is a number column, with some mistakes perhaps."""
        read = self.values.count()
        return read >= NUMBER_SHARE * (read + len(self.wrong))


def parse_numbers(column: pl.Series) -> Numbers:
    """Read a column as numbers as far as it holds some; markers of missing values are null."""
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
    """Texts stripped, null where the value is missing."""
    stripped = column.str.strip_chars()
    return stripped.set(stripped.str.to_lowercase().is_in(markers), None)


def read_numbers(raw: RawTable, name: str, numbers: Numbers) -> NDArray[np.float64]:
    """Return `(N,)`, NaN where a value is missing.

    Raises:
        RowError: a value is no number, or infinite; the message names its line.
    """
    for _, error in wrong_numbers(raw, name, numbers):
        raise error
    array = numbers.values.fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(array, dtype=np.float64)


def wrong_numbers(raw: RawTable, name: str, numbers: Numbers) -> Iterator[tuple[int, RowError]]:
    """Yield the places of values that are no numbers, or infinite, and what is wrong."""
    for row in numbers.wrong:
        text = str(raw.frame[name][row]).strip()
        comma = text.replace(",", "", 1).lstrip("+-").isdecimal()
        advice = "Write decimals with a point" if comma else "Mend it, or leave it empty"
        told = f"{raw.cell(name, row)} is not a number. {advice}."
        yield row, RowError(told, int(raw.lines[row]))
    array = numbers.values.fill_null(float("nan")).to_numpy()
    for row in np.flatnonzero(np.abs(array) > LARGEST).tolist():
        what = "infinite" if np.isinf(array[row]) else "too large"
        told = f"{raw.cell(name, row)} is {what}. Mend it, or leave it empty."
        yield row, RowError(told, int(raw.lines[row]))


def read_texts(column: pl.Series) -> TextColumn:
    """Read a column as texts; markers of missing values have no code."""
    return _encode(without_markers(column.cast(pl.String), MISSING))


def _encode(texts: pl.Series) -> TextColumn:
    """Codes in alphabetical order."""
    ranks = texts.rank("dense").cast(pl.Int64).fill_null(0)
    return TextColumn(ranks.to_numpy() - 1, tuple(texts.drop_nulls().unique().sort()))


def read_names(raw: RawTable, name: str | None) -> TextColumn:
    """Return which series each row is of; all are of one without a name where `name` is None.

    Raises:
        DataError: a row does not say.
    """
    if name is None:
        return TextColumn(np.zeros(len(raw.lines), np.int64), ("",))
    column = raw.frame[name]
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = whole if (whole.cast(pl.Float64) == column).all() else column
    # Here alone NA is a name: Namibia, North America.
    texts = column.cast(pl.String).str.strip_chars()
    blank = texts.is_null() | (texts == "")
    if blank.any():
        cell = raw.cell(name, int(blank.arg_true()[0]))
        raise DataError(f"{cell}: the name of the series is missing.")
    return _encode(texts)
