"""Scaling and filling of sequences for the network; all statistics are of the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gated.configuration import demand_numbers
from gated.live.program import Writer
from gated.tasks.classify.sequences import Floats

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """Scales channels, fills what is missing, and joins steps into patches."""

    mean: Floats
    """(channels,), of the training sequences."""
    deviation: Floats
    """(channels,), standard deviation of the same."""
    masked: bool
    """Whether inputs mark which values are missing; so if values were missing in training."""
    patch: int

    def __post_init__(self) -> None:
        """Refuse means and deviations that cannot be, as after damage or an overflow."""
        demand_numbers("The mean of a channel", self.mean)
        demand_numbers("The deviation of a channel", self.deviation, count=len(self.mean), above=0)
        demand_numbers("The patch", self.patch, above=0)

    @classmethod
    def fit(cls, arrays: Sequence[Floats], patch: int) -> Self:
        """Take mean and deviation of each channel over all steps of the training sequences."""
        steps = np.concatenate(arrays)
        known = ~np.isnan(steps)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, steps, 0.0).sum(0) / count
        deviation = np.sqrt((np.where(known, steps - mean, 0.0) ** 2).sum(0) / count)
        # A channel that never changes says nothing, and is not to be blown up.
        still = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
        return cls(mean, np.where(still, 1.0, deviation), not bool(known.all()), patch)

    @property
    def inputs(self) -> int:
        """I, input features of the network at each step."""
        return len(self.mean) * (2 if self.masked else 1) * self.patch

    def scaled(self, array: Floats) -> Singles:
        """(T, channels), scaled; missing values are the last known one, or the mean before it."""
        scaled = ((array - self.mean) / self.deviation).astype(np.float32)
        missing = np.isnan(scaled)
        if not missing.any():
            return scaled
        steps = np.arange(len(scaled))[:, None]
        last = np.maximum.accumulate(np.where(missing, -1, steps), axis=0)
        filled = np.take_along_axis(scaled, np.maximum(last, 0), axis=0)
        return np.where(last < 0, np.float32(0), filled)

    def write(self, writer: Writer) -> str:
        """Write this as layers of a program that read its input; return the last one's name."""
        mean, deviation = self.mean.tolist(), self.deviation.tolist()
        scaled = writer.add("standardise", writer.input, mean=mean, deviation=deviation)
        steps = writer.add("fill", scaled)
        if self.masked:
            steps = writer.add("concatenate", steps, writer.add("missing", writer.input))
        return writer.add("patch", steps, steps=self.patch) if self.patch > 1 else steps

    def read(self, array: Floats, scaled: Singles | None = None) -> Singles:
        """Map (T, channels) to inputs (T / patch, I), the last patch padded with the last step."""
        steps = self.scaled(array) if scaled is None else scaled
        if self.masked:
            steps = np.concatenate([steps, np.isnan(array).astype(np.float32)], axis=1)
        short = -len(steps) % self.patch
        steps = np.concatenate([steps, np.repeat(steps[-1:], short, axis=0)])
        return steps.reshape(len(steps) // self.patch, -1)
