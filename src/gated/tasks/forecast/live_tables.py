"""What a live forecaster is given that has to be read as a table: files, frames, untyped rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import polars as pl

from gated.data.raw_table import Source, open_table
from gated.errors import DataError
from gated.tasks.forecast.live_forecast import observed_ahead
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.preparation import read_panel
from gated.tasks.forecast.preprocessing import Preprocessing


def panel_of_table(data: Any, fitted: Preprocessing) -> Panel:
    """Read a table, or rows as values by the names of the columns; raises as `read_panel`."""
    return read_panel(_table(data), fitted)


def panel_ahead(data: Any, fitted: Preprocessing) -> Panel:
    """Read rows of the future, in which the targets are empty.

    Raises:
        DataError: they are not; or as `read_panel`.
    """
    targets = fitted.config.targets
    table = open_table(_table(data), fitted.config.time).frame
    for target in targets:
        if target in table.columns and table[target].null_count() < table.height:
            raise observed_ahead(target)
    past = (name for name in fitted.number_columns if name in fitted.past_numbers)
    empty = (name for name in past if name not in table.columns)
    absent = [pl.lit(None, pl.Float64).alias(name) for name in (*targets, *empty)]
    past = (name for name in fitted.text_columns if name in fitted.past_texts)
    texts = (name for name in past if name not in table.columns)
    whole = table.with_columns(*absent, *(pl.lit(None, pl.String).alias(of) for of in texts))
    return read_panel(whole, fitted)


def _table(rows: Any) -> Source:
    """Rows as a table."""
    if isinstance(rows, Mapping):
        rows = [rows]
    if not isinstance(rows, list | tuple):
        return cast(Source, rows)
    try:
        return pl.DataFrame([dict(row) for row in rows], infer_schema_length=None)
    except (OverflowError, TypeError, ValueError, pl.exceptions.PolarsError):
        raise DataError(
            "The rows make no table: a column holds a number that is too large, or values of types "
            "that do not go together."
        ) from None
