"""Runs a tape on the functions of an array library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gated.cells.tape import Node, Place, Tape


def evaluate(
    tape: Tape,
    functions: Mapping[str, Callable[..., Any]],
    leaf: Callable[[Node], Any],
    hold: Callable[[Place, Any], Any] | None = None,
) -> list[Any]:
    """The value of every node.

    Args:
        tape: what to compute.
        functions: of each operation, by name; those of `product`, `transposed` and `spread` take
            the node first.
        leaf: what comes from outside, by its node.
        hold: what becomes of each node's value; all that follows from it follows.
    """
    values: list[Any] = []
    for place, node in enumerate(tape.nodes):
        arguments = [values[argument] for argument in node.arguments]
        if not node.arguments:
            value = leaf(node)
        elif node.operation in ("product", "transposed", "spread"):
            value = functions[node.operation](node, *arguments)
        else:
            value = functions[node.operation](*arguments)
        values.append(value if hold is None else hold(place, value))
    return values
