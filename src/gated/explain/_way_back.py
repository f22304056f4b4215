"""The backward pass of one layer in one direction, with the gradients of its states at each step.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), S units of all states together: P, of an LSTM P + H.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor

from gated.core import reference
from gated.core.layout import LAYOUTS
from gated.core.reference import Kept
from gated.explain._looking import Part, Placed, laid_together, real_steps
from gated.nn.backends import LayerResult
from gated.nn.operators import LayerCall

Floats = NDArray[np.float64]
SMALL = 256
"""S up to which the norm of a Jacobian comes from singular values; beyond, from power iteration.
Up to it NumPy's products are too small for threads."""


@dataclass
class Followed:
    """A layer in one direction that has run, and the gradients of its states.

    Either one call of the layer, or all that go on from each other.
    """

    name: str
    """The module's name in the model."""
    kind: str
    """The cell's name, as in a trace."""
    layer: int
    """Index among the layers of its module."""
    reverse: bool
    lengths: NDArray[np.int64]
    """(B,)"""
    kept: list[Kept]
    """All the steps of each call, in float64."""
    part: Part
    """The first call."""
    squares: list[Floats] = field(default_factory=list)
    """For each state (T, B), the squared norm of its gradient after each step; 0 without one."""
    turn: int | None = None
    """As `LayerTrace.call`."""


@functools.cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def threads_for(units: int) -> Iterator[None]:
    """Run NumPy's products on one thread if a layer has so few `units` (S) in its states.

    The singular values of a small matrix are thousands of products of some microseconds each. The
    BLAS wakes all its threads for each, and waits for the last: up to twice the time where nothing
    else runs, and where the processors are busy eighty times.
    """
    if units > SMALL:
        yield
        return
    with _pools().limit(limits=1, user_api="blas"):
        yield


def joined(parts: list[Followed], turns: Mapping[tuple[str, int], int]) -> Followed:
    """Return the calls that go on from each other as one.

    Args:
        parts: of one layer, in order.
        turns: how many times each module's layer, by its place, began anew.
    """
    first, last = parts[0], parts[-1]
    lengths = last.part.before + last.lengths
    squares: list[Any] = first.squares
    if len(parts) > 1:
        squares = [
            laid_together(
                [
                    Placed(of.part.before, of.lengths, np.arange(len(rows)), rows)
                    for of, rows in ((of, of.squares[k]) for of in parts)
                ],
                int(lengths.max()),
            )
            for k in range(len(first.squares))
        ]
    return replace(
        first,
        lengths=lengths,
        kept=[kept for of in parts for kept in of.kept],
        squares=squares,
        turn=first.part.turn if turns[first.name, first.part.place] > 1 else None,
    )


def followed(
    name: str, call: LayerCall, part: Part, directions: int, anchor: Tensor
) -> tuple[LayerResult, Followed]:
    """Run a layer so that a backward pass to `anchor` fills in its `squares`.

    It is computed in float64, whatever the weights' dtype: a gradient may underflow in float32.

    Args:
        name: as in `Followed`.
        call: the layer and its arguments.
        part: as in `Followed`.
        directions: of the module's layers, 1 or 2.
        anchor: a leaf that requires a gradient, so that the backward pass comes to this layer; it
            gets no gradient itself.
    """
    T, B, _ = call.x.shape
    real, layer = real_steps(call), part.place // directions
    with threads_for(sum(state.shape[-1] for state in call.initial)):
        ran = reference.run(in_double(call).checked(), keep=True)
    assert ran.kept is not None  # noqa: S101 - keep=True
    kind = call.cell if call.cell in LAYOUTS else call.plain_cell.name
    of = Followed(name, kind, layer, call.reverse, real, [ran.kept], part)
    of.squares = [np.zeros((T, B)) for _ in call.initial]
    names = tuple(ran.kept.call.cell.named)
    results = (ran.output, *ran.final, *(ran.kept.gate(gate) for gate in names))
    output, *others = _Layer.apply(  # type: ignore[no-untyped-call]
        of, results, names, anchor, call.x, *call.initial
    )
    final, gates = others[: len(call.initial)], others[len(call.initial) :]
    return LayerResult(output, tuple(final), dict(zip(names, gates, strict=True))), of


def in_double(call: LayerCall) -> LayerCall:
    """Return the call in float64, without gradients."""

    def double(tensors: list[Tensor]) -> list[Tensor]:
        return [tensor.detach().double() for tensor in tensors]

    (x,) = double([call.x])
    return call._replace(
        x=x,
        weights=double(call.weights),
        initial=double(call.initial),
        per_step=double(call.per_step),
    )


class _Layer(torch.autograd.Function):
    """A layer that has run, as a node of the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        of: Followed,
        results: tuple[Any, ...],
        names: tuple[str, ...],
        anchor: Tensor,
        x: Tensor,
        *initial: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.of, ctx.names, ctx.dtype, ctx.states = of, names, x.dtype, len(initial)
        return tuple(torch.from_numpy(array).to(x.dtype) for array in results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        output, *others = (grad.numpy().astype(np.float64) for grad in grads)
        gates = dict(zip(ctx.names, others[ctx.states :], strict=True))
        (kept,) = ctx.of.kept
        with threads_for(sum(kept.call.state_widths)):
            found = _way_back(ctx.of, output, others[: ctx.states], gates)
        return (None,) * 4 + tuple(torch.from_numpy(array).to(ctx.dtype) for array in found)


def _way_back(
    of: Followed, grad_output: Floats, grads: list[Any], grad_gates: dict[str, Floats]
) -> list[Any]:
    """Return the gradients of the input and of the first states; fill in `of.squares`.

    `grads` are of the final states, `grad_gates` of every gate and state at every step, (T, B, ·).
    """
    (kept,) = of.kept
    cell = kept.call.cell
    grad_x = np.zeros_like(kept.call.x)
    of_gates: dict[str, Any] = dict.fromkeys(cell.one_name.values(), 0.0)
    for name, grad in grad_gates.items():
        of_gates[cell.one_name[name]] = of_gates[cell.one_name[name]] + grad
    at_steps = [of_gates.pop(name) for name in cell.state_names]
    if cell.output_is_hidden:
        at_steps[0] = at_steps[0] + grad_output
        grad_output = np.zeros_like(grad_output)
    for step in reversed(kept.steps):
        t, running = step.time, step.running
        for grad, at_step, squares in zip(grads, at_steps, of.squares, strict=True):
            grad[running] += at_step[t, running]
            squares[t, running] = (grad[running] ** 2).sum(axis=-1)
        found = reference.step_backward(
            kept.equations,
            step,
            [grad[running] for grad in grads],
            grad_output[t, running],
            {gate: grad[t, running] for gate, grad in of_gates.items()},
        )
        for grad, of_state in zip(grads, found.states, strict=True):
            grad[running] = of_state
        grad_x[t, running] = found.x
    return [grad_x, *grads]


def jacobian_norms(of: Followed, sequence: int) -> Floats:
    """Return log ‖∂s_T/∂s_t‖₂ of one sequence's states s, by the distance T - t, from 0 on.

    The product of the Jacobians of all steps between is computed exactly, S rows at once: each row
    is a vector in a backward pass. It is normalised at each step, so that the logarithm of the norm
    is known even where the norm overflows; that of a product that is 0 is -inf.
    """
    with threads_for(sum(of.kept[0].call.state_widths)):
        return _jacobian_norms(of, sequence)


def _jacobian_norms(of: Followed, sequence: int) -> Floats:
    widths = of.kept[0].call.state_widths
    product, scale = np.eye(sum(widths)), 0.0
    found, vector = [0.0], np.ones(sum(widths))
    steps = [
        (kept.equations, step)
        for kept in of.kept
        for step in kept.steps
        if sequence in step.running
    ]
    for equations, step in steps[:0:-1]:
        rows = np.split(product, np.cumsum(widths)[:-1], axis=-1)
        alone = step.of(step.running == sequence)
        states = reference.step_backward(equations, alone, rows).states
        of_states = zip(states, widths, strict=True)
        product = np.concatenate(
            [np.broadcast_to(of, (len(product), width)) for of, width in of_states], axis=-1
        )
        size = float(np.linalg.norm(product))
        if size == 0:
            return np.array(found + [-np.inf] * (len(steps) - len(found)))
        product, scale = product / size, scale + np.log(size)
        norm, vector = spectral_norm(product, vector)
        found.append(scale + np.log(norm))
    return np.array(found)


def spectral_norm(matrix: Floats, start: Floats) -> tuple[float, Floats]:
    """Return ‖A‖₂ of A (S, S), and its left singular vector as `start` for a similar matrix.

    Up to size `SMALL` it is computed from the singular values; beyond by power iteration on A A'
    from `start`, which never overestimates, and underestimates by some thousandths where the
    largest singular values are close together.
    """
    if len(matrix) <= SMALL:
        return float(np.linalg.norm(matrix, 2)), start
    norm, vector = 0.0, start
    for _ in range(500):
        pulled = matrix.T @ (vector / np.linalg.norm(vector))
        vector, before = matrix @ pulled, norm
        norm = float(np.linalg.norm(pulled))
        if norm == 0:
            vector = np.random.default_rng(0).standard_normal(len(matrix))
        elif norm - before <= 1e-8 * norm:
            break
    return norm, vector
