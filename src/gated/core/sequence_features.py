"""Features of a whole sequence that are not trained: what fixed kernels find, and summaries.

The kernels are those of MiniRocket (Dempster, Schmidt and Webb 2021), on sequences of any lengths:
nine weights, three of them 2 and six -1, so that the 84 forms see shapes and no levels; a kernel
reads steps that stand a dilation apart, of some channels. A feature is the share of steps at which
what a kernel finds is above a threshold.

Shapes: T steps, C channels, K kernels, D dilations, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

LENGTH = 9
"""Steps that a kernel reads."""
TWOS = tuple(combinations(range(LENGTH), 3))
"""(K,) where the weights of each kernel are 2."""
KERNELS = len(TWOS)
WEIGHTS = np.array([[2 if k in of else -1 for k in range(LENGTH)] for of in TWOS], np.float32)
"""(K, LENGTH)."""
SIZE = 3 * 2 + 6
"""The sum of a kernel's absolute weights."""
MOST_CHANNELS = 9
"""Channels that a kernel reads at most."""
EXACT = 2**24
"""Whole numbers up to which sums of singles are exact."""
RANGE = 32.0
"""Standard deviations of a channel beyond which kernels see no more."""
AT_ONCE = 1 << 18
"""Comparisons with thresholds at once, about: they fit a cache."""

PARTS = 4
"""Stretches of a sequence whose means are summaries."""
SUMMARIES = PARTS + 6
"""Of each channel; one more is the length."""


class Kernels:
    """Fixed kernels at some dilations.

    Sums are of whole multiples of a small unit, and thus exact: in whichever order they are taken,
    the features have the same bits.

    Args:
        dilations: (D,).
        reads: (D, K, C), 1 for the channels that a kernel reads at a dilation, else 0; at most
            `MOST_CHANNELS` for each kernel.
    """

    def __init__(self, dilations: Sequence[int], reads: Singles) -> None:
        self.dilations, self.reads = dilations, reads
        most = min(reads.shape[-1], MOST_CHANNELS)
        self.unit = float(2.0 ** np.ceil(np.log2(RANGE * SIZE * most / EXACT)))
        """What all sums are multiples of."""
        taps = WEIGHTS[..., None] * reads[:, :, None]
        self._taps = taps.reshape(len(dilations), KERNELS, -1)  # (D, K, LENGTH · C)

    def rounded(self, steps: Singles) -> Singles:
        """Return (T, C) scaled steps as multiples of the unit, (C, 3 T), zeros around."""
        T, C = steps.shape
        unit = np.float32(self.unit)
        found = np.zeros((C, 3 * T), np.float32)
        clipped = np.clip(steps.T, -RANGE, RANGE, dtype=np.float32)
        np.multiply(np.round(clipped / unit), unit, out=found[:, T : 2 * T])
        return found

    def found(self, rounded: Singles, place: int) -> tuple[Singles, Singles]:
        """Return what even and odd kernels find at the steps that count for them.

        For one half these are all steps, beyond whose ends 0 is read; for the other those around
        which a kernel reads nothing beyond the ends: all, where there are none.

        Args:
            rounded: what `rounded` returned.
            place: of the dilation.

        Returns:
            (K / 2, steps that count) of the even kernels, and of the odd ones.
        """
        T, dilation = rounded.shape[1] // 3, self.dilations[place]
        reach = dilation * (LENGTH // 2)
        # From T steps away on there are only zeros.
        starts = [T + max(-T, min(T, of)) for of in range(-reach, reach + 1, dilation)]
        read = np.concatenate([rounded[:, start : start + T] for start in starts])
        found = self._taps[place] @ read
        inside = slice(reach, T - reach) if 2 * reach < T else slice(None)
        halves = [found[0::2], found[1::2]]
        halves[1 - place % 2] = halves[1 - place % 2][:, inside]
        return halves[0], halves[1]

    def shares(self, steps: Singles, thresholds: Sequence[Singles]) -> Singles:
        """Return the share of steps at which each kernel finds more than each threshold.

        Args:
            steps: (T, C), scaled.
            thresholds: of each dilation, (K, thresholds of a kernel).

        Returns:
            (F,): at each dilation, of each threshold the kernels in order.
        """
        parts, rounded = [], self.rounded(steps)
        for place, of in enumerate(thresholds):
            shares = np.empty((KERNELS, of.shape[1]), np.float32)
            for half, found in enumerate(self.found(rounded, place)):
                shares[half::2] = _shares_above(found, of[half::2])
            parts.append(shares.T.ravel())
        return np.concatenate(parts)


def _shares_above(found: Singles, thresholds: Singles) -> Singles:
    """Return (N, E) from (N, T) and thresholds (N, E)."""
    T, count = found.shape[1], thresholds.shape[1]
    shares = np.empty(thresholds.shape, np.float32)
    ones = np.ones(T, np.float32)
    together = max(1, AT_ONCE // (T * count))
    for first in range(0, len(found), together):
        rows = slice(first, first + together)
        above = found[rows, None] > thresholds[rows, :, None]
        shares[rows] = above.astype(np.float32) @ ones / np.float32(T)
    return shares


def split_thresholds(thresholds: Singles, counts: Sequence[int]) -> list[Singles]:
    """Return (F,) thresholds as (K, count) of each dilation."""
    ends = np.cumsum([0, *(KERNELS * of for of in counts)])
    return [thresholds[a:b].reshape(KERNELS, -1) for a, b in pairwise(ends)]


def summaries(steps: Singles) -> Singles:
    """Return summaries of (T, C), 1 + SUMMARIES · C of them.

    The logarithm of the length; of each channel the means of four stretches, deviation, extremes,
    first and last value, and the mean change.
    """
    x = steps.astype(np.float64)
    change = np.abs(np.diff(x, axis=0)).sum(0) / max(1, len(x) - 1)
    of_channels = [
        *(stretch.mean(0) for stretch in _stretches(x)),
        *(x.std(0), x.min(0), x.max(0), x[0], x[-1], change),
    ]
    found: Singles = np.concatenate([[np.log(len(x))], *of_channels]).astype(np.float32)
    return found


def _stretches(x: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield PARTS stretches; a sequence of fewer steps has some that share a step."""
    for part in range(PARTS):
        start, end = part * len(x) // PARTS, -(-(part + 1) * len(x) // PARTS)
        yield x[start : max(end, start + 1)]
