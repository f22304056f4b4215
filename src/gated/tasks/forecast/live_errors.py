"""Errors of a live forecaster's own forecasts, by which the widths of its intervals follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gated.tasks.forecast.calibration import Widths
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.live_memory import ENDLESS, Memory
from gated.tasks.forecast.outlook import Outlook
from gated.tasks.forecast.panel import Floats, Panel
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.windows import walk_forward


def new_widths(outlook: Outlook, fitted: Preprocessing, which: Integers) -> Widths:
    """Return the widths of new series, by their indices `which` among the fitted ones."""
    config, calibration = fitted.config, outlook.calibration
    found = calibration.widths(len(which), config.quantiles, config.horizon)
    if calibration.unseen is not None and (which < 0).any():
        unseen = np.flatnonzero(which < 0)
        theirs = calibration.unseen.widths(len(unseen), config.quantiles, config.horizon)
        found.put(unseen, theirs)
    return found


class LiveErrors:
    """Forecasts whose errors are not all known yet.

    Args:
        outlook: what forecasts.
        fitted: what was learned of the data.
    """

    def __init__(self, outlook: Outlook, fitted: Preprocessing) -> None:
        self._outlook, self._fitted = outlook, fitted
        self._made: dict[tuple[str, int], tuple[Floats, Floats]] = {}
        """Forecasts `(horizon, Q)` whose errors are not all known, by series and tick; and units of
        their errors, see `Calibration.distances`."""
        self._followed: tuple[list[tuple[int, int]], int, Widths] | None = None
        """Of the last forecast: its series and where they were, how many errors after that, and the
        widths with these."""

    def forget(self) -> None:
        """Let go of all: what they were made from has changed."""
        self._made, self._followed = {}, None

    def follow(
        self, memory: Memory, prepared_of: Callable[[Panel], tuple[Prepared, Integers]]
    ) -> None:
        """Take the errors of all horizons that are over."""
        if memory.start is None:
            return
        start, horizon = memory.start, self._fitted.config.horizon
        over = np.zeros(len(memory.series), np.int64)
        for s, series in enumerate(memory.series):
            if series.observed is not None:
                over[s] = max(0, (series.observed + 1 - start) // horizon) * horizon
        done = np.array([series.counted for series in memory.series])
        if not (over > done).any():
            return
        prepared, places = prepared_of(memory.rows)
        errors = self._errors(memory, prepared, done[places], over[places])
        for steps in np.unique((over - done)[over > done]):
            some = np.flatnonzero(over - done == steps)
            widths = memory.widths.taken(some)
            for step in range(int(steps)):
                widths.take(errors[some, step])
            memory.widths.put(some, widths)
        for s, series in enumerate(memory.series):
            series.counted = int(max(over[s], done[s]))
            series.forget_ahead(start, horizon)
        begins = dict(zip(memory.rows.series, (of.counted for of in memory.series), strict=True))
        self._made = {
            (name, tick): of
            for (name, tick), of in self._made.items()
            if tick + 1 - start >= begins[name]
        }

    def _errors(
        self, memory: Memory, prepared: Prepared, begins: Integers, ends: Integers
    ) -> Floats:
        """`(S, T, Q)` errors of forecasts one after the other, at the steps from `begins` on."""
        config, panel, start = self._fitted.config, prepared.panel, memory.start or 0
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

    def _noted_errors(
        self, memory: Memory, prepared: Prepared, begins: Integers, ends: Integers
    ) -> Floats | None:
        """What `_errors` returns, where one forecast of each series has them all, which was noted.

        None for others.
        """
        config, panel = self._fitted.config, prepared.panel
        count = ends - begins
        steps, first = int(count.max(initial=0)), panel.starts[:-1]
        ticks = (memory.start or 0) + begins - 1
        noted = [self._made.get(key) for key in zip(panel.series, ticks.tolist(), strict=True)]
        made = [of for of in noted if of is not None]
        if steps > config.horizon or len(made) < len(noted):
            return None
        forecast, distances = (np.stack(of) for of in zip(*made, strict=True))
        truth = prepared.truth(first + ticks - panel.ticks[first])
        found = self._outlook.errors_in(distances, forecast, truth)[:, :steps]
        found[np.arange(steps) >= count[:, None]] = np.nan
        return found

    def note(self, names: Sequence[str], ticks: Integers, forecast: Floats, units: Floats) -> None:
        """Note forecasts `(S, horizon, Q)` whose errors will be taken, and units of these."""
        made = zip(forecast, units, strict=True)
        self._made |= dict(zip(zip(names, ticks.tolist(), strict=True), made, strict=True))

    def noted_factors(self, memory: Memory, ticks: Integers) -> Floats | None:
        """What `factors_at` returns for all series, by what was noted; None where it must look.

        `ticks` `(S,)` are those of their last rows, whose targets were observed.
        """
        if memory.start is None:
            return memory.widths.factors
        start, panel = memory.start, memory.rows
        counted = [of.counted for of in memory.series]
        every = {
            max(tick + 1 - start, 0) - of for tick, of in zip(ticks.tolist(), counted, strict=True)
        }
        if len(every) > 1 or max(every) > self._fitted.config.horizon:
            return None
        new, at = max(every), [(s, of) for s, of in enumerate(counted)]
        widths, done = memory.widths, 0
        if self._followed is not None:
            same, already, those = self._followed
            if same == at:
                widths, done = those, already
        if new > done:
            keys = zip(panel.series, (start + of - 1 for of in counted), strict=True)
            made = [self._made[key] for key in keys if key in self._made]
            if len(made) < len(ticks):
                return None
            forecast, units = (np.stack(of)[:, done:new] for of in zip(*made, strict=True))
            rows = (panel.starts[1:] - new)[:, None] + np.arange(done, new)
            errors = self._outlook.errors_in(units, forecast, panel.target[rows])
            if widths is memory.widths:
                widths = widths.taken(np.arange(len(ticks)))
            for step in range(new - done):
                widths.take(errors[:, step])
        self._followed = (at, new, widths) if widths is not memory.widths else None
        return widths.factors

    def factors_at(
        self, memory: Memory, prepared: Prepared, places: Integers, origins: Integers
    ) -> Floats:
        """`(S, Q)` by what distances from the median are multiplied, with the latest errors."""
        if memory.start is None:
            return memory.widths.taken(places).factors
        known = np.maximum(prepared.panel.ticks[origins] + 1 - memory.start, 0)
        counted = np.array([memory.series[place].counted for place in places])
        errors, new = self._noted_errors(memory, prepared, counted, known), known - counted
        if errors is None:
            errors = self._errors(memory, prepared, counted, known)
        widths, done = memory.widths.taken(places), 0
        at = [*zip(places.tolist(), counted.tolist(), strict=True)]
        together = bool((new == new[0]).all())
        if together and self._followed is not None:
            same, already, those = self._followed
            if same == at:
                widths, done = those, already
        factors = widths.factors
        for step in range(done, errors.shape[1]):
            widths.take(errors[:, step])
            factors[new == step + 1] = widths.factors[new == step + 1]
        self._followed = (at, int(new[0]), widths) if together else None
        return factors
