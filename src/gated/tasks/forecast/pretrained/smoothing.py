"""What exponential smoothing knows of a series: seasons, levels, trends, and forecasts from them.

Whatever a statistician would try first, at fixed rates: seasonal profiles from moving averages,
shrunk as their noise asks for (James and Stein 1961), simple and damped exponential smoothing of
what is left (Gardner 1985), drift, a straight line, Theta (Assimakopoulos and Nikolopoulos 2000).
A network reads their forecasts and errors, and says how much each is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RATES = np.array(
    # of the level, of the trend, and by how much the trend is damped at each step
    [
        (1.0, 0.0, 0.0),
        (0.6, 0.0, 0.0),
        (0.3, 0.0, 0.0),
        (0.1, 0.0, 0.0),
        (0.04, 0.0, 0.0),
        (0.6, 0.3, 0.9),
        (0.3, 0.1, 0.97),
        (0.15, 0.05, 1.0),
    ]
)
"""`(M, 3)`, the members of the bank."""
MIDDLE = 2
"""The member whose level everything is relative to."""
CYCLES = (1, 2, 4)
"""By so many of the last cycles a profile is renewed, of the shorter season."""
ANCHORS = 3 + len(RATES) + len(CYCLES) + 4
"""Forecasts at each step: naive, two seasonal naive ones, the bank's, those with renewed profiles,
drift, a line, Theta, the mean."""
RECENT = 32
"""Steps at the end whose errors count as recent."""
WIDEST_SEASON = 40.0
"""How many times as wide as its scale a season is at most."""
OF_LAST_CYCLE = 0.85
"""Weight of a season's cycle, as a multiple of that of the next one."""


@dataclass(frozen=True)
class Smoothed:
    """`B` histories of `N` steps, right-aligned, and `H` steps ahead, in the unit chosen for each.

    The unit is the logarithm where that forecasts better one step ahead.
    """

    values: Floats
    """`(B, N)`, NaN where nothing was observed."""
    in_logs: NDArray[np.bool_]
    """`(B,)`"""
    scale: Floats
    """`(B,)`, mean error of the better of the naive forecasts, one step or season ahead."""
    center: Floats
    """`(B,)`, the level at the end, which all is relative to."""
    adjusted: Floats
    """`(B, N)`, the values without their seasons."""
    seasonal: Floats
    """`(B, N + H)`"""
    strength: Floats
    """`(B, 2)`, by how much each season's profile was shrunk: 1 not at all, 0 to nothing."""
    errors: Floats
    """`(B, N, M)`, of the bank one step ahead; NaN where nothing was observed."""
    changes: Floats
    """`(B, 3)`, mean change lately in one step and in each season; that of one step where there is
    no season."""
    slope: Floats
    """`(B,)`, of the straight line of least squares."""
    anchors: Floats
    """`(B, H, A)`"""


def smoothed(history: Floats, seasons: Integers, horizon: int) -> Smoothed:
    """Smooth histories, each in the better unit.

    Args:
        history: `(B, N)`, right-aligned, NaN where nothing was observed; each has a value.
        seasons: `(B, 2)`, steps of the shorter and of the longer season; 1 for none.
        horizon: steps ahead, `H`.
    """
    plain = _smoothed(history, seasons, horizon, np.zeros(len(history), np.bool_))
    positive = np.flatnonzero(np.nanmin(history, axis=1) > 0)
    if not len(positive):
        return plain
    logs = _smoothed(
        np.log(history[positive]), seasons[positive], horizon, np.ones(len(positive), np.bool_)
    )
    ours, theirs = (np.nan_to_num(of.errors) for of in (plain, logs))
    expected = np.exp(np.clip(logs.values[..., None] - theirs, -700, 700))
    theirs = np.where(np.isnan(logs.errors), 0, np.abs(history[positive][..., None] - expected))
    better = theirs.mean(1).min(-1) < 0.97 * np.abs(ours[positive]).mean(1).min(-1)
    for name in vars(plain):
        getattr(plain, name)[positive[better]] = getattr(logs, name)[better]
    return plain


def _smoothed(
    values: Floats, seasons: Integers, horizon: int, in_logs: NDArray[np.bool_]
) -> Smoothed:
    rows, steps = values.shape
    observed = ~np.isnan(values)
    seasonal = np.zeros((rows, steps + horizon))
    strength = np.zeros((rows, 2))
    for which in range(2):
        for season in np.unique(seasons[:, which]):
            if season > 1:
                own = np.flatnonzero(seasons[:, which] == season)
                profile, strength[own, which] = _profile(
                    values[own] - seasonal[own, :steps], int(season)
                )
                phase = (np.arange(steps + horizon) - steps) % season
                seasonal[own] += profile[:, phase]
    adjusted = values - seasonal[:, :steps]
    level, trend, errors, path = _bank(adjusted, observed)
    ahead = np.arange(1, horizon + 1)
    season_ahead = seasonal[:, steps:]

    last = _last(values)
    naive = np.broadcast_to(last[:, None], (rows, horizon))
    one = _seasonal_naive(values, seasons[:, 0], horizon, naive)
    two = _seasonal_naive(values, seasons[:, 1], horizon, one)
    damping = np.cumsum(RATES[:, 2] ** ahead[:, None], axis=0)  # (H, M)
    of_bank = level[:, None] + trend[:, None] * damping + season_ahead[..., None]
    renewed = of_bank[..., MIDDLE, None] + _lately(adjusted - path, seasons[:, 0], horizon)
    intercept, slope = _line(adjusted, observed)
    count = observed.sum(1)
    first = adjusted[np.arange(rows), observed.argmax(1)]
    span = steps - 1 - observed.argmax(1)
    drift = (_last(adjusted) - first) / np.maximum(span, 1)
    others = np.stack(
        [
            _last(adjusted)[:, None] + drift[:, None] * ahead,
            intercept[:, None] + slope[:, None] * ahead,
            level[:, MIDDLE, None] + slope[:, None] / 2 * ahead,
            np.broadcast_to(
                (np.where(observed, adjusted, 0).sum(1) / count)[:, None], (rows, horizon)
            ),
        ],
        -1,
    )
    others = others + season_ahead[..., None]
    step = np.ones(rows, np.int64)
    scale = np.fmin(_mean_change(values, step), _mean_change(values, seasons[:, 0]))
    changes = np.stack(
        [_mean_change(values, of, RECENT) for of in (step, seasons[:, 0], seasons[:, 1])], -1
    )
    changes = np.where(np.isnan(changes), changes[:, :1], changes)
    floor = 1e-12 * np.nanmean(np.abs(values), axis=1) + 1e-9
    # A season that repeats itself to the digit has no error: it still has to fit into the range.
    floor = np.fmax(floor, np.ptp(seasonal, axis=1) / WIDEST_SEASON)
    return Smoothed(
        values=values.copy(),
        in_logs=in_logs,
        scale=np.fmax(scale, floor),
        center=level[:, MIDDLE].copy(),
        adjusted=adjusted,
        seasonal=seasonal,
        strength=strength,
        errors=errors,
        changes=np.nan_to_num(changes),
        slope=slope,
        anchors=np.concatenate([np.stack([naive, one, two], -1), of_bank, renewed, others], -1),
    )


def _profile(values: Floats, season: int) -> tuple[Floats, Floats]:
    """The seasonal profile `(B, season)`, the next step's first, and by how much it was shrunk.

    Nothing where there are not two whole cycles.
    """
    rows, steps = values.shape
    none = np.zeros((rows, season)), np.zeros(rows)
    cycles = (steps - season) // season
    if cycles < 1:
        return none
    observed = ~np.isnan(values)
    sums = np.cumsum(np.pad(np.where(observed, values, 0), ((0, 0), (1, 0))), axis=1)
    counts = np.cumsum(np.pad(observed, ((0, 0), (1, 0))), axis=1)
    window = counts[:, season:] - counts[:, :-season]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(window == season, (sums[:, season:] - sums[:, :-season]) / window, np.nan)
    # A window of an even season lies half a step aside; the mean of two lies right.
    if season % 2 == 0:
        mean = (mean[:, 1:] + mean[:, :-1]) / 2
    apart = values[:, season // 2 : season // 2 + mean.shape[1]] - mean
    padded = np.full((rows, steps), np.nan)
    padded[:, season // 2 : season // 2 + mean.shape[1]] = apart
    use = -(-steps // season) * season
    padded = np.concatenate([np.full((rows, use - steps), np.nan), padded], axis=1)
    folded = padded.reshape(rows, -1, season)
    has = ~np.isnan(folded)
    weight = has * OF_LAST_CYCLE ** np.arange(folded.shape[1])[::-1, None]
    total = weight.sum(1)
    enough = (total > 0).all(1)
    total = np.where(total > 0, total, 1)
    profile = (weight * np.where(has, folded, 0)).sum(1) / total
    profile -= profile.mean(1, keepdims=True)
    rest = np.where(has, folded - profile[:, None], 0)
    degrees = np.maximum(has.sum((1, 2)) - season, 1)
    noise = (rest**2).sum((1, 2)) / degrees * ((weight**2).sum(1) / total**2).mean(1)
    # With one cycle no noise shows: it counts for as much as the profile.
    alone = has.sum((1, 2)) < 1.5 * season
    power = (profile**2).mean(1) + 1e-300
    kept = np.where(alone, 0.5, np.clip(1 - noise / power, 0, 1)) * enough
    return profile * kept[:, None], kept


def _lately(apart: Floats, season: Integers, horizon: int) -> Floats:
    """What is left of `apart` `(B, N)` at each step ahead, by the last cycles, `(B, H, C)`."""
    steps, ahead = apart.shape[1], np.arange(horizon)
    sums, counts = np.zeros((len(apart), horizon)), np.zeros((len(apart), horizon))
    means = []
    for cycle in range(max(CYCLES)):
        place = steps + ahead - season[:, None] * (1 + cycle + ahead // season[:, None])
        found = np.take_along_axis(apart, np.maximum(place, 0), 1)
        has = (place >= 0) & ~np.isnan(found) & (season[:, None] > 1)
        sums += np.where(has, found, 0)
        counts += has
        if cycle + 1 in CYCLES:
            means.append(sums / np.maximum(counts, 1))
    return np.stack(means, -1)


def _bank(adjusted: Floats, observed: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, Floats]:
    """Run the bank over series.

    Returns:
        Level and trend `(B, M)` at the end, the errors one step ahead `(B, N, M)`, and the level
        `(B, N)` of the middle member at each step.
    """
    rows, steps = adjusted.shape
    rate, trend_rate, damping = RATES.T
    level, trend = np.zeros((rows, len(RATES))), np.zeros((rows, len(RATES)))
    errors = np.full((rows, steps, len(RATES)), np.nan)
    begin = observed.argmax(1)
    early = np.minimum(begin + 6, steps - 1)
    index = np.arange(rows)
    with np.errstate(invalid="ignore"):
        rise = (adjusted[index, early] - adjusted[index, begin]) / np.maximum(early - begin, 1)
    rise = np.nan_to_num(rise)[:, None] * (damping > 0)
    seen = 0 * begin
    path = np.full((rows, steps), np.nan)
    for t in range(int(begin.min()), steps):
        now = observed[:, t]
        value = np.where(now, adjusted[:, t], 0)[:, None]
        starts = (begin == t)[:, None]
        expected = level + damping * trend
        error = np.where(starts | ~now[:, None], 0, value - expected)
        # At first the rate is the mean's, so that the first value weighs no more than others.
        seen = seen + now
        level = np.where(
            starts, value, expected + np.fmax(rate, 1 / np.fmax(seen, 1)[:, None]) * error
        )
        trend = np.where(starts, rise, damping * trend + rate * trend_rate * error)
        known = now & ~starts[:, 0]
        errors[known, t] = error[known]
        path[:, t] = level[:, MIDDLE]
    return level, trend, errors, path


def _last(values: Floats) -> Floats:
    """The last observed value of each row."""
    observed = ~np.isnan(values)
    place = values.shape[1] - 1 - observed[:, ::-1].argmax(1)
    last: Floats = values[np.arange(len(values)), place]
    return last


def _seasonal_naive(values: Floats, season: Integers, horizon: int, otherwise: Floats) -> Floats:
    """The values a whole number of seasons before, `(B, H)`; `otherwise` where there are none."""
    steps = values.shape[1]
    ahead = np.arange(horizon)
    place = steps + ahead - season[:, None] * (1 + ahead // season[:, None])
    found = np.take_along_axis(values, np.maximum(place, 0), 1)
    return np.where((place >= 0) & ~np.isnan(found) & (season[:, None] > 1), found, otherwise)


def _mean_change(values: Floats, lag: Integers, last: int = 0) -> Floats:
    """Mean absolute change from `lag` `(B,)` steps before, in the `last` steps if given.

    NaN where there is none.
    """
    place = np.arange(values.shape[1]) - lag[:, None]
    before = np.where(place >= 0, np.take_along_axis(values, np.maximum(place, 0), 1), np.nan)
    change = np.abs(values - before)[:, -last:]
    count = (~np.isnan(change)).sum(1)
    return np.where(count > 0, np.nansum(change, 1) / np.maximum(count, 1), np.nan)


def _line(values: Floats, observed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Value at the last step and slope of the straight line of least squares."""
    time = np.arange(values.shape[1]) - (values.shape[1] - 1.0)
    filled = np.where(observed, values, 0)
    count = observed.sum(1)
    mean_time = (observed * time).sum(1) / count
    mean = filled.sum(1) / count
    apart = np.where(observed, time - mean_time[:, None], 0)
    power = (apart**2).sum(1)
    slope = (apart * filled).sum(1) / np.where(power > 0, power, 1)
    return mean - slope * mean_time, slope


def profile_strength(histories: Sequence[Floats], season: int) -> float:
    """Return how clear a season is in series that have two cycles: 1 very, 0 not at all."""
    strengths = [
        float(_profile(history[None], season)[1][0])
        for history in histories
        if len(history) >= 2 * season
    ]
    return float(np.median(strengths)) if strengths else 0.0
