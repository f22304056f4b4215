"""How much each of several forecasts counts, by windows that none was trained on.

The forecasts are added up quantile by quantile, in shares that make one (linear pooling of
quantiles, Lichtendahl, Grushka-Cockayne and Winkler 2013). Shares are weighed by their loss on the
windows: the more of these, the closer to the best shares; without any, they are the usual ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import lgamma

import numpy as np
from numpy.typing import NDArray

from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.whole_numbers import whole_numbers

Floats = NDArray[np.float64]

PARTS = 10
"""Shares are tried in steps of one part of these."""
SHARPNESS = 3.0
"""By how much a window tells shares apart: a loss 10 % above the best divides the weight, for each
window, by exp(0.1 · this)."""
OF_OTHERS = 10.0
"""Windows that the mean over all series counts for beside those of a series."""


def stacking_shares(
    forecasts: Sequence[Floats],
    truth: Floats,
    quantiles: Sequence[float],
    *,
    scale: Floats,
    series: NDArray[np.int64],
    count: int,
    windows: Floats,
    usual: Sequence[float] | Floats | None = None,
    whole: bool = False,
) -> Floats:
    """Return `(S, M)` the shares of `M` forecasts in each of `S` series, whose sums are 1.

    Args:
        forecasts: of each method `(N, horizon, Q)`.
        truth: `(N, horizon)`, NaN where nothing was observed.
        quantiles: levels of the forecasts.
        scale: `(N,)`, the unit in which errors of different series can be added up.
        series: `(N,)`, the series of each window, from 0 to `count` - 1; others count for the mean.
        count: `S`.
        windows: `(S,)`, how many of a series' windows are independent of each other.
        usual: `(M,)`, the shares where nothing is known; by default all count alike.
        whole: whether what is added up will be rounded.

    >>> truth = np.arange(40.0).reshape(40, 1)
    >>> good, bad = truth[..., None] + 0.1, truth[..., None] + 1
    >>> shares = stacking_shares(
    ...     [good, bad], truth, [0.5], scale=np.ones(40), series=np.zeros(40, int), count=1,
    ...     windows=np.array([40.0])
    ... )
    >>> shares.round(2)
    array([[1., 0.]])
    """
    methods = len(forecasts)
    tried = np.array([of for of in product(range(PARTS + 1), repeat=methods) if sum(of) == PARTS])
    tried = tried / PARTS
    first = np.full(methods, 1 / methods) if usual is None else np.array(usual)
    seen = np.logical_not(np.isnan(truth))
    if not seen.any():
        return np.tile(first, (count, 1))
    losses = np.stack(
        [_loss(shares, forecasts, truth, quantiles, whole) / scale for shares in tried]
    )
    losses = np.where(seen.any(1), losses, 0)  # (C, N)
    number = np.bincount(series[series >= 0], seen.any(1)[series >= 0], minlength=count)
    sums = np.stack(
        [np.bincount(series[series >= 0], of[series >= 0], minlength=count) for of in losses]
    )
    own = sums / np.maximum(number, 1)  # (C, S)
    mean = losses.sum(1) / seen.any(1).sum()
    loss = (windows * own + OF_OTHERS * mean[:, None]) / (windows + OF_OTHERS)
    loss = np.where(number > 0, loss, mean[:, None])
    best = loss.min(0)
    behind = np.where(best > 0, loss / np.where(best > 0, best, 1) - 1, 0)
    total = np.where(number > 0, windows, 0) + np.minimum(OF_OTHERS, windows.sum())
    weight = np.exp(-SHARPNESS * total * behind) * _before(tried, first)[:, None]
    shares: Floats = (weight / weight.sum(0)).T @ tried
    return shares


def _before(tried: Floats, usual: Floats) -> Floats:
    """`(C,)` weights of tried shares before any window is seen, whose mean is the usual shares.

    They are those of a Dirichlet-multinomial distribution: all the same where all count alike.
    """
    spread = len(usual) * usual
    parts = np.rint(tried * PARTS).astype(int)
    logs = [
        sum(lgamma(n + a) - lgamma(n + 1) for n, a in zip(of, spread, strict=True)) for of in parts
    ]
    weights: Floats = np.exp(np.array(logs) - max(logs))
    return weights


def stacked(forecasts: Sequence[Floats], shares: Floats) -> Floats:
    """Add up forecasts `(N, horizon, Q)` of `M` methods in shares `(N, M)`."""
    total: Floats = np.einsum("mnhq,nm->nhq", np.stack(forecasts), shares)
    return total


def mixed(
    forecasts: Mapping[str, Floats], shares: Floats, prepared: Prepared, origins: Integers
) -> Floats:
    """Add up forecasts `(N, horizon, Q)` by part in the `shares` `(S + 1, M)` of their series."""
    return stacked(list(forecasts.values()), shares[prepared.series_of[origins]])


def _loss(
    shares: Floats,
    forecasts: Sequence[Floats],
    truth: Floats,
    quantiles: Sequence[float],
    whole: bool,
) -> Floats:
    """`(N,)`, mean pinball loss of forecasts added up."""
    levels = np.array(quantiles)
    total = stacked(forecasts, np.broadcast_to(shares, (len(truth), len(shares))))
    error = truth[..., None] - (whole_numbers(total) if whole else total)
    loss = np.maximum(levels * error, (levels - 1) * error).mean(-1)
    seen = ~np.isnan(loss)
    mean: Floats = np.where(seen, loss, 0).sum(1) / np.maximum(seen.sum(1), 1)
    return mean
