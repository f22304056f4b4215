"""One layer in one direction, with every gradient of its states on the way back in hand.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), S numbers of all states together: P, of an LSTM P + H.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.core import reference
from gated.core.cells import Norm
from gated.core.layout import Weights, layout_of
from gated.core.reference import Kept, Step
from gated.core.variants import Regularisation
from gated.explain._equations import Ran, Way, as_arrays

Floats = NDArray[np.float64]
SMALL = 256
"""S up to which the norm of a Jacobian comes from its singular values; beyond, from iteration."""


@dataclass
class Followed:
    """A layer in one direction, and what came of it."""

    name: str
    """The module's name in the model."""
    kind: str
    layer: int
    """Among the layers of its module."""
    reverse: bool
    lengths: NDArray[np.int64]
    """(B)"""
    kept: Kept
    """All its steps, in float64."""
    squares: list[Floats] = field(default_factory=list)
    """Of each state (T, B): the squared norm of the gradient after each step; zeros where none
    came."""


def followed(
    name: str,
    kind: str,
    way: Way,
    ways: int,
    lengths: Tensor | None,
    regularisation: Regularisation,
    anchor: Tensor,
) -> tuple[Ran, Followed]:
    """Run a layer so that a backward pass to `anchor` fills in its `squares`.

    In float64 inside, whatever the weights are: a gradient may shrink by more than float32 holds.

    Args:
        name: as in `Followed`.
        kind: the cell's name in `gated.core.layout.LAYOUTS`.
        way: the layer and what it takes.
        ways: D, the directions of its module.
        lengths: (B), the real steps; T where not given.
        regularisation: as for `gated.core.reference.forward`.
        anchor: a leaf that requires a gradient; it gets none, it only draws the backward pass.
    """
    T, B, _ = way.x.shape
    real = np.full(B, T) if lengths is None else lengths.numpy()
    weights: Any = Weights(
        *(None if w is None else w.astype(np.float64) for w in as_arrays(way.weights))
    )
    x, *initial = (tensor.detach().numpy().astype(np.float64) for tensor in (way.x, *way.initial))
    ran = reference.forward(
        kind,
        x,
        weights,
        lengths=real,
        initial=initial,
        reverse=way.reverse,
        keep=True,
        regularisation=regularisation,
    )
    assert ran.kept is not None  # noqa: S101 - keep=True
    of = Followed(name, kind, way.place // ways, way.reverse, real, ran.kept)
    of.squares = [np.zeros((T, B)) for _ in initial]
    names = tuple(dict.fromkeys((*layout_of(kind).gates, *layout_of(kind).states)))
    results = (ran.output, *ran.final, *(ran.kept.gate(gate) for gate in names))
    output, *others = _Layer.apply(  # type: ignore[no-untyped-call]
        of, results, names, anchor, way.x, *way.initial
    )
    final, gates = others[: len(initial)], others[len(initial) :]
    return Ran(output, final, dict(zip(names, gates, strict=True))), of


class _Layer(torch.autograd.Function):
    """A layer that has run, as a node on the way back."""

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
        gates["hidden"] = gates["hidden"] + output
        found = _way_back(ctx.of, others[: ctx.states], gates)
        return (None,) * 4 + tuple(torch.from_numpy(array).to(ctx.dtype) for array in found)


def _way_back(of: Followed, grads: list[Any], grad_gates: dict[str, Floats]) -> list[Any]:
    """The gradients of the input and of the first states; notes those of the states between.

    `grads` are of the final states, `grad_gates` of every gate and state at every step, (T, B, ·).
    """
    kept, grad_x = of.kept, np.zeros_like(of.kept.x)
    none = np.zeros((1, *kept.initial[0].shape))
    at_steps = [grad_gates.pop(name) for name in layout_of(of.kind).states]
    for step in reversed(kept.steps):
        t, running = step.time, step.running
        for grad, at_step, squares in zip(grads, at_steps, of.squares, strict=True):
            grad[running] += at_step[t, running]
            squares[t, running] = (grad[running] ** 2).sum(axis=-1)
        alone = replace(kept, x=kept.x[t : t + 1], steps=[step._replace(time=0)])
        now = {gate: grad[t : t + 1] for gate, grad in grad_gates.items()}
        found = reference.backward(alone, none, grads, now)
        grads, grad_x[t] = list(found.initial), found.x[0]
    return [grad_x, *grads]


def jacobian_norms(of: Followed, sequence: int) -> Floats:
    """Log ‖∂s_T/∂s_t‖₂ of one sequence's states s, by the distance T - t, from 0 on.

    The product of the Jacobians of all steps between is computed exactly, S rows at once: each is a
    vector that goes back through the steps. It is scaled to 1 at each, so that the logarithm of a
    norm is known where the norm itself is beyond all numbers; that of a product that is 0 is -inf.
    """
    widths = [state.shape[-1] for state in of.kept.initial]
    product, scale = np.eye(sum(widths)), 0.0
    found, vector = [0.0], np.ones(sum(widths))
    steps = [step for step in of.kept.steps if sequence in step.running]
    for step in steps[:0:-1]:
        rows = np.split(product, np.cumsum(widths)[:-1], axis=-1)
        alone = _copies(of.kept, step, sequence, len(product))
        none = np.zeros((1, *alone.initial[0].shape))
        product = np.concatenate(reference.backward(alone, none, rows).initial, axis=-1)
        size = float(np.linalg.norm(product))
        if size == 0:
            return np.array(found + [-np.inf] * (len(steps) - len(found)))
        product, scale = product / size, scale + np.log(size)
        norm, vector = spectral_norm(product, vector)
        found.append(scale + np.log(norm))
    return np.array(found)


def _copies(kept: Kept, step: Step, sequence: int, count: int) -> Kept:
    """One step of one sequence, so many times, without its input, which no state depends on."""
    row = int(np.flatnonzero(step.running == sequence)[0])

    def of(array: Any) -> Any:
        return np.broadcast_to(array[row], (count, array.shape[-1]))

    taken = step.taken
    weights = taken.weights._replace(weight_ih=taken.weights.weight_ih[:, :0])
    copied = Step(
        time=0,
        running=np.arange(count),
        taken=taken._replace(
            from_input=of(taken.from_input),
            from_hidden=of(taken.from_hidden),
            before=tuple(of(state) for state in taken.before),
            read=of(taken.read),
            weights=weights,
        ),
        norms=(
            [Norm(of(norm.values), of(norm.scale)) for norm in step.norms[0]],
            [Norm(of(norm.values), of(norm.scale)) for norm in step.norms[1]],
        ),
        computed={name: of(value) for name, value in step.computed.items()},
        values={name: of(value) for name, value in step.values.items()},
    )
    initial = tuple(np.zeros((count, state.shape[-1])) for state in kept.initial)
    x = np.zeros((1, count, 0))
    return Kept(kept.cell, x, weights, initial, kept.regularisation, [copied])


def spectral_norm(matrix: Floats, start: Floats) -> tuple[float, Floats]:
    """‖A‖₂ of A (S, S), and the vector that A' stretches most, for the next matrix like it.

    By its singular values up to `SMALL`; beyond by power iteration on A A' from `start`. That is
    never too large, and too small by some thousandths where the largest singular values lie
    together.
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
