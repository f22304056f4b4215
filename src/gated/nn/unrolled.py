"""Layers of any cell, step by step in torch's operations, from the cell's tape.

They are slow, but work wherever torch does: on every device and dtype, under transforms, and with
derivatives of any order.

Shapes: T steps, B sequences, I input features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gated.cells.cell import Cell
from gated.cells.evaluate import ARITHMETIC, Equations, Functions
from gated.core.plans import sizes_of


class Unrolled(NamedTuple):
    """The results of a layer in one direction."""

    output: Tensor
    """(T, B, H); zeros in the padding."""
    final: tuple[Tensor, ...]
    """The states after each sequence's last step, (B, H) each."""
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
    """Run one layer in one direction.

    Args:
        cell: with dropout and zoneout in its tape.
        x: (T, B, I).
        weights: by name, in the shapes of `gated.core.plans.parameter_shapes`.
        initial: the initial states, (B, H) each.
        lengths: (B,), the number of real steps of each sequence; T by default.
        reverse: whether to run from each sequence's last real step to its first.
        per_step: (T, B) for each of the cell's per-step inputs, by name.
        per_sequence: values that are the same at all steps, (B, H), by name.
        draw: for zoneout: from the index of a state and the time to the share of each unit's old
            value that is kept, (B, H).
    """
    T, B, inputs = x.shape
    sizes = sizes_of(cell, weights, inputs)
    times = torch.arange(T, device=x.device)
    running = torch.ones(T, B, dtype=torch.bool, device=x.device)
    if lengths is not None:
        running = times[:, None] < lengths.to(x.device)
    per_step = dict(per_step or {})
    equations = Equations(cell, weights, sizes, FUNCTIONS)
    draws = [node.about for node in cell.tape.nodes if node.operation == "draw"]
    states = list(initial)
    outputs: list[Tensor] = [x.new_zeros(B, initial[0].shape[-1])] * T
    found: dict[str, list[Tensor]] = {name: list(outputs) for name in cell.named}
    for t in reversed(range(T)) if reverse else range(T):
        given = {
            "input": x[t],
            "state": dict(enumerate(states)),
            "per_step": {
                name: of[t, :, None] if of.dim() == 2 else of[t] for name, of in per_step.items()
            },
            "per_sequence": dict(per_sequence or {}),
            "draw": {} if draw is None else {state: draw(state, t) for state in draws},
        }
        values = equations.values(given)
        real = running[t, :, None]
        for k, state in enumerate(cell.states):
            states[k] = torch.where(real, values[state.after], states[k])
        outputs[t] = torch.where(real, values[cell.output], 0.0)
        for name, place in cell.named.items():
            found[name][t] = torch.where(real, values[place], 0.0)
    if not T:
        return Unrolled(x.new_zeros(0, B, initial[0].shape[-1]), tuple(states), {})
    return Unrolled(
        torch.stack(outputs),
        tuple(states),
        {name: torch.stack(values) for name, values in found.items()},
    )


def _constant(value: float) -> Tensor:
    # A tensor without dimensions takes the dtype and device of the other operand.
    return torch.tensor(value, dtype=torch.float64)


FUNCTIONS: Functions = {
    **ARITHMETIC,
    "constant": _constant,
    "linear": functional.linear,
    "spread": lambda value, units: value.expand(*value.shape[:-1], units),
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
    "less": lambda a, b: (a < b).to(a.dtype),
    "less_equal": lambda a, b: (a <= b).to(a.dtype),
    "equal": lambda a, b: (a == b).to(a.dtype),
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
    "sum": lambda v: v.sum(-1, keepdim=True),
}
