"""Writes ONNX graphs: nodes by calls and operators, weights as initializers.

Shapes: T steps, B sequences, F features. Within a graph steps are (T, B, F), and what is known of a
sequence as a whole (B, F).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.cells.evaluate import ARITHMETIC, Functions
from gated.errors import require

OPSET = 17
"""Of LayerNormalization; every onnxruntime from 1.12 on runs it."""
IR_VERSION = 8
Array = NDArray[Any]


class Value:
    """A value of a graph: a name, with arithmetic that adds nodes."""

    __array_ufunc__ = None  # NumPy leaves its operators to us

    def __init__(self, graph: Nodes, name: str) -> None:
        self.graph, self.name = graph, name

    def _two(self, operation: str, a: Any, b: Any) -> Value:
        return self.graph.add(operation, a, b)

    def __add__(self, other: Any) -> Value:
        return self._two("Add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self._two("Add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self._two("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self._two("Sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self._two("Mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self._two("Mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self._two("Div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self._two("Div", other, self)

    def __neg__(self) -> Value:
        return self.graph.add("Neg", self)

    # What the layers say often.

    def to(self, dtype: str) -> Value:
        """The same in another dtype of NumPy."""
        helper = self.graph.onnx.helper
        return self.graph.add("Cast", self, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def turned(self, *axes: int) -> Value:
        """With its axes in another order."""
        return self.graph.add("Transpose", self, perm=list(axes))

    def shaped(self, *shape: int) -> Value:
        """Reshaped: 0 keeps a size, -1 is what is left."""
        return self.graph.add("Reshape", self, np.array(shape, np.int64))

    def with_axis(self, axis: int) -> Value:
        """With an axis of size 1 more."""
        return self.graph.add("Unsqueeze", self, np.array([axis], np.int64))

    def without_axis(self, axis: int) -> Value:
        """Without an axis of size 1."""
        return self.graph.add("Squeeze", self, np.array([axis], np.int64))

    def size(self, axis: int) -> Value:
        """The size of an axis, (1,)."""
        return self.graph.add("Shape", self, start=axis, end=axis + 1)

    def summed(self) -> Value:
        """The sum over the first axis, which goes."""
        return self.graph.add("ReduceSum", self, np.array([0], np.int64), keepdims=0)

    def largest(self) -> Value:
        """The maximum over the first axis, which goes."""
        return self.graph.add("ReduceMax", self, axes=[0], keepdims=0)


class Nodes:
    """Nodes of a graph, or of a body within it.

    Args:
        outer: of a body, the graph that it is in.
    """

    def __init__(self, outer: Nodes | None = None) -> None:
        self.onnx: Any = require("onnx", extra="onnx")
        self.nodes: list[Any] = []
        self.root: Nodes = self if outer is None else outer.root
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.initializers: list[Any] = []
        self._count = 0

    def new_name(self, plain: str) -> str:
        """Return a name that nothing has."""
        self.root._count += 1
        return f"{plain}_{self.root._count}"

    def add(self, operation: str, *inputs: Any, **attributes: Any) -> Value:
        """Add a node of one output; inputs are values, arrays, numbers, or None."""
        return self.add_many(operation, *inputs, outputs=1, **attributes)[0]

    def add_many(
        self, operation: str, *inputs: Any, outputs: int, **attributes: Any
    ) -> list[Value]:
        """Add a node of several outputs."""
        names = [self._name(of) for of in inputs]
        gives = [self.new_name(operation.lower()) for _ in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operation, names, gives, **attributes))
        return [Value(self, name) for name in gives]

    def _name(self, given: Any) -> str:
        if given is None:
            return ""
        return given.name if isinstance(given, Value) else self.constant(given).name

    def constant(self, given: Any) -> Value:
        """Return an array or a number as a value; numbers are float32."""
        array = np.asarray(
            given, None if isinstance(given, np.ndarray | np.generic) else np.float32
        )
        key = array.dtype.str, array.shape, array.tobytes()
        root = self.root
        if key not in root._constants:
            name = root._constants[key] = self.new_name("constant")
            made = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            made.dims[:] = array.shape
            root.initializers.append(made)
        return Value(self, root._constants[key])

    def scan(
        self,
        body: Callable[[Nodes, list[Value], list[Value]], tuple[list[Value], list[Value]]],
        states: Sequence[Value],
        steps: Sequence[Value],
        outputs: int,
        reverse: bool = False,
    ) -> list[Value]:
        """Add a loop over the first axis of `steps`.

        Args:
            body: from the nodes of the body, the states and a step of each to the new states and
                the step of each output.
            states: before the first step.
            steps: (T, …) each.
            outputs: how many outputs there are.
            reverse: whether to begin with the last step.

        Returns:
            The states after the last step, and the outputs, (T, …) each.
        """
        within, info = Nodes(self), self.onnx.helper.make_empty_tensor_value_info
        given = [Value(within, self.new_name("inner")) for _ in [*states, *steps]]
        new, found = body(within, given[: len(states)], given[len(states) :])
        ends = [within.add("Identity", of) for of in [*new, *found]]
        graph = self.onnx.helper.make_graph(
            within.nodes, "step", [info(of.name) for of in given], [info(of.name) for of in ends]
        )
        ways: dict[str, Any] = {}
        if reverse:
            ways["scan_input_directions"] = [1] * len(steps)
            ways["scan_output_directions"] = [1] * outputs
        return self.add_many(
            "Scan", *states, *steps, outputs=len(states) + outputs, body=graph,
            num_scan_inputs=len(steps), **ways,
        )  # fmt: skip


def functions(graph: Nodes, spread: Callable[[Any, int], Any]) -> Functions:
    """The functions of cells, as nodes.

    Args:
        graph: that nodes are added to.
        spread: broadcasts a value to a number of units.
    """

    def one(operation: str) -> Callable[[Any], Value]:
        return lambda v: graph.add(operation, v)

    def two(operation: str) -> Callable[[Any, Any], Value]:
        return lambda a, b: graph.add(operation, a, b)

    def compared(operation: str) -> Callable[[Any, Any], Value]:
        return lambda a, b: graph.add(operation, a, b).to("float32")

    def linear(v: Value, weight: Array, bias: Array | None) -> Value:
        found = graph.add("MatMul", v, np.ascontiguousarray(weight.T, np.float32))
        return found if bias is None else found + np.asarray(bias, np.float32)

    return {
        **ARITHMETIC,
        "constant": lambda value: graph.constant(float(value)),
        "linear": linear,
        "spread": spread,
        "sigmoid": one("Sigmoid"),
        "tanh": one("Tanh"),
        "relu": one("Relu"),
        "softplus": one("Softplus"),
        "exp": one("Exp"),
        "log": one("Log"),
        "sqrt": one("Sqrt"),
        "abs": one("Abs"),
        "maximum": two("Max"),
        "minimum": two("Min"),
        "less": compared("Less"),
        "less_equal": compared("LessOrEqual"),
        "equal": compared("Equal"),
        "where": lambda c, a, b: graph.add("Where", is_true(graph, c), a, b),
        "sum": lambda v: graph.add("ReduceSum", v, np.array([-1], np.int64), keepdims=1),
    }


def is_true(graph: Nodes, condition: Any) -> Value:
    """Whether numbers are not 0."""
    return graph.add("Not", graph.add("Equal", condition, 0.0))


class State(NamedTuple):
    """What a stream remembers: an input, and the output that is given back as it."""

    name: str
    shape: tuple[int, ...]
    """Without the sequences."""
    dtype: str


class Known(NamedTuple):
    """A value of the graph that a layer gave."""

    value: Value
    lengths: Value | None
    """(B,), int64; None in a stream."""


class Writing(Nodes):
    """The graph that is being written.

    Args:
        streams: whether states come in and go out.
    """

    def __init__(self, streams: bool) -> None:
        super().__init__()
        self.streams = streams
        self.states: list[State] = []
        self.after: list[Value] = []
        self.sequences: Value
        """B, (1,)."""

    def begin(self, name: str, *shape: int, dtype: str = "float32") -> Value:
        """Return a state before the first step: an input of a stream, else zeros."""
        if self.streams:
            self.states.append(State(name, shape, dtype))
            return Value(self, name)
        wide = self.add("Concat", self.sequences, np.array(shape, np.int64), axis=0)
        return self.add("Expand", np.zeros((), dtype), wide)

    def end(self, value: Value) -> None:
        """Give back what the next of the states that were begun is after these steps."""
        if self.streams:
            self.after.append(value)

    def there(self, of: Known) -> Value | None:
        """Whether each step is no padding, (T, B, 1); None where there is none."""
        if of.lengths is None:
            return None
        times = self.add(
            "Range", np.array(0, np.int64), of.value.size(0).without_axis(0), np.array(1, np.int64)
        )
        found = self.add("Less", times.with_axis(1), of.lengths.with_axis(0))
        return found.with_axis(2)

    def only_there(self, of: Known, otherwise: float) -> Value:
        """Steps, and another number in the padding."""
        mask = self.there(of)
        return of.value if mask is None else self.add("Where", mask, of.value, otherwise)
