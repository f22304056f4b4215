"""A cell with its weights, evaluated node by node with the functions of any array library.

Shapes: B rows, one for each sequence or step; H hidden units, I input features.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from gated.cells.cell import Cell
from gated.cells.tape import Node, Place, Tape

Functions = Mapping[str, Callable[..., Any]]
"""For each operation, by name; also `constant` of a number, `linear` of a vector, a weight and a
bias or None, and `spread`, which broadcasts a value to a number of units."""
Hold = Callable[[Place, Any], Any]
"""A function from a node and its value to the value that is used in its place from there on."""

ARITHMETIC: Functions = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "normalise": lambda v, mean, scale: (v - mean) * scale,
    "sigmoid_back": lambda g, y: g * y * (1 - y),
    "tanh_back": lambda g, y: g * (1 - y * y),
}
"""Operations that are the same for every array library."""


class Equations:
    """A cell with its weights.

    Args:
        cell: with dropout, zoneout and other options in its tape.
        weights: arrays by name, shaped as in `gated.core.plans.parameter_shapes`; biases optional.
        sizes: the number of units of each width.
        functions: of the array library.
    """

    def __init__(
        self, cell: Cell, weights: Mapping[str, Any], sizes: Mapping[str, int], functions: Functions
    ) -> None:
        self.cell = cell
        self.weights = weights
        self.sizes = sizes
        self.blocks: dict[Any, tuple[Any, Any]] = {}
        """The rows of a weight matrix and of its bias, by `Block`."""
        self._functions: dict[str, Callable[..., Any]] = {
            **functions,
            "product": self._product,
            "transposed": self._transposed,
            "spread": lambda node, v: functions["spread"](v, sizes[node.width]),
        }
        self._heads = {matrix.name: matrix.heads for matrix in cell.matrices}
        for matrix in cell.matrices:
            bias = weights.get(matrix.bias) if matrix.has_bias else None
            for row, gate in enumerate(matrix.gates):
                rows = slice(row * sizes[matrix.rows], (row + 1) * sizes[matrix.rows])
                of_gate = None if bias is None else bias[rows]
                self.blocks[matrix.name, gate] = weights[matrix.name][rows], of_gate
        self._parameters: dict[Any, Any] = {}
        for of in cell.parameters:
            value = weights.get(of.name)
            for row, gate in enumerate(of.gates or ("",)):
                if value is None:  # a bias that the layer does not have
                    self._parameters[of.name, gate] = functions["constant"](0.0)
                elif gate in ("", "1"):
                    self._parameters[of.name, gate] = value
                else:
                    self._parameters[of.name, gate] = value.reshape(len(of.gates), -1)[row]

    def values(
        self,
        given: Mapping[str, Any],
        tape: Tape | None = None,
        *,
        wanted: Iterable[Place] | None = None,
        known: Mapping[Place, Any] | None = None,
        hold: Hold | None = None,
    ) -> list[Any]:
        """Return the value of every node: (B, units), or (B, 1) where its width is `1`.

        Args:
            given: the values of leaves, by their names in `gated.cells.tape.LEAVES`: an array, or
                several by the `about` of their nodes.
            tape: another tape for the same weights, such as the derivative's.
            wanted: nodes to compute; those that these do not need are None in the result.
            known: values of nodes that need not be computed.
            hold: called with each node and its value; what it returns is used in its place.
        """
        tape = self.cell.tape if tape is None else tape
        known = known or {}
        needed = None if wanted is None else needed_nodes(tape, wanted, known)
        values: list[Any] = []
        for place, node in enumerate(tape.nodes):
            if place in known:
                values.append(known[place])
            elif needed is not None and place not in needed:
                values.append(None)
            else:
                value = self._value(node, values, given)
                values.append(value if hold is None else hold(place, value))
        return values

    def _value(self, node: Node, values: list[Any], given: Mapping[str, Any]) -> Any:
        function = self._functions.get(node.operation)
        if node.arguments and function is not None:
            arguments = [values[argument] for argument in node.arguments]
            if node.operation in ("product", "transposed", "spread"):
                return function(node, *arguments)
            return function(*arguments)
        if node.operation == "constant":
            return self._functions["constant"](node.about)
        if node.operation == "size":
            return self._functions["constant"](self.sizes[node.about])
        if node.operation == "parameter":
            return self._parameters[node.about]
        found = given[node.operation]
        return found if node.about is None else found[node.about]

    def _product(self, node: Node, vector: Any) -> Any:
        weight, bias = self.blocks[node.about]
        if self._heads[node.about.matrix] == 1:
            return self._functions["linear"](vector, weight, bias)
        found = _by_heads(vector, weight, transposed=False)
        return found if bias is None else found + bias

    def _transposed(self, node: Node, *grads: Any) -> Any:
        parts = [
            grad @ self.blocks[block][0]
            if self._heads[block.matrix] == 1
            else _by_heads(grad, self.blocks[block][0], transposed=True)
            for grad, block in zip(grads, node.about, strict=True)
        ]
        return sum(parts[1:], parts[0])


def _by_heads(vector: Any, weight: Any, transposed: bool) -> Any:
    """The product of a vector (…, H) with a block-diagonal matrix, stored as (H, H / heads)."""
    each = weight.shape[-1]
    squares = weight.reshape(-1, each, each)
    rows = vector.reshape(*vector.shape[:-1], -1, 1, each)
    found = rows @ (squares if transposed else squares.swapaxes(-1, -2))
    return found.reshape(vector.shape)


def needed_nodes(tape: Tape, wanted: Iterable[Place], known: Collection[Place] = ()) -> set[Place]:
    """Return the nodes that must be computed for some nodes, if the values of others are known."""
    needed: set[Place] = set()
    open_ = list(wanted)
    while open_:
        place = open_.pop()
        if place not in needed and place not in known:
            needed.add(place)
            open_ += tape[place].arguments
    return needed
