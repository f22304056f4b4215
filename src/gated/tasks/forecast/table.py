"""Tables of any usual kind to typed columns: what a row says, and on which line it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.data.columns import (
    MISSING,
    TextColumn,
    demand_columns,
    is_readable,
    parse_numbers,
    read_names,
    read_numbers,
    read_texts,
    unreadable,
    without_markers,
)
from gated.data.findings import Finding
from gated.data.raw_table import RawTable, Source, open_table
from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.timestamps import Clock, UnreadableTimeError, read_times

Kind: TypeAlias = Literal["number", "text"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a table, in its order. `N` rows."""

    name: str
    """File name, or `the table`."""
    times: NDArray[np.int64]
    """`(N,)`, as `clock` says."""
    clock: Clock
    series: TextColumn
    """Which series each row belongs to; one with an empty name where there is no such column."""
    target: NDArray[np.float64]
    """`(N,)`, NaN where missing."""
    numbers: dict[str, NDArray[np.float64]]
    """Number columns `(N,)`, NaN where missing."""
    texts: dict[str, TextColumn]
    lines: NDArray[np.int64]
    """`(N,)`, the line of the file, or the row of the frame."""
    place: str
    """What `lines` counts: `line` or `row`."""
    findings: tuple[Finding, ...]

    def where(self, row: int) -> str:
        """Name the place of a row: `line 17`."""
        return f"{self.place} {self.lines[row]}"


def read_table(
    source: Source,
    config: ForecastConfig,
    *,
    kinds: Mapping[str, Kind] | None = None,
    clock: Clock | None = None,
) -> Table:
    """Read the columns that `config` names, or all, from a file or a frame.

    Args:
        source: path to CSV or Parquet, or a polars or pandas frame.
        config: names of the columns.
        kinds: the covariates to read and what they hold, as learned when fitting; by default
            those of `config`, their kinds found from the values.
        clock: how the time was read when fitting.

    Raises:
        DataError: a column is absent or named twice, a value does not parse, the table is empty.
        FileNotFoundError: there is no such file.
    """
    raw = open_table(source, index=config.time)
    named = [config.time, config.target, *config.known, *(config.past or ())]
    named += [config.series] if config.series is not None else []
    demand_columns(raw, [*named, *(kinds or {})])
    raw = raw.take(raw.frame.select(~pl.all_horizontal(pl.all().is_null())).to_series())
    if raw.frame.is_empty():
        raise DataError(f"{raw.name} has a header and no rows.")
    numbers, texts, findings = _read_covariates(raw, config, kinds)
    target = raw.frame[config.target]
    if not is_readable(target):
        raise unreadable(raw, config.target, "not numbers")
    times, found_clock = _read_time_column(raw, config, clock)
    return Table(
        name=raw.name,
        times=times,
        clock=found_clock,
        series=read_names(raw, config.series),
        target=read_numbers(raw, config.target, parse_numbers(target)),
        numbers=numbers,
        texts=texts,
        lines=raw.lines,
        place=raw.place,
        findings=(*raw.findings, *findings),
    )


def _read_covariates(
    raw: RawTable, config: ForecastConfig, kinds: Mapping[str, Kind] | None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, TextColumn], list[Finding]]:
    """Return the number columns, the text columns, and what was left out."""
    asked = [*config.known, *(config.past or ())] if kinds is None else list(kinds)
    candidates = asked
    if kinds is None and config.past is None:
        taken = {config.time, config.target, config.series}
        candidates = [name for name in raw.frame.columns if name not in taken]
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, TextColumn] = {}
    findings: list[Finding] = []
    for name in candidates:
        column = raw.frame[name]
        if not is_readable(column):
            if name in asked:
                raise unreadable(raw, name, "neither numbers nor texts")
            what = f"holds {column.dtype}"
            findings.append(
                Finding(kind="ignored", column=name, count=1, what=what, action="left out")
            )
            continue
        parsed = parse_numbers(column)
        if parsed.plausible if kinds is None else kinds[name] == "number":
            numbers[name] = read_numbers(raw, name, parsed)
        else:
            texts[name] = read_texts(column)
    return numbers, texts, findings


def _read_time_column(
    raw: RawTable, config: ForecastConfig, clock: Clock | None
) -> tuple[NDArray[np.int64], Clock]:
    column = raw.frame[config.time]
    if column.dtype == pl.String:
        column = without_markers(column, MISSING)
    try:
        return read_times(column, config.time_format, clock)
    except UnreadableTimeError as error:
        raise DataError(f"{raw.cell(config.time, error.row)} {error.reason}.") from None
