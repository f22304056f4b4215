"""A step of a cell as a list of operations in single assignment form; all else is derived from it.

Each node is an operation on earlier nodes. Nodes that compute the same are merged, and operations
are simplified as they are added: so a derivative comes out as short as one written by hand.

Widths of a value: `H` hidden units, `I` input features, `P` projected units, `1` one number for a
sequence, which is broadcast to a wider value.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import reduce
from typing import Any, Literal, NamedTuple, TypeAlias

Width: TypeAlias = Literal["H", "I", "P", "1"]
Place: TypeAlias = int
"""Index of a node in its tape."""


class Node(NamedTuple):
    """One operation."""

    operation: str
    """A leaf of `LEAVES`, one of `ARITHMETIC`, a reduction, or a product."""
    arguments: tuple[Place, ...]
    width: Width
    about: Any = None
    """Further data of the operation: a constant's value, a parameter's name, a product's matrix."""


LEAVES = frozenset(
    {
        "constant",  # about: the number
        "input",  # x of the step, (I)
        "state",  # about: which; its value before the step
        "parameter",  # about: its name and gate; (H)
        "per_step",  # about: its name; for each step and sequence, one number, (I) or (H)
        "per_sequence",  # about: its name; (H) or (P), the same at all steps
        "draw",  # about: which state; how much of it zoneout keeps, (H) or (P)
        "value",  # in the backward pass; about: the node of the forward pass
        "grad_output",  # in the backward pass: the gradient of the step's output
        "grad_state",  # about: which; the gradient of a state after the step
        "grad_gate",  # about: the node of the forward pass that a loss reads
    }
)

ARITHMETIC: Mapping[str, int] = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "neg": 1,
    "sigmoid": 1, "tanh": 1, "relu": 1, "softplus": 1, "exp": 1, "log": 1, "sqrt": 1, "abs": 1,
    "maximum": 2, "minimum": 2, "less": 2, "less_equal": 2, "equal": 2, "where": 3,
    "sigmoid_back": 2,  # g · y · (1 - y), of a gradient g and a result y
    "tanh_back": 2,  # g · (1 - y²)
    "normalise": 3,  # (v - mean) · scale
}  # fmt: skip
"""Elementwise operations, and how many values each takes."""

ACTIVATIONS = frozenset({"sigmoid", "tanh", "relu", "softplus", "exp", "log", "sqrt", "abs"})
"""Nonlinear functions of one value."""

COSTLY = frozenset({"sigmoid", "tanh", "softplus", "exp", "log", "sqrt", "div"})
"""Operations whose values are kept for the backward pass, not computed again."""


class Block(NamedTuple):
    """The rows of a weight matrix that belong to one gate."""

    matrix: str
    gate: str


class Tape:
    """Nodes in the order in which they can be computed."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self.nodes: list[Node] = list(nodes)
        self._places = {node: place for place, node in enumerate(self.nodes)}

    def __getitem__(self, place: Place) -> Node:
        return self.nodes[place]

    def __len__(self) -> int:
        return len(self.nodes)

    def constant(self, value: float) -> Place:
        """Return the node of a constant."""
        return self._place(Node("constant", (), "1", float(value)))

    def leaf(self, operation: str, width: Width, about: Hashable = None) -> Place:
        """Return the node of a value that is given from outside the tape."""
        return self._place(Node(operation, (), width, about))

    def product(self, source: Place, block: Block, width: Width) -> Place:
        """Return the node of the product of a block with a vector, without bias."""
        return self._place(Node("product", (source,), width, block))

    def sum_of_products(self, products: tuple[Place, ...]) -> Place:
        """Return the node of a sum of products with their biases."""
        return self._place(Node("products", products, self.nodes[products[0]].width))

    def copied(self, node: Node, arguments: tuple[Place, ...]) -> Place:
        """Copy a node of another tape; `arguments` are on this one."""
        return self._place(node._replace(arguments=arguments))

    def transposed(
        self, grads: tuple[Place, ...], blocks: tuple[Block, ...], width: Width
    ) -> Place:
        """Return a vector's gradient from those of its products: the sum of blockᵀ · gradient."""
        return self._place(Node("transposed", grads, width, blocks))

    def sum(self, value: Place) -> Place:
        """Return the node of the sum over all units, of width `1`."""
        width = self.nodes[value].width
        return value if width == "1" else self._place(Node("sum", (value,), "1"))

    def spread(self, value: Place, width: Width) -> Place:
        """Return the node of a value of width `1` broadcast to all units."""
        if self.nodes[value].width == width:
            return value
        return self._place(Node("spread", (value,), width))

    def size(self, width: Width) -> Place:
        """Return the node of the number of units of a width."""
        return self.constant(1) if width == "1" else self._place(Node("size", (), "1", width))

    def apply(self, operation: str, *arguments: Place) -> Place:
        """Return the node of an elementwise operation, or of what it simplifies to.

        Raises:
            ValueError: two arguments have widths that do not fit.
        """
        simpler = self._simplified(operation, arguments)
        if simpler is not None:
            return simpler
        return self._place(Node(operation, arguments, self._common(arguments)))

    def added(self, values: Iterable[Place]) -> Place:
        """Return the node of the elementwise sum of values, 0 if there are none."""
        return reduce(lambda a, b: self.apply("add", a, b), values, self.constant(0))

    def is_constant(self, place: Place, value: float) -> bool:
        """Whether a node is this number."""
        return self.nodes[place][::3] == ("constant", value)

    def _place(self, node: Node) -> Place:
        if node not in self._places:
            self._places[node] = len(self.nodes)
            self.nodes.append(node)
        return self._places[node]

    def _common(self, arguments: Iterable[Place]) -> Width:
        widths = {self.nodes[argument].width for argument in arguments} - {"1"}
        if len(widths) > 1:
            raise ValueError(" and ".join(sorted(widths)))
        return widths.pop() if widths else "1"

    def _simplified(self, operation: str, arguments: tuple[Place, ...]) -> Place | None:
        """The simpler node that gives the same as an operation, or None."""
        a = arguments[0]
        b = arguments[-1]
        if operation == "add":
            if self.is_constant(a, 0):
                return b
            if self.is_constant(b, 0):
                return a
            if self.nodes[b].operation == "neg":
                return self.apply("sub", a, *self.nodes[b].arguments)
            if self.nodes[a].operation == "neg":
                return self.apply("sub", b, *self.nodes[a].arguments)
        elif operation == "sub":
            if self.is_constant(b, 0):
                return a
            if self.is_constant(a, 0):
                return self.apply("neg", b)
            if self.nodes[b].operation == "neg":
                return self.apply("add", a, *self.nodes[b].arguments)
        elif operation == "mul":
            for one, other in ((a, b), (b, a)):
                if self.is_constant(one, 1) or self.is_constant(other, 0):
                    return other
                if self.nodes[one].operation == "neg":
                    return self.apply("neg", self.apply("mul", self.nodes[one].arguments[0], other))
        elif operation == "div" and self.is_constant(b, 1):
            return a
        elif operation == "neg" and self.nodes[a].operation == "neg":
            return self.nodes[a].arguments[0]
        elif operation == "where" and arguments[1] == b:
            return b
        elif operation in ("sigmoid_back", "tanh_back") and self.is_constant(a, 0):
            return a
        values = [
            self.nodes[of].about for of in arguments if self.nodes[of].operation == "constant"
        ]
        if len(values) == len(arguments) and operation in _FOLDED:
            return self.constant(_FOLDED[operation](*values))
        return None


_FOLDED: Mapping[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
}
