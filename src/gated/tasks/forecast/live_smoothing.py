"""Smoothing that goes on with the rows that a live forecaster takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gated.tasks.forecast.cleaning import last_observed
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.live_memory import Memory
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.smoothing import State


def smooth(memory: Memory, fitted: Preprocessing, added: Integers, which: Integers) -> None:
    """Go on with the smoothing of each series by its `added` `(S,)` last rows."""
    some = np.flatnonzero(added)
    states = [memory.series[s].state for s in some]
    going = np.array([state is not None for state in states], np.bool_)
    if going.any():
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
