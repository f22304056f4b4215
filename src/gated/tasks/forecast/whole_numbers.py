"""Whole numbers: targets that hold nothing else, and forecasts that are rounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def are_whole(values: Floats) -> bool:
    """Whether there is no fraction among some values.

    >>> are_whole(np.array([3.0, 0.0])), are_whole(np.array([3.0, 0.5]))
    (True, False)
    """
    return bool(np.all(values == np.round(values)))


def whole_numbers(values: Floats) -> Floats:
    """Round, halves upwards.

    >>> whole_numbers(np.array([-0.4, 0.5, 1.5, 2.4]))
    array([0., 1., 2., 2.])
    """
    rounded: Floats = np.floor(values + 0.5) + 0.0  # no -0
    return rounded
