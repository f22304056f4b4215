"""The gradients of a layer's sums at each step, in place of their weights' gradients.

From these follows the gradient of the weights by each part of a batch: the sum over its rows of
products of such a gradient and the vector that the weights were multiplied by.

Shapes: T steps, B sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gated.cells.cell import Cell
from gated.cells.emit_cpp import WIDTHS, listed_cell, listed_plan
from gated.cells.plans import plans
from gated.core import native
from gated.core.call import Call
from gated.core.layout import Array
from gated.core.ops import Kept

READABLE = frozenset({"input", "before", "after", "slot"})
"""Bases of operands that can be read at each step behind a backward pass."""


class Outer(NamedTuple):
    """What a block of a weight matrix has as its gradient: a sum of outer products over rows."""

    matrix: str
    block: int
    gradient: int
    """Index of the gradient of the block's product in `Sums.slots`."""
    base: str
    """Of `READABLE`: where the vector is that the block was multiplied by."""
    number: int
    """The state, or the index in `Sums.slots`."""


class Vector(NamedTuple):
    """A part of a bias or parameter whose gradient is a sum over rows."""

    name: str
    block: int
    gradient: int


class Sums(NamedTuple):
    """Which weights' gradients follow from which rows."""

    slots: tuple[int, ...]
    """Values that the backward pass has at each step, in the core's numbering."""
    widths: tuple[str, ...]
    outers: tuple[Outer, ...]
    vectors: tuple[Vector, ...]


@cache
def sums_of(cell: Cell) -> Sums | None:
    """Return how the weights' gradients follow from rows; None where rows do not suffice."""
    plan = plans(cell).backward
    slots: dict[int, int] = {}

    def row(slot: int) -> int:
        return slots.setdefault(slot, len(slots))

    outers, vectors = [], []
    for of in plan.summed:
        matrix, source = cell.matrices[of.matrix], plan.operands[of.source]
        if source.base not in READABLE or matrix.heads > 1:
            return None
        number = row(source.number) if source.base == "slot" else source.number
        for block, operand in of.blocks:
            gradient = row(plan.operands[operand].number)
            outers.append(Outer(matrix.name, block, gradient, source.base, number))
    names = [of.bias if of.has_bias else "" for of in cell.matrices]
    names += [of.name for of in cell.parameters]
    for slot, array, block in plan.vectors:
        if names[array]:
            vectors.append(Vector(names[array], block, row(slot)))
    widths = tuple(plan.slots[slot] for slot in slots)
    return Sums(tuple(slots), widths, tuple(outers), tuple(vectors))


@cache
def _native_cell(cell: Cell, sums: Sums) -> Any:
    """The cell with a per-step input for each of these slots, whose gradient the slot is."""
    core, of = native.extension(), plans(cell)
    first = len(cell.per_step)
    given = [(slot, first + i) for i, slot in enumerate(sums.slots)]
    back = of.backward._replace(grad_per_step=(*of.backward.grad_per_step, *given))
    listed = list(listed_cell(cell))
    listed[4] = [*listed[4], *(WIDTHS.index(width) for width in sums.widths)]
    made = [core.Plan(*listed_plan(plan)) for plan in (of.inference, of.training, back)]
    return core.Cell(*listed, *made, core.Plan(*listed_plan(of.backward_of_gates)))


class RowGradients(NamedTuple):
    """Gradients without those of the weights."""

    x: Array
    """(T, B, I)"""
    initial: tuple[Array, ...]
    per_step: tuple[Array, ...]
    sums: list[Array]
    """The values of `Sums.slots` at each step, (T, B, ·); zeros in the padding."""


def backward_by_rows(
    kept: Kept,
    sums: Sums,
    grad_output: Array,
    grad_final: Sequence[Array | None],
    *,
    threads: int,
    with_input: bool,
) -> RowGradients:
    """Run the backward pass without the sums over rows.

    Args:
        kept: of the forward pass, with the values.
        sums: of the cell.
        grad_output: (T, B, P).
        grad_final: gradient of each state, or None.
        threads: number of threads at most.
        with_input: whether to compute the gradient of x; else it is empty.
    """
    call: Call = kept.call
    T, B, _ = call.x.shape
    dtype, cell = call.x.dtype, call.cell
    grad_x = np.empty(call.x.shape, dtype)
    initial = tuple(np.empty((B, width), dtype) for width in call.state_widths)
    per_step = tuple(np.zeros(array.shape, dtype) for array in call.per_step)
    rows = [np.empty((T, B, call.sizes[width]), dtype) for width in sums.widths]
    layer = call.native_layer(
        _native_cell(cell, sums), [*call.per_step, *(None for _ in sums.slots)]
    )
    layer.backward(
        kept.output,
        kept.values,
        [kept.history.get(name) for name in cell.state_names],
        grad_output,
        list(grad_final),
        None,
        [None for _ in cell.states],
        grad_x if with_input else None,
        [None for _ in cell.matrices],
        [None for _ in cell.matrices],
        [None for _ in cell.parameters],
        [*per_step, *rows],
        list(initial),
        threads,
    )
    return RowGradients(grad_x, initial, per_step, rows)
