"""How a step is computed: stages of matrix products, and elementwise segments between them.

A plan is what the native core runs, for any cell, in the forward or the backward pass. A value that
is used outside the segment that computes it has a place in memory, its operand; any other is in a
register, a few vectors wide. The loop over time knows operands, products and segments, and nothing
of gates.
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
    "kept",  # what the step keeps for the backward pass
    "input",
    "before",  # a state before the step
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
    "grad_sum",  # a vector's gradient, summed over the steps of a sequence; by its slot
)


class Instruction(NamedTuple):
    """An operation on vectors: numbers from 0 on are operands, negative ones are registers."""

    operation: str
    result: int
    arguments: tuple[int, ...]
    about: int = 0


class Segment(NamedTuple):
    """Instructions that are run one after the other for a few units at a time, over all units."""

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
    """Operand of the vector; of a transposed product that of the first block's gradient, which the
    others follow in memory."""
    targets: tuple[int, ...]
    """Operands of the results: one for each block; a single one if transposed."""


class Stage(NamedTuple):
    """Products that are independent of each other, then the segments that read their results."""

    products: tuple[Product, ...]
    segments: tuple[Segment, ...]


class Summed(NamedTuple):
    """A weight's gradient: the sum over rows of the outer products of gradients and vectors."""

    matrix: int
    source: int
    """Operand of the vectors that the matrix was multiplied by."""
    blocks: tuple[tuple[int, int], ...]
    """Each block of the matrix, and the operand of the gradient of its products."""


class Plan(NamedTuple):
    """The plan of a step, forward or backward."""

    operands: tuple[Operand, ...]
    slots: tuple[Width, ...]
    kept: tuple[Width, ...]
    constants: tuple[float | str, ...]
    """Numbers, or `size H` for the number of units of a width."""
    stages: tuple[Stage, ...]
    before: tuple[Product, ...]
    """Products with the input, for many steps at once: before these steps in the forward pass,
    after them in the backward pass."""
    vectors: tuple[tuple[int, int, int], ...]
    """Slot, array and block: the bias that a slot starts from, or whose gradient it adds to. Arrays
    are numbered: first the biases of the matrices, then the parameters."""
    per_step: tuple[tuple[int, int], ...]
    """A slot, and the index of the per-step input of width `1` that it holds."""
    grad_per_step: tuple[tuple[int, int], ...] = ()
    """A slot, and the index of the per-step input whose gradient it holds."""
    summed: tuple[Summed, ...] = ()
    grad_input: int = -1
    """The slot of the input's gradient, without the part that flows through products, or -1."""


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
    "accumulate",  # result + a
)
"""The operations of instructions."""


def accumulating(plan: Plan) -> Plan:
    """Return the plan with gradients of vectors summed over a sequence's steps where they arise.

    A slot then holds only what products or other segments read.
    """
    instructions = [i for stage in plan.stages for of in stage.segments for i in of.instructions]
    products = [*plan.before, *(of for stage in plan.stages for of in stage.products)]
    others = {operand for of in products for operand in (of.source, *of.targets)}
    others |= {operand for of in plan.summed for _, operand in of.blocks}
    others |= {of.source for of in plan.summed}
    others |= {of.result for of in instructions if of.operation == "sum"}
    taken = {slot for slot, *_ in (*plan.per_step, *plan.grad_per_step)} | {plan.grad_input}
    taken |= {plan.operands[o].number for o in others if o >= 0 and plan.operands[o].base == "slot"}
    slots = {slot for slot, *_ in plan.vectors} - taken
    read = {argument for of in instructions for argument in of.arguments}
    operands = list(plan.operands)
    sums: dict[int, int] = {}
    for number, of in enumerate(plan.operands):
        if of.base == "slot" and of.number in slots:
            summed = of._replace(base="grad_sum")
            if number in read:
                sums[number] = len(operands)
                operands.append(summed)
            else:
                sums[number] = number
                operands[number] = summed

    def segment(of: Segment) -> Segment:
        registers, made = of.registers, []
        for i in of.instructions:
            to = sums.get(i.result)
            value = -1 - of.registers if to == i.result else i.result
            made.append(i._replace(result=value))
            if to is not None:
                made.append(Instruction("accumulate", to, (value,)))
                registers = max(registers, -value)
        return of._replace(instructions=tuple(made), registers=registers)

    stages = (of._replace(segments=tuple(map(segment, of.segments))) for of in plan.stages)
    return by_base(plan._replace(operands=tuple(operands), stages=tuple(stages)))


def by_base(plan: Plan) -> Plan:
    """Return the same plan with its operands sorted by their bases."""
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
