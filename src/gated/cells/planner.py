"""What plans of both passes have in common: where values are, stages and segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

from gated.cells.cell import Cell
from gated.cells.plan import Operand, Segment
from gated.cells.segments import Writer
from gated.cells.tape import ARITHMETIC, COSTLY, Block, Node, Place, Tape, Width

Key: TypeAlias = tuple[int, int, Width]
"""Of a segment: its stage, its number in it and its width."""


class Planner:
    """Makes a plan of a tape."""

    def __init__(self, cell: Cell, tape: Tape) -> None:
        self.cell = cell
        self.tape = tape
        self.operands: dict[Operand, int] = {}
        self.slots: list[Width] = []
        self.constants: list[float | str] = []
        self.homes: dict[Place, list[int]] = defaultdict(list)
        self.matrices = {matrix.name: i for i, matrix in enumerate(cell.matrices)}

    # Where values are and go.

    def operand(self, base: str, index: int, width: Width) -> int:
        """Return the number of an operand, a new one where it has none."""
        return self.operands.setdefault(Operand(base, index, width), len(self.operands))

    def slot(self, width: Width) -> int:
        """Add a slot, and return its operand."""
        self.slots.append(width)
        return self.operand("slot", len(self.slots) - 1, width)

    def goes_to(self, place: Place, base: str, index: int, width: Width) -> None:
        """Let a node's value be written to an operand."""
        place = self.tape.spread(place, width)
        self.homes[place].append(self.operand(base, index, width))

    def block(self, block: Block) -> tuple[int, int]:
        """Return the indices of a matrix and of one of its blocks."""
        matrix = self.cell.matrix(block.matrix)
        return self.matrices[block.matrix], matrix.gates.index(block.gate)

    def vector(self, block: Block) -> tuple[int, int]:
        """Return the indices of a parameter's array and of one of its gates."""
        names = [parameter.name for parameter in self.cell.parameters]
        index = names.index(block.matrix)
        gates = self.cell.parameters[index].gates
        return len(self.matrices) + index, gates.index(block.gate) if block.gate in gates else 0

    def is_slot(self, operand: int) -> bool:
        """Whether an operand is in a row's scratch memory."""
        return list(self.operands)[operand].base == "slot"

    def slot_of(self, operand: int) -> int:
        """Return the index of an operand's slot."""
        return list(self.operands)[operand].number

    # Stages and segments.

    def stages(
        self, is_into: Callable[[Place], int | None]
    ) -> tuple[list[tuple[Segment, ...]], list[tuple[int, int]]]:
        """Return the segments of each stage, and `Plan.per_step`.

        Args:
            is_into: returns the index of the state whose gradient a node is added to, or None.
        """
        self._find_live(is_into)
        self._find_levels()
        per_step = []
        for place in sorted(self.live):
            node = self.tape[place]
            if node.operation == "per_step" and node.width == "1":
                self.homes[place].insert(0, self.slot("1"))
                index = self.cell.per_step.index(node.about)
                per_step.append((self.slot_of(self.homes[place][0]), index))
        count = 1 + max([0, *(self.levels[place] for place in self.live)])
        self._find_segments()
        segments: dict[Key, list[Place]] = defaultdict(list)
        for place in sorted(self.live):
            for key in self.segments.get(place, ()):
                segments[key].append(place)
        for place in self.homes:
            if place not in self.segments:
                for home in self.to_write(place):
                    level = self.levels.get(place, 0)
                    width = list(self.operands)[home].width
                    segments.setdefault((level, 0, width), [])
        stages: list[list[Segment]] = [[] for _ in range(count)]
        for key in sorted(segments):
            stages[key[0]].append(Writer(self, key, segments[key]).segment())
        return [tuple(of for of in stage if of.instructions) for stage in stages], per_step

    def to_write(self, place: Place) -> list[int]:
        """The operands that a value must be copied to, if no segment computes it."""
        at = self.where(place)
        return [home for home in self.homes[place] if home != at]

    def where(self, place: Place) -> int:
        """Return the operand that holds a node's value; a new slot where there is none."""
        node = self.tape[place]
        one_number = node.operation == "per_step" and node.width == "1"
        if node.arguments or one_number or node.operation == "draw":
            if not self.homes[place]:
                self.homes[place].append(self.slot(node.width))
            return self.homes[place][0]
        return self.leaf(node)

    def leaf(self, node: Node) -> int:
        """Return the operand of a leaf."""
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
        raise ValueError(f"{node.operation} has no place in memory")

    def _constant(self, value: float | str) -> int:
        if value not in self.constants:
            self.constants.append(value)
        return self.constants.index(value)

    def _find_live(self, is_into: Callable[[Place], int | None]) -> None:
        """Find the nodes on which an output depends."""
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
        """Find each value's stage: that of a product comes after those of its arguments."""
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
        for place in sorted(self.live, reverse=True):  # as late as their users allow
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

    def _find_segments(self) -> None:
        """Find the segments that compute each value: a sum over units ends a segment.

        A value goes to the segments that use it, if all that it is computed from has a place in
        memory anyway: then it needs none itself, or is at least not read again.
        """
        nodes = self.tape.nodes
        first: dict[Place, Key] = {}
        users: dict[Place, list[Place]] = defaultdict(list)
        for place in sorted(self.live):
            node = nodes[place]
            for argument in node.arguments:
                users[argument].append(place)
            if not self._is_pointwise(node):
                continue
            level, number = self.levels[place], 0
            width = nodes[node.arguments[0]].width if node.operation == "sum" else node.width
            for argument in node.arguments:
                of = first.get(argument)
                if of is not None and of[0] == level:
                    ends = nodes[argument].operation == "sum" or of[2] != width
                    number = max(number, of[1] + ends)
            first[place] = (level, number, width)
        self.segments: dict[Place, set[Key]] = {}
        outside: set[Place] = set()
        for place in sorted(first, reverse=True):
            own = first[place]
            using: set[Key | None] = set()
            for user in users[place]:
                using |= self.segments.get(user, {None})
            later = {of for of in using if of is not None and of[::2] == own[::2]}
            here = {own}
            if later == using != {own} and later and self._can_move(place):
                if not self.homes[place]:
                    here = later
                elif own not in later:
                    here = {min(later)}
            self.segments[place] = here
            if nodes[place].operation == "sum" or using - here:
                outside.add(place)
        for place in sorted(outside):
            self.where(place)

    def _can_move(self, place: Place) -> bool:
        """Whether a value can be computed in a later segment of its level, at little cost."""
        node = self.tape[place]
        return (
            node.operation in ARITHMETIC
            and node.operation not in COSTLY
            and node.width != "1"
            and all(self._is_at_hand(argument, 2) for argument in node.arguments)
        )

    def _is_at_hand(self, place: Place, depth: int) -> bool:
        """Whether a value has a place in memory, or up to so many operations away from such."""
        node = self.tape[place]
        if self.homes[place] or not self._is_pointwise(node) or node.width == "1":
            return True
        return (
            depth > 0
            and node.operation in ARITHMETIC
            and node.operation not in COSTLY
            and all(self._is_at_hand(argument, depth - 1) for argument in node.arguments)
        )
