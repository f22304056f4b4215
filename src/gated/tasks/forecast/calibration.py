"""Calibrated intervals: quantiles moved until they cover the validation part.

A network is overconfident on windows that it was not trained on. In the manner of conformalised
quantile regression (Romano, Patterson and Candès 2019) each quantile's distance from the median is
multiplied by the factor with which it would have covered its share of the validation windows. The
level is not corrected for their number: few of the overlapping windows are independent, and with
so few the corrected level is the largest error of all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST = 50
"""Observations below which a tail says nothing: the quantiles stay as they are."""
NARROWEST, WIDEST = 0.25, 4.0
"""Bounds of the factors: what asks for more is a matter for the network."""


def spread_factors(forecast: Floats, truth: Floats, quantiles: tuple[float, ...]) -> Floats:
    """Return `(Q,)` the factor by which to multiply each quantile's distance from the median.

    Args:
        forecast: `(N, horizon, Q)` of windows that were not trained on.
        truth: `(N, horizon)`, the observed values; NaN where they do not count.
        quantiles: their levels, 0.5 among them.

    >>> forecast = np.zeros((1000, 1, 3)) + [-1.0, 0.0, 1.0]
    >>> truth = np.linspace(-4, 4, 1000)[:, None]
    >>> spread_factors(forecast, truth, (0.25, 0.5, 0.75)).round(1)
    array([2., 1., 2.])
    """
    counts = ~np.isnan(truth)
    factors = np.ones(len(quantiles))
    if counts.sum() < FEWEST:
        return factors
    middle = quantiles.index(0.5)
    error = (truth - forecast[..., middle])[counts]
    for place, quantile in enumerate(quantiles):
        if place != middle:
            distance = (forecast[..., place] - forecast[..., middle])[counts]
            # The outcome lies inside a quantile where its error is less than this share of the
            # quantile's distance from the median.
            wide = distance != 0
            if wide.sum() >= FEWEST:
                share = np.quantile(error[wide] / distance[wide], max(quantile, 1 - quantile))
                factors[place] = np.clip(share, NARROWEST, WIDEST)
    return factors


def spread(forecast: Floats, factors: Floats, quantiles: tuple[float, ...]) -> Floats:
    """Multiply the distances from the median of `(…, Q)` by `factors`; quantiles stay in order."""
    middle = quantiles.index(0.5)
    median = forecast[..., middle : middle + 1]
    moved = median + (forecast - median) * factors
    upper = np.maximum.accumulate(moved[..., middle:], axis=-1)
    lower = np.minimum.accumulate(moved[..., middle::-1], axis=-1)[..., ::-1]
    return np.concatenate([lower[..., :-1], upper], axis=-1)
