"""The equations of the recurrent cells, one step forward and backward, in NumPy.

Shapes: B sequences, H hidden units, G gates of the cell, P units of the projected hidden state (H
where nothing is projected).

A cell is a pair of functions and a row in `CELLS`. `forward` takes the two products of a step,

    from_input = W_ih x_t + b_ih,    from_hidden = W_hh h_{t-1} + b_hh,    each (B, G·H),

and the states before it, and gives everything the step computes, by name. `backward` takes that
and the gradients of the states after the step, and gives the gradients of what `forward` took.
What is no part of a cell is in `gated.core.reference`: products, projection, time, lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from gated.core.layout import Array, Weights, layout_of

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


def product(weight: Array, vectors: Array, bias: Array | None = None) -> Array:
    """W v + b for each of the vectors, (B, …)."""
    sums = vectors @ weight.T
    return sums if bias is None else sums + bias


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
        return product(W_hn, reset_gate * before[0], b_hn)

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
