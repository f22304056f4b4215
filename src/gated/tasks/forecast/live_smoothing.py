"""Smoothing that goes on with the rows that a live forecaster takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gated.tasks.forecast.cleaning import last_observed
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.live_memory import Memory
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.smoothing import State
from gated.tasks.forecast.smoothing_step import SmoothingStep

MOST_STEPS = 4096
"""Choices of series that come together for which `SmoothingStep` is kept."""


def smooth(memory: Memory, fitted: Preprocessing, added: Integers, which: Integers) -> None:
    """Go on with the smoothing of each series by its `added` `(S,)` last rows."""
    some = np.flatnonzero(added)
    states = [memory.series[s].state for s in some]
    going = np.array([state is not None for state in states], np.bool_)
    if going.all() and (added[some] == 1).all():
        _step(memory, fitted, some, which)
    elif going.any():
        _run(
            memory,
            fitted,
            some[going],
            added,
            which,
            [state for state in states if state is not None],
        )
    if not going.all():
        young = some[~going]
        _run(memory, fitted, young, memory.rows.lengths, which, None)


def _step(memory: Memory, fitted: Preprocessing, some: Integers, which: Integers) -> None:
    """Go on by one row of each of some series, all of whose forms have begun."""
    panel, horizon, key = memory.rows, fitted.config.horizon, (*some.tolist(),)
    step = memory.steps.get(key)
    if step is None:
        if len(memory.steps) >= MOST_STEPS:
            memory.steps.clear()
        step = memory.steps[key] = SmoothingStep(fitted.smoothing, which[some], horizon)
    rows = panel.starts[1:][some] - 1
    values, every = panel.target[rows], [memory.series[s] for s in key]
    memory.expected[rows] = [series.following for series in every]
    states, ahead = step.of([of.state for of in every if of.state is not None], values)
    told = zip(every, states, ahead, panel.ticks[rows].tolist(), values.tolist(), strict=True)
    for series, state, forecast, tick, value in told:
        series.state, series.ahead[tick] = state, forecast
        series.following = float(forecast[0])
        if value == value:  # it is no NaN
            series.observed = tick
        series.forget_ahead(memory.start, horizon)


def _run(
    memory: Memory,
    fitted: Preprocessing,
    some: Integers,
    counts: Integers,
    which: Integers,
    states: Sequence[State] | None,
) -> None:
    """Smooth the last `counts` `(S,)` rows of some series, from states or from nothing."""
    panel, horizon = memory.rows, fitted.config.horizon
    ends = panel.starts[1:][some]
    rows = np.concatenate(
        [np.arange(end - count, end) for end, count in zip(ends, counts[some], strict=True)]
    )
    starts = np.append(0, np.cumsum(counts[some]))
    state = State.joined(states) if states else None
    smoothed = fitted.smoothing.run(panel.target[rows], starts, which[some], state)
    expected = np.zeros(len(rows))
    if states is None or len(rows) > len(some):
        expected = smoothed.fitted.copy()
    if states:
        expected[starts[:-1]] = [memory.series[s].following for s in some]
    memory.expected[rows] = expected
    begin = memory.start
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
        memory.series[some[of]].ahead[int(ticks[row])] = forecast
    for of, s in enumerate(some):
        series = memory.series[s]
        series.state = state.taken(np.array([of])) if settled[of] else None
        series.following = float(series.ahead[int(ticks[starts[of + 1] - 1])][0])
        if latest[of] >= 0:
            series.observed = int(ticks[latest[of]])
        series.forget_ahead(begin, horizon)
