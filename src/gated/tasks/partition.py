"""Predictions where a large table lies: a partition of it at a time, in whatever engine holds it."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import narwhals as nw
import polars as pl

from gated import tasks
from gated.model_files import FILE_NAME
from gated.tasks.learner import Learner

Frame = TypeVar("Frame")

_alone = threading.Lock()
"""A learner keeps what it found in its data: one prediction at a time in a process."""


def predict_partition(frame: Frame, run: str | Path) -> Frame:
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
    columns = {}
    for column in table:
        dtype = column.dtype
        if dtype == pl.Date:
            column = column.cast(pl.Datetime("us"))
        is_zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        columns[column.name] = column.to_list() if is_zoned else column.to_numpy()
    return nw.from_dict(columns, backend=given.implementation).to_native()
