"""Tables of any usual kind are read as typed columns, with the line of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.data.bad_rows import Bad, refuse
from gated.data.columns import demand_columns, is_readable, read_names, read_texts, unreadable
from gated.data.findings import Finding, RowError
from gated.data.number_columns import (
    NO_ROWS,
    NUMBER_SHARE,
    Numbers,
    ParsedNumbers,
    number_array,
    parse_numbers,
    without_markers,
    wrong_numbers,
)
from gated.data.raw_table import RawTable, Source, open_table
from gated.data.timestamps import UnreadableTimeError, read_times
from gated.data.typed_columns import MISSING, Clock
from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.table import Kind, Table, with_static


def read_table(
    source: Source,
    config: ForecastConfig,
    *,
    kinds: Mapping[str, Kind] | None = None,
    clock: Clock | None = None,
    bad: Bad = refuse,
) -> Table:
    """Read the columns that `config` names, or all, from a file or a frame.

    Args:
        source: path to CSV, Parquet or a sheet, or a polars or pandas frame.
        config: names of the columns.
        kinds: the covariates to read and their types, as learned when fitting; by default those of
            `config`, with types found from the values.
        clock: how the time was read when fitting.
        bad: is given rows that cannot be used.

    Raises:
        DataError: a column is absent or named twice, a value does not parse, the table is empty.
        FileNotFoundError: there is no such file.
    """
    raw = open_table(
        source, index=config.time, bad=None if bad is refuse else bad, encoding=config.encoding
    )
    named = [config.time, *config.targets, *config.known, *config.static, *(config.past or ())]
    named += [config.series] if config.series is not None else []
    demand_columns(raw, [*named, *(kinds or {})])
    raw = raw.take(raw.frame.select(~pl.all_horizontal(pl.all().is_null())).to_series())
    if raw.frame.is_empty():
        raise DataError(f"{raw.name} has a header and no rows.")
    for target in config.targets:
        if not is_readable(raw.frame[target]):
            raise unreadable(raw, target, "not numbers")
    candidates, findings = _covariates(raw, config, kinds)
    texts = [name for name in candidates if kinds and kinds[name] == "text"]
    readable = [name for name in candidates if name not in texts]
    parsed = parse_numbers(raw, [*config.targets, *readable], config.decimal)
    numbers = [name for name in readable if kinds or parsed[name].plausible]
    texts += [name for name in readable if name not in numbers]
    first, *others = config.targets
    numbers = [*others, *numbers]
    findings += parsed.findings(raw, [first, *numbers])
    raw = _without_wrong(raw, [first, *numbers], parsed, bad)
    raw, times, found_clock = _read_time_column(raw, config, clock, bad)
    table = Table(
        name=raw.name,
        times=times,
        clock=found_clock,
        series=read_names(raw, config.series),
        target=_array(raw, first),
        numbers={name: _array(raw, name) for name in numbers},
        texts={name: read_texts(raw.frame[name]) for name in texts},
        lines=raw.lines,
        place=raw.place,
        findings=(*raw.findings, *findings),
        decimal=config.decimal or parsed.decimal,
    )
    return with_static(table, config)


def _covariates(
    raw: RawTable, config: ForecastConfig, kinds: Mapping[str, Kind] | None
) -> tuple[list[str], list[Finding]]:
    """Return the names of the covariates, and what was left out."""
    named = [*config.known, *config.static, *(config.past or ())]
    named = named if kinds is None else list(kinds)
    candidates = named
    if kinds is None and config.past is None:
        taken = {config.time, *config.targets, config.series}
        candidates = [name for name in raw.frame.columns if name not in taken]
    readable: list[str] = []
    used = {config.time, *config.targets, config.series, *candidates}
    findings = [
        Finding(kind="ignored", column=name, count=1, what="not asked for", action="ignored")
        for name in raw.frame.columns
        if name not in used
    ]
    for name in candidates:
        column = raw.frame[name]
        if is_readable(column):
            readable.append(name)
            continue
        if name in named:
            raise unreadable(raw, name, "neither numbers nor texts")
        what = f"holds {column.dtype}"
        findings.append(Finding(kind="ignored", column=name, count=1, what=what, action="left out"))
    return readable, findings


def _array(raw: RawTable, name: str) -> NDArray[np.float64]:
    return number_array(Numbers(raw.frame[name], NO_ROWS()))


def _without_wrong(
    raw: RawTable, names: Sequence[str], parsed: ParsedNumbers, bad: Bad
) -> RawTable:
    """Return the rows in which all `names` hold numbers, as numbers; the others go to `bad`."""
    wrong: dict[int, RowError] = {}
    for name in names:
        for row, error in wrong_numbers(raw, name, parsed[name]):
            wrong.setdefault(row, error)
    for row in sorted(wrong):
        bad(wrong[row])
    values = [parsed[name].values.alias(name) for name in names]
    return _without(replace(raw, frame=raw.frame.with_columns(values)), list(wrong))


def _without(raw: RawTable, rows: Sequence[int]) -> RawTable:
    if not rows:
        return raw
    stay = pl.Series(np.isin(np.arange(raw.frame.height), rows, invert=True))
    if not stay.any():
        raise DataError(f"{raw.name} has no row that can be used.")
    return raw.take(stay)


def _read_time_column(
    raw: RawTable, config: ForecastConfig, clock: Clock | None, bad: Bad
) -> tuple[RawTable, NDArray[np.int64], Clock]:
    """Return the rows whose time can be read, and their times; the others go to `bad`."""
    while True:
        column = raw.frame[config.time]
        if column.dtype == pl.String:
            column = without_markers(column, MISSING)
        try:
            return raw, *read_times(column, config.time_format, clock, config.day_first)
        except UnreadableTimeError as error:
            wrong = [
                RowError(f"{raw.cell(config.time, row)} {error.reason}.", int(raw.lines[row]))
                for row in error.rows
            ]
            if len(wrong) > (1 - NUMBER_SHARE) * raw.frame.height:
                raise wrong[0] from None  # it is not the rows that are bad
            for one in wrong:
                bad(one)
            raw = _without(raw, error.rows)
