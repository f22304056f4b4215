"""Columns of a raw table as texts, and the check that columns are there and can be read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np
import polars as pl

from gated.data.number_columns import without_markers
from gated.data.raw_table import RawTable
from gated.data.typed_columns import MISSING, TextColumn
from gated.errors import DataError


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
