"""Series on a regular grid: one row a step, NaN where the table had no value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gated.data.findings import Finding
from gated.errors import DataError, option
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Grid, Integers, find_grid
from gated.tasks.forecast.table import Table

Floats = NDArray[np.float64]
Number = TypeVar("Number", np.float64, np.int64, np.bool_)

LARGEST = 1e18
"""Numbers at most, positive or negative: float32 still holds their squares."""
SPARSEST = 50
"""A grid with so many steps per row of the table has a wrong step or a wrong time stamp."""
REPEATED = 0.1
"""Share of rows with a time stamp of their series that came before: above, series are mixed."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """`S` series, one after the other, with `N` rows in all, one row a step."""

    grid: Grid
    series: tuple[str, ...]
    """`(S,)` names of the series."""
    starts: Integers
    """`(S + 1,)`: rows `starts[s]` to `starts[s + 1]` are series `s`."""
    ticks: Integers
    """`(N,)` number of the step, the same for all series at the same time."""
    times: Integers
    """`(N,)` microseconds or counts, as `grid` has them."""
    present: NDArray[np.bool_]
    """`(N,)`, whether the table had a row for this step."""
    target: Floats
    """`(N,)`, NaN where nothing was observed."""
    numbers: dict[str, Floats]
    """Number columns `(N,)`, NaN where missing."""
    codes: dict[str, Integers]
    """Text columns `(N,)` as indices into `values`, -1 where missing."""
    values: dict[str, tuple[str, ...]]
    static: tuple[str, ...] = ()
    """Names of the number and text columns that hold one value, or none, in each series."""
    findings: tuple[Finding, ...] = ()

    @cached_property
    def lengths(self) -> Integers:
        """`(S,)` rows of each series."""
        return self.starts[1:] - self.starts[:-1]

    @cached_property
    def series_of(self) -> Integers:
        """`(N,)` which series each row belongs to."""
        return np.repeat(np.arange(len(self.series)), self.lengths)

    def label(self, row: int) -> str:
        """Name a row by its series and time."""
        series = self.series[int(np.searchsorted(self.starts, row, side="right")) - 1]
        time = self.grid.label(int(self.times[row]))
        return f"'{series}' at {time}" if series else time

    def finding(
        self, kind: str, rows: NDArray[np.bool_], *, what: str, action: str, column: str
    ) -> Finding:
        """Return a finding of rows `(N,)` in `column`."""
        values = self.numbers.get(column, self.target)
        first = int(rows.argmax())
        known = column not in self.codes and not np.isnan(values[first])
        example = self.label(first) + (f", {values[first]:g}" if known else "")
        names = [self.series[s] for s in np.unique(self.series_of[rows])]
        return Finding(
            kind=kind,
            count=int(rows.sum()),
            what=what,
            action=action,
            column=column,
            series=tuple(filter(None, names)),
            example=example,
        )

    def held(self, column: str) -> Floats:
        """Return `(S,)` the one value that a column holds in each series, NaN where it varies.

        Of a column of texts it is the code. Missing values do not count.
        """
        values = self.numbers.get(column)
        if values is None:
            values = np.where(self.codes[column] < 0, np.nan, self.codes[column].astype(float))
        low = np.fmin.reduceat(values, self.starts[:-1])
        high = np.fmax.reduceat(values, self.starts[:-1])
        return np.where(low == high, low, np.nan)

    def spread(self) -> Panel:
        """Return the panel with the value of each static column in all rows of its series."""
        if not self.static:
            return self
        numbers, codes, lengths = dict(self.numbers), dict(self.codes), self.lengths
        for name in self.static:
            observed = ~np.isnan(numbers[name]) if name in numbers else codes[name] >= 0
            rows = np.where(observed, np.arange(len(observed)), len(observed))
            first = np.minimum.reduceat(rows, self.starts[:-1])
            if name in numbers:
                numbers[name] = np.repeat(np.append(numbers[name], np.nan)[first], lengths)
            else:
                codes[name] = np.repeat(np.append(codes[name], -1)[first], lengths)
        return replace(self, numbers=numbers, codes=codes)

    def taken(self, rows: Integers, starts: Integers, series: Sequence[str]) -> Panel:
        """Return the panel of the rows `rows`, which `starts` divide among `series`."""
        return replace(
            self,
            series=tuple(series),
            starts=starts,
            ticks=self.ticks[rows],
            times=self.times[rows],
            present=self.present[rows],
            target=self.target[rows],
            numbers={name: values[rows] for name, values in self.numbers.items()},
            codes={name: values[rows] for name, values in self.codes.items()},
        )

    def only(self, keep: NDArray[np.bool_]) -> Panel:
        """Return the panel with the series for which `keep` `(S,)` is true."""
        lengths = np.diff(self.starts)
        rows = np.flatnonzero(np.repeat(keep, lengths))
        starts = np.append(0, np.cumsum(lengths[keep]))
        return self.taken(rows, starts, np.array(self.series)[keep].tolist())

    def pieces(self, length: int, times: int, most: int) -> Panel:
        """Return a panel of pieces of the series, of `length` steps or, at their ends, less.

        Each series is cut up `times` times, at other places each time, and each piece is a series
        of the panel. Of more than `most` pieces some are drawn.
        """
        drawn = np.random.default_rng(0)
        cuts: list[Integers] = []
        for _ in range(times):
            skipped = drawn.integers(1, length + 1, len(self.series))
            cuts += [
                np.concatenate([[begin], np.arange(begin + some, end, length), [end]])
                for (begin, end), some in zip(pairwise(self.starts), skipped, strict=True)
            ]
        begins = np.concatenate([of[:-1] for of in cuts])
        ends = np.concatenate([of[1:] for of in cuts])
        if len(begins) > most:
            some = np.sort(drawn.choice(len(begins), most, replace=False))
            begins, ends = begins[some], ends[some]
        starts = np.append(0, np.cumsum(ends - begins))
        rows = np.arange(starts[-1]) + np.repeat(begins - starts[:-1], ends - begins)
        names = np.array(self.series)[np.searchsorted(self.starts, begins, side="right") - 1]
        return self.taken(rows, starts, names.tolist())

    def extend(self, rows: Integers, count: int) -> Panel:
        """Return the panel with each series `s` reaching `count` steps beyond row `rows[s]`.

        Steps that the panel does not have yet are added, with nothing observed.
        """
        ends = self.lengths
        missing = np.maximum(rows - self.starts[:-1] + 1 + count - ends, 0)
        starts = np.concatenate([[0], np.cumsum(ends + missing)])
        places = np.arange(len(self.ticks)) + np.repeat(starts[:-1] - self.starts[:-1], ends)
        total = int(starts[-1])
        ticks, times = _filled(self.ticks, places, total, 0), _filled(self.times, places, total, 0)
        for s, extra in enumerate(missing):
            last, end = starts[s] + ends[s] - 1, starts[s + 1]
            times[last + 1 : end] = self.grid.following(int(times[last]), int(extra))
            ticks[last + 1 : end] = ticks[last] + np.arange(1, extra + 1)
        return replace(
            self,
            starts=starts,
            ticks=ticks,
            times=times,
            present=_filled(self.present, places, total, False),
            target=_filled(self.target, places, total, np.nan),
            numbers={k: _filled(v, places, total, np.nan) for k, v in self.numbers.items()},
            codes={k: _filled(v, places, total, -1) for k, v in self.codes.items()},
        ).spread()


def joined(first: Panel, then: Panel) -> tuple[Panel, Integers]:
    """Return the rows of both panels, those of `then` after those of `first` in each series.

    Series that are new come last. Both have the same columns and ticks, and those of a series in
    `then` go on from its last one in `first`.

    Returns:
        The panel, and `(N,)` which of the rows of `first`, then of `then`, each of its rows is.
    """
    series = tuple(dict.fromkeys((*first.series, *then.series)))
    parts = []
    for name in series:
        for panel, offset in ((first, 0), (then, len(first.ticks))):
            if name in panel.series:
                s = panel.series.index(name)
                parts.append(np.arange(panel.starts[s], panel.starts[s + 1]) + offset)
    rows = np.concatenate(parts)
    lengths = dict.fromkeys(series, 0)
    for panel in (first, then):
        for name, length in zip(panel.series, panel.lengths.tolist(), strict=True):
            lengths[name] += length
    codes, values = {}, {}
    for column, theirs in first.values.items():
        known = tuple(dict.fromkeys((*theirs, *then.values[column])))
        place = np.array([*(known.index(value) for value in then.values[column]), -1])
        codes[column] = np.concatenate([first.codes[column], place[then.codes[column]]])[rows]
        values[column] = known

    def both(of: NDArray[Number], other: NDArray[Number]) -> NDArray[Number]:
        every: NDArray[Number] = np.concatenate([of, other])
        if len(series) > 1:  # else they follow one another
            every = every[rows]
        return every

    panel = replace(
        first,
        series=series,
        starts=np.append(0, np.cumsum([lengths[name] for name in series])),
        ticks=both(first.ticks, then.ticks),
        times=both(first.times, then.times),
        present=both(first.present, then.present),
        target=both(first.target, then.target),
        numbers={name: both(of, then.numbers[name]) for name, of in first.numbers.items()},
        codes=codes,
        values=values,
        findings=(),
    )
    return panel, rows


def _filled(values: NDArray[Number], places: Integers, total: int, empty: float) -> NDArray[Number]:
    """`values` put at `places` of an array of `total` that is else `empty`."""
    array = np.full(total, empty, values.dtype)
    array[places] = values
    return array


def first_tick(panel: Panel, time: int, *, after: bool = False) -> int:
    """Return the first tick at `time` or later; with `after`, the first one later than it."""
    later = panel.ticks[panel.times > time if after else panel.times >= time]
    return int(later.min()) if len(later) else int(panel.ticks.max()) + 1


def build_panel(table: Table, config: ForecastConfig, grid: Grid | None = None) -> Panel:
    """Put the rows of `table` on a regular grid.

    Rows are sorted. Rows that repeat another are dropped; where several rows fall on one step with
    different values, their numbers are averaged and the last of their texts stays. Steps between
    the first and the last row of a series that the table lacks are inserted, with nothing observed.

    Args:
        table: rows in any order.
        config: gives `every`, and the names of the columns.
        grid: the grid found when fitting; by default it is found from the table.

    Raises:
        DataError: there is no regular step, or several series seem to be mixed in one.
    """
    series = table.series.codes
    order = np.lexsort((table.times, series))
    if grid is None:
        grid = find_grid(table.times[order], series[order], table.clock, config.every)
    elif grid.clock.unit != table.clock.unit:
        raise DataError(
            f"{table.name}: column '{config.time}' holds {table.clock.unit}s, but the model was "
            f"fitted on {grid.clock.unit}s."
        )
    rows = _Rows(table, order, grid, config)
    findings = (*table.findings, *_unsorted(table, config), *rows.findings())
    names = table.series.values
    firsts = rows.ticks[rows.series_starts]
    lasts = rows.ticks[np.append(rows.series_starts[1:], len(rows.ticks)) - 1]
    lengths = lasts - firsts + 1
    starts = np.concatenate([[0], np.cumsum(lengths)])
    total = int(starts[-1])
    if total > SPARSEST * len(rows.ticks) + 1000:
        raise DataError(
            f"{table.name}: {len(rows.ticks):,} rows would spread over {total:,} steps of "
            f"{grid.every}. Is a time stamp wrong, or should every be longer, or row?"
        )
    counts = np.diff(np.append(rows.series_starts, len(rows.ticks)))
    places = rows.ticks + np.repeat(starts[:-1] - firsts, counts)
    ticks = np.arange(total) + np.repeat(firsts - starts[:-1], lengths)
    present = np.zeros(total, np.bool_)
    present[places] = True
    panel = Panel(
        grid=grid,
        present=present,
        series=names,
        starts=starts,
        ticks=ticks,
        times=rows.calendar[ticks] if grid.unit == "row" else grid.times(ticks),
        target=_filled(rows.mean(table.target), places, total, np.nan),
        numbers={k: _filled(rows.mean(v), places, total, np.nan) for k, v in table.numbers.items()},
        codes={k: _filled(rows.last(v.codes), places, total, -1) for k, v in table.texts.items()},
        values={name: column.values for name, column in table.texts.items()},
        static=tuple(name for name in config.static if name in table.numbers | table.texts),
        findings=findings,
    ).spread()
    _check_sizes(panel, config)
    if present.all():
        return panel
    gap = panel.finding(
        "gap",
        ~present,
        what=f"steps of {grid.every} without a row",
        action="inserted, all values missing",
        column=config.time,
    )
    return replace(panel, findings=(*panel.findings, gap))


def one_step_each(table: Table, config: ForecastConfig, grid: Grid) -> Panel | None:
    """Do what `build_panel` does where each series has one row; None for others.

    It is for rows that come one by one, of which nothing else is found.
    """
    count = len(table.times)
    if count != len(table.series.values) or grid.unit == "row":
        return None
    if grid.clock.unit != table.clock.unit:
        return None
    order = np.argsort(table.series.codes)
    wall = grid.to_wall(table.times[order])
    ticks = grid.ticks(wall)
    times = grid.times(ticks)
    moved = times != wall
    findings: tuple[Finding, ...] = ()
    if moved.any():
        what, action = _resampled(grid)
        example = table.where(int(order[moved.argmax()]))
        found = Finding(
            kind="resampled",
            column=config.time,
            count=int(moved.sum()),
            what=what,
            action=action,
            example=example,
        )
        findings = (found,)
    panel = Panel(
        grid=grid,
        findings=findings,
        present=np.ones(count, np.bool_),
        series=table.series.values,
        starts=np.arange(count + 1),
        ticks=ticks,
        times=times,
        target=table.target[order],
        numbers={name: of[order] for name, of in table.numbers.items()},
        codes={name: of.codes[order] for name, of in table.texts.items()},
        values={name: of.values for name, of in table.texts.items()},
        static=tuple(name for name in config.static if name in table.numbers | table.texts),
    )
    _check_sizes(panel, config)
    return panel


def _resampled(grid: Grid) -> tuple[str, str]:
    """What is found of time stamps between steps, and what is done about it."""
    action = "moved to the nearest step, several on one averaged"
    if not grid.nearest:
        action = "averaged over the step they fall in"
    return f"time stamps between steps of {grid.every}", action


def _check_sizes(panel: Panel, config: ForecastConfig) -> None:
    """Refuse numbers of which sums and squares would overflow in a network.

    Raises:
        DataError: a number is beyond `LARGEST`.
    """
    if not (np.abs([panel.target, *panel.numbers.values()]) > LARGEST).any():
        return
    for name, values in ((config.targets[0], panel.target), *panel.numbers.items()):
        beyond = np.abs(values) > LARGEST
        if beyond.any():
            row = int(beyond.argmax())
            raise DataError(
                f"Column '{name}' of the row of {panel.label(row)} is {values[row]:.6g}; numbers "
                f"are {LARGEST:.0e} at most. Is it a mistake, or should the column be in a larger "
                "unit?"
            )


def _unsorted(table: Table, config: ForecastConfig) -> list[Finding]:
    back = (np.diff(table.series.codes) == 0) & (np.diff(table.times) < 0)
    if not back.any():
        return []
    return [
        Finding(
            kind="unsorted",
            column=config.time,
            count=int(back.sum()),
            what="rows before the time of the row above them",
            action="sorted by time",
            example=table.where(int(back.argmax()) + 1),
        )
    ]


class _Rows:
    """The rows of a table in the order of series and time, one for each step."""

    def __init__(self, table: Table, order: Integers, grid: Grid, config: ForecastConfig) -> None:
        self.table, self.order, self.grid, self.config = table, order, grid, config
        wall = grid.to_wall(table.times[order])
        self.series = table.series.codes[order]
        self.calendar = np.unique(wall)
        """Every time stamp in the table: the steps of a grid of rows."""
        if grid.unit == "row":
            ticks = np.searchsorted(self.calendar, wall)
            self.moved = np.zeros(len(ticks), np.bool_)
        else:
            ticks = grid.ticks(wall)
            self.moved = grid.times(ticks) != wall
        new = (np.diff(ticks) != 0) | (np.diff(self.series) != 0)
        self.begins = np.concatenate([[0], np.flatnonzero(new) + 1])
        """Where the rows of each step begin."""
        self.ticks = ticks[self.begins]
        self.series_starts = np.searchsorted(
            self.series[self.begins], np.arange(len(table.series.values))
        )
        self.wall = wall

    def mean(self, values: Floats) -> Floats:
        """Average the values of each step, without missing ones."""
        values = values[self.order]
        if len(self.begins) == len(values):
            return values
        observed = ~np.isnan(values)
        counts = np.add.reduceat(observed.astype(np.float64), self.begins)
        sums = np.add.reduceat(np.where(observed, values, 0.0), self.begins)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def last(self, codes: Integers) -> Integers:
        """Take the last text of each step."""
        ends = np.append(self.begins[1:], len(self.order)) - 1
        rows: Integers = self.order[ends]
        return codes[rows]

    def findings(self) -> list[Finding]:
        """Return findings of rows that repeat or contradict others, or whose time was moved."""
        repeated = np.ones(len(self.order), np.bool_)
        repeated[self.begins] = False
        same_time = np.zeros_like(repeated)
        same_time[1:] = repeated[1:] & (np.diff(self.wall) == 0)
        equal = same_time & self._equal_to_previous()
        conflicts = same_time & ~equal
        if conflicts.mean() > REPEATED and self.config.every is None:
            raise self._mixed_series(conflicts)
        kinds = {
            "duplicate": (equal, "rows that repeat another", "dropped"),
            "conflict": (
                conflicts,
                "rows with a time stamp that came before, with other values",
                "averaged with it",
            ),
            "resampled": (self.moved, *_resampled(self.grid)),
        }
        return [
            Finding(
                kind=kind,
                column=self.config.time,
                count=int(rows.sum()),
                what=what,
                action=action,
                example=self.table.where(int(self.order[rows.argmax()])),
            )
            for kind, (rows, what, action) in kinds.items()
            if rows.any()
        ]

    def _equal_to_previous(self) -> NDArray[np.bool_]:
        equal = np.ones(len(self.order), np.bool_)
        for values in (self.table.target, *self.table.numbers.values()):
            ordered = values[self.order]
            same = (ordered[1:] == ordered[:-1]) | (np.isnan(ordered[1:]) & np.isnan(ordered[:-1]))
            equal[1:] &= same
        for column in self.table.texts.values():
            equal[1:] &= np.diff(column.codes[self.order]) == 0
        return equal

    def _mixed_series(self, conflicts: NDArray[np.bool_]) -> DataError:
        table, config = self.table, self.config
        guesses = [
            name
            for name, column in table.texts.items()
            if not np.any((np.diff(column.codes[self.order]) == 0) & conflicts[1:])
        ]
        advice = (
            f"Does the table hold several series, told apart by '{guesses[0]}'? Say so with "
            f"{option('series')}."
            if guesses
            else f"Name the column that tells the series apart with {option('series')}, or "
            f"mend the times."
        )
        return DataError(
            f"{table.name}: {int(conflicts.sum()):,} of {len(conflicts):,} rows have a time stamp "
            f"in '{config.time}' that came before in the same series, with other values (first: "
            f"{table.where(int(self.order[conflicts.argmax()]))}). {advice}"
        )
