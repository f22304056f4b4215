"""Whether an interval keeps its promise: the share of values inside it, and what chance explains.

Values of one window are not independent, nor are windows at one time. The interval of the share is
that of Clopper and Pearson (1934) for the effective number of values, which follows from how much
the shares of independent windows differ (Korn and Graubard 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.errors import require
from gated.scoring.judge import compared_sums

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVEL = 0.95
"""Confidence level of the interval of the share."""
TOLERANCE = 0.25
"""What is off by less than this part of the share promised outside is not worth a warning."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The share of observed values inside the outermost quantiles."""

    promised: float
    """The share that should be inside: 0.8 for quantiles 0.1 and 0.9."""
    inside: float
    below: float
    """The share below the lowest quantile."""
    low: float
    high: float
    """Ends of the 95 % interval of `inside`."""
    values: int
    clusters: int
    """Number of independent groups of windows."""

    @property
    def off(self) -> bool:
        """Whether the share differs from what was promised by more than chance, and noticeably."""
        noticeable = abs(self.inside - self.promised) > TOLERANCE * (1 - self.promised)
        return noticeable and not self.low <= self.promised <= self.high

    @property
    def figure(self) -> str:
        """The share with its interval, in words."""
        return (
            f"{self.inside:.0%} of {self.values:,} values were inside "
            f"({self.low:.0%} to {self.high:.0%} with chance allowed for)"
        )

    @property
    def warning(self) -> str:
        """A sentence on what is off, and what it means; empty if nothing is."""
        if not self.off:
            return ""
        name, above = f"Its {self.promised:.0%} interval", 1 - self.inside - self.below
        sides = f"{self.below:.0%} below and {above:.0%} above"
        if self.inside < self.promised:
            return f"{name} is too narrow: {self.figure}, {sides}; plan for more than it says."
        return f"{name} is wider than it need be: {self.figure}."


def coverage_of(
    forecast: Floats, truth: Floats, quantiles: Sequence[float], clusters: NDArray[np.int64]
) -> Coverage | None:
    """Return the coverage of the outermost quantiles; None where there is no value or no interval.

    Args:
        forecast: `(N, horizon, Q)`, quantiles ascending.
        truth: `(N, horizon)`, NaN where nothing was observed.
        quantiles: `(Q,)`.
        clusters: `(N,)`, windows with other numbers are independent.
    """
    observed = ~np.isnan(truth)
    lower, upper = forecast[..., 0], forecast[..., -1]
    if len(quantiles) < 2 or not observed.any() or np.isnan(forecast[observed]).any():
        return None
    inside, below = (lower <= truth) & (truth <= upper), truth < lower
    groups = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    sizes, held = (
        np.bincount(groups, of.sum(axis=1)).astype(np.float64) for of in (observed, inside)
    )
    low, high = share_interval(held[sizes > 0], sizes[sizes > 0])
    return Coverage(
        promised=quantiles[-1] - quantiles[0],
        inside=float(inside.sum() / observed.sum()),
        below=float(below.sum() / observed.sum()),
        low=low,
        high=high,
        values=int(observed.sum()),
        clusters=int((sizes > 0).sum()),
    )


def share_interval(held: Floats, sizes: Floats) -> tuple[float, float]:
    """Return the 95 % interval of a share, from `held` of `sizes` values in each cluster.

    >>> share_interval(np.full(10, 8.0), np.full(10, 10.0))  # doctest: +ELLIPSIS
    (0.387..., 0.984...)
    """
    special = require("scipy.special", extra="train")  # scipy.stats takes three times as long
    count, total, tail = len(sizes), sizes.sum(), (1 - LEVEL) / 2
    share, effective = held.sum() / total, 1.0
    if count > 1:
        error = compared_sums(held - share * sizes, sizes).error
        # Where all clusters have the same share, their number is all that is known.
        effective = share * (1 - share) / error**2 if error > 1e-9 else float(count)
        narrower = special.stdtrit(total - 1, 1 - tail) / special.stdtrit(count - 1, 1 - tail)
        effective = min(effective * narrower**2, total)
    hits = share * effective
    low = special.betaincinv(hits, effective - hits + 1, tail) if hits > 0 else 0.0
    high = special.betaincinv(hits + 1, effective - hits, 1 - tail) if hits < effective else 1.0
    return float(low), float(high)
