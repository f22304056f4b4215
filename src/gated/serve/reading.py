"""The interface of the explorer's readers: a reader runs a network over a passage of text or data.

Shapes: T steps, H hidden units, D distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gated.core.layout import Array, layout_of
from gated.errors import ConfigurationError

NAMES = {"rnn_tanh": "rnn", "rnn_relu": "rnn", "gru": "gru", "lstm": "lstm"}
"""The names in the explorer of the cells that it can draw."""
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

    def check(self, cell: str, units: int) -> None:
        """Check that it fits a `cell` with so many units.

        Raises:
            ConfigurationError: it does not; the message names the field and what was expected.
        """
        gates = clampable(cell)
        if self.gate not in gates:
            raise ConfigurationError(
                f"gate must be one of {', '.join(gates)} for the cell {cell}, got {self.gate!r}"
                if gates
                else f"the cell {cell} has no gate to hold, got {self.gate!r}"
            )
        if not 0 <= self.value <= 1:
            raise ConfigurationError(f"value must be from 0 to 1, got {self.value}")
        if self.unit is not None and not 0 <= self.unit < units:
            raise ConfigurationError(f"unit must be from 0 to {units - 1}, got {self.unit}")
        if self.first < 0:
            raise ConfigurationError(f"first must be 0 or more, got {self.first}")
        if self.last is not None and self.last < self.first:
            raise ConfigurationError(f"last must be at least first, {self.first}, got {self.last}")

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


@dataclass(frozen=True)
class Exhibit:
    """Networks of one kind, and the passages to choose from."""

    offered: Mapping[str, Any]
    """A JSON document with `kind`, `text` or `series`, the networks and the passages."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What the page loads, by path."""


def describe(name: str, cell: str, units: int) -> dict[str, Any]:
    """Return the facts about a network that the page shows, for JSON."""
    layout = layout_of(cell)
    return {
        "name": name,
        "cell": NAMES[cell],
        "units": units,
        "gates": layout.gates,
        "states": layout.states,
        "clampable": clampable(cell),
    }


def clampable(cell: str) -> tuple[str, ...]:
    """Return the gates of a cell that have a sigmoid, which a `Clamp` can hold.

    >>> clampable("gru")
    ('reset_gate', 'update_gate')
    """
    return tuple(gate for gate in layout_of(cell).gates if gate.endswith("_gate"))
