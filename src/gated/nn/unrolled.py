"""A layer of any cell step by step in torch's own operations, from the cell's tape.

Slow, and right wherever torch runs: on every device and dtype, under transforms, and to any order
of derivatives.

Shapes: T steps, B sequences, I input features, H hidden units.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gated.cells.cell import Cell
from gated.cells.evaluate import evaluate
from gated.cells.tape import Node
from gated.core.plans import sizes_of


class Unrolled(NamedTuple):
    """What a layer in one direction makes of its sequences."""

    output: Tensor
    """(T, B, H); zeros in the padding."""
    final: tuple[Tensor, ...]
    values: dict[str, Tensor]
    """Every gate and state by name, (T, B, H); zeros in the padding."""


def unrolled(
    cell: Cell,
    x: Tensor,
    weights: Mapping[str, Tensor],
    initial: Sequence[Tensor],
    lengths: Tensor | None = None,
    reverse: bool = False,
    *,
    per_step: Mapping[str, Tensor] | None = None,
    per_sequence: Mapping[str, Tensor] | None = None,
    draw: Callable[[int, int], Tensor] | None = None,
) -> Unrolled:
    """One layer in one direction.

    Args:
        cell: with all that is done beside its equations.
        x: (T, B, I).
        weights: by name, as `gated.core.plans.parameter_shapes` has them.
        initial: the states to start from, (B, H) each.
        lengths: (B), the real steps of each sequence; T where not given.
        reverse: from each sequence's last real step to its first.
        per_step: (T, B) of each of the cell's inputs for a step.
        per_sequence: what stays the same over all steps, (B, H).
        draw: of zoneout: from the state and the time, how much is kept, (B, H).
    """
    T, B, inputs = x.shape
    sizes = sizes_of(cell, weights, inputs)
    times = torch.arange(T, device=x.device)
    running = torch.ones(T, B, dtype=torch.bool, device=x.device)
    if lengths is not None:
        running = times[:, None] < lengths.to(x.device)
    per_step = dict(per_step or {})
    step = _Step(cell, weights, sizes, dict(per_sequence or {}), draw)
    states = list(initial)
    named = cell.gates | dict(
        zip(cell.state_names, (state.after for state in cell.states), strict=True)
    )
    outputs: list[Tensor] = [x.new_zeros(B, initial[0].shape[-1])] * T
    found: dict[str, list[Tensor]] = {name: list(outputs) for name in named}
    for t in reversed(range(T)) if reverse else range(T):
        values = step(t, x[t], states, {name: of[t, :, None] for name, of in per_step.items()})
        real = running[t, :, None]
        for k, state in enumerate(cell.states):
            states[k] = torch.where(real, values[state.after], states[k])
        outputs[t] = torch.where(real, values[cell.output], 0.0)
        for name, place in named.items():
            found[name][t] = torch.where(real, values[place], 0.0)
    if not T:
        return Unrolled(x.new_zeros(0, B, initial[0].shape[-1]), tuple(states), {})
    return Unrolled(
        torch.stack(outputs),
        tuple(states),
        {name: torch.stack(values) for name, values in found.items()},
    )


class _Step:
    """A step, with what does not change from one to the next."""

    def __init__(
        self,
        cell: Cell,
        weights: Mapping[str, Tensor],
        sizes: dict[str, int],
        per_sequence: dict[str, Tensor],
        draw: Callable[[int, int], Tensor] | None,
    ) -> None:
        self.cell = cell
        self.sizes = sizes
        self.per_sequence = per_sequence
        self.draw = draw
        self.weights = weights
        self.blocks: dict[Any, tuple[Tensor, Tensor | None]] = {}
        for matrix in cell.matrices:
            rows = torch.split(weights[matrix.name], sizes[matrix.rows])
            bias = weights.get(matrix.bias) if matrix.has_bias else None
            biases = [None] * len(rows) if bias is None else torch.split(bias, sizes[matrix.rows])
            for gate, weight, of_gate in zip(matrix.gates, rows, biases, strict=True):
                self.blocks[matrix.name, gate] = (weight, of_gate)

    def __call__(
        self, time: int, x: Tensor, states: Sequence[Tensor], per_step: Mapping[str, Tensor]
    ) -> list[Any]:
        """Every value of the tape."""

        def leaf(node: Node) -> Any:
            if node.operation == "constant":
                return torch.as_tensor(node.about, dtype=x.dtype, device=x.device)
            if node.operation == "size":
                return float(self.sizes[node.about])
            if node.operation == "input":
                return x
            if node.operation == "state":
                return states[node.about]
            if node.operation == "per_step":
                return per_step[node.about]
            if node.operation == "per_sequence":
                return self.per_sequence[node.about]
            if node.operation == "draw" and self.draw is not None:
                return self.draw(node.about, time)
            return self._parameter(node)

        return evaluate(self.cell.tape, self._functions(x), leaf)

    def _parameter(self, node: Node) -> Tensor:
        name, gate = node.about
        parameter = next(of for of in self.cell.parameters if of.name == name)
        value = self.weights.get(name)
        if value is None:  # a bias that the layer does not have
            return next(iter(self.weights.values())).new_zeros(())
        if gate in parameter.gates and gate != "1":
            return value.reshape(len(parameter.gates), -1)[parameter.gates.index(gate)]
        return value

    def _functions(self, x: Tensor) -> dict[str, Callable[..., Any]]:
        def product(node: Node, vector: Tensor) -> Tensor:
            return functional.linear(vector, *self.blocks[node.about])

        def spread(node: Node, value: Tensor) -> Tensor:
            return value.expand(len(x), self.sizes[node.width])

        return _FUNCTIONS | {"product": product, "spread": spread}


def _less(a: Tensor, b: Tensor) -> Tensor:
    return (a < b).to(a.dtype)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": functional.softplus,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "less": _less,
    "less_equal": lambda a, b: (a <= b).to(a.dtype),
    "equal": lambda a, b: (a == b).to(a.dtype),
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
    "normalise": lambda v, mean, scale: (v - mean) * scale,
    "sum": lambda v: v.sum(-1, keepdim=True),
}
