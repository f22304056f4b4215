"""What a live forecaster carries on: the latest rows of each series, and what came before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError
from gated.tasks.forecast.calibration import Widths
from gated.tasks.forecast.cleaning import last_observed
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Earlier, first_values, last_rows
from gated.tasks.forecast.panel import Floats, Panel
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.smoothing import State
from gated.tasks.forecast.smoothing_step import SmoothingStep
from gated.tasks.forecast.targets import pair_name, told_apart

ENDLESS = 1 << 62
"""A tick after all."""
Calendar = tuple[Integers, int]
"""Where each row is a step, the latest time stamps, and the tick of the first of them."""


class SeriesMemory:
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
class NotedAhead:
    """How smoothing goes on after some rows, as it was noted when they came."""

    panel: Panel
    series: Sequence[SeriesMemory]
    fitted: NDArray[np.float64]

    def ahead(self, origins: Integers, horizon: int) -> Floats:
        """Forecast `(B, horizon)` after rows `origins` `(B,)`."""
        pairs = zip(self.panel.series_of[origins], self.panel.ticks[origins], strict=True)
        found = [self.series[s].ahead[int(tick)] for s, tick in pairs]
        return np.array(found).reshape(len(origins), horizon)


@dataclass
class Memory:
    """The latest rows of `S` series, and what is carried on of the rows before them."""

    needed: int
    """Rows that a window reads."""
    widths: Widths
    latest: Panel | None = None
    expected: Floats = field(default_factory=lambda: np.zeros(0))
    """`(N,)` what smoothing forecast of each of these rows a step before."""
    series: list[SeriesMemory] = field(default_factory=list)
    start: int | None = None
    """The first tick after the training."""
    steps: dict[tuple[int, ...], SmoothingStep] = field(default_factory=dict)
    """What goes on with the smoothing of some series, by their places; nothing to be remembered."""
    calendar: Calendar = field(default_factory=lambda: (np.zeros(0, np.int64), 0))

    @property
    def rows(self) -> Panel:
        """The latest rows of each series.

        Raises:
            DataError: there are none.
        """
        if self.latest is None:
            raise DataError(
                "There is no row to forecast from: update the forecaster with the latest rows of "
                f"each series first, {self.needed:,} of them for all that a forecast reads."
            )
        return self.latest

    def forget(self, fitted: Preprocessing) -> None:
        """Let go of rows that nothing reads any more; their last values are kept."""
        panel = self.rows
        begins, last = panel.starts[:-1].copy(), last_rows(panel)
        for s, series in enumerate(self.series):
            if series.state is None or last[s] < 0:
                continue  # its smoothing has not begun: it needs all rows
            read = int(last[s])
            if self.start is not None:  # the forecast whose errors are taken next
                due = self.start + series.counted - 1
                read = min(read, int(panel.starts[s] + due - panel.ticks[panel.starts[s]]))
            begins[s] = max(begins[s], read + 1 - self.needed)
        dropped = self._together(fitted, begins - panel.starts[:-1])
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
            series = self.series[s]
            if observed[place] >= 0:
                series.target = float(past.target[observed[place]])
                if np.isnan(series.first):
                    series.first = float(firsts[place])
        first = np.nan_to_num([self.series[s].first for s in some])
        moments = np.stack([self.series[s].moments for s in some], axis=1)
        _, moments = fitted.target.running(past.target, past.starts, first, moments)
        for place, s in enumerate(some):
            self.series[s].moments = moments[:, place]
        for name, values in past.numbers.items():
            at = last_observed(~np.isnan(values), past.starts)[ends]
            for place, s in enumerate(some):
                if at[place] >= 0:
                    self.series[s].numbers[name] = float(values[at[place]])
        for name, codes in past.codes.items():
            at = last_observed(codes >= 0, past.starts)[ends]
            for place, s in enumerate(some):
                if at[place] >= 0:
                    self.series[s].texts[name] = past.values[name][codes[at[place]]]
        kept = np.concatenate(
            [np.arange(a, b) for a, b in zip(begins, panel.starts[1:], strict=True)]
        )
        starts = np.append(0, np.cumsum(panel.starts[1:] - begins))
        self.latest = panel.taken(kept, starts, panel.series)
        self.expected = self.expected[kept]
        times, first_tick = self.calendar
        old = max(0, int(self.latest.ticks.min()) - first_tick)
        self.calendar = times[old:], first_tick + old

    def _together(self, fitted: Preprocessing, dropped: Integers) -> Integers:
        """The least of rows to drop `(S,)` among the targets of a series: each reads the others."""
        if len(fitted.config.targets) == 1:
            return dropped
        _, of = np.unique(told_apart(self.rows)[0], return_inverse=True)
        least = np.full(len(self.series), np.iinfo(np.int64).max)
        np.minimum.at(least, of, dropped)
        return least[of]

    def earlier(self, panel: Panel, places: Integers, fitted: Preprocessing) -> Earlier:
        """What came before the rows of a panel, whose series are those at `places` here."""
        expected = np.zeros(len(panel.ticks))
        lengths = self.rows.lengths
        for s, place in enumerate(places):
            begin = self.rows.starts[place]
            some = slice(panel.starts[s], panel.starts[s] + lengths[place])
            expected[some] = self.expected[begin : begin + lengths[place]]
        known = [self.series[place] for place in places]
        return Earlier(
            smoothed=NotedAhead(panel, known, expected),
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
            others=self._others(panel, fitted),
        )

    def _others(
        self, panel: Panel, fitted: Preprocessing
    ) -> dict[str, tuple[Floats, Floats, Floats]]:
        """`Earlier.others` of the series of a panel."""
        targets, ours, found = fitted.config.targets, self.rows.series, {}
        for target in targets if len(targets) > 1 else ():
            names = [pair_name(series, target) for series in told_apart(panel)[0]]
            series = [self.series[ours.index(name)] for name in names]
            found[target] = (
                np.array([of.target for of in series]),
                np.array([of.first for of in series]),
                np.stack([of.moments for of in series], axis=1),
            )
        return found
