"""The recurrent cells in NumPy, forward and backward: what every faster form must agree with.

Shapes: T steps, B sequences, I input features, H hidden units, G gates of the cell, P units of the
projected hidden state (H where nothing is projected).

A cell is a pair of functions and a row in `CELLS`. `forward` takes the two products of a step,

    from_input = W_ih x_t + b_ih,    from_hidden = W_hh h_{t-1} + b_hh,    each (B, G·H),

and the states before it, and gives everything the step computes, by name. `backward` takes that
and the gradients of the states after the step, and gives the gradients of what `forward` took.
Products, projection, lengths, direction and the loop over time belong to no cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.core.arguments import check_layer, check_lengths, check_shape
from gated.core.layout import Array, Weights, layout_of
from gated.errors import ConfigurationError

States: TypeAlias = tuple[Array, ...]
"""The hidden state (B, P) and, of an LSTM, the cell state (B, H)."""
Values: TypeAlias = dict[str, Array]
"""Gates and states of one step by name, each (B, H)."""


class Gradients(NamedTuple):
    """Gradients of what a cell's `forward` took."""

    from_input: Array
    from_hidden: Array
    before: States
    """Without the part that flows through `from_hidden`."""
    weights: dict[str, Array] = {}  # noqa: RUF012 - a named tuple's default, never written to
    """Of the weights that the cell uses itself."""


class Cell(NamedTuple):
    """One step of a recurrent network, forward and backward."""

    forward: Callable[[Array, Array, States, Weights[Array]], Values]
    backward: Callable[[Values, States, States, Weights[Array]], Gradients]


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + exp(-a)), accurate and without overflow on both sides."""
    z = np.exp(-np.abs(a))
    return np.where(a >= 0, 1 / (1 + z), z / (1 + z))


# The plain network (Elman 1990):  h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)


def _rnn(activation: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Cell:
    """The plain cell, by its activation and the slope of that at a given result."""

    def forward(from_input: Array, from_hidden: Array, _: States, __: Weights[Array]) -> Values:
        return {"hidden": activation(from_input + from_hidden)}

    def backward(step: Values, before: States, grad: States, _: Weights[Array]) -> Gradients:
        grad_sums = grad[0] * slope(step["hidden"])
        return Gradients(grad_sums, grad_sums, (np.zeros_like(before[0]),))

    return Cell(forward, backward)


# The long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers,
# Schmidhuber and Cummins 2000); the sums of the gates are a:
#
#   i_t = σ(a_i)    f_t = σ(a_f)    C̃_t = tanh(a_C)    o_t = σ(a_o)
#   C_t = f_t * C_{t-1} + i_t * C̃_t
#   h_t = o_t * tanh(C_t)
#
# With peepholes p (Gers and Schmidhuber 2000) i and f also see p * C_{t-1}, and o sees p * C_t.


def _lstm(from_input: Array, from_hidden: Array, before: States, weights: Weights[Array]) -> Values:
    a_i, a_f, a_c, a_o = np.split(from_input + from_hidden, 4, axis=-1)
    cell_before = before[1]
    if weights.peepholes is not None:
        a_i = a_i + weights.peepholes[0] * cell_before
        a_f = a_f + weights.peepholes[1] * cell_before
    input_gate = sigmoid(a_i)
    forget_gate = sigmoid(a_f)
    candidate = np.tanh(a_c)
    cell = forget_gate * cell_before + input_gate * candidate
    if weights.peepholes is not None:
        a_o = a_o + weights.peepholes[2] * cell
    output_gate = sigmoid(a_o)
    return {
        "input_gate": input_gate,
        "forget_gate": forget_gate,
        "candidate": candidate,
        "output_gate": output_gate,
        "cell": cell,
        "hidden": output_gate * np.tanh(cell),
    }


def _lstm_backward(
    step: Values, before: States, grad: States, weights: Weights[Array]
) -> Gradients:
    cell_before = before[1]
    i, f, c, o = (step[gate] for gate in layout_of("lstm").gates)
    tanh_cell = np.tanh(step["cell"])
    grad_hidden, grad_cell = grad

    grad_o = grad_hidden * tanh_cell * o * (1 - o)
    grad_cell = grad_cell + grad_hidden * o * (1 - tanh_cell**2)
    if weights.peepholes is not None:
        grad_cell = grad_cell + weights.peepholes[2] * grad_o
    grad_i = grad_cell * c * i * (1 - i)
    grad_f = grad_cell * cell_before * f * (1 - f)
    grad_c = grad_cell * i * (1 - c**2)
    grad_cell_before = grad_cell * f

    own = {}
    if weights.peepholes is not None:
        p_i, p_f, _ = weights.peepholes
        grad_cell_before = grad_cell_before + p_i * grad_i + p_f * grad_f
        seen = (grad_i * cell_before, grad_f * cell_before, grad_o * step["cell"])
        own["peepholes"] = np.stack([product.sum(axis=0) for product in seen])
    grad_sums = np.concatenate([grad_i, grad_f, grad_c, grad_o], axis=-1)
    return Gradients(grad_sums, grad_sums, (np.zeros_like(before[0]), grad_cell_before), own)


# The gated recurrent unit (Cho et al. 2014), u from the input and v from the hidden state:
#
#   r_t = σ(u_r + v_r)    z_t = σ(u_z + v_z)
#   n_t = tanh(u_n + r_t * v_n)                          reset after the product, as in PyTorch
#   n_t = tanh(u_n + W_hn (r_t * h_{t-1}) + b_hn)        reset before it, as in the paper
#   h_t = (1 - z_t) * n_t + z_t * h_{t-1}


def _gru(from_input: Array, from_hidden: Array, before: States, _: Weights[Array]) -> Values:
    v_n = np.split(from_hidden, 3, axis=-1)[2]
    step = _gru_values(from_input, from_hidden, before, lambda reset_gate: reset_gate * v_n)
    return step | {"candidate_from_hidden": v_n}


def _gru_values(
    from_input: Array, from_hidden: Array, before: States, reset: Callable[[Array], Array]
) -> Values:
    """Either form, by what the reset gate leaves of the hidden state in the candidate's sum."""
    u_r, u_z, u_n = np.split(from_input, 3, axis=-1)
    v_r, v_z, _ = np.split(from_hidden, 3, axis=-1)
    reset_gate = sigmoid(u_r + v_r)
    update_gate = sigmoid(u_z + v_z)
    candidate = np.tanh(u_n + reset(reset_gate))
    return {
        "reset_gate": reset_gate,
        "update_gate": update_gate,
        "candidate": candidate,
        "hidden": (1 - update_gate) * candidate + update_gate * before[0],
    }


def _gru_backward(step: Values, before: States, grad: States, _: Weights[Array]) -> Gradients:
    r, z, n = (step[gate] for gate in layout_of("gru").gates)
    grad_n = grad[0] * (1 - z) * (1 - n**2)
    grad_z = grad[0] * (before[0] - n) * z * (1 - z)
    grad_r = grad_n * step["candidate_from_hidden"] * r * (1 - r)
    return Gradients(
        from_input=np.concatenate([grad_r, grad_z, grad_n], axis=-1),
        from_hidden=np.concatenate([grad_r, grad_z, grad_n * r], axis=-1),
        before=(grad[0] * z,),
    )


def _gru_reset_before(
    from_input: Array, from_hidden: Array, before: States, weights: Weights[Array]
) -> Values:
    W_hn = np.split(weights.weight_hh, 3)[2]
    b_hn = None if weights.bias_hh is None else np.split(weights.bias_hh, 3)[2]

    def reset(reset_gate: Array) -> Array:
        return _product(W_hn, reset_gate * before[0], b_hn)

    return _gru_values(from_input, from_hidden, before, reset)


def _gru_reset_before_backward(
    step: Values, before: States, grad: States, weights: Weights[Array]
) -> Gradients:
    r, z, n = (step[gate] for gate in layout_of("gru").gates)
    hidden = before[0]
    W_hn = np.split(weights.weight_hh, 3)[2]
    grad_n = grad[0] * (1 - z) * (1 - n**2)
    grad_z = grad[0] * (hidden - n) * z * (1 - z)
    grad_reset_hidden = grad_n @ W_hn
    grad_r = grad_reset_hidden * hidden * r * (1 - r)

    grad_W_hh = np.zeros_like(weights.weight_hh)
    np.split(grad_W_hh, 3)[2][...] = grad_n.T @ (r * hidden)
    grad_b_hh = np.concatenate([np.zeros_like(W_hn[:, 0])] * 2 + [grad_n.sum(axis=0)])
    return Gradients(
        from_input=np.concatenate([grad_r, grad_z, grad_n], axis=-1),
        from_hidden=np.concatenate([grad_r, grad_z, np.zeros_like(grad_n)], axis=-1),
        before=(grad[0] * z + grad_reset_hidden * r,),
        weights={"weight_hh": grad_W_hh, "bias_hh": grad_b_hh},
    )


CELLS: dict[str, Cell] = {
    "rnn_tanh": _rnn(np.tanh, slope=lambda hidden: 1 - hidden**2),
    "rnn_relu": _rnn(lambda a: np.maximum(a, 0), slope=lambda hidden: np.sign(hidden)),
    "gru": Cell(_gru, _gru_backward),
    "gru_reset_before": Cell(_gru_reset_before, _gru_reset_before_backward),
    "lstm": Cell(_lstm, _lstm_backward),
}
"""Every cell, by the names of `gated.core.layout.LAYOUTS`."""


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
        shape_of = self.initial[states.index(name)] if name in states else self.initial[-1]
        units = len(self.weights.weight_hh) // len(gates) if name in gates else shape_of.shape[-1]
        padded = np.zeros((*self.x.shape[:2], units), self.x.dtype)
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
    from_input = _product(weights.weight_ih, x, weights.bias_ih)
    from_hidden = _product(weights.weight_hh, before[0], weights.bias_hh)
    values = CELLS[cell].forward(from_input, from_hidden, before, weights)
    if weights.weight_hr is not None:
        values["unprojected"] = values["hidden"]
        values["hidden"] = _product(weights.weight_hr, values["hidden"])
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


def _product(weight: Array, vectors: Array, bias: Array | None = None) -> Array:
    """W v + b for each of the vectors, (B, …)."""
    product = vectors @ weight.T
    return product if bias is None else product + bias
