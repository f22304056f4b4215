"""The instructions of a segment, with as few registers as they need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gated.cells.plan import Instruction, Segment
from gated.cells.tape import Place

if TYPE_CHECKING:
    from gated.cells.planner import Key, Planner


class Writer:
    """Writes the instructions of a segment."""

    def __init__(self, planner: Planner, key: Key, places: Sequence[Place]) -> None:
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
            if place in planner.segments or not homes:
                continue
            for home in planner.to_write(place):
                width = list(planner.operands)[home].width
                if (planner.levels.get(place, 0), 0, width) == self.key:
                    instructions.append(Instruction("copy", home, (planner.where(place),)))
        return Segment(self.key[2], tuple(instructions), count)

    def _joint(self, place: Place, swallowed: set[Place]) -> tuple[str, tuple[Place, ...]]:
        """The operation of a node, fused with a product that no other node uses."""
        node = self.tape[place]
        if node.operation == "spread":
            return "copy", node.arguments

        def product(argument: Place) -> tuple[Place, ...] | None:
            of = self.tape[argument]
            alone = (
                of.operation == "mul"
                and self.uses[argument] == 1
                and not self.planner.homes[argument]
                and self.key in self.planner.segments.get(argument, ())
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
