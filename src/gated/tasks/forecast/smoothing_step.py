"""One step of smoothing at a time, of series whose forms have all begun.

It computes what `Smoothing.run` does of one row of each series, to the bit, without what only many
rows need.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.scaling import HIGHEST_LOG
from gated.tasks.forecast.smoothing import (
    EARLY,
    FIRST_STEPS,
    Floats,
    Smoothing,
    State,
    early_gains,
)


class SmoothingStep:
    """Steps of `R` series.

    Args:
        smoothing: what was learned.
        which: `(R,)`, the index of each among the fitted ones, -1 of others.
        horizon: steps that are forecast after each.
    """

    def __init__(self, smoothing: Smoothing, which: Integers, horizon: int) -> None:
        columns, parameters, shares = smoothing.together
        self._floor, self._logs, self._any_logs = smoothing.floor, columns.logs, columns.logs.any()
        alpha, beta, phi, delta, gamma = np.moveaxis(parameters[which], -1, 0).copy()
        self._alpha, self._phi, self._delta, self._gamma = alpha, phi, delta, gamma
        self._slope, self._sloped, self._any_drift = alpha * beta, beta > 0, bool(delta.any())
        self._plain, self._any_plain = columns.longest == 0, bool((columns.longest == 0).any())
        power = np.ones((horizon, *phi.shape))
        power[1:] = phi
        self._grown = power.cumprod(axis=0).cumsum(axis=0)
        """`(horizon, R, K)` by what a trend is multiplied for each step ahead."""
        shares = shares[which]
        none = ~shares.any(axis=1)
        shares[none] = 1.0 * (columns.longest == columns.longest.min())
        self._shares = shares / shares.sum(axis=1, keepdims=True)
        self._seasons = [np.arange(horizon) % m for m in columns.seasons]
        self._has = [*columns.has.T]
        self._last: tuple[State, list[State]] | None = None

    def of(self, states: Sequence[State], values: Floats) -> tuple[list[State], Floats]:
        """Take a step of each series.

        Args:
            states: of each, in which all forms have begun.
            values: `(R,)`, NaN where nothing was observed.

        Returns:
            The states after it, and forecasts `(R, horizon)` of what follows.
        """
        last = self._last
        if last is None or any(a is not b for a, b in zip(last[1], states, strict=True)):
            state = State.joined(states)
        else:
            state = last[0]
        after, ahead = self._step(state, values)
        parts = [after]
        if len(states) > 1:
            parts = [after.taken(slice(s, s + 1)) for s in range(len(states))]
        self._last = after, parts
        return parts, ahead

    def _step(self, state: State, values: Floats) -> tuple[State, Floats]:
        steps, level, phi = state.steps[:, None], state.level, self._phi
        there = ~np.isnan(values)[:, None]
        z = values[:, None]
        if self._any_logs:
            z = np.where(self._logs, np.log(np.maximum(z, self._floor)), z)
        forward = phi * state.trend
        if self._any_drift:
            forward += self._delta * (level - state.begin) / np.maximum(steps, FIRST_STEPS)
        expected = level + forward
        for season in state.season:
            expected += season[:, 0]
        error = np.where(there, z - expected, 0.0)
        seen = state.seen + there
        gain, slope = self._alpha, self._slope
        if self._any_plain and (steps < EARLY).any():
            young = self._plain & (steps < EARLY)
            gain, slope = early_gains(gain, slope, seen, self._sloped, young)
        level = level + (forward + gain * error)
        trend = phi * state.trend + slope * error
        seasons = []
        if state.season:
            rest = self._gamma * (1 - gain) * error
            for season, has in zip(state.season, self._has, strict=True):
                moved = np.empty_like(season)
                moved[:, :-1] = season[:, 1:]
                moved[:, -1] = season[:, 0] + rest * has
                seasons.append(moved)
        after = State(
            steps=state.steps + 1,
            first=state.first,
            level=level,
            trend=trend,
            begin=state.begin,
            seen=seen,
            season=seasons,
            begins=state.begins,
        )
        return after, self._ahead(after)

    def _ahead(self, state: State) -> Floats:
        """Forecast `(R, horizon)` after a state, in single precision where `Smoothed` has it."""
        forward = self._phi * state.trend
        if self._any_drift:
            steps = np.maximum(state.steps[:, None], FIRST_STEPS)
            forward = forward + self._delta * ((state.level - state.begin) / steps)
        level, forward = (of.astype(np.float32) for of in (state.level - state.first, forward))
        each = state.first + level + self._grown * forward
        for season, places in zip(state.season, self._seasons, strict=True):
            each += season[:, places].swapaxes(0, 1)
        if self._any_logs:
            logs = self._logs
            each[..., logs] = np.exp(np.clip(each[..., logs], -HIGHEST_LOG, HIGHEST_LOG))
        forecast: Floats = (each * self._shares).sum(axis=2).T
        return forecast
