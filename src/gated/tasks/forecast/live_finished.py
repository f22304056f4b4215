"""Rows whose network inputs are finished when they come: a forecast only puts them together.

What `inputs.assemble` and `windows.gather` compute of all rows for each forecast is computed here
once a row. It is for what is common: series that training has seen, each with all rows that a
window reads, and columns of which nothing is known ahead. All else goes the other way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import FARTHEST_ERROR, Prepared
from gated.tasks.forecast.panel import Floats, Panel
from gated.tasks.forecast.preprocessing import OWN, Preprocessing
from gated.tasks.forecast.windows import NetworkInputs

LEAST_SPARE = 64
"""Rows at least that come before the latest are moved to the front of their memory."""


def may_be_finished(fitted: Preprocessing) -> bool:
    """Whether a row's inputs depend on that row and the ones before alone."""
    config = fitted.config
    return (
        len(config.targets) == 1
        and not fitted.known_names
        and not config.partner
        and fitted.grid.unit != "row"
    )


class FinishedRows:
    """The latest rows of `S` series as network inputs, see `Prepared`.

    Args:
        prepared: the rows of all series, none of which is new.
        origins: `(S,)` the last row of each, whose target was observed.
        needed: rows that a window reads; each series has as many.
    """

    def __init__(self, prepared: Prepared, origins: Integers, needed: int) -> None:
        self._fitted = fitted = prepared.preprocessing
        config, count = fitted.config, len(origins)
        history = config.history or 1
        self._which = prepared.series_of[origins]
        self._series = np.arange(count)
        self._lead = needed - history
        """Rows of which only the target is read, before those of a history."""
        spare = max(history, LEAST_SPARE)
        rows = origins[:, None] + np.arange(1 - needed, 1)
        self._needed, self._room = needed, needed + spare

        def with_room(values: NDArray[np.generic], lead: int) -> NDArray[np.generic]:
            filled = np.empty((count, self._room - lead, *values.shape[1:]), values.dtype)
            filled[:, : needed - lead] = values[rows[:, lead:]]
            return filled

        self._target = with_room(prepared.target, 0)
        self._filled = with_room(prepared.filled, 0)
        self._inputs = with_room(prepared.inputs, self._lead)
        self._categories = with_room(prepared.categories, self._lead)
        self._ends = np.full(count, needed)
        """`(S,)` the number of rows in memory, the latest last."""
        self.ticks = prepared.panel.ticks[origins]
        """`(S,)` of the last row of each series."""
        self.observed = np.ones(count, np.bool_)
        """`(S,)` whether the target was observed there."""
        self._remainder = fitted.remainder[self._which].astype(np.float32)
        self._no_codes = np.zeros((config.horizon, count, 0), np.int64)
        steps, self._past = np.arange(1, config.horizon + 1), np.arange(-history, 0)[:, None]
        behind = [self._past - season + 0 * self._past for season in config.seasons]
        ahead = [(steps - 1 - m * -(-steps // m))[:, None] for m in config.seasons]
        none = np.zeros((history + config.horizon, 1, 0), np.int64)
        lags = [np.concatenate(pair)[..., None] for pair in zip(behind, ahead, strict=True)]
        self._lags = np.concatenate([none, *lags], axis=-1)
        """`(history + horizon, 1, Q)` rows of the lags, counted from the end."""
        self._numbers = np.arange(len(fitted.past_numbers))
        self._marked = [k for k, name in enumerate(fitted.past_numbers) if name in fitted.masked]
        self._codes = [
            {value: code for code, value in enumerate(known, 1)} for known in fitted.categories
        ]

    def add(self, places: Integers, new: Panel, expected: Floats, of_times: Floats) -> None:
        """Take the next row of some series.

        Args:
            places: `(R,)` which of the series they are of.
            new: the rows, one of each series.
            expected: `(R,)` what smoothing forecast of each a step before.
            of_times: `(R, …)`, see `time_features`.
        """
        fitted, which = self._fitted, self._which[places]
        self._make_room(places)
        ends, values = self._ends[places], new.target
        observed = ~np.isnan(values)
        filled = np.where(observed, values, self._filled[places, ends - 1])
        target = fitted.target.apply(filled, which)
        error = (target - fitted.target.apply(expected, which)) / fitted.remainder[which]
        row = np.empty((len(places), self._inputs.shape[-1]), np.float32)
        row[:, 0], row[:, 1] = target, observed
        row[:, 2] = np.where(
            observed, np.minimum(np.maximum(error, -FARTHEST_ERROR), FARTHEST_ERROR), 0.0
        )
        begin = OWN + of_times.shape[1]
        row[:, OWN:begin] = of_times
        at, before = ends - self._lead, self._inputs[places, ends - self._lead - 1]
        if len(self._numbers):
            end = begin + len(self._numbers)
            given = np.stack([new.numbers[name] for name in fitted.past_numbers], axis=1)
            there = ~np.isnan(given)
            row[:, begin:end] = fitted.numbers.apply(given, self._numbers)
            row[:, begin:end] = np.where(there, row[:, begin:end], before[:, begin:end])
            row[:, end:] = there[:, self._marked]
        for k, name in enumerate(fitted.past_texts):
            known, texts = self._codes[k], new.values[name]
            table = np.array([*(known.get(text, 0) for text in texts), 0])
            codes = new.codes[name]
            last = self._categories[places, at - 1, k]
            self._categories[places, at, k] = np.where(codes >= 0, table[codes], last)
        self._inputs[places, at] = row
        self._target[places, ends], self._filled[places, ends] = target, filled
        self._ends[places] = ends + 1
        self.ticks[places] = new.ticks
        self.observed[places] = observed

    def _make_room(self, places: Integers) -> None:
        """Move the latest rows of series whose memory is full to its front."""
        for s in places[self._ends[places] == self._room].tolist():
            for of, lead in (
                (self._target, 0),
                (self._filled, 0),
                (self._inputs, self._lead),
                (self._categories, self._lead),
            ):
                kept = self._needed - lead
                of[s, :kept] = of[s, -kept:].copy()
            self._ends[s] = self._needed

    def network_inputs(self, smooth: Floats, of_times: Floats) -> NetworkInputs:
        """Return what the network reads of the windows at the last rows.

        Args:
            smooth: `(S, horizon)`, how smoothing goes on.
            of_times: `(S, horizon, …)` of the steps ahead.
        """
        fitted, history, ends = self._fitted, len(self._past), self._ends
        first = int(ends[0]) - self._lead
        if (ends == ends[0]).all():  # views are enough
            past: Any = slice(None), slice(first - history, first)
        else:
            past = self._series, self._past + (ends - self._lead)
        inputs, categories = self._inputs[past], self._categories[past]
        if isinstance(past[0], slice):
            inputs, categories = inputs.swapaxes(0, 1), categories.swapaxes(0, 1)
        lags = self._target[self._series[:, None], self._lags + ends[:, None]]
        return NetworkInputs(
            series=self._which,
            inputs=inputs,
            categories=categories,
            future=of_times.swapaxes(0, 1).astype(np.float32),
            future_categories=self._no_codes,
            last=self._target[self._series, ends - 1],
            smooth=fitted.target.apply(smooth.T, self._which).astype(np.float32),
            remainder=self._remainder,
            lags=lags[:history],
            future_lags=lags[history:],
        )

    def scaled(self, values: Floats) -> Floats:
        """Scale values of the target `(…, S)`."""
        return self._fitted.target.apply(values, self._which)

    def unscaled(self, values: Floats) -> Floats:
        """Return scaled values of the target `(S, …)` to its unit."""
        places = self._which.reshape(-1, *[1] * (values.ndim - 1))
        return self._fitted.target.invert(values, places)

    def latest(self, rows: Integers) -> Floats:
        """Return `(S, …)` values of the target in its unit at `rows`, counted from the end.

        Where nothing was observed, it is the last observation.
        """
        found: Floats = self._filled[self._series[:, None], self._ends[:, None] + rows]
        return found

    @property
    def which(self) -> Integers:
        """`(S,)` the index of each series among the fitted ones."""
        return self._which
