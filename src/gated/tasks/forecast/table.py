"""Typed columns of a table, with the line of each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gated.data.findings import Finding
from gated.data.typed_columns import Clock, TextColumn
from gated.errors import DataError, option
from gated.tasks.forecast.config import ForecastConfig

Kind: TypeAlias = Literal["number", "text"]
Mark: TypeAlias = Literal[".", ","]
Number = TypeVar("Number", np.float64, np.int64)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a table, in its order. `N` rows."""

    name: str
    """File name, or `the table`."""
    times: NDArray[np.int64]
    """`(N,)`, as `clock` says."""
    clock: Clock
    series: TextColumn
    """Name of each row's series; empty where there is no such column."""
    target: NDArray[np.float64]
    """`(N,)`, NaN where missing; of several targets the first."""
    numbers: dict[str, NDArray[np.float64]]
    """Number columns `(N,)`, NaN where missing; the other targets first."""
    texts: dict[str, TextColumn]
    lines: NDArray[np.int64]
    """`(N,)`, the line of the file, or the row of the frame."""
    place: str
    """What `lines` counts: `line` or `row`."""
    findings: tuple[Finding, ...]
    decimal: Mark | None = None
    """The decimal separator of texts, where one was found or given."""

    def where(self, row: int) -> str:
        """Name the place of a row: `line 17`."""
        return f"{self.place} {self.lines[row]}"


def with_static(table: Table, config: ForecastConfig) -> Table:
    """Return the table with the value of each static column in every row of its series.

    Raises:
        DataError: a column changes within a series.
    """
    numbers, texts = dict(table.numbers), dict(table.texts)
    for name in config.static:
        if name in numbers:
            numbers[name] = _held(table, name, numbers[name], ~np.isnan(numbers[name]))
        elif name in texts:
            codes = texts[name].codes
            texts[name] = replace(texts[name], codes=_held(table, name, codes, codes >= 0))
    return replace(table, numbers=numbers, texts=texts)


def _held(
    table: Table, name: str, values: NDArray[Number], observed: NDArray[np.bool_]
) -> NDArray[Number]:
    """`values` `(N,)` of a column, those that are not `observed` taken from rows of their series.

    Raises:
        DataError: two observed ones of a series differ.
    """
    rows = np.flatnonzero(observed)
    # The last row of each series that has a value, by which all its other rows have to be.
    source = np.full(len(table.series.values), -1)
    source[table.series.codes[rows]] = rows
    holds = source[table.series.codes]
    held = np.where(holds >= 0, values[holds], values)
    changed = rows[held[rows] != values[rows]]
    if len(changed):
        row = int(changed[0])
        first, second = (
            f"'{table.texts[name].values[int(values[of])]}'"
            if name in table.texts
            else f"{values[of]:g}"
            for of in (row, holds[row])
        )
        raise DataError(
            f"{table.name}: the static column '{name}' changes within series "
            f"'{table.series.values[table.series.codes[row]]}': it is {first} in {table.where(row)}"
            f" and {second} in {table.where(int(holds[row]))}. Mend it, or name it in "
            f"{option('known')}, if its future values are known, or else in {option('past')}."
        )
    return held
