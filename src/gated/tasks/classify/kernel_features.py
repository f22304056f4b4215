"""Fixed convolutional features: the kernels of MiniRocket, on sequences of any lengths.

Dempster, Schmidt and Webb 2021. A kernel has nine weights, three of them 2 and six -1, so that its
84 forms see shapes and no levels; it reads steps that stand a dilation apart, of some channels. A
feature is the share of steps at which what a kernel finds is above a threshold.
Shapes: T steps, B sequences, C channels, K kernels, D dilations, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

LENGTH = 9
"""Steps that a kernel reads."""
TWOS = tuple(combinations(range(LENGTH), 3))
"""(K,) where the weights of each kernel are 2."""
KERNELS = len(TWOS)
SIZE = 3 * 2 + 6
"""The sum of a kernel's absolute weights."""
MOST_DILATIONS = 32
MOST_CHANNELS = 9
"""Channels that a kernel reads at most."""
EXAMPLES = 16
"""Sequences in which thresholds are found, for each dilation."""
GOLDEN = (5**0.5 + 1) / 2
EXACT = 2**24
"""Whole numbers up to which sums of singles are exact."""
RANGE = 32.0
"""Standard deviations of a channel beyond which kernels see no more."""
AT_ONCE = 8192
"""Steps, of all sequences together, that are read at once: what they become fits a cache."""


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

    Sums are of whole multiples of a small unit, and thus exact: what is found in a sequence does
    not depend on the batch it is in.

    Args:
        channels: C.
        layout: dilations, and thresholds for each.
    """

    reads: Tensor
    thresholds: Tensor

    def __init__(self, channels: int, layout: Layout) -> None:
        super().__init__()
        self.channels, self.layout = channels, layout
        most = min(channels, MOST_CHANNELS)
        self.unit = float(2.0 ** np.ceil(np.log2(RANGE * SIZE * most / EXACT)))
        shape = KERNELS * sum(layout.thresholds)
        self.register_buffer("thresholds", torch.zeros(shape))
        reads = torch.ones(len(layout.dilations), KERNELS, channels, dtype=torch.uint8)
        self.register_buffer("reads", reads)

    @property
    def count(self) -> int:
        """F, the number of features."""
        return len(self.thresholds)

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
        thresholds = []
        # A golden section apart, shares are spread evenly however many of them are taken.
        shares = torch.from_numpy((np.arange(1, self.count + 1) * GOLDEN) % 1)
        shares_of = torch.split(shares, [KERNELS * each for each in self.layout.thresholds])
        for place, share in enumerate(shares_of):
            drawn = random.permutation(len(sequences))[:EXAMPLES]
            steps, there = padded([sequences[k] for k in drawn])
            found = self._found(self._rounded(steps, there), place)
            counted = self._counted(there, place)
            _mask(found, counted, torch.inf)
            ordered = torch.from_numpy(np.sort(found.transpose(0, 1).flatten(1).numpy()))
            counts = counted.sum((0, 2)).repeat(KERNELS // 2)[:, None]
            at = (share.view(KERNELS, -1) * counts).long()
            # Between two multiples of the unit, so that nothing found is ever as large.
            thresholds.append((ordered.gather(1, at) + self.unit / 2).flatten())
        self.thresholds.copy_(torch.cat(thresholds))
        return self

    @torch.no_grad()
    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        """Map (B, C, T), and which steps are no padding (B, T), to (B, F), shares from 0 to 1."""
        size = max(1, AT_ONCE // steps.shape[-1])
        parts = zip(torch.split(steps, size), torch.split(there, size), strict=True)
        return torch.cat([self._shares(*part) for part in parts])

    def _shares(self, steps: Tensor, there: Tensor) -> Tensor:
        steps = self._rounded(steps, there)
        thresholds = torch.split(self.thresholds, [KERNELS * of for of in self.layout.thresholds])
        shares = []
        for place, each in enumerate(self.layout.thresholds):
            found = self._found(steps, place)
            counted = self._counted(there, place)
            _mask(found, counted, -torch.inf)
            above, counts = torch.empty_like(found), counted.sum(-1).to(found)
            counts = counts.repeat(1, KERNELS // 2)
            each_of = thresholds[place].view(KERNELS, each)
            shares += [
                torch.gt(found, each_of[:, k, None], out=above).sum(-1) / counts
                for k in range(each)
            ]
        return torch.cat(shares, dim=-1)

    def _rounded(self, steps: Tensor, there: Tensor) -> Tensor:
        """Return multiples of the unit; 0 where there is no step."""
        rounded = (steps.float().clamp(-RANGE, RANGE) / self.unit).round() * self.unit
        return rounded * there[:, None]

    def _found(self, steps: Tensor, place: int) -> Tensor:
        """Return what each kernel finds at one of the dilations: (B, C, T) to (B, K, T)."""
        dilation = self.layout.dilations[place]
        weights = torch.full((KERNELS, LENGTH), -1.0, device=steps.device)
        weights.scatter_(1, torch.tensor(TWOS, device=steps.device), 2.0)
        reads = weights[:, None] * self.reads[place, :, :, None]
        reach = dilation * (LENGTH // 2)
        return functional.conv1d(steps, reads, padding=reach, dilation=dilation)

    def _counted(self, there: Tensor, place: int) -> Tensor:
        """Return which steps count, for even and for odd kernels: (B, T) to (B, 2, T).

        One half counts all steps, the other those around which a kernel reads no padding; all,
        where there are none.
        """
        reach = self.layout.dilations[place] * (LENGTH // 2)
        inside = there.clone()
        inside[:, :reach] = False
        later = functional.pad(there, (0, reach))[:, reach:]
        inside &= later
        inside |= there & ~inside.any(-1, keepdim=True)
        both = [there, inside] if place % 2 == 0 else [inside, there]
        return torch.stack(both, dim=1)


def _mask(found: Tensor, counted: Tensor, value: float) -> None:
    """Fill (B, K, T) in place where steps do not count, by (B, 2, T) for even and odd kernels."""
    for parity in range(2):
        found[:, parity::2].masked_fill_(~counted[:, parity, None], value)


def padded(sequences: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Return (T, C) each as (B, C, T) of the longest, and which steps are no padding, (B, T)."""
    steps = nn.utils.rnn.pad_sequence(
        [torch.from_numpy(np.ascontiguousarray(of)) for of in sequences], batch_first=True
    )
    lengths = torch.tensor([len(of) for of in sequences])
    return steps.transpose(1, 2), torch.arange(steps.shape[1]) < lengths[:, None]
