"""What the page shows: networks, and the passages to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gated.core.layout import layout_of

NAMES = {"rnn_tanh": "rnn", "rnn_relu": "rnn", "gru": "gru", "lstm": "lstm"}
"""The names in the explorer of the cells that it can draw."""


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


def describe_cell(definition: Mapping[str, Any], name: str, units: int) -> dict[str, Any]:
    """Return the facts about a network of a cell that the page has only a document of."""
    return {
        "name": name,
        "cell": name,
        "definition": definition,
        "units": units,
        "gates": list(definition["gates"]),
        "states": [state["name"] for state in definition["states"]],
        "clampable": definition["held"],
    }


def clampable(cell: str) -> tuple[str, ...]:
    """Return the gates of a cell that have a sigmoid, which can be held at a value.

    >>> clampable("gru")
    ('reset_gate', 'update_gate')
    """
    return tuple(gate for gate in layout_of(cell).gates if gate.endswith("_gate"))
