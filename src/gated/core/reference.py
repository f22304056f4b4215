"""Recurrent layers in NumPy, forward and backward: what every faster form must agree with.

Shapes: T steps, B sequences, I input features, H hidden units, G gates of the cell, P units of the
projected hidden state (H where nothing is projected). The equations are in `gated.core.cells`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.core.arguments import check_layer, check_lengths, check_shape
from gated.core.cells import CELLS, States, Values, product
from gated.core.layout import Array, Weights, layout_of
from gated.errors import ConfigurationError


class Step(NamedTuple):
    """What one step computed, for the sequences that had not ended."""

    time: int
    running: NDArray[np.int64]
    """The sequences that this step belongs to."""
    before: States
    values: Values


@dataclass(frozen=True)
class Kept:
    """What a forward pass leaves for the backward pass, and for whoever looks inside."""

    cell: str
    x: Array
    weights: Weights[Array]
    initial: States
    steps: list[Step] = field(default_factory=list)
    """In the order of computation."""

    def gate(self, name: str) -> Array:
        """A gate or state of every sequence at every step, (T, B, H); zeros in the padding.

        The hidden state of a projected LSTM is (T, B, P).

        Raises:
            ConfigurationError: the cell has no gate or state of this name.
        """
        gates, _, states = layout_of(self.cell)
        if name not in gates + states:
            raise ConfigurationError(
                f"gate must be one of {', '.join(dict.fromkeys(gates + states))} for the cell "
                f"{self.cell}, got {name!r}"
            )
        width = (
            self.initial[states.index(name)].shape[-1]
            if name in states
            else len(self.weights.weight_hh) // len(gates)
        )
        padded = np.zeros((*self.x.shape[:2], width), self.x.dtype)
        for step in self.steps:
            padded[step.time, step.running] = step.values[name]
        return padded


class Forward(NamedTuple):
    """What a layer makes of its sequences in one direction."""

    output: Array
    """(T, B, P), the hidden state at every step; zeros in the padding."""
    final: States
    """The states after each sequence's last step."""
    kept: Kept | None
    """With `keep=True`."""


class Backward(NamedTuple):
    """The gradients of everything that `forward` took."""

    x: Array
    """(T, B, I); zeros in the padding."""
    weights: Weights[Array]
    initial: States


def forward(
    cell: str,
    x: Array,
    weights: Weights[Array],
    *,
    lengths: ArrayLike | None = None,
    initial: Sequence[Array] | None = None,
    reverse: bool = False,
    keep: bool = False,
) -> Forward:
    """One recurrent layer over whole sequences, in one direction.

    Args:
        cell: one of `CELLS`.
        x: (T, B, I), float32 or float64.
        weights: in PyTorch's order, of the dtype of `x`.
        lengths: (B), the real steps of each sequence, in any order; T where not given. Padding is
            never read.
        initial: the states to start from, zeros where not given.
        reverse: from each sequence's last real step to its first.
        keep: also return what `backward` needs, every gate at every step.

    Raises:
        ConfigurationError: `cell` is none of these.
        DataError: an array has another shape or dtype than asked for.

    >>> ones = np.ones((1, 1))
    >>> forward("rnn_relu", np.ones((3, 1, 1)), Weights(ones, ones)).output.ravel()
    array([1., 2., 3.])
    """
    initial = check_layer(cell, x, weights, initial)
    T, B, _ = x.shape
    lengths = check_lengths(lengths, T, B)
    state_names = layout_of(cell).states

    kept = Kept(cell, x, weights, initial)
    output = np.zeros((T, *initial[0].shape), x.dtype)
    states = [state.copy() for state in initial]
    for t in reversed(range(T)) if reverse else range(T):
        running = np.flatnonzero(t < lengths)
        before = tuple(state[running] for state in states)
        values = _step(cell, x[t, running], before, weights)
        for state, name in zip(states, state_names, strict=True):
            state[running] = values[name]
        output[t, running] = values["hidden"]
        if keep:
            kept.steps.append(Step(t, running, before, values))
    return Forward(output, tuple(states), kept if keep else None)


def backward(kept: Kept, grad_output: Array, grad_final: Sequence[Array]) -> Backward:
    """The gradients of a loss, given those of what `forward` gave.

    Args:
        kept: from `forward` with `keep=True`.
        grad_output: (T, B, P); padding is never read.
        grad_final: of each final state, in the shape of that state.

    Raises:
        DataError: a gradient has another shape than what it is the gradient of.
    """
    check_shape("grad_output", grad_output, (len(kept.x), *kept.initial[0].shape), "(T, B, P)")
    for grad, state in zip(grad_final, kept.initial, strict=True):
        check_shape("grad_final", grad, state.shape)

    grad_x = np.zeros_like(kept.x)
    grad_weights = {
        name: np.zeros_like(w) for name, w in kept.weights._asdict().items() if w is not None
    }
    grad_states = [grad.copy() for grad in grad_final]
    for step in reversed(kept.steps):
        t, running = step.time, step.running
        grad_after = [grad[running] for grad in grad_states]
        grad_after[0] = grad_after[0] + grad_output[t, running]
        grad_x[t, running], grad_before = _step_backward(
            kept, step, tuple(grad_after), grad_weights
        )
        for grad, grad_of_step in zip(grad_states, grad_before, strict=True):
            grad[running] = grad_of_step
    return Backward(grad_x, Weights(**grad_weights), tuple(grad_states))


def _step(cell: str, x: Array, before: States, weights: Weights[Array]) -> Values:
    from_input = product(weights.weight_ih, x, weights.bias_ih)
    from_hidden = product(weights.weight_hh, before[0], weights.bias_hh)
    values = CELLS[cell].forward(from_input, from_hidden, before, weights)
    if weights.weight_hr is not None:
        values["unprojected"] = values["hidden"]
        values["hidden"] = product(weights.weight_hr, values["hidden"])
    return values


def _step_backward(
    kept: Kept, step: Step, grad_after: States, grad_weights: dict[str, Array]
) -> tuple[Array, States]:
    """Gradients of a step's input and of the states before it; adds to those of the weights."""
    weights = kept.weights
    x = kept.x[step.time, step.running]
    hidden = step.before[0]
    if weights.weight_hr is not None:
        grad_weights["weight_hr"] += grad_after[0].T @ step.values["unprojected"]
        grad_after = (grad_after[0] @ weights.weight_hr, *grad_after[1:])

    grads = CELLS[kept.cell].backward(step.values, step.before, grad_after, weights)
    of_weights = {
        "weight_ih": grads.from_input.T @ x,
        "bias_ih": grads.from_input.sum(axis=0),
        "weight_hh": grads.from_hidden.T @ hidden,
        "bias_hh": grads.from_hidden.sum(axis=0),
    }
    for part in (of_weights, grads.weights):
        for name in part.keys() & grad_weights.keys():
            grad_weights[name] += part[name]
    grad_hidden = grads.before[0] + grads.from_hidden @ weights.weight_hh
    return grads.from_input @ weights.weight_ih, (grad_hidden, *grads.before[1:])
