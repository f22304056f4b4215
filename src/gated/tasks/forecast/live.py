"""A forecaster that is fed row by row, and keeps no more of the past than its forecasts need.

Its forecasts are those of `Forecaster.predict` for a table of all rows. What the whole past has a
say in is carried on: the states of smoothing, the widths of the intervals, the last values of
columns, the moments of series that training has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError, MissingExtraError
from gated.tasks.forecast.calibration import Widths
from gated.tasks.forecast.cleaning import last_observed
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import (
    Earlier,
    Prepared,
    assemble,
    first_values,
    indices,
    last_rows,
    panel_of,
    time_features,
    with_horizon,
)
from gated.tasks.forecast.live_forecast import LiveForecast, observed_ahead
from gated.tasks.forecast.live_state import (
    LiveState,
    damaged_state,
    packed,
    texts_of,
    unpacked,
    without_unused,
)
from gated.tasks.forecast.outlook import Outlook
from gated.tasks.forecast.panel import Floats, Panel, joined, one_step_each
from gated.tasks.forecast.partners import steps_before
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.smoothing import State
from gated.tasks.forecast.targets import TARGET, by_target, pair_name, told_apart
from gated.tasks.forecast.typed_rows import typed_rows
from gated.tasks.forecast.windows import walk_forward

OF_ROWS = ("ticks", "times", "present", "target")
OF_WIDTHS = ("counts", "outside", "places")
OF_STATE = tuple(name for name in State.__dataclass_fields__ if name != "season")
"""Arrays that states hold."""
NEVER, ENDLESS = -(1 << 62), 1 << 62
"""Ticks before and after all."""

MOST_TIMES, TIMES_AHEAD = 1 << 16, 512
"""Steps whose calendar is kept at most, and how many more than are needed it is computed for."""
MOST_MISSING = 100_000
"""Steps between two rows of a series at most, so that a wrong time does not fill the memory."""
Rows = Any
"""A row as values by the names of the columns, a list of these; or a table: a file or a frame."""
Calendar = tuple[Integers, int]
"""Where each row is a step, the latest time stamps, and the tick of the first of them."""


class LiveForecaster:
    """Takes rows as they come, and forecasts what follows them.

    Memory does not grow with the rows of a series, once its longest season was seen twice.

    Args:
        outlook: what was fitted.
        fitted: what was learned of the data.
        identity: of the forecaster, see `identity_of`; states of others are refused.
    """

    def __init__(self, outlook: Outlook, fitted: Preprocessing, identity: str) -> None:
        config, self.identity = fitted.config, identity
        self._outlook, self._fitted = outlook, fitted
        history = (config.history or 1) + max(config.seasons, default=0)
        self._needed = max(history, steps_before(config.partner or (), config.seasons))
        """Rows that a window reads."""
        self._latest: Panel | None = None
        self._expected = np.zeros(0)
        """`(N,)` what smoothing forecast of each of these rows a step before."""
        self._series: list[_Series] = []
        self._widths = self._new_widths(np.zeros(0, np.int64))
        self._start: int | None = None
        """The first tick after the training."""
        self._calendar: Calendar = np.zeros(0, np.int64), 0
        self._made: dict[tuple[str, int], tuple[Floats, Floats]] = {}
        """Forecasts `(horizon, Q)` whose errors are not all known, by series and tick; and units of
        their errors, see `Calibration.distances`."""
        self._times_known: tuple[int, Floats] = 0, np.zeros((0, 0))
        """The first tick and the `time_features` of steps from there on."""
        self._followed: tuple[list[Integers], int, Widths] | None = None
        """Of the last forecast: its series and where they were, how many errors after that, and the
        widths with these."""

    @property
    def config(self) -> ForecastConfig:
        """The options of the training."""
        return self._fitted.config

    @property
    def fitted(self) -> Preprocessing:
        """What was learned of the data."""
        return self._fitted

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the series that rows came of."""
        return self._latest.series if self._latest else ()

    @property
    def _rows(self) -> Panel:
        """The latest rows of each series."""
        if self._latest is None:
            raise DataError(
                "There is no row to forecast from: update the forecaster with the latest rows of "
                f"each series first, {self._needed:,} of them for all that a forecast reads."
            )
        return self._latest

    def update(self, data: Rows) -> None:
        """Take rows that follow those before.

        Args:
            data: a row, as values by the names of the columns, or a list of these; or a table. It
                has the columns of the training, and one series or several. A row without a value
                of the target says that none was observed. Where several rows make a step, they come
                together.

        Raises:
            DataError: a row is not after the last one of its series, or cannot be used; then none
                of the rows is taken.
        """
        self.take(self._read(data))

    def take(self, given: Panel) -> None:
        """Take rows that were read already, as `update` does."""
        new, calendar = self._following(given)
        old = self._latest or new.only(np.zeros(len(new.series), np.bool_))
        panel, rows = joined(old, new)
        lengths = panel.lengths
        added = np.zeros(len(lengths), np.int64)
        for name, count in zip(new.series, new.lengths.tolist(), strict=True):
            added[panel.series.index(name)] = count
        known = len(self._series)
        if self._fitted.known_names:  # what was planned for these rows may have come otherwise
            self._made, self._followed = {}, None
        which = indices(panel, self._fitted)
        if len(which) > known:
            self._widths = self._widths.joined(self._new_widths(which[known:]))
        self._series += [_Series() for _ in range(known, len(lengths))]
        self._latest, self._calendar = panel, calendar
        self._expected = np.append(self._expected, np.zeros(len(new.ticks)))[rows]
        if self._start is None:
            later = panel.ticks[panel.times >= self._outlook.held_out_from]
            self._start = int(later.min()) if len(later) else None
        self._smooth(added, which)
        self._follow_errors()
        self._forget()

    def predict(self, future: Rows | None = None) -> LiveForecast:
        """Forecast what follows the last value of each series.

        Args:
            future: rows of the steps to forecast, as of `update`, with the columns that are known
                ahead.

        Returns:
            Arrays; its `rows` and its `table` are what `Forecaster.predict` returns.

        Raises:
            DataError: there is no value yet, or a known column is missing for a step.
        """
        panel = self._rows
        if future is not None:
            given, _ = self._following(self._read_ahead(future))
            given = given.only(np.isin(given.series, panel.series))
            panel, _ = joined(panel, given) if given.series else (panel, None)
        panel = with_horizon(panel, self._fitted)
        prepared, places = self._prepared(panel)
        origins = last_rows(panel)
        outlook = self._outlook
        factors = self._factors_at(prepared, places, origins)
        forecast = outlook.calibrated(outlook.mixed(prepared, origins), prepared, origins, factors)
        series, targets = told_apart(panel)
        return LiveForecast(
            config=self._fitted.config,
            grid=panel.grid,
            series=series,
            targets=targets,
            times_on_grid=panel.times[prepared.ahead(origins)],
            values=forecast,
        )

    # State.

    @property
    def needed(self) -> int:
        """Steps of a series that a forecast reads at most, besides what is carried on."""
        return self._needed

    def state(self) -> bytes:
        """Return all that is remembered, for `restore`: a safetensors file, with a digest.

        It holds the latest rows of each series, their names, and sums over what came before.
        """
        return packed(self._remembered(), self.identity)

    def restore(self, data: bytes, what: str = "The state") -> None:
        """Go on from what `state` returned, of a forecaster of the same run.

        Args:
            data: the bytes.
            what: names them, in messages.

        Raises:
            ModelFileError: they are damaged, of another version or of another forecaster; nothing
                was changed.
            TypeError: they are no bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"{what} is {type(data).__name__}: give the bytes that state returned.")
        data = bytes(data)
        given = unpacked(data, self.identity, what)
        new = LiveForecaster(self._outlook, self._fitted, self.identity)
        try:
            new._recall(given)
        except Exception as error:  # no file may hold what leads to a traceback
            raise damaged_state(what, str(error)) from error
        self.__dict__.update(new.__dict__)

    def _remembered(self) -> LiveState:
        panel, series, horizon = self._latest, self._series, self._fitted.config.horizon
        start = np.array([] if self._start is None else [self._start], np.int64)
        if panel is None:
            return LiveState({"start": start}, {"series": []})
        times, first_tick = self._calendar
        arrays: dict[str, NDArray[Any]] = {
            "start": start,
            "calendar": times,
            "first_tick": np.array([first_tick], np.int64),
            **{name: getattr(panel, name) for name in ("starts", *OF_ROWS)},
            "expected": self._expected,
            "settled": np.array([of.state is not None for of in series]),
            "carried": np.array([[of.following, of.target, of.first] for of in series]),
            "moments": np.stack([of.moments for of in series]),
            "counted": np.array([of.counted for of in series]),
            "observed": np.array([NEVER if of.observed is None else of.observed for of in series]),
            **{f"widths.{name}": getattr(self._widths, name) for name in OF_WIDTHS},
            "ahead_of": np.array([len(of.ahead) for of in series]),
            "ahead_ticks": np.array([tick for of in series for tick in of.ahead], np.int64),
            "ahead": np.array([of for some in series for of in some.ahead.values()]).reshape(
                -1, horizon
            ),
        }
        for place, (name, numbers) in enumerate(panel.numbers.items()):
            arrays[f"number.{place}"] = numbers
            arrays[f"last_number.{place}"] = np.array(
                [of.numbers.get(name, np.nan) for of in series]
            )
        values = {}
        for place, (name, codes) in enumerate(panel.codes.items()):
            arrays[f"text.{place}"], values[name] = without_unused(codes, panel.values[name])
        states = [of.state for of in series if of.state is not None]
        if states:
            state = State.joined(states)
            arrays |= {f"state.{name}": getattr(state, name) for name in OF_STATE}
            arrays |= {f"state.season.{place}": of for place, of in enumerate(state.season)}
        document = {
            "series": [*panel.series],
            "static": [*panel.static],
            "numbers": [*panel.numbers],
            "texts": [*panel.codes],
            "values": values,
            "last_texts": {name: [of.texts.get(name) for of in series] for name in panel.codes},
        }
        return LiveState(arrays, document)

    def _recall(self, given: LiveState) -> None:
        """Take what `_remembered` returned; raises various errors where it does not fit."""
        names, start = given.texts("series"), given.array("start", np.int64, -1)
        self._start = int(start[0]) if len(start) else None
        if not names:
            return
        fitted, count = self._fitted, len(names)
        self._latest = panel = self._recalled_rows(given, names)
        rows = len(panel.ticks)
        calendar, first_tick = (given.array(of, np.int64, -1) for of in ("calendar", "first_tick"))
        self._calendar = calendar, int(first_tick[0])
        if fitted.grid.unit == "row":
            inside = (panel.ticks >= first_tick[0]) & (panel.ticks - first_tick[0] < len(calendar))
            if not inside.all() or (np.diff(calendar) <= 0).any():
                raise ValueError("the calendar does not hold the rows")
        self._expected = given.array("expected", np.float64, rows)
        widths = self._new_widths(indices(panel, fitted))
        for name in OF_WIDTHS:
            like = getattr(widths, name)
            setattr(widths, name, given.array(f"widths.{name}", like.dtype.type, *like.shape))
        bins = widths.counts.shape[-1]
        if not 0 <= widths.places.min() <= widths.places.max() < bins:
            raise ValueError("the widths are none")
        self._widths = widths
        settled = given.array("settled", np.bool_, count)
        states, at = self._recalled_states(given, int(settled.sum())), np.cumsum(settled) - 1
        carried, moments = (given.array(of, np.float64, count, 3) for of in ("carried", "moments"))
        counted, observed, ahead_of = (
            given.array(of, np.int64, count) for of in ("counted", "observed", "ahead_of")
        )
        if min(counted.min(), ahead_of.min()) < 0:
            raise ValueError("a count is negative")
        ends = np.append(0, np.cumsum(ahead_of))
        ticks = given.array("ahead_ticks", np.int64, int(ends[-1])).tolist()
        ahead = given.array("ahead", np.float64, int(ends[-1]), fitted.config.horizon)
        for s in range(count):
            series, some = _Series(), slice(ends[s], ends[s + 1])
            series.state = states.taken(at[s : s + 1]) if states and settled[s] else None
            series.following, series.target, series.first = carried[s].tolist()
            series.moments, series.counted = moments[s], int(counted[s])
            series.observed = None if observed[s] == NEVER else int(observed[s])
            series.ahead = dict(zip(ticks[some], ahead[some], strict=True))
            if series.observed is not None and series.observed not in series.ahead:
                raise ValueError("how smoothing goes on is not there")
            self._series.append(series)
        for place, name in enumerate(panel.numbers):
            for of, last in zip(
                self._series, given.array(f"last_number.{place}", np.float64, count), strict=True
            ):
                if not np.isnan(last):
                    of.numbers[name] = float(last)
        for name in panel.codes:
            texts = texts_of(given.document["last_texts"][name], name, count, gaps=True)
            for of, text in zip(self._series, texts, strict=True):
                if text is not None:
                    of.texts[name] = text

    def _recalled_rows(self, given: LiveState, names: tuple[str, ...]) -> Panel:
        starts = given.array("starts", np.int64, len(names) + 1)
        if len({*names}) < len(names) or starts[0] != 0 or (np.diff(starts) < 1).any():
            raise ValueError("it does not hold rows of each series, one after the other")
        rows = int(starts[-1])
        numbers, texts = given.texts("numbers"), given.texts("texts")
        codes = {of: given.array(f"text.{k}", np.int64, rows) for k, of in enumerate(texts)}
        values = {}
        for name in texts:
            known = texts_of(given.document["values"][name], name)
            if not -1 <= codes[name].min() <= codes[name].max() < len(known):
                raise ValueError(f"{name} holds what is no text")
            before = texts_of(given.document["last_texts"][name], name, len(names), gaps=True)
            values[name] = (*dict.fromkeys((*known, *(of for of in before if of is not None))),)
            if len({*known}) < len(known):
                raise ValueError(f"{name} names a text twice")
        kinds: dict[str, Any] = {"present": np.bool_, "target": np.float64}
        columns: dict[str, Any] = {
            of: given.array(of, kinds.get(of, np.int64), rows) for of in OF_ROWS
        }
        panel = Panel(
            grid=self._fitted.grid,
            series=names,
            starts=starts,
            numbers={
                of: given.array(f"number.{k}", np.float64, rows) for k, of in enumerate(numbers)
            },
            codes=codes,
            values=values,
            static=given.texts("static"),
            **columns,
        )
        follows = np.diff(panel.ticks) == 1
        follows[starts[1:-1] - 1] = True
        if not follows.all():
            raise ValueError("the rows of a series do not follow one another")
        fitted, targets = self._fitted, self._fitted.config.targets
        several = len(targets) > 1
        own = {*(targets if several else ()), *fitted.number_columns}
        if {*numbers} != own or {*texts} != {*([TARGET] if several else ()), *fitted.text_columns}:
            raise ValueError("its columns are not those of the training")
        if several and not {*values[TARGET]} <= {*targets}:
            raise ValueError("its targets are not those of the training")
        if not {*panel.static} <= {*numbers, *texts}:
            raise ValueError("its static columns are not there")
        return panel

    def _recalled_states(self, given: LiveState, count: int) -> State | None:
        """The states of smoothing of the `count` series that have one."""
        if not count:
            return None
        like = self._fitted.smoothing.run(np.zeros(1), np.array([0, 1]), np.array([-1])).state

        def checked(name: str, of: NDArray[Any]) -> NDArray[Any]:
            return given.array(f"state.{name}", of.dtype.type, count, *of.shape[1:])

        every: dict[str, Any] = {name: checked(name, getattr(like, name)) for name in OF_STATE}
        seasons = [checked(f"season.{place}", of) for place, of in enumerate(like.season)]
        return State(season=seasons, **every)

    # Rows.

    def _read(self, data: Rows) -> Panel:
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
            table = typed_rows(rows, self._fitted)
            if table is not None:
                config, grid = self._fitted.config, self._fitted.grid
                each = one_step_each(table, config, grid)
                return by_target(each, config) if each else panel_of(table, self._fitted)
        found: Panel = _tables().panel_of_table(data, self._fitted)
        return found

    def _read_ahead(self, data: Rows) -> Panel:
        """Rows of the future, in which the targets are empty.

        Raises:
            DataError: they are not.
        """
        fitted, targets = self._fitted, self._fitted.config.targets
        rows = [data] if isinstance(data, Mapping) else data
        if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows):
            for target in targets:
                if any(row.get(target) is not None for row in rows):
                    raise observed_ahead(target)
            empty = dict.fromkeys((*targets, *fitted.past_numbers, *fitted.past_texts))
            return self._read([{**empty, **row} for row in rows])
        found: Panel = _tables().panel_ahead(data, fitted)
        return found

    def _following(self, new: Panel) -> tuple[Panel, Calendar]:
        """The rows of a table with all steps since the last row of each series.

        And, where each row is a step, the time stamps with those of the table.

        Raises:
            DataError: a row is not after the last one of its series.
        """
        new, calendar = self._on_calendar(new)
        lasts = {}
        if self._latest is not None:
            ends = self._latest.ticks[self._latest.starts[1:] - 1].tolist()
            lasts = dict(zip(self._latest.series, ends, strict=True))
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
                raise DataError(
                    f"The row of {new.label(int(rows[0]))} is not after the last one of its series "
                    f"({new.grid.label(int(self._times_of(np.array([begin - 1]), calendar)[0]))}): "
                    "each row is given once, in order."
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
            times=np.where(there, taken.times, self._times_of(ticks, calendar)),
            present=taken.present & there,
            target=np.where(there, taken.target, np.nan),
            numbers={name: np.where(there, of, np.nan) for name, of in taken.numbers.items()},
            codes={name: np.where(there, of, -1) for name, of in taken.codes.items()},
        )
        return whole.spread(), calendar

    def _on_calendar(self, new: Panel) -> tuple[Panel, Calendar]:
        """The panel with ticks that go on from those before, where each row is a step."""
        if new.grid.unit != "row":
            return new, self._calendar
        known, first = self._calendar
        times = np.union1d(known, new.times)
        if not np.array_equal(times[: len(known)], known):
            between = np.setdiff1d(new.times, known)
            raise DataError(
                f"The time {new.grid.label(int(between[0]))} lies between steps that are known: "
                "where each row is a step, rows are given in order."
            )
        ticks = first + np.searchsorted(times, new.times)
        return replace(new, ticks=ticks), (times, first)

    def _times_of(self, ticks: Integers, calendar: Calendar) -> Integers:
        if self._fitted.grid.unit != "row":
            return self._fitted.grid.times(ticks)
        times, first = calendar
        return times[np.clip(ticks - first, 0, len(times) - 1)]

    def _forget(self) -> None:
        """Let go of rows that nothing reads any more; their last values are kept."""
        panel, fitted = self._rows, self._fitted
        begins, last = panel.starts[:-1].copy(), last_rows(panel)
        for s, series in enumerate(self._series):
            if series.state is None or last[s] < 0:
                continue  # its smoothing has not begun: it needs all rows
            read = int(last[s])
            if self._start is not None:  # the forecast whose errors are taken next
                due = self._start + series.counted - 1
                read = min(read, int(panel.starts[s] + due - panel.ticks[panel.starts[s]]))
            begins[s] = max(begins[s], read + 1 - self._needed)
        dropped = self._together(begins - panel.starts[:-1])
        begins = panel.starts[:-1] + dropped
        if not dropped.any():
            return
        gone = np.concatenate(
            [np.arange(a, b) for a, b in zip(panel.starts[:-1], begins, strict=True)]
        )
        some = np.flatnonzero(dropped)
        past = panel.taken(
            gone, np.append(0, np.cumsum(dropped[some])), [panel.series[s] for s in some]
        )
        firsts = first_values(past)
        ends = past.starts[1:] - 1
        observed = last_observed(~np.isnan(past.target), past.starts)[ends]
        for place, s in enumerate(some):
            series = self._series[s]
            if observed[place] >= 0:
                series.target = float(past.target[observed[place]])
                if np.isnan(series.first):
                    series.first = float(firsts[place])
        first = np.nan_to_num([self._series[s].first for s in some])
        moments = np.stack([self._series[s].moments for s in some], axis=1)
        _, moments = fitted.target.running(past.target, past.starts, first, moments)
        for place, s in enumerate(some):
            self._series[s].moments = moments[:, place]
        for name, values in past.numbers.items():
            at = last_observed(~np.isnan(values), past.starts)[ends]
            for place, s in enumerate(some):
                if at[place] >= 0:
                    self._series[s].numbers[name] = float(values[at[place]])
        for name, codes in past.codes.items():
            at = last_observed(codes >= 0, past.starts)[ends]
            for place, s in enumerate(some):
                if at[place] >= 0:
                    self._series[s].texts[name] = past.values[name][codes[at[place]]]
        kept = np.concatenate(
            [np.arange(a, b) for a, b in zip(begins, panel.starts[1:], strict=True)]
        )
        starts = np.append(0, np.cumsum(panel.starts[1:] - begins))
        self._latest = panel.taken(kept, starts, panel.series)
        self._expected = self._expected[kept]
        times, first_tick = self._calendar
        old = max(0, int(self._latest.ticks.min()) - first_tick)
        self._calendar = times[old:], first_tick + old

    def _together(self, dropped: Integers) -> Integers:
        """The least of rows to drop `(S,)` among the targets of a series: each reads the others."""
        if len(self._fitted.config.targets) == 1:
            return dropped
        _, of = np.unique(told_apart(self._rows)[0], return_inverse=True)
        least = np.full(len(self._series), np.iinfo(np.int64).max)
        np.minimum.at(least, of, dropped)
        return least[of]

    def _others(self, panel: Panel) -> dict[str, tuple[Floats, Floats, Floats]]:
        """`Earlier.others` of the series of a panel."""
        targets, ours, found = self._fitted.config.targets, self._rows.series, {}
        for target in targets if len(targets) > 1 else ():
            names = [pair_name(series, target) for series in told_apart(panel)[0]]
            series = [self._series[ours.index(name)] for name in names]
            found[target] = (
                np.array([of.target for of in series]),
                np.array([of.first for of in series]),
                np.stack([of.moments for of in series], axis=1),
            )
        return found

    # Smoothing.

    def _smooth(self, added: Integers, which: Integers) -> None:
        """Go on with the smoothing of each series by its `added` `(S,)` last rows."""
        some = np.flatnonzero(added)
        states = [self._series[s].state for s in some]
        going = np.array([state is not None for state in states], np.bool_)
        if going.any():
            self._run(some[going], added, which, [state for state in states if state is not None])
        if not going.all():
            young = some[~going]
            self._run(young, self._rows.lengths, which, None)

    def _run(
        self, some: Integers, counts: Integers, which: Integers, states: Sequence[State] | None
    ) -> None:
        """Smooth the last `counts` `(S,)` rows of some series, from states or from nothing."""
        panel, horizon = self._rows, self._fitted.config.horizon
        ends = panel.starts[1:][some]
        rows = np.concatenate(
            [np.arange(end - count, end) for end, count in zip(ends, counts[some], strict=True)]
        )
        starts = np.append(0, np.cumsum(counts[some]))
        state = State.joined(states) if states else None
        smoothed = self._fitted.smoothing.run(panel.target[rows], starts, which[some], state)
        expected = np.zeros(len(rows))
        if states is None or len(rows) > len(some):
            expected = smoothed.fitted.copy()
        if states:
            expected[starts[:-1]] = [self._series[s].following for s in some]
        self._expected[rows] = expected
        begin = self._start
        ticks = panel.ticks[rows]
        due = np.zeros(len(rows), np.bool_)
        if begin is not None:
            due = (ticks + 1 >= begin) & ((ticks + 1 - begin) % horizon == 0)
        latest = last_observed(~np.isnan(panel.target[rows]), starts)[starts[1:] - 1]
        due[latest[latest >= 0]] = True
        due[starts[1:] - 1] = True
        asked = np.flatnonzero(due)
        ahead = smoothed.ahead(asked, horizon)
        place = np.searchsorted(starts, asked, side="right") - 1
        state = smoothed.state
        settled = state.settled
        for row, forecast, of in zip(asked, ahead, place, strict=True):
            self._series[some[of]].ahead[int(ticks[row])] = forecast
        for of, s in enumerate(some):
            series = self._series[s]
            series.state = state.taken(np.array([of])) if settled[of] else None
            series.following = float(series.ahead[int(ticks[starts[of + 1] - 1])][0])
            if latest[of] >= 0:
                series.observed = int(ticks[latest[of]])
            series.forget_ahead(begin, horizon)

    # Windows.

    def _prepared(self, panel: Panel) -> tuple[Prepared, Integers]:
        """The rows of a panel as inputs, and which of the series here each of its series is."""
        ours = self._rows.series
        places = np.array([ours.index(name) for name in panel.series], np.int64)
        expected = np.zeros(len(panel.ticks))
        lengths = self._rows.lengths
        for s, place in enumerate(places):
            begin = self._rows.starts[place]
            some = slice(panel.starts[s], panel.starts[s] + lengths[place])
            expected[some] = self._expected[begin : begin + lengths[place]]
        known = [self._series[place] for place in places]
        earlier = Earlier(
            smoothed=_Ahead(panel, known, expected),
            target=np.array([of.target for of in known]),
            first=np.array([of.first for of in known]),
            moments=np.stack([of.moments for of in known], axis=1),
            numbers={
                name: np.array([of.numbers.get(name, np.nan) for of in known])
                for name in panel.numbers
            },
            codes={
                name: np.array(
                    [values.index(of.texts[name]) if name in of.texts else -1 for of in known]
                )
                for name, values in panel.values.items()
            },
            others=self._others(panel),
        )
        times = self._of_times(panel)
        prepared = assemble(panel, self._fitted, None, [], earlier=earlier, of_times=times)
        return prepared, places

    def _of_times(self, panel: Panel) -> Floats | None:
        """`time_features` of a panel, computed for many steps at once; None where it cannot be."""
        grid, (first, known) = panel.grid, self._times_known
        low, high = int(panel.ticks.min()), int(panel.ticks.max())
        if grid.unit == "row" or high - low > MOST_TIMES:
            return None
        if low < first or high >= first + len(known):
            first = low
            times = grid.times(np.arange(low, high + 1 + TIMES_AHEAD))
            self._times_known = first, time_features(grid, times, self._fitted)
            known = self._times_known[1]
        return known[panel.ticks - first]

    # Errors.

    def _new_widths(self, which: Integers) -> Widths:
        """The widths of new series, by their indices among the fitted ones."""
        config, calibration = self._fitted.config, self._outlook.calibration
        found = calibration.widths(len(which), config.quantiles, config.horizon)
        if calibration.unseen is not None and (which < 0).any():
            unseen = np.flatnonzero(which < 0)
            theirs = calibration.unseen.widths(len(unseen), config.quantiles, config.horizon)
            found.put(unseen, theirs)
        return found

    def _follow_errors(self) -> None:
        """Take the errors of all horizons that are over."""
        if self._start is None:
            return
        start, horizon = self._start, self._fitted.config.horizon
        over = np.zeros(len(self._series), np.int64)
        for s, series in enumerate(self._series):
            if series.observed is not None:
                over[s] = max(0, (series.observed + 1 - start) // horizon) * horizon
        done = np.array([series.counted for series in self._series])
        if not (over > done).any():
            return
        prepared, places = self._prepared(self._rows)
        errors = self._errors(prepared, done[places], over[places])
        for steps in np.unique((over - done)[over > done]):
            some = np.flatnonzero(over - done == steps)
            widths = self._widths.taken(some)
            for step in range(int(steps)):
                widths.take(errors[some, step])
            self._widths.put(some, widths)
        for s, series in enumerate(self._series):
            series.counted = int(max(over[s], done[s]))
            series.forget_ahead(start, horizon)
        begins = dict(zip(self._rows.series, (of.counted for of in self._series), strict=True))
        self._made = {
            (name, tick): of
            for (name, tick), of in self._made.items()
            if tick + 1 - start >= begins[name]
        }

    def _errors(self, prepared: Prepared, begins: Integers, ends: Integers) -> Floats:
        """`(S, T, Q)` errors of forecasts one after the other, at the steps from `begins` on."""
        config, panel, start = self._fitted.config, prepared.panel, self._start or 0
        steps = int(max((ends - begins).max(initial=0), 0))
        errors = np.full((len(begins), steps, len(config.quantiles)), np.nan)
        made = walk_forward(prepared, start, ENDLESS, config.horizon)
        series = panel.series_of[made]
        first = panel.ticks[made] + 1 - start
        now = (first >= begins[series]) & (first < ends[series])
        made, series, first = made[now], series[now], first[now]
        if len(made):
            outlook = self._outlook
            names = [panel.series[s] for s in series]
            keys = list(zip(names, panel.ticks[made].tolist(), strict=True))
            anew = np.array([key not in self._made for key in keys])
            if anew.any():
                forecasts = outlook.mixed(prepared, made[anew])
                units = outlook.distances(forecasts, prepared, made[anew])
                new = zip(np.flatnonzero(anew).tolist(), forecasts, units, strict=True)
                self._made |= {keys[place]: (of, unit) for place, of, unit in new}
            forecast, distances = (
                np.stack(of) for of in zip(*(self._made[key] for key in keys), strict=True)
            )
            found = outlook.errors_in(distances, forecast, prepared.truth(made))
            when = first[:, None] + np.arange(config.horizon)
            inside = when < ends[series][:, None]
            row = np.broadcast_to(series[:, None], when.shape)
            step = when - begins[series][:, None]
            errors[row[inside], step[inside]] = found[inside]
        return errors

    def _noted_errors(self, prepared: Prepared, begins: Integers, ends: Integers) -> Floats | None:
        """What `_errors` returns, where one forecast of each series has them all, which was noted.

        None for others.
        """
        config, panel = self._fitted.config, prepared.panel
        count = ends - begins
        steps, first = int(count.max(initial=0)), panel.starts[:-1]
        ticks = (self._start or 0) + begins - 1
        noted = [self._made.get(key) for key in zip(panel.series, ticks.tolist(), strict=True)]
        made = [of for of in noted if of is not None]
        if steps > config.horizon or len(made) < len(noted):
            return None
        forecast, distances = (np.stack(of) for of in zip(*made, strict=True))
        truth = prepared.truth(first + ticks - panel.ticks[first])
        found = self._outlook.errors_in(distances, forecast, truth)[:, :steps]
        found[np.arange(steps) >= count[:, None]] = np.nan
        return found

    def _factors_at(self, prepared: Prepared, places: Integers, origins: Integers) -> Floats:
        """`(S, Q)` by what distances from the median are multiplied, with the latest errors."""
        if self._start is None:
            return self._widths.taken(places).factors
        known = np.maximum(prepared.panel.ticks[origins] + 1 - self._start, 0)
        counted = np.array([self._series[place].counted for place in places])
        errors, new = self._noted_errors(prepared, counted, known), known - counted
        if errors is None:
            errors = self._errors(prepared, counted, known)
        widths, done = self._widths.taken(places), 0
        together = bool((new == new[0]).all())
        if together and self._followed is not None:
            same, already, those = self._followed
            if np.array_equal(same, [places, counted]):
                widths, done = those, already
        factors = widths.factors
        for step in range(done, errors.shape[1]):
            widths.take(errors[:, step])
            factors[new == step + 1] = widths.factors[new == step + 1]
        self._followed = ([places, counted], int(new[0]), widths) if together else None
        return factors


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


class _Series:
    """What is carried on of a series."""

    def __init__(self) -> None:
        self.state: State | None = None
        """Of smoothing; None before all its forms have begun."""
        self.following = np.nan
        """What smoothing forecasts of the next row."""
        self.ahead: dict[int, Floats] = {}
        """How smoothing goes on after the ticks from which forecasts are made."""
        self.observed: int | None = None
        """The tick of the last value."""
        self.counted = 0
        """Steps after the training whose errors were taken."""
        self.target = self.first = np.nan
        self.moments = np.zeros(3)
        self.numbers: dict[str, float] = {}
        self.texts: dict[str, str] = {}

    def forget_ahead(self, start: int | None, horizon: int) -> None:
        """Let go of what no forecast begins with any more."""
        from_here = ENDLESS if start is None else start + self.counted - 1
        self.ahead = {
            tick: of
            for tick, of in self.ahead.items()
            if tick == self.observed
            or (start is not None and tick >= from_here and (tick + 1 - start) % horizon == 0)
        }


@dataclass(frozen=True)
class _Ahead:
    """How smoothing goes on after some rows, as it was noted when they came."""

    panel: Panel
    series: Sequence[_Series]
    fitted: NDArray[np.float64]

    def ahead(self, origins: Integers, horizon: int) -> Floats:
        """Forecast `(B, horizon)` after rows `origins` `(B,)`."""
        pairs = zip(self.panel.series_of[origins], self.panel.ticks[origins], strict=True)
        found = [self.series[s].ahead[int(tick)] for s, tick in pairs]
        return np.array(found).reshape(len(origins), horizon)
