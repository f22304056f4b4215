"""Predictions where a large table lies, a partition of it at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from gated import tasks
from gated.data.raw_table import kind_of
from gated.model_files import FILE_NAME
from gated.tasks.learner import Learner

MOST_ROWS = 500_000
"""Rows of a table that are predicted for together; of more, whole series at a time."""

_alone = threading.Lock()
"""A learner keeps what it found in its data: one prediction at a time in a process."""


def predict_partition(frame: Any, run: str | Path) -> Any:
    """Predict for a partition of a larger table, by the run that is read once in each process.

    For engines that hold a table in partitions, such as Dask, Spark or Ray: a plain function of
    the partition, which can be pickled, and of which each call stands by itself. Of time series,
    a partition holds whole series.

    Args:
        frame: rows of the form that the run was trained on, as a pandas or polars frame.
        run: directory of the run, to be found under this name wherever a partition is.

    Returns:
        What `predict` returns for these rows, as a frame of the same library; without rows, no
        rows of the same columns and types.

    Raises:
        DataError: the partition cannot be used; the message names the row or column.
        ModelFileError: there is no trained run of this name.
    """
    path = Path(run).absolute()
    given = nw.from_native(frame, eager_only=True)
    with _alone:
        learner = _learner(path, _written(path))
        table = learner.predict(frame) if len(given) else learner.no_predictions()
    return _like(table, given)


def _written(path: Path) -> int:
    """When the run was written: another one of the same name is read anew."""
    document = path / FILE_NAME
    return document.stat().st_mtime_ns if document.exists() else 0


@lru_cache(maxsize=4)
def _learner(path: Path, written: int) -> Learner[Any, Any, Any]:
    return tasks.load(path)


def _like(table: pl.DataFrame, given: nw.DataFrame[Any]) -> Any:
    """Return a polars frame in the library of another one, which need not have Arrow."""
    if given.implementation.is_polars():
        return table
    table = table.with_columns(pl.col(pl.Date).cast(pl.Datetime("us")))  # pandas has no dates
    schema = nw.from_native(table).schema
    columns = {
        column.name: column.to_list()
        if column.dtype == pl.String or getattr(column.dtype, "time_zone", None)
        else column.to_numpy()
        for column in table
    }
    return nw.from_dict(columns, schema, backend=given.implementation).to_native()


def is_large(source: Path) -> bool:
    """Whether a source is a Parquet file of more rows than are predicted for together."""
    if not source.is_file() or kind_of(source) != "parquet":
        return False
    try:
        return int(pl.scan_parquet(source).select(pl.len()).collect().item()) > MOST_ROWS
    except pl.exceptions.PolarsError:
        return False  # the reader says what is wrong with it


def series_in_parts(
    path: Path, series: str, most_rows: int | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a Parquet file in parts that have whole series, in no order of series.

    The file is read once for each part, a piece at a time, so that memory holds one part and no
    more, however long the file is.

    Args:
        path: of the file.
        series: column that names the series.
        most_rows: rows of a part, about, by default `MOST_ROWS`; a single series is not divided.
    """
    table = pl.scan_parquet(path)
    rows = table.select(pl.len()).collect().item()
    parts = -(-rows // (most_rows or MOST_ROWS))
    for part in range(parts):
        some = table.filter(pl.col(series).hash() % parts == part).collect(engine="streaming")
        if len(some):
            yield some
