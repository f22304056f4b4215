"""The tangent cell of a cell: its forward-mode derivative (Jacobian-vector product), as a cell.

It steps through the cell's states and their tangents at once, and is a cell like any other: it runs
on the native core, and its backward pass gives second derivatives (Pearlmutter 1994).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from gated.cells.cell import Cell, Matrix, Parameter, State
from gated.cells.tape import Block, Node, Place, Tape

INPUT = "input"


class Names(NamedTuple):
    """The names of tangents in a tangent cell."""

    suffix: str
    """After the name of a weight, parameter or input: its tangent."""
    again: str
    """After the name of a matrix: the same weights without a bias, as multiplied by tangents."""
    gate: str
    """Before the name of a gate: its block in such matrices and in tangents."""


def names(cell: Cell) -> Names:
    """Return the names of a cell's tangents; for a tangent cell they differ from those it has."""
    order = len(cell.states)
    return Names(f"_tangent{order}", f"_again{order}", f"_{order}")


@cache
def tangent(cell: Cell, of: frozenset[str]) -> Cell:
    """Return the cell whose states are the tangents of the cell's states, then these themselves.

    Its output is the tangent of the cell's output. The tangent of the input is a per-step input. A
    matrix that is multiplied by tangents is listed once more, without a bias; the tangent of a
    matrix is another matrix.

    Args:
        cell: any.
        of: what has a tangent: names of matrices, parameters and per-step inputs, or `input`.
    """
    return _Tangent(cell, of).cell()


class _Tangent:
    """One run over a cell's tape."""

    def __init__(self, cell: Cell, of: frozenset[str]) -> None:
        self.old = cell
        self.of = of
        self.names = names(cell)
        self.tape = Tape()
        self.values: list[Place] = []
        self.tangents: list[Place | None] = []
        self.again: set[str] = set()
        for node in cell.tape.nodes:
            value, moves = self._visit(node)
            self.values.append(value)
            self.tangents.append(moves)

    def cell(self) -> Cell:
        """The result."""
        old, suffix = self.old, self.names.suffix
        zero = self.tape.constant(0)

        def moved(place: Place) -> Place:
            found = self.tangents[place]
            return zero if found is None else found

        return replace(
            old,
            name=f"{old.name}{suffix}",
            tape=self.tape,
            states=(
                *(State(s.name + suffix, s.width, moved(s.after)) for s in old.states),
                *(s._replace(after=self.values[s.after]) for s in old.states),
            ),
            output=moved(old.output),
            matrices=tuple(self._matrices()),
            parameters=(
                *old.parameters,
                *(Parameter(p.name + suffix, p.gates) for p in old.parameters if p.name in self.of),
            ),
            per_step=(
                *old.per_step,
                *(name + suffix for name in (*old.per_step, INPUT) if name in self.of),
            ),
            defined=None,
        )

    def _matrices(self) -> list[Matrix]:
        found = []
        for of in self.old.matrices:
            twins = tuple(self.names.gate + gate for gate in of.gates)
            found.append(of)
            if of.name in self.again:
                twin = of._replace(name=of.name + self.names.again, gates=twins, has_bias=False)
                found.append(twin)
            if of.name in self.of:
                found.append(of._replace(name=of.name + self.names.suffix, gates=twins))
        return found

    def _visit(self, node: Node) -> tuple[Place, Place | None]:
        """The node's value and its tangent on the new tape; None for zero."""
        tape = self.tape
        if node.operation == "state":
            value = tape.leaf("state", node.width, node.about + len(self.old.states))
            return value, tape.leaf("state", node.width, node.about)
        if node.operation == "product":
            return self._product(node)
        arguments = tuple(self.values[argument] for argument in node.arguments)
        value = tape.copied(node, arguments)
        if node.operation == "parameter" and node.about.matrix in self.of:
            about = Block(node.about.matrix + self.names.suffix, node.about.gate)
            return value, tape.leaf("parameter", node.width, about)
        name = INPUT if node.operation == INPUT else node.about
        if node.operation in (INPUT, "per_step") and name in self.of:
            return value, tape.leaf("per_step", node.width, name + self.names.suffix)
        given = [self.tangents[argument] for argument in node.arguments]
        if node.operation in _FLAT or all(moves is None for moves in given):
            return value, None
        zero = tape.constant(0)
        moves = [zero if of is None else of for of in given]
        if node.operation == "sum":
            return value, tape.sum(moves[0])
        return value, _RULES[node.operation](tape, value, arguments, moves)

    def _product(self, node: Node) -> tuple[Place, Place | None]:
        tape, (source,) = self.tape, node.arguments
        block: Block = node.about
        vector, moves = self.values[source], self.tangents[source]
        value = tape.product(vector, block, node.width)
        twin = self.names.gate + block.gate
        parts = []
        if moves is not None:
            self.again.add(block.matrix)
            parts.append(
                tape.product(moves, Block(block.matrix + self.names.again, twin), node.width)
            )
        if block.matrix in self.of:
            own = Block(block.matrix + self.names.suffix, twin)
            parts.append(tape.product(vector, own, node.width))
        if len(parts) == 2:
            return value, tape.apply("add", *parts)
        return value, parts[0] if parts else None


_FLAT = frozenset({"less", "less_equal", "equal"})
_Rule = Callable[[Tape, Place, tuple[Place, ...], list[Place]], Place]
"""From the tape, a result, its arguments and their tangents to the tangent of the result."""


def _of_div(t: Tape, y: Place, v: tuple[Place, ...], d: list[Place]) -> Place:
    return t.apply("div", t.apply("sub", d[0], t.apply("mul", y, d[1])), v[1])


def _of_mul(t: Tape, y: Place, v: tuple[Place, ...], d: list[Place]) -> Place:
    return t.apply("add", t.apply("mul", d[0], v[1]), t.apply("mul", v[0], d[1]))


def _of_normalise(t: Tape, y: Place, v: tuple[Place, ...], d: list[Place]) -> Place:
    moved = t.apply("mul", t.apply("sub", d[0], d[1]), v[2])
    return t.apply("add", moved, t.apply("mul", t.apply("sub", v[0], v[1]), d[2]))


def _of_larger(t: Tape, a: Place, b: Place, d: list[Place]) -> Place:
    """Equal values share the tangent, as they do the gradient in the backward pass."""
    half = t.apply("mul", t.apply("equal", a, b), t.constant(0.5))
    first = t.apply("mul", d[0], t.apply("add", t.apply("less", b, a), half))
    return t.apply("add", first, t.apply("mul", d[1], t.apply("add", t.apply("less", a, b), half)))


def _of_abs(t: Tape, y: Place, v: tuple[Place, ...], d: list[Place]) -> Place:
    zero = t.constant(0)
    sign = t.apply("sub", t.apply("less", zero, v[0]), t.apply("less", v[0], zero))
    return t.apply("mul", d[0], sign)


def _of_softplus(t: Tape, y: Place, v: tuple[Place, ...], d: list[Place]) -> Place:
    rest = t.apply("mul", d[0], t.apply("exp", t.apply("neg", y)))
    return t.apply("sub", d[0], rest)


def _of_sigmoid_back(t: Tape, y: Place, v: tuple[Place, ...], d: list[Place]) -> Place:
    slope = t.apply("sub", t.constant(1), t.apply("add", v[1], v[1]))
    return t.apply(
        "add",
        t.apply("sigmoid_back", d[0], v[1]),
        t.apply("mul", t.apply("mul", v[0], slope), d[1]),
    )


def _of_tanh_back(t: Tape, y: Place, v: tuple[Place, ...], d: list[Place]) -> Place:
    slope = t.apply("mul", v[0], t.apply("add", v[1], v[1]))
    return t.apply("sub", t.apply("tanh_back", d[0], v[1]), t.apply("mul", slope, d[1]))


_RULES: dict[str, _Rule] = {
    "add": lambda t, y, v, d: t.apply("add", d[0], d[1]),
    "sub": lambda t, y, v, d: t.apply("sub", d[0], d[1]),
    "mul": _of_mul,
    "div": _of_div,
    "neg": lambda t, y, v, d: t.apply("neg", d[0]),
    "sigmoid": lambda t, y, v, d: t.apply("sigmoid_back", d[0], y),
    "tanh": lambda t, y, v, d: t.apply("tanh_back", d[0], y),
    "relu": lambda t, y, v, d: t.apply(
        "where", t.apply("less", t.constant(0), y), d[0], t.constant(0)
    ),
    "softplus": _of_softplus,
    "exp": lambda t, y, v, d: t.apply("mul", d[0], y),
    "log": lambda t, y, v, d: t.apply("div", d[0], v[0]),
    "sqrt": lambda t, y, v, d: t.apply("div", t.apply("mul", d[0], t.constant(0.5)), y),
    "abs": _of_abs,
    "maximum": lambda t, y, v, d: _of_larger(t, v[0], v[1], d),
    "minimum": lambda t, y, v, d: _of_larger(t, v[1], v[0], d),
    "where": lambda t, y, v, d: t.apply("where", v[0], d[1], d[2]),
    "sigmoid_back": _of_sigmoid_back,
    "tanh_back": _of_tanh_back,
    "normalise": _of_normalise,
}
