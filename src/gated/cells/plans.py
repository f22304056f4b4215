"""All that the native core needs to run a cell."""

from __future__ import annotations

from typing import NamedTuple

from gated.cells.backward_plan import backward_plan
from gated.cells.cell import Cell
from gated.cells.derivative import derivative
from gated.cells.forward_plan import forward_plan
from gated.cells.plan import Plan
from gated.cells.tape import Place


class Plans(NamedTuple):
    """All that the native core needs to run a cell."""

    inference: Plan
    training: Plan
    backward: Plan
    backward_of_gates: Plan
    """The same for a loss that also reads gates and states."""
    kept: tuple[Place, ...]
    """The nodes whose values `training` keeps for `backward`, in their order in memory."""


def plans(cell: Cell) -> Plans:
    """Return the plans of a cell."""
    back, of_gates = derivative(cell), derivative(cell, of_gates=True)
    return Plans(
        forward_plan(cell),
        forward_plan(cell, back.kept),
        backward_plan(cell, back),
        backward_plan(cell, of_gates),
        back.kept,
    )
