"""Recurrent layers in NumPy, forward and backward: what every faster form must agree with.

Shapes: T steps, B sequences, I input features, H hidden units, G gates of the cell, P units of the
projected hidden state (H where nothing is projected). The equations are in `gated.core.cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.core.arguments import check_gate_names, check_layer, check_lengths, check_shape
from gated.core.cells import CELLS, Hold, Norm, States, Taken, Values, as_it_is, norm, product
from gated.core.layout import Array, Weights, layout_of
from gated.core.variants import Regularisation, Zoneout, check_regularisation

HoldAt: TypeAlias = Callable[[int, NDArray[np.int64], str, Array], Array]
"""From the time, the sequences that run, the name of a gate or state and what the equations make
it, (B, H): what it is to be."""


class Step(NamedTuple):
    """What one step took and computed, for the sequences that had not ended."""

    time: int
    running: NDArray[np.int64]
    """The sequences that this step belongs to."""
    taken: Taken
    norms: tuple[Sequence[Norm], Sequence[Norm]]
    """Of the product with the input and with the hidden state, where they are normalised."""
    computed: Values
    """Before zoneout."""
    values: Values


@dataclass(frozen=True)
class Kept:
    """What a forward pass leaves for the backward pass, and for whoever looks inside."""

    cell: str
    x: Array
    weights: Weights[Array]
    initial: States
    regularisation: Regularisation
    steps: list[Step] = field(default_factory=list)
    """In the order of computation."""

    def gate(self, name: str) -> Array:
        """A gate or state of every sequence at every step, (T, B, H); zeros in the padding.

        The hidden state of a projected LSTM is (T, B, P).

        Raises:
            ConfigurationError: the cell has no gate or state of this name.
        """
        check_gate_names(self.cell, "gate", [name])
        layout = layout_of(self.cell)
        gates, states = layout.gates, layout.states
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
    regularisation: Regularisation | None = None,
    hold: HoldAt | None = None,
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
        regularisation: masks and zoneout, none where not given.
        hold: what becomes of each gate and state where it is computed, so that all that follows
            from it follows. A state is held as its step leaves it: the hidden state after the
            projection, both after zoneout, and h_t shows the cell state that is held, but for
            zoneout, which h_t does not see. Gradients are then not those of the equations.

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
    regularisation = regularisation or Regularisation()
    check_regularisation(regularisation, initial[0].shape, weights.weight_hh.shape, x.dtype)
    if regularisation.weight_mask is not None:
        masked = weights._replace(weight_hh=weights.weight_hh * regularisation.weight_mask)
    else:
        masked = weights

    kept = Kept(cell, x, weights, initial, regularisation)
    output = np.zeros((T, *initial[0].shape), x.dtype)
    states = [state.copy() for state in initial]
    for t in reversed(range(T)) if reverse else range(T):
        running = np.flatnonzero(t < lengths)
        before = tuple(state[running] for state in states)
        read = before[0]
        if regularisation.hidden_mask is not None:
            read = read * regularisation.hidden_mask[running]
        step = _step(cell, t, running, x[t, running], before, read, masked, regularisation, hold)
        for state, name in zip(states, state_names, strict=True):
            state[running] = step.values[name]
        output[t, running] = step.values["hidden"]
        if keep:
            kept.steps.append(step)
    return Forward(output, tuple(states), kept if keep else None)


def backward(
    kept: Kept,
    grad_output: Array,
    grad_final: Sequence[Array],
    grad_gates: Mapping[str, Array] | None = None,
) -> Backward:
    """The gradients of a loss, given those of what `forward` gave.

    Args:
        kept: from `forward` with `keep=True`.
        grad_output: (T, B, P); padding is never read.
        grad_final: of each final state, in the shape of that state.
        grad_gates: of gates and states at every step, by the names that `kept.gate` knows and in
            its shapes, for a loss that reads them; padding is never read.

    Raises:
        ConfigurationError: the cell has no gate of a name in `grad_gates`.
        DataError: a gradient has another shape than what it is the gradient of.
    """
    grad_gates = grad_gates or {}
    check_shape("grad_output", grad_output, (len(kept.x), *kept.initial[0].shape), "(T, B, P)")
    for grad, state in zip(grad_final, kept.initial, strict=True):
        check_shape("grad_final", grad, state.shape)
    check_gate_names(kept.cell, "grad_gates", grad_gates)
    for name, grad in grad_gates.items():
        check_shape(f"grad_gates[{name!r}]", grad, kept.gate(name).shape, "(T, B, H)")

    grad_x = np.zeros_like(kept.x)
    grad_weights = {
        name: np.zeros_like(w) for name, w in kept.weights._asdict().items() if w is not None
    }
    grad_states = [grad.copy() for grad in grad_final]
    for step in reversed(kept.steps):
        t, running = step.time, step.running
        grad_after = [grad[running] for grad in grad_states]
        grad_after[0] = grad_after[0] + grad_output[t, running]
        of_values = {name: grad[t, running] for name, grad in grad_gates.items()}
        for i, name in enumerate(layout_of(kept.cell).states):
            grad_after[i] = grad_after[i] + of_values.pop(name, 0)
        grad_x[t, running], grad_before = _step_backward(
            kept, step, tuple(grad_after), of_values, grad_weights
        )
        for grad, grad_of_step in zip(grad_states, grad_before, strict=True):
            grad[running] = grad_of_step
    if kept.regularisation.weight_mask is not None:
        grad_weights["weight_hh"] *= kept.regularisation.weight_mask
    return Backward(grad_x, Weights(**grad_weights), tuple(grad_states))


def _step(
    cell: str,
    time: int,
    running: NDArray[np.int64],
    x: Array,
    before: States,
    read: Array,
    weights: Weights[Array],
    regularisation: Regularisation,
    hold: HoldAt | None,
) -> Step:
    """One step of the running sequences, from x (B, I) and the states before."""
    spans = layout_of(cell).normalised_together
    from_input, input_norms = sums(weights.weight_ih, x, weights.bias_ih, weights.gain_ih, spans)
    from_hidden, hidden_norms = sums(
        weights.weight_hh, read, weights.bias_hh, weights.gain_hh, spans
    )
    held: Hold = as_it_is if hold is None else partial(hold, time, running)
    zoneout = regularisation.zoneout
    within: Hold = held if zoneout is None else _but_the_cell(held)
    taken = Taken(from_input, from_hidden, before, read, weights, within)
    computed = CELLS[cell].forward(taken)
    if weights.weight_hr is not None:
        computed["unprojected"] = computed["hidden"]
        computed["hidden"] = product(weights.weight_hr, computed["hidden"])
    values = dict(computed)
    if zoneout is not None:
        for name, old, kept in _kept_states(cell, time, running, before, zoneout):
            values[name] = kept * old + (1 - kept) * computed[name]
        if "cell" in values:
            values["cell"] = held("cell", values["cell"])
    values["hidden"] = held("hidden", values["hidden"])
    return Step(time, running, taken, (input_norms, hidden_norms), computed, values)


def _but_the_cell(hold: Hold) -> Hold:
    return lambda name, value: value if name == "cell" else hold(name, value)


def sums(
    weight: Array, vectors: Array, bias: Array | None, gain: Array | None, spans: tuple[int, ...]
) -> tuple[Array, list[Norm]]:
    """W v + b, or gain * norm(W v) + b, of vectors (N, ·); and what was normalised.

    `spans` says over how many gates together, as `normalised_together` of the layout.
    """
    if gain is None:
        return product(weight, vectors, bias), []
    gates = np.split(product(weight, vectors), sum(spans), axis=-1)
    norms = []
    for span in spans:
        together, gates = gates[:span], gates[span:]
        norms.append(norm(np.concatenate(together, axis=-1)))
    scaled = gain * np.concatenate([part.values for part in norms], axis=-1)
    return scaled if bias is None else scaled + bias, norms


def _kept_states(
    cell: str, time: int, running: NDArray[np.int64], before: States, zoneout: Zoneout
) -> list[tuple[str, Array, Array]]:
    """Each state's name, its old value, and how much of it zoneout keeps."""
    names = layout_of(cell).states
    return [
        (name, old, zoneout.kept(state, time, running, old.shape[-1], old.dtype))
        for state, (name, old) in enumerate(zip(names, before, strict=True))
    ]


def _step_backward(
    kept: Kept, step: Step, grad_after: States, grad_gates: Values, grad_weights: dict[str, Array]
) -> tuple[Array, States]:
    """Gradients of a step's input and of the states before it; adds to those of the weights."""
    taken = step.taken
    weights, regularisation = taken.weights, kept.regularisation
    around: list[Array | float] = [0.0] * len(grad_after)
    if regularisation.zoneout is not None:
        states = _kept_states(
            kept.cell, step.time, step.running, taken.before, regularisation.zoneout
        )
        shares = [share for _, _, share in states]
        around = [share * grad for share, grad in zip(shares, grad_after, strict=True)]
        grad_after = tuple(
            (1 - share) * grad for share, grad in zip(shares, grad_after, strict=True)
        )
    computed = dict(step.computed)
    if weights.weight_hr is not None:
        grad_weights["weight_hr"] += grad_after[0].T @ computed["unprojected"]
        grad_after = (grad_after[0] @ weights.weight_hr, *grad_after[1:])

    grads = CELLS[kept.cell].backward(computed, taken, grad_after, grad_gates)
    raw_input = _raw(grads.from_input, weights.gain_ih, step.norms[0], "gain_ih", grad_weights)
    raw_hidden = _raw(grads.from_hidden, weights.gain_hh, step.norms[1], "gain_hh", grad_weights)
    of_weights = {
        "weight_ih": raw_input.T @ kept.x[step.time, step.running],
        "bias_ih": grads.from_input.sum(axis=0),
        "weight_hh": raw_hidden.T @ taken.read,
        "bias_hh": grads.from_hidden.sum(axis=0),
    }
    for part in (of_weights, grads.weights):
        for name in part.keys() & grad_weights.keys():
            grad_weights[name] += part[name]
    grad_read = grads.read + raw_hidden @ weights.weight_hh
    if regularisation.hidden_mask is not None:
        grad_read = grad_read * regularisation.hidden_mask[step.running]
    before = (grads.before[0] + grad_read, *grads.before[1:])
    return raw_input @ weights.weight_ih, tuple(
        grad + past for grad, past in zip(before, around, strict=True)
    )


def _raw(
    grad: Array,
    gain: Array | None,
    norms: Sequence[Norm],
    name: str,
    grad_weights: dict[str, Array],
) -> Array:
    """The gradient of the products themselves; adds that of the gain which scaled their norm."""
    if gain is None:
        return grad
    grad_weights[name] += (grad * np.concatenate([n.values for n in norms], axis=-1)).sum(axis=0)
    edges = np.cumsum([n.values.shape[-1] for n in norms])[:-1]
    parts = zip(norms, np.split(grad * gain, edges, axis=-1), strict=True)
    return np.concatenate([n.backward(part) for n, part in parts], axis=-1)
