"""The backward pass of a cell, as a tape that is derived from the cell's own.

Reverse-mode differentiation over the nodes of the forward pass. The result is again a tape, whose
leaves are gradients of the step's results, and values of the forward pass. Which of these values
are stored for the backward pass, and which are recomputed, is decided here too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gated.cells.cell import Cell
from gated.cells.tape import ACTIVATIONS, COSTLY, Block, Node, Place, Tape


@dataclass(frozen=True)
class Derivative:
    """The gradients of all inputs of a step, given those of its outputs."""

    tape: Tape
    kept: tuple[Place, ...]
    """Nodes of the forward pass whose values are stored for the backward pass."""
    sums: dict[tuple[Block, Place], Place]
    """The gradient with respect to each product, by its block and the node of its vector."""
    sources: dict[Place, Place]
    """From the node of such a vector to its node on this tape; without the input and the states."""
    states: tuple[Place, ...]
    """The gradient of each state before the step, without the part that flows through products."""
    into_states: tuple[tuple[int, Place], ...]
    """The part that flows through products: index of the state, and a node `transposed`."""
    input: Place
    """The gradient of the input, without the part that flows through products."""
    parameters: dict[Block, Place]
    """Their gradients for each step, row and unit; the sum of these is the parameter's gradient."""
    per_step: dict[str, Place]
    per_sequence: dict[str, Place]
    """Their gradients for each step; the sum over the steps is the input's gradient."""


def derivative(cell: Cell, of_gates: bool = False) -> Derivative:
    """Return the backward pass of a cell.

    Args:
        cell: any.
        of_gates: whether a loss may read gates, and so gives them gradients.
    """
    first = _Reverse(cell, of_gates, None)
    kept = _kept(cell, first.values)
    return _Reverse(cell, of_gates, kept).result(kept)


def _kept(cell: Cell, values: set[Place]) -> tuple[Place, ...]:
    """Return the values of the forward pass that are kept for the backward pass.

    The states before and after the step are stored in any case. Of the rest, gates, products
    and sums over units are kept, and costly functions whose arguments are not at hand; what cheap
    operations give from these is recomputed.
    """
    tape = cell.tape
    there = {state.after for state in cell.states}
    gates = [gate for gate in cell.gates.values() if gate not in there]
    kept = dict.fromkeys(gates)

    def free(place: Place) -> bool:
        node = tape[place]
        return place in there or not node.arguments or place in kept

    def can_be_had(place: Place) -> bool:
        if free(place):
            return True
        node = tape[place]
        if node.operation in ("product", "sum"):
            return False
        if node.operation in COSTLY:
            return all(map(free, node.arguments))
        return all(map(can_be_had, node.arguments))

    for place in sorted(values):
        if not can_be_had(place):
            kept[place] = None
    return tuple(kept)


class _Reverse:
    """One run over a cell's tape, from its last node to its first."""

    def __init__(self, cell: Cell, of_gates: bool, kept: tuple[Place, ...] | None) -> None:
        self.cell = cell
        self.forward = cell.tape
        self.tape = Tape()
        self.values: set[Place] = set()
        self.again = None if kept is None else set(kept)
        self.gradients: dict[Place, list[Place]] = defaultdict(list)
        for k, state in enumerate(cell.states):
            self._give(state.after, self.tape.leaf("grad_state", state.width, k))
        self._give(cell.output, self.tape.leaf("grad_output", self.forward[cell.output].width))
        if of_gates:
            for place in cell.watched:
                width = self.forward[place].width
                self._give(place, self.tape.leaf("grad_gate", width, place))
        self.sums: dict[tuple[Block, Place], Place] = {}
        self.into_states: list[tuple[int, Place]] = []
        for place in reversed(range(len(self.forward))):
            self._visit(place)
        self.sources = {  # the gradient of their weights takes them
            source: self.value(source)
            for _, source in self.sums
            if self.forward[source].operation not in ("input", "state")
        }

    def result(self, kept: tuple[Place, ...]) -> Derivative:
        forward = self.forward
        leaves = {
            (node.operation, node.about): self._gradient(place)
            for place, node in enumerate(forward.nodes)
            if not node.arguments
        }
        states = tuple(
            leaves.get(("state", k), self.tape.constant(0)) for k in range(len(self.cell.states))
        )

        def of(operation: str) -> dict[Any, Place]:
            return {about: g for (name, about), g in leaves.items() if name == operation}

        return Derivative(
            self.tape,
            kept,
            self.sums,
            self.sources,
            states,
            tuple(self.into_states),
            leaves.get(("input", None), self.tape.constant(0)),
            of("parameter"),
            of("per_step"),
            of("per_sequence"),
        )

    def value(self, place: Place) -> Place:
        """A value of the forward pass, on this tape."""
        node = self.forward[place]
        if node.operation == "constant":
            return self.tape.constant(node.about)
        if node.operation == "size":
            return self.tape.size(node.about)
        if not node.arguments and node.operation != "state":
            return self.tape.leaf(node.operation, node.width, node.about)
        self.values.add(place)
        after = {state.after for state in self.cell.states}
        if self.again is None or place in self.again or place in after or not node.arguments:
            return self.tape.leaf("value", node.width, place)
        arguments = tuple(map(self.value, node.arguments))
        if node.operation == "sum":
            return self.tape.sum(*arguments)
        return self.tape.apply(node.operation, *arguments)

    def _give(self, place: Place, gradient: Place) -> None:
        """Add to the gradient of a node of the forward pass."""
        narrow = self.forward[place].width == "1" and self.tape[gradient].width != "1"
        self.gradients[place].append(self.tape.sum(gradient) if narrow else gradient)

    def _gradient(self, place: Place) -> Place:
        return self.tape.added(self.gradients[place])

    def _visit(self, place: Place) -> None:
        node = self.forward[place]
        self._through_products(place)
        if not node.arguments or not self.gradients[place]:
            return
        gradient = self._gradient(place)
        if node.operation == "product":
            self.sums[node.about, node.arguments[0]] = gradient
        elif node.operation == "normalise":
            self._normalise(place, gradient)
        elif node.operation == "sum":
            self._give(node.arguments[0], self._spread(gradient, node.arguments[0]))
        else:
            apply, value = self.tape.apply, self.value
            for argument, of_argument in zip(
                node.arguments,
                _RULES[node.operation](apply, gradient, value, place, node),
                strict=True,
            ):
                if of_argument is not None:
                    self._give(argument, of_argument)

    def _spread(self, gradient: Place, wide: Place) -> Place:
        """The gradient of a sum over units, broadcast to each unit."""
        return self.tape.spread(gradient, self.forward[wide].width)

    def _through_products(self, source: Place) -> None:
        """Gradients of the vectors in products; that of the input is left to the loop over time."""
        blocks: dict[str, list[Block]] = defaultdict(list)
        for matrix in self.cell.matrices:
            for gate in matrix.gates:
                block = Block(matrix.name, gate)
                if (block, source) in self.sums:
                    blocks[matrix.name].append(block)
        node = self.forward[source]
        for of_matrix in blocks.values():
            if node.operation == "input":
                continue
            grads = tuple(self.sums[block, source] for block in of_matrix)
            back = self.tape.transposed(grads, tuple(of_matrix), node.width)
            if node.operation == "state":
                self.into_states.append((node.about, back))
            else:
                self._give(source, back)

    # Normalised values share their mean and scale; the gradient of v is, with n = norm(v),
    # (g - mean(g) - n · mean(g · n)) · scale, the means over all of them.

    def _together(self, center: Place, scale: Place) -> list[Place]:
        return [
            place
            for place, node in enumerate(self.forward.nodes)
            if node.operation == "normalise" and node.arguments[1:] == (center, scale)
        ]

    def _normalise(self, place: Place, gradient: Place) -> None:
        apply, tape = self.tape.apply, self.tape
        _, center, scale = self.forward[place].arguments
        together = self._together(center, scale)
        if place != max(together):
            return
        gradients = {one: self._gradient(one) for one in together}
        size = tape.size(self.forward[place].width)
        count = apply("mul", tape.constant(len(together)), size)
        total = tape.sum(tape.added(gradients.values()))
        along = tape.sum(
            tape.added(apply("mul", grad, self.value(one)) for one, grad in gradients.items())
        )
        mean, slope = apply("div", total, count), apply("div", along, count)
        for one, grad in gradients.items():
            off = apply("sub", apply("sub", grad, mean), apply("mul", self.value(one), slope))
            self._give(self.forward[one].arguments[0], apply("mul", off, self.value(scale)))


_Rule = Callable[
    [Callable[..., Place], Place, Callable[[Place], Place], Place, Node], tuple[Place | None, ...]
]


def _of_maximum(apply: Any, g: Place, value: Any, place: Place, node: Node) -> tuple[Place, Place]:
    """Equal values share the gradient, as in PyTorch."""
    a, b = map(value, node.arguments)
    if node.operation == "minimum":
        a, b = b, a
    half = apply("mul", apply("equal", a, b), _half(apply))
    first = apply("mul", g, apply("add", apply("less", b, a), half))
    second = apply("mul", g, apply("add", apply("less", a, b), half))
    return first, second


def _half(apply: Any) -> Place:
    place: Place = apply.__self__.constant(0.5)
    return place


def _zero(apply: Any) -> Place:
    place: Place = apply.__self__.constant(0)
    return place


def _of_sigmoid_back(
    apply: Any, g: Place, value: Any, place: Place, node: Node
) -> tuple[Place, Place]:
    v, y = map(value, node.arguments)
    slope = apply("sub", apply.__self__.constant(1), apply("add", y, y))
    return apply("sigmoid_back", g, y), apply("mul", apply("mul", g, v), slope)


def _of_tanh_back(
    apply: Any, g: Place, value: Any, place: Place, node: Node
) -> tuple[Place, Place]:
    v, y = map(value, node.arguments)
    slope = apply("mul", v, apply("add", y, y))
    return apply("tanh_back", g, y), apply("neg", apply("mul", g, slope))


_RULES: dict[str, _Rule] = {
    "add": lambda apply, g, value, place, node: (g, g),
    "sub": lambda apply, g, value, place, node: (g, apply("neg", g)),
    "mul": lambda apply, g, value, place, node: (
        apply("mul", g, value(node.arguments[1])),
        apply("mul", g, value(node.arguments[0])),
    ),
    "div": lambda apply, g, value, place, node: (
        apply("div", g, value(node.arguments[1])),
        apply("neg", apply("div", apply("mul", g, value(place)), value(node.arguments[1]))),
    ),
    "neg": lambda apply, g, value, place, node: (apply("neg", g),),
    "sigmoid": lambda apply, g, value, place, node: (apply("sigmoid_back", g, value(place)),),
    "tanh": lambda apply, g, value, place, node: (apply("tanh_back", g, value(place)),),
    "relu": lambda apply, g, value, place, node: (
        apply("where", apply("less", _zero(apply), value(place)), g, _zero(apply)),
    ),
    "softplus": lambda apply, g, value, place, node: (
        apply("sub", g, apply("mul", g, apply("exp", apply("neg", value(place))))),
    ),
    "exp": lambda apply, g, value, place, node: (apply("mul", g, value(place)),),
    "log": lambda apply, g, value, place, node: (apply("div", g, value(node.arguments[0])),),
    "sqrt": lambda apply, g, value, place, node: (
        apply("div", apply("mul", g, _half(apply)), value(place)),
    ),
    "abs": lambda apply, g, value, place, node: (
        apply(
            "mul",
            g,
            apply(
                "sub",
                apply("less", _zero(apply), value(node.arguments[0])),
                apply("less", value(node.arguments[0]), _zero(apply)),
            ),
        ),
    ),
    "maximum": _of_maximum,
    "minimum": _of_maximum,
    "sigmoid_back": _of_sigmoid_back,
    "tanh_back": _of_tanh_back,
    "less": lambda apply, g, value, place, node: (None, None),
    "less_equal": lambda apply, g, value, place, node: (None, None),
    "equal": lambda apply, g, value, place, node: (None, None),
    "where": lambda apply, g, value, place, node: (
        None,
        apply("where", value(node.arguments[0]), g, _zero(apply)),
        apply("where", value(node.arguments[0]), _zero(apply), g),
    ),
}
assert _RULES.keys() >= ACTIVATIONS  # noqa: S101 - a rule for each function, checked on import
