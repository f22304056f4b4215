"""How a step is computed: products with weights in stages, and between them pointwise programs.

A plan is what the native core runs, for any cell, in either direction. Every value that outlives
the piece of program that computes it has a place in memory, its operand; what does not is a
register of a few vectors. The loop over time knows operands, products and programs, and nothing of
gates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gated.cells.tape import ARITHMETIC, Width


class Operand(NamedTuple):
    """A place in memory: the same for all rows, or one for each row."""

    base: str
    """One of `BASES`."""
    number: int
    width: Width


BASES = (
    "slot",  # scratch memory of the row
    "kept",  # what the step keeps for the way back
    "input",
    "before",  # a state as the step before left it
    "after",
    "output",
    "parameter",  # of the cell, one for each gate it has
    "sequence",  # the same at all steps
    "constant",
    "grad_output",
    "grad_after",  # of a state after the step
    "grad_before",
    "grad_kept",  # of what a step keeps, for a loss that reads it
    "grad_history",  # of a state that is not the output, likewise
    "per_step",  # an input for the step that is more than one number
)


class Instruction(NamedTuple):
    """An operation on vectors: numbers from 0 on are operands, those below registers."""

    operation: str
    result: int
    arguments: tuple[int, ...]
    about: int = 0


class Segment(NamedTuple):
    """Instructions that run through the units side by side."""

    width: Width
    instructions: tuple[Instruction, ...]
    registers: int

    @property
    def reduces(self) -> bool:
        """Whether it sums over units, and so must see all of them."""
        return any(of.operation == "sum" for of in self.instructions)


class Product(NamedTuple):
    """Blocks of a matrix times a vector; transposed in the backward pass."""

    matrix: int
    blocks: tuple[int, ...]
    source: int
    """Operand: the vector; of a transposed product the gradient of the first block, behind which
    the others lie."""
    targets: tuple[int, ...]
    """Operands, one for each block; of a transposed product one."""


class Stage(NamedTuple):
    """Products that are independent of each other, then the pointwise programs that read them."""

    products: tuple[Product, ...]
    segments: tuple[Segment, ...]


class Summed(NamedTuple):
    """A gradient that is the sum over rows of products of gradients with what was multiplied."""

    matrix: int
    source: int
    """Operand."""
    blocks: tuple[tuple[int, int], ...]
    """Of the matrix, and the operand of its gradient."""


class Plan(NamedTuple):
    """The plan of a step, forward or backward."""

    operands: tuple[Operand, ...]
    slots: tuple[Width, ...]
    kept: tuple[Width, ...]
    constants: tuple[float | str, ...]
    """Numbers, or `size H` for how many units a width has."""
    stages: tuple[Stage, ...]
    before: tuple[Product, ...]
    """Products with the input, for many steps at once: before their steps on the way forward,
    behind them on the way back."""
    vectors: tuple[tuple[int, int, int], ...]
    """Slot, array and block: what a slot starts from, or whose gradient it adds to. Arrays count
    the biases of the matrices first, then the parameters."""
    per_step: tuple[tuple[int, int], ...]
    """A slot, and the input whose one number for the step it takes."""
    grad_per_step: tuple[tuple[int, int], ...] = ()
    """A slot, and the input whose gradient it holds."""
    summed: tuple[Summed, ...] = ()
    grad_input: int = -1
    """The slot of the input's gradient that does not flow through products, or -1."""


OPERATIONS: tuple[str, ...] = (
    "copy",
    *ARITHMETIC,
    "multiply_add",  # a · b + c
    "multiply_subtract",  # a · b - c
    "subtract_product",  # c - a · b
    "sigmoid_back_of_product",  # a · b · y · (1 - y)
    "tanh_back_of_product",  # a · b · (1 - y²)
    "sum",
    "draw",
)
"""What an instruction can be."""


def by_base(plan: Plan) -> Plan:
    """The same with its operands in the order of their bases."""
    order = sorted(
        range(len(plan.operands)), key=lambda operand: BASES.index(plan.operands[operand].base)
    )
    to = {operand: place for place, operand in enumerate(order)}

    def moved(operands: Iterable[int]) -> tuple[int, ...]:
        return tuple(to.get(operand, operand) for operand in operands)

    def product(of: Product) -> Product:
        return of._replace(source=to[of.source], targets=moved(of.targets))

    def segment(of: Segment) -> Segment:
        return of._replace(
            instructions=tuple(
                i._replace(result=to.get(i.result, i.result), arguments=moved(i.arguments))
                for i in of.instructions
            )
        )

    return plan._replace(
        operands=tuple(plan.operands[operand] for operand in order),
        stages=tuple(
            Stage(tuple(map(product, stage.products)), tuple(map(segment, stage.segments)))
            for stage in plan.stages
        ),
        before=tuple(map(product, plan.before)),
        summed=tuple(
            of._replace(
                source=to[of.source], blocks=tuple((block, to[slot]) for block, slot in of.blocks)
            )
            for of in plan.summed
        ),
    )
