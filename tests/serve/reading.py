"""What the references of the page compute: a network on a passage, with a gate held.

Shapes: T steps, H hidden units, D distances.
"""

from __future__ import annotations

from dataclasses import dataclass

from gated.core.layout import Array

MOMENTS = 16
"""Number of steps from which gradients are computed back in time."""


@dataclass(frozen=True)
class Passage:
    """The input of a network: a text, or a window of a series."""

    text: str = ""
    series: int = 0
    """Index of the series."""
    moment: int = 0
    """Index of the window among those of the series."""


@dataclass(frozen=True)
class Clamp:
    """A gate held at a value while a passage is read."""

    gate: str
    """Name of a gate with a sigmoid."""
    value: float
    """From 0, closed, to 1, open."""
    unit: int | None = None
    """Index of the unit; None for all units."""
    first: int = 0
    """The first step at which it is held."""
    last: int | None = None
    """The last step at which it is held; None for the last of the passage."""

    def within(self, steps: int) -> range:
        """Return the steps at which it is held, in a passage of so many steps."""
        return range(
            min(self.first, steps), steps if self.last is None else min(self.last + 1, steps)
        )


@dataclass(frozen=True)
class Reading:
    """The results of a network on a passage."""

    values: dict[str, Array]
    """Gates and states by the names of `gated.core.layout`, each (T, H)."""
    gradient: Array
    """(D,), the norm of the gradient of an output with respect to the input d steps before, for d
    from 0 to D - 1: the mean over several outputs."""
    outputs: dict[str, Array]
    """Predicted values and, where they are known, observed ones, (T, …) each."""
    score: float | None
    """The mean error, in the unit that the page names; None where it is not known."""
    labels: tuple[str, ...] = ()
    """(T,), the times of a series."""
