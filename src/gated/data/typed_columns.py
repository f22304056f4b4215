"""What columns of a table are once they are read, as arrays; and what stands for no value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MISSING = ("", "na", "nan", "null", "n/a", "#n/a", "nat", "?", "-")
"""Markers of a missing value, whatever their case."""


@dataclass(frozen=True)
class Clock:
    """Unit, format and zone of a time column."""

    unit: Literal["time", "count"]
    """`time`: microseconds since 1970 in UTC. `count`: steps of a plain counter."""
    form: str
    """A strptime format, one of `NUMBERED`, or `typed` for a column of a time type."""
    zone: str | None = None
    """Time zone of the column, if it has one."""


@dataclass(frozen=True)
class TextColumn:
    """A column of texts, encoded as indices into its sorted distinct values."""

    codes: NDArray[np.int64]
    """`(N,)`, indices into `values`; -1 where the value is missing."""
    values: tuple[str, ...]
    """The distinct values, sorted."""
