"""Exponential smoothing: level, trend and seasons of each series, from which the network begins.

In the manner of ES-RNN (Smyl 2020), whose network forecasts what smoothing leaves over. A *form*
has some seasons and a kind of trend, of the values or of their logarithms; with the parameters α,
β, γ, φ, δ it goes on from each value `z` and the error `e` of its forecast one step before:

    level  += forward + α e      trend = φ trend + α β e      season += γ (1 - α) e

where `forward` is φ trend (Holt and Winters, in the error-correction form of Hyndman et al. 2008)
plus δ times the mean slope so far (with δ = 1/2 it is the Theta method, as Hyndman and Billah 2003
show). The step is the cell `holt_winters` of `gated.cells.library`, run here for all series and
forms at once, some values missing. Without seasons the first gains are those with which level and
trend are the line of least squares; with seasons the first two cycles are taken apart. Nothing ever
looks ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.configuration import demand_numbers
from gated.errors import DataError
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.scaling import HIGHEST_LOG

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

ALPHA, BETA, PHI, DELTA, GAMMA = range(5)
"""Places of the parameters."""
GAINS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8, 1.0)
"""Candidates of α."""
SEASONAL_GAINS = (0.05, 0.15, 0.4, 1.0)
"""Candidates of γ. With 1, and α = 0, the last season is repeated."""
TRENDS = (
    ((0.0, 0.0, 0.0),),
    tuple((beta, phi, 0.0) for beta, phi in product((0.05, 0.2, 0.5), (0.8, 0.9, 0.97))),
    tuple((beta, 1.0, 0.0) for beta in (0.02, 0.05, 0.2, 0.5)),
    tuple((0.0, 1.0, delta) for delta in (0.25, 0.5, 1.0)),
)
"""Candidates of β, φ and δ by the kind of trend: none, damped, a line, the mean slope so far."""
CYCLES, LONG, LEAST_CYCLES = 2, 4, 1.5
"""A form with a season begins with the mean of two cycles, less their slope, where the series has
four; else with one cycle. It is tried where there are one and a half."""
FIRST_STEPS = 4
"""Values before a slope is believed, and before forms without seasons are compared."""
MOST_ROWS, LATEST = 12_000, 1500
"""Rows on which all candidates are compared, of whole series drawn where there are more; and the
latest rows of each that count."""
MOST_ORIGINS, MOST_STEPS = 2000, 6
"""Origins, and steps of the horizon, at which candidates are compared."""
MOST_VALUES = 4_000_000
"""Numbers that an array has at most while candidates are compared."""
CHOSEN = 6
"""Candidates of each form that are compared on all series."""
MOST_FORMS = 8
"""Forms that are averaged."""
OTHERS = 4
"""Horizons that the choice for all series counts as, beside the steps of a single one."""
WORST = 1e6
"""What the error of a form, relative to the best, counts as at most."""
LOGS_ERROR = 0.97
"""The error of logarithms, relative to that of values, below which the network forecasts them."""
LEAST_SHARE = 0.02
"""Forms of a smaller share are left out."""
EARLY = 200
"""Steps after which no gain is larger than its parameter says."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """Smoothing with some seasons and one kind of trend."""

    logs: bool
    """Whether logarithms are smoothed."""
    seasons: tuple[int, ...]
    """Their lengths in steps."""
    parameters: Floats
    """`(S + 1, 5)`: α, β, φ, δ and γ of each series, and of one that was not seen."""
    shares: Floats
    """`(S + 1,)` of the mean of all forms."""


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """What was learned from the training part of `S` series."""

    forms: tuple[Form, ...]
    floor: float
    """Of a smaller value the logarithm is that of this one."""
    logs: bool
    """Whether forms of logarithms are so much better that the network forecasts logarithms too."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be, as after damage."""
        demand_numbers("The floor of logarithms", self.floor, above=0)
        for form in self.forms:
            demand_numbers("A share of smoothing", form.shares, count=len(self.forms[0].shares))
            demand_numbers("Smoothing", form.parameters.ravel(), count=5 * len(form.shares))
        if not self.forms:
            raise DataError("There is no form of smoothing.")

    @property
    def seasons(self) -> tuple[int, ...]:
        """The seasons of all forms."""
        return tuple(sorted({season for form in self.forms for season in form.seasons}))

    def of(self, which: Integers) -> Smoothing:
        """Return the smoothing of series given by their indices `(S,)`, -1 of one not seen."""
        places = np.append(which, -1)
        forms = tuple(
            replace(form, parameters=form.parameters[places], shares=form.shares[places])
            for form in self.forms
        )
        return replace(self, forms=forms)

    def run(
        self, values: Floats, starts: Integers, which: Integers, state: State | None = None
    ) -> Smoothed:
        """Smooth series one after the other.

        Args:
            values: `(N,)`, NaN where nothing was observed.
            starts: `(R + 1,)`, where the series begin.
            which: `(R,)`, the index of each among the fitted ones, -1 of others.
            state: of the series, which go on from there; all forms have begun in it.
        """
        columns, parameters, shares = self.together
        of = parameters[which]
        return _smooth(values, starts, columns, of, self.floor, shares[which], state)

    def blank(self, count: int) -> State:
        """Return a state of `count` series in which there is nothing."""
        columns, _, _ = self.together
        forms, seasons = len(columns.logs), columns.seasons
        first, level, trend, begin = (np.zeros((count, forms)) for _ in range(4))
        return State(
            steps=np.zeros(count, np.int64),
            first=first,
            level=level,
            trend=trend,
            begin=begin,
            seen=np.zeros((count, 1)),
            season=[np.zeros((count, m, forms), np.float32) for m in seasons],
            begins=np.zeros((count, forms), np.int64),
        )

    @cached_property
    def together(self) -> tuple[_Columns, Floats, Floats]:
        """All forms, their parameters `(S + 1, K, 5)` and shares `(S + 1, K)`."""
        logs = np.array([form.logs for form in self.forms])
        columns = _Columns(logs, [form.seasons for form in self.forms])
        parameters = np.stack([form.parameters for form in self.forms], axis=1)
        return columns, parameters, np.stack([form.shares for form in self.forms], axis=1)


class _Columns:
    """Which of `K` forms take logarithms, and which seasons they have."""

    def __init__(self, logs: Mask, seasons: Sequence[tuple[int, ...]]) -> None:
        self.logs = logs
        self.seasons = sorted({season for of in seasons for season in of})
        self.has = np.array([[season in of for season in self.seasons] for of in seasons])
        """`(K, Q)`."""
        self.longest = np.array([max(of, default=0) for of in seasons])


@dataclass(frozen=True)
class State:
    """`R` series as they are after some steps: what smoothing goes on from."""

    steps: Integers
    """`(R,)`, taken so far."""
    first: Floats
    """`(R, K)`, see `Smoothed.begin`."""
    level: Floats
    """`(R, K)`."""
    trend: Floats
    """`(R, K)`, without the mean slope so far."""
    begin: Floats
    """`(R, K)`, the level at the beginning, from which the mean slope is counted."""
    seen: Floats
    """`(R, 1)`, values so far."""
    season: list[Floats32]
    """`(R, m, K)` of each season, of the `m` steps that follow."""
    begins: Integers
    """See `Smoothed.begins`."""

    @property
    def settled(self) -> Mask:
        """`(R,)`, whether all forms have begun; they do with the step after their first ones."""
        begun: Mask = self.steps > self.begins.max(axis=1)
        return begun

    def taken(self, which: Integers | slice) -> State:
        """Return the state of some of the series."""
        every = {name: getattr(self, name) for name in self.__dataclass_fields__}
        chosen = {name: of[which] for name, of in every.items() if name != "season"}
        return State(season=[of[which] for of in self.season], **chosen)

    @staticmethod
    def joined(states: Sequence[State]) -> State:
        """Return the series of all `states`, one after the other."""
        if len(states) == 1:
            return states[0]
        names = [name for name in State.__dataclass_fields__ if name != "season"]
        every = {name: np.concatenate([getattr(of, name) for of in states]) for name in names}
        seasons = zip(*(of.season for of in states), strict=True)
        return State(season=[np.concatenate(of) for of in seasons], **every)


@dataclass(frozen=True)
class Smoothed:
    """`R` series of `N` rows, smoothed by `K` forms."""

    starts: Integers
    columns: _Columns
    begin: Floats
    """`(R, K)`, the level with which the series begins."""
    level: Floats32
    """`(N, K)`, after the row's value; above `begin`, so that single precision is enough."""
    trend: Floats32
    """`(N, K)`, what the next step adds to the level."""
    damping: Floats
    """`(R, K)`, by what the trend is multiplied at each step after that."""
    season: list[Floats32]
    """Of each season of `m` steps `(N + R m, K)`: a series has `m` rows more than it has steps. Row
    `t + m` is the season after step `t`."""
    begins: Integers
    """`(R, K)` steps of the series before the form begins."""
    shares: Floats
    """`(R, K)`."""
    end: tuple[Integers, Floats, Floats, Floats, Floats]
    """Of `State`: steps, level, trend, begin and seen."""

    @property
    def state(self) -> State:
        """The series after their last rows."""
        steps, level, trend, begin, seen = self.end
        series = np.arange(len(steps))
        season = [
            of[(self.starts[1:] + series * m)[:, None] + np.arange(m)]
            for m, of in zip(self.columns.seasons, self.season, strict=True)
        ]
        return State(
            steps=steps,
            first=self.begin,
            level=level,
            trend=trend,
            begin=begin,
            seen=seen,
            season=season,
            begins=self.begins,
        )

    def ahead(self, origins: Integers, horizon: int) -> Floats:
        """Forecast the `horizon` steps after rows `origins` `(B,)`: `(B, horizon)`."""
        series, t = self._places(origins)
        t = t + self.end[0][series] - np.diff(self.starts)[series]  # with the steps before
        shares = self.shares[series] * (t[:, None] >= self.begins[series] - 1)
        none = ~shares.any(axis=1)
        shares[none] = 1.0 * (self.columns.longest == self.columns.longest.min())
        shares /= shares.sum(axis=1, keepdims=True)
        forecast = np.empty((len(origins), horizon))
        size = max(1, MOST_VALUES // (horizon * shares.shape[1]))
        for begin in range(0, len(origins), size):
            some = slice(begin, begin + size)
            each = self._each_ahead(origins[some], horizon)
            forecast[some] = (each * shares[some]).sum(axis=2).T
        return forecast

    def _each_ahead(self, origins: Integers, horizon: int) -> Floats:
        """Return the forecasts `(horizon, B, K)` of each form after rows `origins`."""
        series, t = self._places(origins)
        power = np.ones((horizon, *self.damping[series].shape))
        power[1:] = self.damping[series]
        grown = power.cumprod(axis=0).cumsum(axis=0)
        each = self.begin[series] + self.level[origins] + grown * self.trend[origins]
        for m, season in zip(self.columns.seasons, self.season, strict=True):
            first = self.starts[series] + series * m + t + 1
            each += season[first + np.arange(horizon)[:, None] % m]
        logs = self.columns.logs
        each[..., logs] = np.exp(np.clip(each[..., logs], -HIGHEST_LOG, HIGHEST_LOG))
        return each

    def each(self, origins: Integers, steps: Sequence[int]) -> Iterator[Floats]:
        """Yield the forecasts `(B, K)` of each form for each of `steps`, ascending, from 1."""
        series, t = self._places(origins)
        level, trend = self.begin[series] + self.level[origins], self.trend[origins].astype(float)
        damping, done = self.damping[series], 0
        grown, power = np.zeros_like(damping), np.ones_like(damping)
        for step in steps:
            for _ in range(step - done):
                grown, power = grown + power, power * damping
            done = step
            each = level + grown * trend
            for m, season in zip(self.columns.seasons, self.season, strict=True):
                each += season[self.starts[series] + series * m + t + 1 + (step - 1) % m]
            logs = self.columns.logs
            each[:, logs] = np.exp(np.clip(each[:, logs], -HIGHEST_LOG, HIGHEST_LOG))
            yield each

    def _places(self, origins: Integers) -> tuple[Integers, Integers]:
        """The series of rows, and the step that they are in it."""
        series = np.searchsorted(self.starts, origins, side="right") - 1
        return series, origins - self.starts[series]

    @cached_property
    def fitted(self) -> Floats:
        """`(N,)` the forecast of each row that was made a step before; of first rows, the level."""
        rows = np.arange(self.starts[-1])
        first = np.zeros(len(rows), np.bool_)
        first[self.starts[:-1]] = True
        fitted: Floats = self.ahead(np.where(first, rows, rows - 1), 1)[:, 0]
        return fitted


def _smooth(
    values: Floats,
    starts: Integers,
    columns: _Columns,
    parameters: Floats,
    floor: float,
    shares: Floats,
    state: State | None = None,
) -> Smoothed:
    """Smooth `values` `(N,)` by `K` columns with `parameters` `(R, K, 5)`, all series in step."""
    lengths = np.diff(starts)
    order = np.argsort(-lengths, kind="stable")
    lengths, starts_of = lengths[order], starts[:-1][order]
    alpha, beta, phi, delta, gamma = np.moveaxis(parameters[order], -1, 0).copy()
    logs = columns.logs
    count, shape = int(starts[-1]), (len(order), len(logs))
    observed = ~np.isnan(values)
    logarithms = np.log(np.maximum(values, floor)) if logs.any() else values
    if state is None:
        first = _first_rows(observed, starts)[order]
        level = np.where(logs, logarithms[first][:, None], values[first][:, None])
        level = np.nan_to_num(level)
        first_level, begin, trend = level.copy(), level.copy(), np.zeros(shape)
        seen = np.zeros((len(order), 1))
    else:
        first_level, level, begin, trend, seen = (
            of[order] for of in (state.first, state.level, state.begin, state.trend, state.seen)
        )
    all_levels, all_trends = (np.zeros((count, shape[1]), np.float32) for _ in range(2))
    season = [np.zeros((count + len(order) * m, shape[1]), np.float32) for m in columns.seasons]
    base = [starts_of + order * m for m in columns.seasons]
    sloped, plain = beta > 0, columns.longest == 0
    active = np.searchsorted(-lengths, -np.arange(lengths.max()), side="left")
    if state is None:
        before: Any = 0
        long = lengths[:, None] >= LONG * columns.longest
        begins = np.where(long, CYCLES, 1) * columns.longest
        due, last_due = set(np.unique(begins[:, ~plain]).tolist()), int(begins.max())
    else:
        before, begins = state.steps[order, None], state.begins[order]
        due, last_due = set(), 0
        for of, m, first_row, held in zip(season, columns.seasons, base, state.season, strict=True):
            of[first_row[:, None] + np.arange(m)] = held[order]
    alpha_beta, any_drift = alpha * beta, bool(delta.any())
    for t in range(int(lengths.max())):
        k = int(active[t])
        rows = starts_of[:k] + t
        steps = t if state is None else before[:k] + t
        ready, all_ready = begins[:k] <= t, t >= last_due
        for cycles in (1, CYCLES) if t in due else ():
            now = ~plain & (cycles * columns.longest == t)
            which = np.flatnonzero((begins[:k] == t)[:, now].any(axis=1))
            if not len(which):
                continue
            history = (rows[which, None] - t) + np.arange(t)
            for log in np.unique(logs[now]):
                _begin(
                    (logarithms if log else values)[history],
                    columns,
                    np.ix_(which, np.flatnonzero(now & (logs == log))),
                    t // cycles,
                    (level, trend, begin),
                    season,
                    base,
                )
            trend[:k][:, now] *= sloped[:k][:, now]
        forward = phi[:k] * trend[:k]
        if any_drift:
            forward += delta[:k] * (level[:k] - begin[:k]) / np.maximum(steps, FIRST_STEPS)
        if not all_ready:
            forward *= ready
        expected = level[:k] + forward
        for of, first_row in zip(season, base, strict=True):
            expected += of[first_row[:k] + t]
        there = observed[rows][:, None]
        z = np.where(logs, logarithms[rows][:, None], values[rows][:, None])
        error = np.where(there, z - expected, 0.0)
        seen[:k] += there
        gain, slope = alpha[:k], alpha_beta[:k]
        young = plain & (steps < EARLY)
        if young.any():
            gain, slope = early_gains(gain, slope, seen[:k], sloped[:k], young)
        if not all_ready:
            # What is not ready holds the last value.
            gain, slope = np.where(ready, gain, 1.0), slope * ready
        level[:k] += forward + gain * error
        trend[:k] = phi[:k] * trend[:k] + slope * error
        if season:
            rest = gamma[:k] * (1 - gain) * error
        for m, of, first_row, has in zip(columns.seasons, season, base, columns.has.T, strict=True):
            of[first_row[:k] + t + m] = of[first_row[:k] + t] + rest * has
        all_levels[rows] = level[:k] - first_level[:k]
        all_trends[rows] = forward = phi[:k] * trend[:k]
        if any_drift:
            slope_so_far = (level[:k] - begin[:k]) / np.maximum(steps + 1, FIRST_STEPS)
            all_trends[rows] = forward + delta[:k] * slope_so_far
        if not all_ready:
            all_trends[rows] *= ready
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return Smoothed(
        starts=starts,
        columns=columns,
        begin=first_level[back],
        level=all_levels,
        trend=all_trends,
        damping=phi[back],
        begins=begins[back],
        season=season,
        shares=shares,
        end=(
            np.diff(starts) + np.ravel(before if state is None else state.steps),
            level[back],
            trend[back],
            begin[back],
            seen[back],
        ),
    )


def early_gains(
    gain: Floats, slope: Floats, seen: Floats, sloped: Mask, young: Mask
) -> tuple[Floats, Floats]:
    """Return the gains `(R, K)` of level and slope where a series without a season is `young`.

    They are at least those with which a mean, or a line, follows the `seen` `(R, 1)` values.
    """
    n = np.maximum(seen, 1)
    line = 2 * (2 * n - 1) / (n * (n + 1))
    quick = np.where(n > FIRST_STEPS, 6 / (n * (n + 1)), 0.0)
    early = np.where(sloped, np.minimum(line, 1), 1 / n)
    gain = np.where(young, np.maximum(gain, early), gain)
    return gain, np.where(young & sloped, np.maximum(slope, quick), slope)


def _begin(
    head: Floats,
    columns: _Columns,
    where: tuple[Integers, ...],
    half: int,
    states: tuple[Floats, Floats, Floats],
    season: list[Floats32],
    base: list[Integers],
) -> None:
    """Set level, trend, first level and seasons of some series and columns after their first steps.

    Args:
        head: `(R, t)`, the first steps.
        columns: gives the seasons.
        where: the series `(R, 1)` and the columns `(1, K)`.
        half: steps that are compared with those at the end: `t` itself, and there is no slope.
        states: level, trend and first level.
        season: see `Smoothed`.
        base: of each season where the series begin in it.
    """
    level, trend, begin = states
    series, places = where
    t, middle = head.shape[1], (half - 1) / 2
    one, last = (np.nan_to_num(_mean(part)) for part in (head[:, :half], head[:, -half:]))
    slope = (last - one) / half
    rest = head - one[:, None] - slope[:, None] * (np.arange(t) - middle)
    level[where] = (last + slope * middle)[:, None]
    begin[where] = (one - slope * middle)[:, None]
    trend[where] = slope[:, None]
    for pattern in np.unique(columns.has[places[0]], axis=0):
        same = places[:, (columns.has[places[0]] == pattern).all(axis=1)]
        left = rest
        for place in np.flatnonzero(pattern):
            m = columns.seasons[place]
            profile = _profile(left, m)
            left = left - profile[:, np.arange(t) % m]
            cells = base[place][series] + np.arange(t, t + m)
            season[place][cells[..., None], same[None]] = profile[:, np.arange(t, t + m) % m, None]


def _mean(values: Floats) -> Floats:
    """`(R,)` means over the last axis of what is not NaN, NaN where all are."""
    seen = ~np.isnan(values)
    count = seen.sum(axis=-1)
    total = np.where(seen, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _profile(values: Floats, m: int) -> Floats:
    """`(R, m)` the mean of each phase of a season of `m` steps in `(R, T)`, of mean 0."""
    rows, steps = values.shape
    whole = np.full((rows, -(-steps // m) * m), np.nan)
    whole[:, :steps] = values
    profile: Floats = np.nan_to_num(_mean(whole.reshape(rows, -1, m).swapaxes(1, 2)))
    profile -= profile.mean(axis=1, keepdims=True)
    return profile


def _first_rows(observed: Mask, starts: Integers) -> Integers:
    """`(R,)` the row of the first observed value of each series, its first row where none is."""
    rows = np.where(observed, np.arange(len(observed)), len(observed))
    first = np.minimum.reduceat(rows, starts[:-1])
    found: Integers = np.where(first < starts[1:], first, starts[:-1])
    return found


@dataclass(frozen=True)
class _Candidates:
    """Parameters of every candidate of a form."""

    logs: bool
    seasons: tuple[int, ...]
    parameters: Floats
    """`(K, 5)`."""

    def __len__(self) -> int:
        return len(self.parameters)


def candidates(seasons: Sequence[int], *, logs: bool) -> list[_Candidates]:
    """Return the candidates of each form: without seasons, with each, with the first and another.

    Args:
        seasons: their lengths in steps.
        logs: whether logarithms are tried too.
    """
    sets: list[tuple[int, ...]] = [(), *((m,) for m in seasons)]
    sets += [(first, m) for first, m in combinations(seasons, 2) if first == seasons[0]]
    found = []
    for log, chosen, trends in product((False, True) if logs else (False,), sets, TRENDS):
        gammas = SEASONAL_GAINS if chosen else (0.0,)
        parameters = [
            (alpha, *trend, gamma)
            for alpha, trend, gamma in product(GAINS, trends, gammas)
            if alpha > 0 or (chosen and trend[0] == 0)
        ]
        found.append(_Candidates(log, chosen, np.array(parameters)))
    return found


def learn(
    values: Floats, starts: Integers, horizon: int, seasons: Sequence[int], learned: Mask
) -> Smoothing:
    """Choose forms, parameters and shares by the errors of forecasts a horizon ahead.

    Args:
        values: `(N,)` of the training part, NaN where nothing was observed.
        starts: `(R + 1,)`, where the series begin.
        horizon: steps that are forecast.
        seasons: lengths of seasons in steps, the usual one first.
        learned: `(R,)`, which series have parameters of their own, `S` of them.
    """
    positive = values[~np.isnan(values)]
    logs = bool(len(positive)) and bool(positive.min() > 0)
    floor = float(positive.min() / 10) if logs else 1.0
    own = np.flatnonzero(learned)
    values, starts = _latest(values, starts, own)
    counts = np.add.reduceat(~np.isnan(values), starts[:-1], dtype=np.int64).astype(float)
    longest = np.diff(starts).max()
    forms = candidates([m for m in seasons if longest >= LEAST_CYCLES * m + FIRST_STEPS], logs=logs)
    sample = _sample(starts)
    taken, small = _part(values, starts, sample)
    compared = _Comparison(taken, small, horizon, forms)
    errors = compared.errors(forms, floor)
    some = [_diverse(of) for of in errors]
    few = [
        _Candidates(form.logs, form.seasons, form.parameters[which])
        for form, which in zip(forms, some, strict=True)
    ]
    if len(sample) < len(own):
        errors = _Comparison(values, starts, horizon, few).errors(few, floor)
    else:
        errors = [of[:, which] for of, which in zip(errors, some, strict=True)]
    return _weighed(few, errors, counts, horizon, floor)


def _latest(values: Floats, starts: Integers, own: Integers) -> tuple[Floats, Integers]:
    """The latest rows of some series."""
    begins = np.maximum(starts[own], starts[own + 1] - LATEST)
    rows = [np.arange(begin, end) for begin, end in zip(begins, starts[own + 1], strict=True)]
    return values[np.concatenate(rows)], np.append(0, np.cumsum([len(of) for of in rows]))


def _sample(starts: Integers) -> Integers:
    """Some of the series, of `MOST_ROWS` rows in all."""
    order = np.random.default_rng(0).permutation(len(starts) - 1)
    fits = np.cumsum(np.diff(starts)[order]) <= MOST_ROWS
    return np.sort(order[: max(1, int(fits.sum()))])


def _part(values: Floats, starts: Integers, which: Integers) -> tuple[Floats, Integers]:
    rows = [np.arange(starts[s], starts[s + 1]) for s in which]
    return values[np.concatenate(rows)], np.append(0, np.cumsum([len(of) for of in rows]))


class _Comparison:
    """The origins at which candidates are compared, the same for all."""

    def __init__(
        self, values: Floats, starts: Integers, horizon: int, forms: Sequence[_Candidates]
    ) -> None:
        self.values, self.starts = values, starts
        lengths = np.diff(starts)
        spread = np.linspace(1, horizon, min(horizon, MOST_STEPS))
        self.steps = np.unique(spread.round().astype(int)).tolist()
        begin = np.full(len(lengths), FIRST_STEPS)
        for m in sorted({max(form.seasons, default=0) for form in forms}):
            after = np.where(lengths >= LONG * m, CYCLES * m, m)
            enough = lengths >= LEAST_CYCLES * m + FIRST_STEPS
            begin = np.where(enough, np.maximum(begin, after), begin)
        self.begin = begin
        series = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(starts[-1]) - starts[series]
        origins = np.flatnonzero((place >= begin[series]) & (place < lengths[series] - 1))
        each = max(1, len(origins) // max(MOST_ORIGINS, 8 * len(lengths)))
        if each > 1:
            origins = np.sort(np.random.default_rng(0).permutation(origins)[: len(origins) // each])
        self.origins, self.series = origins, series[origins]

    def errors(self, forms: Sequence[_Candidates], floor: float) -> list[Floats]:
        """`(R, K)` of each form the mean absolute error of its candidates.

        It is infinite where a series is too short to tell.
        """
        found: dict[int, Floats] = {}
        width = max(1, MOST_VALUES // len(self.values))
        for seasons in {form.seasons for form in forms}:
            # Those of the same seasons take the same steps.
            places = [place for place, form in enumerate(forms) if form.seasons == seasons]
            logs = np.concatenate(
                [np.full(len(forms[place]), forms[place].logs) for place in places]
            )
            parameters = np.concatenate([forms[place].parameters for place in places])
            errors = np.concatenate(
                [
                    self._errors(seasons, logs[k : k + width], parameters[k : k + width], floor)
                    for k in range(0, len(logs), width)
                ],
                axis=1,
            )
            ends = np.cumsum([len(forms[place]) for place in places])
            found |= zip(places, np.split(errors, ends[:-1], axis=1), strict=True)
        return [found[place] for place in range(len(forms))]

    def _errors(
        self, seasons: tuple[int, ...], logs: Mask, parameters: Floats, floor: float
    ) -> Floats:
        count, size = len(logs), len(self.starts) - 1
        columns = _Columns(logs, [seasons] * count)
        everywhere = np.broadcast_to(parameters, (size, count, 5))
        shares = np.ones((size, count))
        smoothed = _smooth(self.values, self.starts, columns, everywhere, floor, shares)
        total, number = np.zeros((size, count)), np.zeros((size, 1))
        ends = self.starts[self.series + 1]
        for step, forecast in zip(self.steps, smoothed.each(self.origins, self.steps), strict=True):
            rows = self.origins + step
            inside = rows < ends
            truth = np.where(inside, self.values[np.minimum(rows, len(self.values) - 1)], np.nan)
            there = ~np.isnan(truth)
            error = np.where(there[:, None], np.abs(forecast - truth[:, None]), 0.0)
            np.add.at(total, self.series, error)
            np.add.at(number[:, 0], self.series, there)
        mean = np.full_like(total, np.inf)
        np.divide(total, number, out=mean, where=number > 0)
        mean[self.begin < max(seasons, default=0)] = np.inf
        return mean


def _diverse(errors: Floats) -> Integers:
    """Candidates `(CHOSEN,)` of which each series has a good one, chosen one by one."""
    finite = np.isfinite(errors).all(axis=1)
    if not finite.any():
        return np.arange(min(1, errors.shape[1]))
    least = errors[finite].min(axis=1, keepdims=True)
    relative = np.log((errors[finite] + 1e-9) / (least + 1e-9))
    best, chosen = np.full(len(relative), np.inf), []
    for _ in range(CHOSEN):
        gains = np.minimum(best[:, None], relative).mean(axis=0)
        chosen.append(int(gains.argmin()))
        best = np.minimum(best, relative[:, chosen[-1]])
        if best.max() <= 0:
            break
    return np.array(sorted(set(chosen)))


def _weighed(
    forms: Sequence[_Candidates],
    errors: Sequence[Floats],
    counts: Floats,
    horizon: int,
    floor: float,
) -> Smoothing:
    """Choose the best candidate of each form for each series, and the shares of the forms.

    The choice for a series is drawn towards the one for all, the more the shorter it is. A share is
    the inverse error to the power of the horizons in the series: of a short series nearly the mean.
    """
    least = np.min([of.min(axis=1) for of in errors], axis=0)
    # A series that no form can forecast says nothing.
    usable = np.isfinite(least)
    tiny = max(1e-9 * least[usable].max(initial=0.0), 1e-100)
    least = np.where(usable, least, 1.0)
    lone = len(counts) == 1
    counts = np.maximum(counts, 1)
    own = counts[:, None] / (counts[:, None] + (0 if lone else OTHERS * horizon))
    scores, chosen, common = [], [], []
    for of in errors:
        relative = (of + tiny) / (least[:, None] + tiny)
        known = np.isfinite(relative).all(axis=1) & usable
        typical = (
            np.exp(np.log(np.clip(relative[known], 1e-6, WORST)).mean(axis=0))
            if known.any()
            else np.full(of.shape[1], np.inf)
        )
        mixed = np.where(known[:, None], own * np.where(known[:, None], relative, 0), 0) + np.where(
            known[:, None], 1 - own, 1
        ) * np.minimum(typical, WORST)
        chosen.append(np.append(mixed.argmin(axis=1), typical.argmin()))
        scores.append(mixed.min(axis=1))
        common.append(typical.min())
    score = np.concatenate([np.stack(scores), np.array(common)[:, None]], axis=1)
    power = np.append(np.maximum(counts / horizon, 2), max(counts.mean() / horizon, 2))
    score = np.minimum(score, WORST)
    shares = (score / score.min(axis=0)) ** -power
    shares /= shares.sum(axis=0)
    mean = shares.mean(axis=1)
    best = np.argsort(-mean)[:MOST_FORMS]
    best = np.sort(best[mean[best] >= min(LEAST_SHARE, mean.max())])
    shares = shares[best] + 1e-12
    shares /= shares.sum(axis=0)
    typical_of = {
        kind: min(
            (c for c, of in zip(common, forms, strict=True) if of.logs == kind), default=WORST
        )
        for kind in (True, False)
    }
    return Smoothing(
        forms=tuple(
            Form(
                logs=forms[k].logs,
                seasons=forms[k].seasons,
                parameters=forms[k].parameters[chosen[k]],
                shares=shares[place],
            )
            for place, k in enumerate(best)
        ),
        floor=floor,
        logs=bool(typical_of[True] < LOGS_ERROR * typical_of[False]),
    )
