"""States of a cell that are sums over past steps: s_t = keep · s_{t-1} + write.

Results of functions and products are taken as they came out, whatever they depend on: so a gated
state is such a sum, with its gates as they were (Hochreiter and Schmidhuber 1997), and one that a
function computes anew at each step keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from gated.cells.cell import Cell
from gated.cells.tape import ACTIVATIONS, Place, Tape
from gated.errors import CellError


@dataclass(frozen=True)
class Affine:
    """The values that a step keeps and writes of a state, on a tape that extends the cell's."""

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
    """Return the state that is a sum over past steps; the cell state, if several are.

    Raises:
        CellError: it has none; why not, of each state.
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
    """Return a state as a sum over past steps, or the reason why it is none.

    Args:
        cell: any.
        state: which of its states.
    """
    tape = Tape(cell.tape.nodes)
    zero = tape.constant(0)
    parts: dict[Place, tuple[Place, Place] | None] = {}
    """Of a node: what it has of the state before, and the rest; None where it is no such sum."""
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
