"""The plan of a step's backward pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from gated.cells.cell import Cell
from gated.cells.derivative import Derivative
from gated.cells.plan import Plan, Product, Stage, Summed, by_base
from gated.cells.planner import Planner
from gated.cells.tape import Block, Node, Place


def backward_plan(cell: Cell, back: Derivative) -> Plan:
    """Return the plan that computes the gradients of a step."""
    return by_base(_Backward(cell, back).plan())


class _Backward(Planner):
    """Makes a plan of the tape of a derivative."""

    def __init__(self, cell: Cell, back: Derivative) -> None:
        super().__init__(cell, back.tape)
        self.back = back

    def plan(self) -> Plan:
        """Return the plan of the backward pass."""
        back = self.back
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
            if tape[wide].arguments and not self.homes[wide]:  # a kept value has an operand already
                self.homes[wide].append(self.slot(tape[wide].width))
            sources[source] = wide
        vectors = []
        for block, place in back.parameters.items():
            width = tape[place].width if block.gate == "1" else "H"
            wide = tape.spread(place, width)
            if not any(map(self.is_slot, self.homes[wide])):  # it may be a state's gradient, too
                self.homes[wide].append(self.slot(width))
            home = next(h for h in self.homes[wide] if self.is_slot(h))
            vectors.append((self.slot_of(home), *self.vector(block)))
        grad_input = -1
        if not tape.is_constant(back.input, 0):
            wide = tape.spread(back.input, "I")
            self.homes[wide].insert(0, self.slot("I"))
            grad_input = self.slot_of(self.homes[wide][0])
        grad_per_step = []
        for name, place in back.per_step.items():
            if not tape.is_constant(place, 0):
                width = cell.per_step_widths[name]
                wide = tape.spread(place, width)
                self.homes[wide].insert(0, self.slot(width))
                index = cell.per_step.index(name)
                grad_per_step.append((self.slot_of(self.homes[wide][0]), index))
        into = {place: state for state, place in back.into_states}
        stages, per_step = self.stages(is_into=into.get)
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
                (self.slot_of(slot), *block) for block, slot in zip(blocks, slots, strict=True)
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

    def _runs(
        self, blocks: Sequence[tuple[int, int]], slots: Sequence[int], target: int
    ) -> list[Product]:
        """Products of blocks whose gradients are adjacent in memory."""
        runs: list[tuple[int, list[int], int, int]] = []
        together = zip(blocks, slots, strict=True)
        for (matrix, block), slot in sorted(together, key=lambda of: self.slot_of(of[1])):
            place = self.slot_of(slot)
            if runs and runs[-1][3] == place - 1:
                first, of_run, source, _ = runs.pop()
                runs.append((first, [*of_run, block], source, place))
            else:
                runs.append((matrix, [block], slot, place))
        return [
            Product(matrix, tuple(of_run), source, (target,)) for matrix, of_run, source, _ in runs
        ]

    def leaf(self, node: Node) -> int:
        """As `Planner.leaf`; also for values of the forward pass, and for gradients of gates."""
        if node.operation in ("value", "grad_gate"):
            return self._value(node)
        return super().leaf(node)

    def _value(self, node: Node) -> int:
        """A value of the forward pass that the backward pass reads."""
        place: Place = node.about
        of = self.cell.tape[place]
        if node.operation == "value" and of.operation == "state":
            return self.operand("before", of.about, of.width)
        kept = self.back.kept
        grad = node.operation == "grad_gate"
        if place in kept:
            return self.operand("grad_kept" if grad else "kept", kept.index(place), of.width)
        index = next(i for i, state in enumerate(self.cell.states) if state.after == place)
        return self.operand("grad_history" if grad else "after", index, of.width)


def side_by_side(groups: Sequence[Sequence[Place]]) -> list[Place]:
    """Return an order in which the members of each group are adjacent, as far as possible.

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
