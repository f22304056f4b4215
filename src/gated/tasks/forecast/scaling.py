"""Standardising by means and standard deviations of the training part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.configuration import demand_numbers

Floats = NDArray[np.float64]

FARTHEST = 1e6
"""Scaled values are held within ± this, so that no cell of a table overflows a network."""


@dataclass(frozen=True)
class Scaling:
    """Means and standard deviations of `K` columns, or of one column in `K` series."""

    location: Floats
    """`(K,)` in the unit of the data."""
    scale: Floats
    """`(K,)` in the unit of the data, above 0."""

    def __post_init__(self) -> None:
        """Refuse means and deviations that cannot be, as after damage or an overflow."""
        demand_numbers("The mean of a column", self.location)
        demand_numbers("The deviation of a column", self.scale, count=len(self.location), above=0)

    @classmethod
    def of(cls, samples: Iterable[Floats]) -> Scaling:
        """Compute mean and deviation of `K` samples, none empty and without missing values.

        A constant sample gets the median scale of the others, or 1 where all are constant.

        >>> Scaling.of([np.array([1.0, 3.0]), np.array([5.0, 5.0])])
        Scaling(location=array([2., 5.]), scale=array([1., 1.]))
        """
        moments = np.array([(s.mean(), s.std() if np.ptp(s) > 0 else 0.0) for s in samples])
        location, scale = moments.reshape(-1, 2).T
        varies = scale > 0
        typical = np.median(scale[varies]) if varies.any() else 1.0
        return cls(location.copy(), np.where(varies, scale, typical))

    def apply(self, values: Floats, which: NDArray[np.int64] | int) -> Floats:
        """Scale `values`, each by the column or series with the index in `which`."""
        scaled = (values - self.location[which]) / self.scale[which]
        return np.clip(scaled, -FARTHEST, FARTHEST)

    def invert(self, scaled: Floats, which: NDArray[np.int64] | int) -> Floats:
        """Return scaled values to the unit of the data."""
        return scaled * self.scale[which] + self.location[which]
