"""Standardising by means and standard deviations of the training part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.configuration import demand_numbers

Floats = NDArray[np.float64]

PRIOR = 4
"""Values that the typical deviation of other series counts as, beside those of a short series."""
HIGHEST_LOG = 80.0
"""Logarithms are held within ± this, so that no value overflows."""
FARTHEST = 1e6
"""Scaled values are held within ± this, so that no cell of a table overflows a network."""


@dataclass(frozen=True)
class Scaling:
    """Means and standard deviations of `K` columns, or of one column in `K` series."""

    location: Floats
    """`(K,)` in the unit of the data."""
    scale: Floats
    """`(K,)` in the unit of the data, above 0."""
    floor: float | None = None
    """Where logarithms are scaled, the value of which that of a smaller one is taken."""

    def __post_init__(self) -> None:
        """Refuse means and deviations that cannot be, as after damage or an overflow."""
        demand_numbers("The mean of a column", self.location)
        demand_numbers("The deviation of a column", self.scale, count=len(self.location), above=0)

    @classmethod
    def of(cls, samples: Iterable[Floats], floor: float | None = None) -> Scaling:
        """Compute mean and deviation of `K` samples, none empty and without missing values.

        A constant sample gets the median scale of the others, or 1 where all are constant.

        >>> Scaling.of([np.array([1.0, 3.0]), np.array([5.0, 5.0])])
        Scaling(location=array([2., 5.]), scale=array([1., 1.]), floor=None)
        """
        of = (_logarithms(sample, floor) for sample in samples)
        moments = np.array([(s.mean(), s.std() if np.ptp(s) > 0 else 0.0) for s in of])
        location, scale = moments.reshape(-1, 2).T
        varies = scale > 0
        typical = np.median(scale[varies]) if varies.any() else 1.0
        return cls(location.copy(), np.where(varies, scale, typical), floor)

    def typical(self, location: Floats) -> Floats:
        """Return the deviation to be expected of a series at `location`, by the others.

        It grows with the level where all series lie on one side of 0, as sales do; that of
        logarithms does not.
        """
        usual = np.full(location.shape, np.median(self.scale))
        if self.floor is not None:
            return usual
        if np.all(self.location > 0) or np.all(self.location < 0):
            grown = np.median(self.scale / np.abs(self.location)) * np.abs(location)
            return np.where(grown > 0, grown, usual)
        return usual

    def shrunk(self, location: Floats, variance: Floats, counts: Floats) -> Floats:
        """Return deviations from few values: `counts` of them, beside `PRIOR` of the typical one.

        The mean of the two is geometric: one is often many times the other. What never varies has
        the typical deviation.
        """
        typical, varies = self.typical(location), variance > 0
        ratio = np.sqrt(np.where(varies, variance, 1.0)) / typical
        share = np.where(varies, counts / (counts + PRIOR), 0.0)
        deviation: Floats = typical * ratio**share
        return deviation

    def running(
        self,
        values: Floats,
        starts: NDArray[np.int64],
        firsts: Floats,
        before: Floats | None = None,
    ) -> tuple[Scaling, Floats]:
        """Return mean and deviation at each row `(N,)` of what is observed up to it, by series.

        And the sums `(3, S)` at their ends, with which rows that follow go on.

        Args:
            values: `(N,)`, NaN where nothing was observed.
            starts: `(S + 1,)`, where the series begin.
            firsts: `(S,)`, the first value of each, by which sums are kept small.
            before: `(3, S)`, sums of the rows before these; by default there are none.
        """
        values, firsts = _logarithms(values, self.floor), _logarithms(firsts, self.floor)
        observed, lengths = ~np.isnan(values), np.diff(starts)
        begin, origin = np.repeat(starts[:-1], lengths), np.repeat(firsts, lengths)
        moved = np.where(observed, values - origin, 0.0)
        earlier = np.zeros((3, len(lengths))) if before is None else before
        counts, sums, squares = (
            (total := np.append(0.0, np.cumsum(of)))[1:] - total[begin] + np.repeat(past, lengths)
            for of, past in zip((observed, moved, moved**2), earlier, strict=True)
        )
        ends = starts[1:] - 1
        some = np.maximum(counts, 1)
        mean = sums / some
        location = np.where(counts > 0, mean + origin, np.median(self.location))
        variance = np.maximum(squares / some - mean**2, 0)
        scaling = Scaling(location, self.shrunk(location, variance, counts), self.floor)
        return scaling, np.stack([counts[ends], sums[ends], squares[ends]])

    def apply(self, values: Floats, which: NDArray[np.int64] | int) -> Floats:
        """Scale `values`, each by the column or series with the index in `which`."""
        scaled = (_logarithms(values, self.floor) - self.location[which]) / self.scale[which]
        # As np.clip, which takes five times as long for a few values.
        held: Floats = np.minimum(np.maximum(scaled, -FARTHEST), FARTHEST)
        return held

    def invert(self, scaled: Floats, which: NDArray[np.int64] | int) -> Floats:
        """Return scaled values to the unit of the data."""
        values: Floats = scaled * self.scale[which] + self.location[which]
        if self.floor is None:
            return values
        return np.exp(np.clip(values, -HIGHEST_LOG, HIGHEST_LOG))


def _logarithms(values: Floats, floor: float | None) -> Floats:
    return values if floor is None else np.log(np.maximum(values, floor))
