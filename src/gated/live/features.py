"""Layers that read a sequence as a whole: what fixed kernels find in it, and summaries.

Shapes: T steps, F features of a step.
"""

from __future__ import annotations

import numpy as np

from gated.core.sequence_features import (
    KERNELS,
    MOST_CHANNELS,
    SUMMARIES,
    Kernels,
    split_thresholds,
    summaries,
)
from gated.live.entry import MOST_STEPS, Entry
from gated.live.layer import Array, Form, checked_width
from gated.live.pooling import OfWhole

MOST_DILATIONS = 1024


class KernelFeatures(OfWhole):
    """Shares of steps at which fixed kernels find more than a threshold.

    The kernels read the channels that are 1 in `reads` (dilations, 84, F) at `dilations`; at each,
    a kernel has one of the `counts` of thresholds. These are `thresholds`, one for each share.
    """

    without = "--kernel-features 0"

    def __init__(self, entry: Entry, *given: Form) -> None:
        dilations = entry.wholes("dilations", 1, MOST_STEPS)
        if len(dilations) > MOST_DILATIONS:
            raise entry.wrong(f"has more than {MOST_DILATIONS:,} dilations")
        counts = entry.wholes("counts", 1, MOST_STEPS, len(dilations))
        count = checked_width(entry, KERNELS * sum(counts))
        reads = entry.array("reads", len(dilations), KERNELS, given[0].features)
        if not np.isin(reads, (0, 1)).all():
            raise entry.wrong("has channels that are neither read (1) nor not (0)")
        if (reads.sum(-1) > MOST_CHANNELS).any():
            raise entry.wrong(f"has a kernel that reads more than {MOST_CHANNELS} channels")
        self.kernels = Kernels(dilations, reads)
        self.thresholds = split_thresholds(entry.array("thresholds", count), counts)
        self.form = Form("sequence", count)

    def of_sequence(self, x: Array) -> Array:
        """Shares from 0 to 1."""
        return self.kernels.shares(x, self.thresholds)


class Summaries(OfWhole):
    """The logarithm of the length, and ten numbers of each feature."""

    without = "--kernel-features 0"

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = Form("sequence", checked_width(entry, 1 + SUMMARIES * given[0].features))

    def of_sequence(self, x: Array) -> Array:
        """Summarise."""
        return summaries(x)
