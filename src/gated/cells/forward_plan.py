"""The plan of a step's forward pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce

from gated.cells.cell import Cell
from gated.cells.plan import Plan, Product, Stage, by_base
from gated.cells.planner import Planner
from gated.cells.tape import Place, Tape, Width


def forward_plan(cell: Cell, kept: Sequence[Place] = ()) -> Plan:
    """Return the plan that computes a step, and stores the values of the nodes `kept`."""
    tape, moved = _merged(cell, {*kept, cell.output, *(state.after for state in cell.states)})
    planner = _Forward(cell, tape)
    for index, place in enumerate(kept):
        planner.goes_to(moved[place], "kept", index, tape[moved[place]].width)
    for index, state in enumerate(cell.states):
        planner.goes_to(moved[state.after], "after", index, state.width)
    if not cell.output_is_hidden:
        planner.goes_to(moved[cell.output], "output", 0, cell.states[0].width)
    return by_base(planner.plan(tuple(tape[moved[place]].width for place in kept)))


def _merged(cell: Cell, roots: set[Place]) -> tuple[Tape, dict[Place, Place]]:
    """The tape with added products merged into one node each; and the new place of each node."""
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


class _Forward(Planner):
    """Makes a plan of a cell's own tape."""

    def plan(self, kept: tuple[Width, ...]) -> Plan:
        """Return the plan of the forward pass."""
        products = [
            place for place, node in enumerate(self.tape.nodes) if node.operation == "products"
        ]
        for place in products:
            self.homes[place].insert(0, self.slot(self.tape[place].width))
        stages, per_step = self.stages(is_into=lambda place: None)
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
                vectors.append((self.slot_of(slot), matrix, block))

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
