"""What a task offers so that its network can be looked into and drawn like that of any other.

A task's face builds a `Probe` from a trained network and some data; `gated explain` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What stands at each of the T steps of one sequence, as one recurrent module reads them."""

    labels: Sequence[str] | NDArray[Any]
    """(T): characters, words, times as `datetime64`, or numbers."""
    unit: str = "step"
    """What a step is, for the axis: character, hour, frame."""
    signals: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What is read, by its name and unit: (T) is drawn as a line, (T, F) as a heat map of F rows.
    Texts need none: their labels say it all."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A trained network and what to run through it."""

    title: str
    """What the network does, as a heading."""
    model: nn.Module
    batches: Sequence[tuple[Any, Any]]
    """Inputs of the model, each with the lengths (B) that it takes beside them, or with None.
    Statistics go over all; the sequences drawn are those of the first."""
    sequences: Sequence[str]
    """(B) names of the sequences of the first batch."""
    timelines: Mapping[str, Sequence[Timeline]] = field(default_factory=dict)
    """(B) for each recurrent module by its name in the model; steps without one are numbered."""
    loss: Callable[[Any], Tensor] | None = None
    """From the model's output on the first batch, a scalar: its gradient is followed back in time,
    and what forgetting costs is measured by it."""

    def sequence(self, wanted: int) -> int:
        """Return the place of a sequence, which may be counted from the end.

        Raises:
            DataError: there are fewer.
        """
        count = len(self.sequences)
        if not -count <= wanted < count:
            raise DataError(f"sequence: there are {count}, from 0 to {count - 1}, got {wanted}")
        return wanted % count

    def timeline(self, module: str, sequence: int, steps: int) -> Timeline:
        """Return the timeline of a module's sequence, numbers where the task has none for it."""
        known = self.timelines.get(module)
        return known[sequence] if known else Timeline(labels=np.arange(steps))
