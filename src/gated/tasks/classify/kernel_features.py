"""Fixed convolutional features, fitted: the kernels of MiniRocket (`gated.core.sequence_features`).

Dempster, Schmidt and Webb 2021. Fitting draws which channels each kernel reads, and the thresholds.
Shapes: T steps, C channels, K kernels, D dilations, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.core.sequence_features import (
    KERNELS,
    LENGTH,
    MOST_CHANNELS,
    Kernels,
    split_thresholds,
)
from gated.live.program import Writer

MOST_DILATIONS = 32
EXAMPLES = 16
"""Sequences in which thresholds are found, for each dilation."""
GOLDEN = (5**0.5 + 1) / 2


@dataclass(frozen=True)
class Layout:
    """How many features each dilation has."""

    dilations: tuple[int, ...]
    thresholds: tuple[int, ...]
    """Of each kernel at each dilation."""

    @classmethod
    def of(cls, longest: int, features: int) -> Self:
        """Spread features over dilations up to those at which a kernel spans the longest sequence.

        >>> Layout.of(longest=33, features=840)
        Layout(dilations=(1, 2, 3, 4), thresholds=(5, 3, 1, 1))
        """
        each = max(1, features // KERNELS)
        most = min(each, MOST_DILATIONS)
        exponent = np.log2(max(1.0, (longest - 1) / (LENGTH - 1)))
        steps = np.logspace(0, exponent, most, base=2).astype(int)
        dilations, counts = np.unique(steps, return_counts=True)
        thresholds = (counts * (each / most)).astype(int)
        for rest in range(each - int(thresholds.sum())):
            thresholds[rest % len(thresholds)] += 1
        return cls(tuple(dilations.tolist()), tuple(thresholds.tolist()))


class KernelFeatures(nn.Module):
    """Shares of steps at which fixed kernels find more than a threshold.

    Args:
        channels: C.
        layout: dilations, and thresholds for each.
    """

    reads: Tensor
    """(D, K, C), 1 for the channels that a kernel reads, else 0."""
    thresholds: Tensor
    """(F,)."""

    def __init__(self, channels: int, layout: Layout) -> None:
        super().__init__()
        self.channels, self.layout = channels, layout
        shape = KERNELS * sum(layout.thresholds)
        self.register_buffer("thresholds", torch.zeros(shape))
        reads = torch.ones(len(layout.dilations), KERNELS, channels)
        self.register_buffer("reads", reads)

    @property
    def count(self) -> int:
        """F, the number of features."""
        return len(self.thresholds)

    @property
    def kernels(self) -> Kernels:
        """What computes the features."""
        return Kernels(self.layout.dilations, self.reads.cpu().numpy())

    def fit(self, sequences: Sequence[NDArray[np.float32]], seed: int) -> Self:
        """Draw the channels of each kernel, and thresholds from what they find in sequences.

        Args:
            sequences: (T, C) each, scaled.
            seed: of what is drawn.
        """
        random = np.random.default_rng((seed, 2))
        for of in self.reads.flatten(0, 1):
            most = np.log2(min(self.channels, MOST_CHANNELS) + 1)
            count = int(2 ** random.uniform(0, most))
            chosen = random.choice(self.channels, count, replace=False)
            of.zero_()[torch.from_numpy(chosen)] = 1
        kernels = self.kernels
        thresholds = []
        # A golden section apart, shares are spread evenly however many of them are taken.
        shares = (np.arange(1, self.count + 1) * GOLDEN) % 1
        for place, share in enumerate(split_thresholds(shares, self.layout.thresholds)):
            drawn = random.permutation(len(sequences))[:EXAMPLES]
            found = [kernels.found(kernels.rounded(sequences[k]), place) for k in drawn]
            of_place = np.empty(share.shape, np.float32)
            for half, parts in enumerate(zip(*found, strict=True)):
                ordered = np.sort(np.concatenate(parts, axis=1))
                at = (share[half::2] * ordered.shape[1]).astype(np.int64)
                # Between two multiples of the unit, so that nothing found is ever as large.
                between = np.take_along_axis(ordered, at, axis=1) + np.float32(kernels.unit / 2)
                of_place[half::2] = between
            thresholds.append(of_place.ravel())
        self.thresholds.copy_(torch.from_numpy(np.concatenate(thresholds)))
        return self

    def of_each(self, sequences: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Map N sequences of (T, C), scaled, to (N, F), shares from 0 to 1."""
        kernels = self.kernels
        thresholds = split_thresholds(self.thresholds.cpu().numpy(), self.layout.thresholds)
        shares = [kernels.shares(of, thresholds) for of in sequences]
        return np.stack(shares) if shares else np.zeros((0, self.count), np.float32)

    def write(self, writer: Writer, steps: str, weights: str) -> str:
        """Write the features as a layer of a program that reads `steps`; return its name.

        The names of its weights begin with `weights`.
        """
        return writer.add(
            "kernel_features",
            steps,
            dilations=list(self.layout.dilations),
            counts=list(self.layout.thresholds),
            reads=f"{weights}reads",
            thresholds=f"{weights}thresholds",
        )
