"""Writes the elementwise part of a plan as Triton kernels, for cells that run on a GPU.

A stage has one kernel, for all that follows its products: each program instance takes one row and
some of its units, or all of them where something is summed over units. Values that only one stage
needs stay in registers; slots that products, gradients or other stages read are columns of one
array in memory.

Arrays hold B rows of one step, one for each sequence. A row whose sequence has ended keeps its
states, and is 0 in all other arrays, so that sums over rows need no mask.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from gated.cells.backward_plan import side_by_side
from gated.cells.plan import Operand, Plan, Product, Stage
from gated.cells.tape import Width

SIZES = ("H", "I", "P", "BLOCK", "DTYPE")
"""The arguments of every kernel after its arrays: the size of each width, the units of a program
instance, and the dtype to compute in, whatever dtype the arrays have."""


class Kernel(NamedTuple):
    """The kernel of one stage."""

    name: str
    arrays: tuple[str, ...]
    """The names of its arrays, in order: `before0` is state 0 before the step, and so on."""
    reduces: bool
    """Whether it sums over units, so that one block must hold all of them."""
    widths: tuple[Width, ...]
    """The widths of its values other than `1`."""


class Kernels(NamedTuple):
    """A plan's kernels."""

    text: str
    """Python source, for which `triton` and `tl` must be defined."""
    of_stage: tuple[Kernel | None, ...]
    slots: tuple[int, ...]
    """Those in memory, in the order of their columns; the others are registers."""


def kernels(plan: Plan) -> Kernels:
    """Return the kernels of a plan, forward or backward.

    >>> from gated.cells import library
    >>> from gated.cells.forward_plan import forward_plan
    >>> print(kernels(forward_plan(library.rnn_relu)).text)
    @triton.jit(do_not_specialize_on_alignment=["running"])
    def step1(after0, before0, output, running, slot, H: tl.constexpr, I: tl.constexpr, \
P: tl.constexpr, BLOCK: tl.constexpr, DTYPE: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        runs = tl.load(running + row) != 0
        in_H = unit < H
        v0 = tl.load(slot + row * (H) + unit, mask=in_H, other=0).to(DTYPE)
        v1 = tl.where(v0 < 0, 0, v0)
        v2 = tl.load(before0 + row * (H) + unit, mask=in_H, other=0).to(DTYPE)
        tl.store(after0 + row * (H) + unit, tl.where(runs, v1, v2), mask=in_H)
        tl.store(output + row * (H) + unit, tl.where(runs, v1, 0), mask=in_H)
    <BLANKLINE>
    """
    slots = _in_memory(plan)
    written = [
        _Writer(plan, slots).kernel(stage, f"step{number}") if stage.segments else None
        for number, stage in enumerate(plan.stages)
    ]
    texts = [of[1] for of in written if of is not None]
    used = [text for name, text in _FUNCTIONS.items() if any(f"{name}(" in of for of in texts)]
    return Kernels(
        "\n\n".join(used + texts),
        tuple(None if of is None else of[0] for of in written),
        tuple(slots),
    )


def total_width(widths: Sequence[Width]) -> str:
    """Return the sum of some widths, as Python source.

    >>> total_width(["H", "H", "1"])
    '2 * H + 1'
    """
    counts = Counter(widths)
    terms = [of if count == 1 else f"{count} * {of}" for of, count in counts.items()]
    return " + ".join(terms).replace(" * 1", "") or "0"


def is_backward(plan: Plan) -> bool:
    """Whether a plan computes gradients."""
    return any(of.base == "grad_before" for of in plan.operands)


def blocks_and_slots(plan: Plan, product: Product) -> list[tuple[int, int]]:
    """Each block of a product with its slot: its target, or the source of a transposed product."""
    if not is_backward(plan):
        slots = [plan.operands[of].number for of in product.targets]
        return list(zip(product.blocks, slots, strict=True))
    first = plan.operands[product.source].number
    return [(block, first + place) for place, block in enumerate(product.blocks)]


def array_of(of: Operand) -> str:
    """The name of the array that holds an operand."""
    if of.base == "parameter":
        return f"parameter{of.number // 64}"
    alone = ("slot", "kept", "grad_kept", "input", "output", "grad_output")
    return of.base if of.base in alone else f"{of.base}{of.number}"


def _in_memory(plan: Plan) -> list[int]:
    """The slots that are used after their stage; those of a product are adjacent where possible."""
    products = [*plan.before, *(product for stage in plan.stages for product in stage.products)]
    of_products = [[slot for _, slot in blocks_and_slots(plan, of)] for of in products]
    if is_backward(plan):  # the plan has them adjacent already
        together = sorted({slot for of in of_products for slot in of})
    else:
        together = side_by_side(of_products)
    stages_of: dict[int, set[int]] = defaultdict(set)
    for number, stage in enumerate(plan.stages):
        for segment in stage.segments:
            for instruction in segment.instructions:
                for operand in (instruction.result, *instruction.arguments):
                    stages_of[operand].add(number)
    operands = [operand for of in products for operand in (of.source, *of.targets)]
    operands += [of.source for of in plan.summed]
    operands += [operand for operand, stages in stages_of.items() if len(stages) > 1]
    found = [plan.operands[operand] for operand in operands if operand >= 0]
    slots = {of.number for of in found if of.base == "slot"}
    if is_backward(plan):
        slots |= {slot for slot, *_ in (*plan.vectors, *plan.grad_per_step)}
        slots |= {plan.grad_input} - {-1}
    slots -= {slot for slot, _ in plan.per_step}  # these are read from the input itself
    return [*together, *sorted(slots - set(together))]


class _Writer:
    """Writes one kernel."""

    def __init__(self, plan: Plan, slots: Sequence[int]) -> None:
        self.plan = plan
        self.slots = list(slots)
        self.per_step = dict(plan.per_step)
        self.output_is_hidden = not any(of.base == "output" for of in plan.operands)
        self.lines: list[str] = []
        self.arrays: set[str] = set()
        self.masks: dict[Width, None] = {}
        self.values: dict[int, str] = {}
        """The variable of each operand and register, as it is now."""
        self.loads: dict[Operand, str] = {}
        self.wide: set[str] = set()
        """Variables that have a value for each unit."""

    def kernel(self, stage: Stage, name: str) -> tuple[Kernel, str]:
        """Return a stage's kernel and its source."""
        for segment in stage.segments:
            for operation, result, arguments, about in segment.instructions:
                if operation == "draw":
                    value = self.loaded(Operand("draw", about, segment.width))
                elif operation == "sum":
                    value = self.summed(self.value(arguments[0]), segment.width)
                else:
                    given = [self.value(of) for of in arguments]
                    value = self.computed(operation, given, segment.width)
                self.values[result] = value
                if result >= 0:
                    self.store(self.plan.operands[result], value)
        arrays = sorted(self.arrays)
        sizes = [f"{of}: tl.constexpr" for of in SIZES]
        head = ["row = tl.program_id(0).to(tl.int64)"]
        if self.masks:
            head.append("unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)")
        if "running" in self.arrays:
            head.append("runs = tl.load(running + row) != 0")
        head += [f"in_{width} = unit < {width}" for width in self.masks]
        lines = "".join(f"    {line}\n" for line in (*head, *self.lines))
        # The alignment of these differs from step to step; each would compile the kernel again.
        odd = ", ".join(f'"{of}"' for of in arrays if of.startswith(("running", "per_step")))
        decorator = f"@triton.jit(do_not_specialize_on_alignment=[{odd}])"
        text = f"{decorator}\ndef {name}({', '.join((*arrays, *sizes))}):\n{lines}"
        reduces = any(segment.reduces for segment in stage.segments)
        return Kernel(name, tuple(arrays), reduces, tuple(self.masks)), text

    def value(self, operand: int) -> str:
        """Return the variable that holds a value, which is loaded at its first use."""
        if operand not in self.values:
            of = self.plan.operands[operand]
            if of.base == "constant":
                value = self.plan.constants[of.number]
                said = value.removeprefix("size ") if isinstance(value, str) else repr(value)
                self.values[operand] = self.assigned(f"tl.full((), {said}, DTYPE)", "1")
            elif of.base == "slot" and of.number in self.per_step:
                number = self.per_step[of.number]
                self.values[operand] = self.loaded(Operand("per_step", number, "1"))
            else:
                self.values[operand] = self.loaded(of)
        return self.values[operand]

    def assigned(self, expression: str, width: Width) -> str:
        """Assign an expression to a new variable, and return that."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        if width != "1":
            self.wide.add(name)
        return name

    def place(self, of: Operand) -> tuple[str, str]:
        """Return an operand's pointer expression, and the mask argument for its units, if any."""
        widths, before = [of.width], 0
        if of.base == "slot":
            widths, before = [self.plan.slots[n] for n in self.slots], self.slots.index(of.number)
        elif of.base in ("kept", "grad_kept"):
            widths, before = list(self.plan.kept), of.number
        terms = [array_of(of)]
        if of.base == "parameter":
            before = of.number % 64
            widths = [of.width] * before
        else:
            terms.append(f"row * ({total_width(widths)})")
        if before:
            terms.append(total_width(widths[:before]))
        self.arrays.add(terms[0])
        if of.width == "1":
            return " + ".join(terms), ""
        self.masks[of.width] = None
        return " + ".join([*terms, "unit"]), f", mask=in_{of.width}"

    def loaded(self, of: Operand) -> str:
        """Return the variable of an operand that is loaded from memory, once."""
        if of not in self.loads:
            at, mask = self.place(of)
            other = mask and f"{mask}, other=0"
            self.loads[of] = self.assigned(f"tl.load({at}{other}).to(DTYPE)", of.width)
        return self.loads[of]

    def computed(self, operation: str, given: Sequence[str], width: Width) -> str:
        """Return the variable of an elementwise operation."""
        expression = _EXPRESSIONS[operation].format(*given)
        if width != "1" and self.wide.isdisjoint(given):
            expression = f"tl.broadcast_to({expression}, (BLOCK,))"
        return self.assigned(expression, width)

    def summed(self, value: str, width: Width) -> str:
        """Return the variable of a sum over a row's units."""
        self.masks[width] = None
        return self.assigned(f"tl.sum(tl.where(in_{width}, {value}, 0), axis=0)", "1")

    def store(self, of: Operand, value: str) -> None:
        """Store a value; in rows whose sequence has ended, the earlier state or gradient, or 0."""
        if of.base == "slot" and of.number not in self.slots:
            return
        earlier = {"after": "before", "grad_before": "grad_after"}.get(of.base)
        stays = "0" if earlier is None else self.loaded(of._replace(base=earlier))
        self.arrays.add("running")
        targets = [(of, stays)]
        if of.base == "after" and of.number == 0 and self.output_is_hidden:
            targets.append((Operand("output", 0, of.width), "0"))
        for target, otherwise in targets:
            at, mask = self.place(target)
            self.lines.append(f"tl.store({at}, tl.where(runs, {value}, {otherwise}){mask})")


_EXPRESSIONS = {
    "copy": "{0}",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "sigmoid": "1 / (1 + tl.exp(-{0}))",
    "tanh": "tanh({0})",
    "relu": "tl.where({0} < 0, 0, {0})",  # so, NaN stays NaN
    "softplus": "softplus({0})",
    "exp": "tl.exp({0})",
    "log": "tl.log({0})",
    "sqrt": "tl.sqrt({0})",
    "abs": "tl.abs({0})",
    "maximum": "tl.maximum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
    "minimum": "tl.minimum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
    "less": "({0} < {1}).to(DTYPE)",
    "less_equal": "({0} <= {1}).to(DTYPE)",
    "equal": "({0} == {1}).to(DTYPE)",
    "where": "tl.where({0} != 0, {1}, {2})",
    "sigmoid_back": "{0} * {1} * (1 - {1})",
    "tanh_back": "{0} * (1 - {1} * {1})",
    "normalise": "({0} - {1}) * {2}",
    "multiply_add": "{0} * {1} + {2}",
    "multiply_subtract": "{0} * {1} - {2}",
    "subtract_product": "{2} - {0} * {1}",
    "sigmoid_back_of_product": "{0} * {1} * {2} * (1 - {2})",
    "tanh_back_of_product": "{0} * {1} * (1 - {2} * {2})",
}
"""For each operation, except those that load or sum."""

_FUNCTIONS = {
    # Near 0 the quotient would lose digits, and the series has them all.
    "tanh": """@triton.jit
def tanh(v):
    square = v * v
    series = 62 / 2835 * square - 17 / 315
    series = ((series * square + 2 / 15) * square - 1 / 3) * square
    small = tl.exp(-2 * tl.abs(v))
    quotient = (1 - small) / (1 + small)
    return tl.where(square < 0.01, v + v * series, tl.where(v < 0, -quotient, quotient))
""",
    "softplus": """@triton.jit
def softplus(v):
    return tl.where(v < 0, 0, v) + tl.log(1 + tl.exp(-tl.abs(v)))
""",
}
"""What Triton lacks, by name."""
