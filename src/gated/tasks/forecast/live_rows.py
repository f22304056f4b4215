"""Rows that a live forecaster is given: read, and put after those that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from gated.errors import DataError, MissingExtraError
from gated.tasks.forecast.grid import Grid, Integers
from gated.tasks.forecast.inputs import panel_of
from gated.tasks.forecast.live_forecast import observed_ahead
from gated.tasks.forecast.live_memory import Calendar, Memory
from gated.tasks.forecast.panel import Panel, one_step_each
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.targets import by_target
from gated.tasks.forecast.typed_rows import typed_rows

MOST_MISSING = 100_000
"""Steps between two rows of a series at most, so that a wrong time does not fill the memory."""
Rows = Any
"""A row as values by the names of the columns, a list of these; or a table: a file or a frame."""


def read_rows(data: Rows, fitted: Preprocessing) -> Panel:
    """Read rows, see `LiveForecaster.update`; raises `DataError`."""
    rows = [data] if isinstance(data, Mapping) else data
    if isinstance(rows, list | tuple):
        if not rows:
            raise DataError("There is no row in what was given.")
        for place, row in enumerate(rows, 1):
            if not isinstance(row, Mapping):
                raise DataError(
                    f"Row {place} of what was given is {type(row).__name__}; a row is a "
                    "dictionary of values by the names of the columns."
                )
        table = typed_rows(rows, fitted)
        if table is not None:
            config, grid = fitted.config, fitted.grid
            each = one_step_each(table, config, grid)
            return by_target(each, config) if each else panel_of(table, fitted)
    found: Panel = _tables().panel_of_table(data, fitted)
    return found


def read_ahead(data: Rows, fitted: Preprocessing) -> Panel:
    """Read rows of the future, in which the targets are empty.

    Raises:
        DataError: they are not.
    """
    targets = fitted.config.targets
    rows = [data] if isinstance(data, Mapping) else data
    if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows):
        for target in targets:
            if any(row.get(target) is not None for row in rows):
                raise observed_ahead(target)
        empty = dict.fromkeys((*targets, *fitted.past_numbers, *fitted.past_texts))
        return read_rows([{**empty, **row} for row in rows], fitted)
    found: Panel = _tables().panel_ahead(data, fitted)
    return found


def following(new: Panel, memory: Memory) -> tuple[Panel, Calendar]:
    """Return the rows of a table with all steps since the last row of each series.

    And, where each row is a step, the time stamps with those of the table.

    Raises:
        DataError: a row is not after the last one of its series.
    """
    new, calendar = _on_calendar(new, memory)
    lasts = {}
    if memory.latest is not None:
        ends = memory.latest.ticks[memory.latest.starts[1:] - 1].tolist()
        lasts = dict(zip(memory.latest.series, ends, strict=True))
    if len(new.ticks) == len(new.series) and all(
        lasts.get(name, tick - 1) == tick - 1
        for name, tick in zip(new.series, new.ticks.tolist(), strict=True)
    ):
        return new.spread(), calendar  # the next row of each
    parts, lengths = [], []
    for s, name in enumerate(new.series):
        rows = np.arange(new.starts[s], new.starts[s + 1])
        begin = lasts.get(name, int(new.ticks[rows[0]]) - 1) + 1
        if new.ticks[rows[0]] < begin:
            last = int(_times_of(np.array([begin - 1]), calendar, new.grid)[0])
            raise DataError(
                f"The row of {new.label(int(rows[0]))} is not after the last one of its series "
                f"({new.grid.label(last)}): each row is given once, in order."
            )
        missing = int(new.ticks[rows[0]]) - begin
        if missing > MOST_MISSING:
            raise DataError(
                f"The row of {new.label(int(rows[0]))} is {missing:,} steps after the last one "
                f"of its series; at most {MOST_MISSING:,} may be missing. Is its time wrong?"
            )
        steps = np.full(int(new.ticks[rows[-1]]) - begin + 1, -1)
        steps[new.ticks[rows] - begin] = rows
        parts.append((steps, begin))
        lengths.append(len(steps))
    source = np.concatenate([of for of, _ in parts])
    there = source >= 0
    ticks = np.concatenate([begin + np.arange(len(of)) for of, begin in parts])
    starts = np.append(0, np.cumsum(lengths))
    taken = new.taken(source, starts, new.series)
    whole = replace(
        taken,
        ticks=ticks,
        times=np.where(there, taken.times, _times_of(ticks, calendar, new.grid)),
        present=taken.present & there,
        target=np.where(there, taken.target, np.nan),
        numbers={name: np.where(there, of, np.nan) for name, of in taken.numbers.items()},
        codes={name: np.where(there, of, -1) for name, of in taken.codes.items()},
    )
    return whole.spread(), calendar


def _on_calendar(new: Panel, memory: Memory) -> tuple[Panel, Calendar]:
    """The panel with ticks that go on from those before, where each row is a step."""
    if new.grid.unit != "row":
        return new, memory.calendar
    known, first = memory.calendar
    times = np.union1d(known, new.times)
    if not np.array_equal(times[: len(known)], known):
        between = np.setdiff1d(new.times, known)
        raise DataError(
            f"The time {new.grid.label(int(between[0]))} lies between steps that are known: "
            "where each row is a step, rows are given in order."
        )
    ticks = first + np.searchsorted(times, new.times)
    return replace(new, ticks=ticks), (times, first)


def _times_of(ticks: Integers, calendar: Calendar, grid: Grid) -> Integers:
    if grid.unit != "row":
        return grid.times(ticks)
    times, first = calendar
    return times[np.clip(ticks - first, 0, len(times) - 1)]


def _tables() -> ModuleType:
    """What reads tables, and rows whose values have to be interpreted."""
    try:
        from gated.tasks.forecast import live_tables
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed, and it reads files, frames, and rows with values that "
            "have to be interpreted. Give rows of typed values (a time as a datetime or in ISO "
            "8601, with a zone if the training had one; a number as a number, a text as a text, "
            "None where it is missing; every column in one row at least), or install it with: pip "
            "install 'gated[train]'",
            name=error.name,
        ) from error
    return live_tables
