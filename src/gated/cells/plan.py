"""How a step is computed: products with weights in stages, and between them pointwise programs.

A plan is what the native core runs, for any cell, in either direction. Every value that outlives
the piece of program that computes it has a place in memory, its operand; what does not is a
register of a few vectors. The loop over time knows operands, products and programs, and nothing of
gates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import NamedTuple

from gated.cells.cell import Cell
from gated.cells.derivative import Derivative, derivative
from gated.cells.tape import ARITHMETIC, Block, Node, Place, Tape, Width


class Operand(NamedTuple):
    """A place in memory that differs from row to row, or stays."""

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
    """Blocks of a matrix by a vector, or, transposed, what they give back to it."""

    matrix: int
    blocks: tuple[int, ...]
    source: int
    """Operand: the vector; of a transposed product the gradient of the first block, behind which
    the others lie."""
    targets: tuple[int, ...]
    """Operands, one for each block; of a transposed product one."""


class Stage(NamedTuple):
    """Products side by side, then what follows from them."""

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
    """A step, forward or back."""

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


def _by_base(plan: Plan) -> Plan:
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


def forward_plan(cell: Cell, kept: Sequence[Place] = ()) -> Plan:
    """How a step is computed, and which of its nodes it keeps."""
    tape, moved = _merged(cell, {*kept, cell.output, *(state.after for state in cell.states)})
    planner = _Planner(cell, tape)
    for index, place in enumerate(kept):
        planner.goes_to(moved[place], "kept", index, tape[moved[place]].width)
    for index, state in enumerate(cell.states):
        planner.goes_to(moved[state.after], "after", index, state.width)
    if not cell.output_is_hidden:
        planner.goes_to(moved[cell.output], "output", 0, cell.states[0].width)
    return _by_base(planner.forward(tuple(tape[moved[place]].width for place in kept)))


def backward_plan(cell: Cell, back: Derivative) -> Plan:
    """How the gradients of a step are computed."""
    return _by_base(_Planner(cell, back.tape, back).backward(back))


class Plans(NamedTuple):
    """All that the native core needs to run a cell."""

    inference: Plan
    training: Plan
    backward: Plan
    backward_of_gates: Plan
    """With gradients of gates and states that a loss reads."""
    kept: tuple[Place, ...]


def plans(cell: Cell) -> Plans:
    """Of a cell."""
    back, of_gates = derivative(cell), derivative(cell, of_gates=True)
    return Plans(
        forward_plan(cell),
        forward_plan(cell, back.kept),
        backward_plan(cell, back),
        backward_plan(cell, of_gates),
        back.kept,
    )


def _merged(cell: Cell, roots: set[Place]) -> tuple[Tape, dict[Place, Place]]:
    """The tape with products that are added up as one sum each; and where its nodes have gone."""
    nodes = cell.tape.nodes
    users: dict[Place, list[Place]] = defaultdict(list)
    for place, node in enumerate(nodes):
        for argument in node.arguments:
            users[argument].append(place)

    def inside(place: Place, operation: str) -> bool:
        return (
            nodes[place].operation == operation
            and len(users[place]) == 1
            and place not in roots
            and nodes[users[place][0]].operation == "add"
        )

    def terms(place: Place) -> list[Place]:
        if nodes[place].operation != "add":
            return [place]
        return [
            term
            for argument in nodes[place].arguments
            for term in (terms(argument) if inside(argument, "add") else [argument])
        ]

    tape = Tape()
    moved: dict[Place, Place] = {}
    for place, node in enumerate(nodes):
        if node.operation == "add" and not inside(place, "add"):
            added = terms(place)
            products = [term for term in added if inside(term, "product")]
            rest = [term for term in added if term not in products]
            parts = [tape.sum_of_products(tuple(moved[of] for of in products))] if products else []
            parts += [moved[term] for term in rest]
            moved[place] = reduce(lambda a, b: tape.apply("add", a, b), parts)
        elif node.operation == "product":
            moved[place] = tape.product(moved[node.arguments[0]], node.about, node.width)
            if not inside(place, "product"):
                moved[place] = tape.sum_of_products((moved[place],))
        elif not inside(place, "add"):
            moved[place] = tape.copied(node, tuple(moved[of] for of in node.arguments))
    return tape, moved


class _Planner:
    """One tape on its way to a plan."""

    def __init__(self, cell: Cell, tape: Tape, back: Derivative | None = None) -> None:
        self.cell = cell
        self.tape = tape
        self.back = back
        self.operands: dict[Operand, int] = {}
        self.slots: list[Width] = []
        self.constants: list[float | str] = []
        self.homes: dict[Place, list[int]] = defaultdict(list)
        self.matrices = {matrix.name: i for i, matrix in enumerate(cell.matrices)}

    # Where values are and go.

    def operand(self, base: str, index: int, width: Width) -> int:
        """The number of an operand."""
        return self.operands.setdefault(Operand(base, index, width), len(self.operands))

    def slot(self, width: Width) -> int:
        """A new slot's operand."""
        self.slots.append(width)
        return self.operand("slot", len(self.slots) - 1, width)

    def goes_to(self, place: Place, base: str, index: int, width: Width) -> None:
        """Let a node's value be written somewhere."""
        place = self.tape.spread(place, width)
        self.homes[place].append(self.operand(base, index, width))

    def block(self, block: Block) -> tuple[int, int]:
        """The numbers of a matrix and of its block."""
        matrix = self.cell.matrix(block.matrix)
        return self.matrices[block.matrix], matrix.gates.index(block.gate)

    def vector(self, block: Block) -> tuple[int, int]:
        """The numbers of a parameter's array and of its gate."""
        names = [parameter.name for parameter in self.cell.parameters]
        index = names.index(block.matrix)
        gates = self.cell.parameters[index].gates
        return len(self.matrices) + index, gates.index(block.gate) if block.gate in gates else 0

    def forward(self, kept: tuple[Width, ...]) -> Plan:
        """The plan of the way forward."""
        products = [
            place for place, node in enumerate(self.tape.nodes) if node.operation == "products"
        ]
        for place in products:
            self.homes[place].insert(0, self.slot(self.tape[place].width))
        stages, per_step = self._stages(is_into=lambda place: None)
        groups: dict[int, dict[tuple[int, Place], list[tuple[int, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        vectors = []
        for place in products:
            slot = self.homes[place][0]
            for argument in self.tape[place].arguments:
                node = self.tape[argument]
                matrix, block = self.block(node.about)
                level = self.levels[argument]
                groups[level][matrix, node.arguments[0]].append((block, slot))
                vectors.append((self._slot_of(slot), matrix, block))

        def of_level(level: int) -> tuple[Product, ...]:
            return tuple(
                Product(
                    matrix,
                    tuple(block for block, _ in blocks),
                    self.where(source),
                    tuple(slot for _, slot in blocks),
                )
                for (matrix, source), blocks in groups[level].items()
            )

        planned = [Stage(of_level(i) if i else (), segments) for i, segments in enumerate(stages)]
        before = of_level(0)
        return Plan(
            tuple(self.operands),
            tuple(self.slots),
            kept,
            tuple(self.constants),
            tuple(planned),
            before,
            tuple(vectors),
            tuple(per_step),
        )

    def backward(self, back: Derivative) -> Plan:
        """The plan of the way back."""
        tape, cell = self.tape, self.cell
        groups: dict[tuple[str, Place], dict[str, Place]] = defaultdict(dict)
        for (block, source), gradient in back.sums.items():
            wide = tape.spread(gradient, cell.matrix(block.matrix).rows)
            groups[block.matrix, source][block.gate] = wide
        for (name, _), grads in groups.items():
            order = [gate for gate in cell.matrix(name).gates if gate in grads]
            for gate in order:
                grads[gate] = grads.pop(gate)
        slot_of: dict[Place, int] = {}
        for place in side_by_side([list(grads.values()) for grads in groups.values()]):
            slot_of[place] = self.slot(tape[place].width)
            self.homes[place].append(slot_of[place])
        for index, (state, place) in enumerate(zip(cell.states, back.states, strict=True)):
            self.goes_to(place, "grad_before", index, state.width)
        sources = {}
        for source, place in back.sources.items():
            wide = tape.spread(place, cell.tape[source].width)
            if tape[wide].arguments and not self.homes[wide]:  # what is kept has its place
                self.homes[wide].append(self.slot(tape[wide].width))
            sources[source] = wide
        vectors = []
        for block, place in back.parameters.items():
            width = tape[place].width if block.gate == "1" else "H"
            wide = tape.spread(place, width)
            if not any(map(self._is_slot, self.homes[wide])):  # it may be a state's gradient, too
                self.homes[wide].append(self.slot(width))
            home = next(h for h in self.homes[wide] if self._is_slot(h))
            vectors.append((self._slot_of(home), *self.vector(block)))
        grad_input = -1
        if not tape.is_constant(back.input, 0):
            wide = tape.spread(back.input, "I")
            self.homes[wide].insert(0, self.slot("I"))
            grad_input = self._slot_of(self.homes[wide][0])
        grad_per_step = []
        for name, place in back.per_step.items():
            if not tape.is_constant(place, 0):
                width = cell.per_step_widths[name]
                wide = tape.spread(place, width)
                self.homes[wide].insert(0, self.slot(width))
                index = cell.per_step.index(name)
                grad_per_step.append((self._slot_of(self.homes[wide][0]), index))
        into = {place: state for state, place in back.into_states}
        stages, per_step = self._stages(is_into=into.get)
        transposed: dict[int, list[Product]] = defaultdict(list)
        for place in sorted(self.live):
            node = tape[place]
            if node.operation != "transposed":
                continue
            if place in into:
                index = into[place]
                target = self.operand("grad_before", index, cell.states[index].width)
                level = len(stages)
            else:
                target, level = self.where(place), self.levels[place]
            blocks = [self.block(block) for block in node.about]
            slots = [
                slot_of[tape.spread(of, cell.matrices[matrix].rows)]
                for of, (matrix, _) in zip(node.arguments, blocks, strict=True)
            ]
            transposed[level] += self._runs(blocks, slots, target)
        before = []
        summed = []
        for (name, source), grads in groups.items():
            blocks = [self.block(Block(name, gate)) for gate in grads]
            slots = [slot_of[place] for place in grads.values()]
            node = cell.tape[source]
            if node.operation == "input":
                before += self._runs(blocks, slots, -1)
                at = self.operand("input", 0, "I")
            elif node.operation == "state":
                at = self.operand("before", node.about, node.width)
            else:
                at = self.where(sources[source])
            summed.append(
                Summed(
                    blocks[0][0],
                    at,
                    tuple((block, slot) for (_, block), slot in zip(blocks, slots, strict=True)),
                )
            )
            vectors += [
                (self._slot_of(slot), *block) for block, slot in zip(blocks, slots, strict=True)
            ]
        return Plan(
            tuple(self.operands),
            tuple(self.slots),
            tuple(cell.tape[place].width for place in back.kept),
            tuple(self.constants),
            (
                *(Stage(tuple(transposed[i]), segments) for i, segments in enumerate(stages)),
                Stage(tuple(transposed[len(stages)]), ()),
            ),
            tuple(before),
            tuple(vectors),
            tuple(per_step),
            tuple(grad_per_step),
            tuple(summed),
            grad_input,
        )

    def _is_slot(self, operand: int) -> bool:
        return list(self.operands)[operand].base == "slot"

    def _slot_of(self, operand: int) -> int:
        return list(self.operands)[operand].number

    def _runs(
        self, blocks: Sequence[tuple[int, int]], slots: Sequence[int], target: int
    ) -> list[Product]:
        """Products of blocks whose gradients lie one behind the other."""
        runs: list[tuple[int, list[int], int, int]] = []
        together = zip(blocks, slots, strict=True)
        for (matrix, block), slot in sorted(together, key=lambda of: self._slot_of(of[1])):
            place = self._slot_of(slot)
            if runs and runs[-1][3] == place - 1:
                first, of_run, source, _ = runs.pop()
                runs.append((first, [*of_run, block], source, place))
            else:
                runs.append((matrix, [block], slot, place))
        return [
            Product(matrix, tuple(of_run), source, (target,)) for matrix, of_run, source, _ in runs
        ]

    # Stages and segments.

    def _stages(
        self, is_into: Callable[[Place], int | None]
    ) -> tuple[list[tuple[Segment, ...]], list[tuple[int, int]]]:
        self._find_live(is_into)
        self._find_levels()
        per_step = []
        for place in sorted(self.live):
            node = self.tape[place]
            if node.operation == "per_step" and node.width == "1":
                self.homes[place].insert(0, self.slot("1"))
                index = self.cell.per_step.index(node.about)
                per_step.append((self._slot_of(self.homes[place][0]), index))
        count = 1 + max([0, *(self.levels[place] for place in self.live)])
        self._find_segments(count - 1)
        segments: dict[tuple[int, int, Width], list[Place]] = defaultdict(list)
        for place in sorted(self.live):
            if place in self.segment:
                segments[self.segment[place]].append(place)
        for place in self.homes:
            if place not in self.segment:
                for home in self._to_write(place):
                    level = self.levels.get(place, 0)
                    width = list(self.operands)[home].width
                    segments.setdefault((level, 0, width), [])
        stages: list[list[Segment]] = [[] for _ in range(count)]
        for key in sorted(segments):
            stages[key[0]].append(_Writer(self, key, segments[key]).segment())
        return [tuple(of for of in stage if of.instructions) for stage in stages], per_step

    def _to_write(self, place: Place) -> list[int]:
        """Where a value goes that no segment computes: all its homes but the one it is in."""
        at = self.where(place)
        return [home for home in self.homes[place] if home != at]

    def where(self, place: Place) -> int:
        """The operand that has a node's value in memory."""
        node = self.tape[place]
        one_number = node.operation == "per_step" and node.width == "1"
        if node.arguments or one_number or node.operation == "draw":
            if not self.homes[place]:
                self.homes[place].append(self.slot(node.width))
            return self.homes[place][0]
        return self._leaf(node)

    def _leaf(self, node: Node) -> int:
        about = node.about
        if node.operation == "constant":
            return self.operand("constant", self._constant(about), "1")
        if node.operation == "size":
            return self.operand("constant", self._constant(f"size {about}"), "1")
        if node.operation == "input":
            return self.operand("input", 0, "I")
        if node.operation == "state":
            return self.operand("before", about, node.width)
        if node.operation == "parameter":
            array, gate = self.vector(about)
            return self.operand("parameter", (array - len(self.matrices)) * 64 + gate, node.width)
        if node.operation == "per_sequence":
            index = self.cell.per_sequence.index(about)
            return self.operand("sequence", index, node.width)
        if node.operation == "per_step":
            return self.operand("per_step", self.cell.per_step.index(about), node.width)
        if node.operation == "grad_output":
            return self.operand("grad_output", 0, node.width)
        if node.operation == "grad_state":
            return self.operand("grad_after", about, node.width)
        if node.operation in ("value", "grad_gate"):
            return self._value(node)
        raise ValueError(f"{node.operation} has no place in memory")

    def _value(self, node: Node) -> int:
        """What the way back takes of the way forward."""
        place: Place = node.about
        of = self.cell.tape[place]
        if node.operation == "value" and of.operation == "state":
            return self.operand("before", of.about, of.width)
        kept = () if self.back is None else self.back.kept
        grad = node.operation == "grad_gate"
        if place in kept:
            return self.operand("grad_kept" if grad else "kept", kept.index(place), of.width)
        index = next(i for i, state in enumerate(self.cell.states) if state.after == place)
        return self.operand("grad_history" if grad else "after", index, of.width)

    def _constant(self, value: float | str) -> int:
        if value not in self.constants:
            self.constants.append(value)
        return self.constants.index(value)

    def _find_live(self, is_into: Callable[[Place], int | None]) -> None:
        """What leads to anything that is written."""
        todo = [place for place, homes in self.homes.items() if homes]
        todo += [p for p, _ in enumerate(self.tape.nodes) if is_into(p) is not None]
        self.live: set[Place] = set()
        self.into = {p for p in range(len(self.tape)) if is_into(p) is not None}
        while todo:
            place = todo.pop()
            if place not in self.live:
                self.live.add(place)
                todo += self.tape[place].arguments

    def _find_levels(self) -> None:
        """The stage of each value: no product earlier than what it takes."""
        nodes = self.tape.nodes
        levels: dict[Place, int] = {}
        users: dict[Place, list[Place]] = defaultdict(list)
        for place in sorted(self.live):
            node = nodes[place]
            for argument in node.arguments:
                users[argument].append(place)
            if node.operation in ("product", "transposed"):
                from_input = nodes[node.arguments[0]].operation == "input"
                levels[place] = 0 if from_input else 1 + max(levels[of] for of in node.arguments)
            else:
                levels[place] = max([0, *(levels[of] for of in node.arguments)])
        last = max([0, *(levels[p] for p in self.live if p not in self.into)])
        for place in sorted(self.live, reverse=True):  # as late as they are wanted
            node = nodes[place]
            if levels[place] or not self._is_pointwise(node) or node.width == "1":
                continue
            levels[place] = min(
                [
                    last,
                    *(
                        levels[user] - (nodes[user].operation in ("product", "transposed"))
                        if user not in self.into
                        else last
                        for user in users[place]
                    ),
                ]
            )
        for place in self.into:
            levels[place] = last
        self.levels = levels

    @staticmethod
    def _is_pointwise(node: Node) -> bool:
        return node.operation in ARITHMETIC or node.operation in ("sum", "spread", "draw")

    def _find_segments(self, last: int) -> None:
        """Which piece of its stage computes each value: sums over units end a piece."""
        nodes = self.tape.nodes
        self.segment: dict[Place, tuple[int, int, Width]] = {}
        for place in sorted(self.live):
            node = nodes[place]
            if not self._is_pointwise(node):
                continue
            level, number = self.levels[place], 0
            width = nodes[node.arguments[0]].width if node.operation == "sum" else node.width
            for argument in node.arguments:
                of = self.segment.get(argument)
                if of is not None and of[0] == level:
                    ends = nodes[argument].operation == "sum" or of[2] != width
                    number = max(number, of[1] + ends)
            self.segment[place] = (level, number, width)
        outside: set[Place] = set()
        for place in sorted(self.live):
            node = nodes[place]
            here = self.segment.get(place)
            for argument in node.arguments:
                if argument in self.segment and self.segment[argument] != here:
                    outside.add(argument)
        for place in outside:
            self.where(place)
        for place in self.segment:
            if nodes[place].operation == "sum":
                self.where(place)


class _Writer:
    """Writes the instructions of a segment."""

    def __init__(
        self, planner: _Planner, key: tuple[int, int, Width], places: Sequence[Place]
    ) -> None:
        self.planner = planner
        self.key = key
        self.places = places
        self.tape = planner.tape
        self.uses: dict[Place, int] = defaultdict(int)
        for place in places:
            for argument in self.tape[place].arguments:
                self.uses[argument] += 1

    def segment(self) -> Segment:
        """The instructions, with as few registers as they need."""
        planner = self.planner
        joined: dict[Place, tuple[str, tuple[Place, ...]]] = {}
        swallowed: set[Place] = set()
        for place in self.places:
            joint = self._joint(place, swallowed)
            joined[place] = joint
        order = [place for place in self.places if place not in swallowed]
        last_use: dict[Place, int] = {}
        for time, place in enumerate(order):
            for argument in joined[place][1]:
                last_use[argument] = time
        register_of: dict[Place, int] = {}
        free: list[int] = []
        count = 0
        instructions = []
        for time, place in enumerate(order):
            operation, arguments = joined[place]
            given = tuple(
                -1 - register_of[of] if of in register_of else planner.where(of) for of in arguments
            )
            done = [o for o in set(arguments) if o in register_of and last_use[o] == time]
            free += [register_of.pop(of) for of in done]
            homes = planner.homes[place]
            if homes:
                result = homes[0]
            else:
                if not free:
                    free.append(count)
                    count += 1
                register_of[place] = free.pop()
                result = -1 - register_of[place]
            about = self.tape[place].about if operation == "draw" else 0
            instructions.append(Instruction(operation, result, given, about))
            instructions += [Instruction("copy", home, (result,)) for home in homes[1:]]
        for place, homes in list(planner.homes.items()):
            if place in planner.segment or not homes:
                continue
            for home in planner._to_write(place):
                width = list(planner.operands)[home].width
                if (planner.levels.get(place, 0), 0, width) == self.key:
                    instructions.append(Instruction("copy", home, (planner.where(place),)))
        return Segment(self.key[2], tuple(instructions), count)

    def _joint(self, place: Place, swallowed: set[Place]) -> tuple[str, tuple[Place, ...]]:
        """The operation of a node, together with a product that serves it alone."""
        node = self.tape[place]
        if node.operation == "spread":
            return "copy", node.arguments

        def product(argument: Place) -> tuple[Place, ...] | None:
            of = self.tape[argument]
            alone = (
                of.operation == "mul"
                and self.uses[argument] == 1
                and not self.planner.homes[argument]
                and self.planner.segment.get(argument) == self.key
            )
            if not alone:
                return None
            swallowed.add(argument)
            return of.arguments

        if node.operation in ("add", "sub") and node.arguments[0] != node.arguments[1]:
            a, b = node.arguments
            found = product(b)
            if found is not None:
                return ("multiply_add" if node.operation == "add" else "subtract_product"), (
                    *found,
                    a,
                )
            found = product(a)
            if found is not None:
                return ("multiply_add" if node.operation == "add" else "multiply_subtract"), (
                    *found,
                    b,
                )
        if node.operation in ("sigmoid_back", "tanh_back"):
            found = product(node.arguments[0])
            if found is not None:
                return f"{node.operation}_of_product", (*found, node.arguments[1])
        return node.operation, node.arguments


def side_by_side(groups: Sequence[Sequence[Place]]) -> list[Place]:
    """An order in which the members of each group lie together, as far as there is one.

    >>> side_by_side([[1, 2, 3], [2, 3, 4]])
    [1, 2, 3, 4]
    >>> side_by_side([[1, 2, 3], [1, 2, 4]])
    [4, 1, 2, 3]
    """
    order: list[Place] = []
    for group in groups:
        shared = [place for place in order if place in group]
        new = [place for place in dict.fromkeys(group) if place not in order]
        if order and shared and order[-1] not in shared and order[: len(shared)] == shared:
            order = new + order
        elif shared and order[-len(shared) :] != shared:
            rest = [place for place in order if place not in shared]
            order = rest + shared + new
        else:
            order += new
    return order


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
