"""The input of `gated.explain.explain`: a trained network, some data, and labels for its steps.

A task builds a `Probe` from a learner and data; `gated explain` does the rest for every task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.errors import DataError, option


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Labels of the T steps of one sequence, as one recurrent module reads them."""

    labels: Sequence[str] | NDArray[Any]
    """(T,): characters, words, times as `datetime64`, or numbers."""
    unit: str = "step"
    """What a step is called on the axis: character, hour, frame."""
    signals: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The input, by name and unit: (T,) is drawn as a line, (T, F) as a heat map of F rows. Texts
    need none, since their labels are the input."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A trained network and the data to run through it."""

    title: str
    """What the network does, as a heading."""
    model: nn.Module
    batches: Sequence[tuple[Any, Any]]
    """Inputs of the model, each with its lengths (B,), or with None for a model without lengths.
    Statistics are over all batches; sequences of the first batch are drawn."""
    sequences: Sequence[str]
    """(B,), names of the sequences of the first batch."""
    timelines: Mapping[str, Sequence[Timeline]] = field(default_factory=dict)
    """(B,) for each recurrent module, by its name in the model; without one, steps are numbered."""
    loss: Callable[[Any], Tensor] | None = None
    """Function from the model's output on the first batch to a scalar, whose gradient is followed
    back in time and which is also computed without memory."""
    options: frozenset[str] | None = None
    """Names of the options of the task that trained the network: advice names only these. None for
    a network of one's own."""
    note: str = ""
    """What to know of the network before its memory is looked at, in sentences."""

    def sequence(self, wanted: int) -> int:
        """Return the index of a sequence; negative counts from the end.

        Raises:
            DataError: there are fewer.
        """
        count = len(self.sequences)
        if not -count <= wanted < count:
            raise DataError(
                f"{option('sequence')}: there are {count}, from 0 to {count - 1}, got {wanted}"
            )
        return wanted % count

    def timeline(self, module: str, sequence: int, steps: int) -> Timeline:
        """Return the timeline of a module's sequence; without one its steps are numbered."""
        known = self.timelines.get(module)
        return known[sequence] if known else Timeline(labels=np.arange(steps))
