"""What a reader of the explorer is: it runs a network over a passage and keeps everything.

Shapes: T steps, H hidden units, D distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gated.core.layout import Array, layout_of
from gated.errors import ConfigurationError

MOMENTS = 16
"""Gradients are followed back from so many moments."""


@dataclass(frozen=True)
class Passage:
    """What is to be read: a text, or a window of a series."""

    text: str = ""
    series: int = 0
    """Its place among the series."""
    moment: int = 0
    """Of the window, among those of the series."""


@dataclass(frozen=True)
class Clamp:
    """A gate held at a value while a passage is read."""

    gate: str
    """A gate with a sigmoid."""
    value: float
    """From 0, closed, to 1, open."""
    unit: int | None = None
    """None for every unit."""
    first: int = 0
    """The step from which it is held."""
    last: int | None = None
    """The last step at which it is held; None for that of the passage."""

    def check(self, cell: str, units: int) -> None:
        """Refuse what cannot be meant for a `cell` of so many units.

        Raises:
            ConfigurationError: says what.
        """
        gates = clampable(cell)
        if self.gate not in gates:
            raise ConfigurationError(
                f"gate must be one of {', '.join(gates) or 'none'} for the cell {cell}, "
                f"got {self.gate!r}"
            )
        if not 0 <= self.value <= 1:
            raise ConfigurationError(f"value must be from 0 to 1, got {self.value}")
        if self.unit is not None and not 0 <= self.unit < units:
            raise ConfigurationError(f"unit must be from 0 to {units - 1}, got {self.unit}")
        if self.first < 0:
            raise ConfigurationError(f"first must be a step from 0 on, got {self.first}")
        if self.last is not None and self.last < self.first:
            raise ConfigurationError(
                f"last must be first ({self.first}) or a step after it, got {self.last}"
            )

    def within(self, steps: int) -> range:
        """The steps at which it is held, in a passage of so many."""
        return range(
            min(self.first, steps), steps if self.last is None else min(self.last + 1, steps)
        )


@dataclass(frozen=True)
class Reading:
    """What a network computed while it read a passage."""

    values: dict[str, Array]
    """Gates and states by the names of `gated.core.layout`, each (T, H)."""
    gradient: Array
    """(D), how strongly an output depends on what was read d steps before, for distances d of 0 to
    D - 1: a mean of norms over several moments."""
    outputs: dict[str, Array]
    """What the network predicted, and what it is measured by, (T, …)."""
    score: float | None
    """How wrong it was, in the unit that the page says; None where that is not known."""
    labels: tuple[str, ...] = ()
    """(T), the times of a series."""


class Reader(Protocol):
    """One recurrent layer and what it reads."""

    @property
    def name(self) -> str:
        """By which the page asks for it."""

    @property
    def cell(self) -> str:
        """One of `gated.core.layout.LAYOUTS`."""

    @property
    def units(self) -> int:
        """H."""

    def describe(self) -> dict[str, Any]:
        """What else the page is told of it, a JSON document."""

    def read(self, passage: Passage, clamp: Clamp | None) -> Reading:
        """Run over `passage`, with a gate held where `clamp` says so.

        Raises:
            ConfigurationError: there is no such passage, or `clamp` cannot be meant.
        """


@dataclass(frozen=True)
class Exhibit:
    """What one explorer shows: readers, and the passages that it offers them."""

    readers: Sequence[Reader]
    offered: Mapping[str, Any]
    """A JSON document with `kind`, `text` or `series`, and what there is to choose."""


def clampable(cell: str) -> tuple[str, ...]:
    """The gates of a cell that a sigmoid opens and closes.

    >>> clampable("gru")
    ('reset_gate', 'update_gate')
    """
    return tuple(gate for gate in layout_of(cell).gates if gate.endswith("_gate"))
