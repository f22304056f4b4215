"""States of a cell that are affine in their past, sums over steps: s_t = keep · s_{t-1} + write.

Results of activations and products count as constants, even where they depend on the state: so a
gated state is affine with its gates held fixed (Hochreiter and Schmidhuber 1997), and a state that
an activation computes anew at each step has keep = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from gated.cells.cell import Cell
from gated.cells.tape import ACTIVATIONS, Place, Tape
from gated.errors import CellError


@dataclass(frozen=True)
class Affine:
    """The nodes of `keep` and `write` of a state, on a tape that extends the cell's."""

    tape: Tape
    state: int
    """Index of the cell's state."""
    keep: Place
    write: Place

    def keeping_gate(self, cell: Cell) -> str | None:
        """Return the name of the gate that is the factor `keep`; None if it is no single gate."""
        return next((name for name, place in cell.gates.items() if place == self.keep), None)


@cache
def memory(cell: Cell) -> Affine:
    """Return the state that is affine in its past; the cell state, if several are.

    Raises:
        CellError: there is none; the message says why for each state.
    """
    why = []
    names = cell.state_names
    for state in sorted(range(len(names)), key=lambda k: (names[k] != "cell", -k)):
        found = affine(cell, state)
        if isinstance(found, Affine):
            return found
        why.append(f"{names[state]} {found}")
    raise CellError(f"no state of {cell.name} is a sum over the past: {'; '.join(why)}")


@cache
def affine(cell: Cell, state: int) -> Affine | str:
    """Return a state as affine in its past, or the reason why it is not.

    Args:
        cell: any.
        state: index of one of its states.
    """
    tape = Tape(cell.tape.nodes)
    zero = tape.constant(0)
    parts: dict[Place, tuple[Place, Place] | None] = {}
    """For each node: the factor of the previous state, and the rest; None if it is not affine."""
    for place, node in enumerate(cell.tape.nodes):
        given = [parts[argument] for argument in node.arguments]
        if node.operation == "state" and node.about == state:
            parts[place] = tape.constant(1), zero
        elif node.operation == "product" and _mixes(given, zero):
            parts[place] = None
        elif not node.arguments or node.operation in ACTIVATIONS or node.operation == "product":
            parts[place] = zero, place
        elif any(part is None for part in given):
            parts[place] = None
        else:
            parts[place] = _combined(tape, node.operation, place, [p for p in given if p], zero)
    found = parts[cell.states[state].after]
    if found is None:
        return "mixes its past between units, or multiplies it by itself"
    keep, write = found
    if keep == zero:
        return "is computed anew at each step"
    return Affine(tape, state, keep, write)


def _mixes(given: list[tuple[Place, Place] | None], zero: Place) -> bool:
    return any(part is None or part[0] != zero for part in given)


def _combined(
    tape: Tape, operation: str, place: Place, given: list[tuple[Place, Place]], zero: Place
) -> tuple[Place, Place] | None:
    apply = tape.apply
    if all(keep == zero for keep, _ in given):
        return zero, place
    if operation in ("add", "sub", "neg"):
        keeps, writes = zip(*given, strict=True)
        return apply(operation, *keeps), apply(operation, *writes)
    if operation == "mul":
        for (keep, write), (other, factor) in (given, given[::-1]):
            if other == zero:
                return apply("mul", factor, keep), apply("mul", factor, write)
    if operation == "div" and given[1][0] == zero:
        (keep, write), (_, factor) = given
        return apply("div", keep, factor), apply("div", write, factor)
    if operation == "where" and given[0][0] == zero:
        condition = given[0][1]
        keeps, writes = zip(*given[1:], strict=True)
        return apply("where", condition, *keeps), apply("where", condition, *writes)
    return None
