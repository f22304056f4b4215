"""The equations of the recurrent cells, one step forward and backward, in NumPy.

Shapes: B sequences, H hidden units, G gates of the cell, P units of the projected hidden state (H
where nothing is projected).

A cell is a pair of functions and a row in `CELLS`. `forward` takes the two products of a step,

    from_input = W_ih x_t + b_ih,    from_hidden = W_hh h_{t-1} + b_hh,    each (B, G·H),

and the states before it, and gives everything the step computes, by name. `backward` takes that
and the gradients of the states after the step, and gives the gradients of what `forward` took.
What is no part of a cell is in `gated.core.reference`: products and their normalisation,
projection, masks, zoneout, time, lengths.
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


Hold: TypeAlias = Callable[[str, Array], Array]
"""From the name of a gate or state and what the equations make it, what it is to be."""


def as_it_is(name: str, value: Array) -> Array:
    """Hold nothing."""
    return value


class Taken(NamedTuple):
    """What a step starts from."""

    from_input: Array
    """(B, G·H)"""
    from_hidden: Array
    """(B, G·H)"""
    before: States
    """As the step before left them."""
    read: Array
    """(B, P), the hidden state before as products read it: under a mask, if there is one."""
    weights: Weights[Array]
    hold: Hold = as_it_is
    """What becomes of each gate, and of the cell state before it is shown; see `forward` of
    `gated.core.reference`."""


class Gradients(NamedTuple):
    """Gradients of what a cell's `forward` took."""

    from_input: Array
    from_hidden: Array
    before: States
    """Without the part that flows through `from_hidden`."""
    read: Array | float = 0.0
    """Likewise."""
    weights: dict[str, Array] = {}  # noqa: RUF012 - a named tuple's default, never written to
    """Of the weights that the cell uses itself."""


class Cell(NamedTuple):
    """One step of a recurrent network, forward and backward."""

    forward: Callable[[Taken], Values]
    backward: Callable[[Values, Taken, States, Values], Gradients]
    """Of what the step computed and took, the gradients of the states after it, and those of its
    gates, by name, where a loss reads them."""


def product(weight: Array, vectors: Array, bias: Array | None = None) -> Array:
    """W v + b for each of the vectors, (B, …)."""
    sums = vectors @ weight.T
    return sums if bias is None else sums + bias


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + exp(-a)), accurate and without overflow on both sides."""
    z = np.exp(-np.abs(a))
    return np.where(a >= 0, 1 / (1 + z), z / (1 + z))


class Norm(NamedTuple):
    """norm(v) = (v - mean) / √(variance + ε) of each row (Ba, Kiros and Hinton 2016)."""

    values: Array
    """norm(v), (B, N)"""
    scale: Array
    """1 / √(variance + ε), (B, 1)"""

    def backward(self, grad: Array) -> Array:
        """The gradient of v for that of norm(v)."""
        along = (grad * self.values).mean(axis=-1, keepdims=True)
        of_v: Array = grad - grad.mean(axis=-1, keepdims=True) - self.values * along
        return of_v * self.scale


def norm(v: Array) -> Norm:
    """Normalise each row of v (B, N), with ε = 1e-5."""
    from_mean = v - v.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((from_mean**2).mean(axis=-1, keepdims=True) + v.dtype.type(1e-5))
    return Norm(from_mean * scale, scale)


# The plain network (Elman 1990):  h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)


def _rnn(activation: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Cell:
    """The plain cell, by its activation and the slope of that at a given result."""

    def forward(taken: Taken) -> Values:
        return {"hidden": activation(taken.from_input + taken.from_hidden)}

    def backward(step: Values, taken: Taken, grad: States, _: Values) -> Gradients:
        grad_sums = grad[0] * slope(step["hidden"])
        return Gradients(grad_sums, grad_sums, (np.zeros_like(taken.before[0]),))

    return Cell(forward, backward)


# The long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers,
# Schmidhuber and Cummins 2000); the sums of the gates are a:
#
#   i_t = σ(a_i)    f_t = σ(a_f)    C̃_t = tanh(a_C)    o_t = σ(a_o)
#   C_t = f_t * C_{t-1} + i_t * C̃_t
#   h_t = o_t * tanh(C_t)
#
# With peepholes p (Gers and Schmidhuber 2000) i and f also see p * C_{t-1}, and o sees p * C_t.
# With layer normalisation (Ba, Kiros and Hinton 2016) h_t = o_t * tanh(g * norm(C_t) + b).


def _lstm(taken: Taken) -> Values:
    weights, cell_before, hold = taken.weights, taken.before[1], taken.hold
    a_i, a_f, a_c, a_o = np.split(taken.from_input + taken.from_hidden, 4, axis=-1)
    if weights.peepholes is not None:
        a_i = a_i + weights.peepholes[0] * cell_before
        a_f = a_f + weights.peepholes[1] * cell_before
    input_gate = hold("input_gate", sigmoid(a_i))
    forget_gate = hold("forget_gate", sigmoid(a_f))
    candidate = hold("candidate", np.tanh(a_c))
    cell = hold("cell", forget_gate * cell_before + input_gate * candidate)
    if weights.peepholes is not None:
        a_o = a_o + weights.peepholes[2] * cell
    output_gate = hold("output_gate", sigmoid(a_o))
    return {
        "input_gate": input_gate,
        "forget_gate": forget_gate,
        "candidate": candidate,
        "output_gate": output_gate,
        "cell": cell,
        "hidden": output_gate * np.tanh(_shown(cell, weights)),
    }


def _shown(cell: Array, weights: Weights[Array]) -> Array:
    """What the output gate lets through of the cell state."""
    if weights.gain_cell is None or weights.bias_cell is None:
        return cell
    return weights.gain_cell * norm(cell).values + weights.bias_cell


class _Shown(NamedTuple):
    """The way back through what the output gate lets through of the cell state."""

    tanh_cell: Array
    cell: Array
    """The gradient of the cell state."""
    weights: dict[str, Array]


def _shown_backward(cell: Array, o: Array, grad_hidden: Array, weights: Weights[Array]) -> _Shown:
    tanh_cell = np.tanh(_shown(cell, weights))
    grad = grad_hidden * o * (1 - tanh_cell**2)
    if weights.gain_cell is None:
        return _Shown(tanh_cell, grad, {})
    normalised = norm(cell)
    own = {"gain_cell": (grad * normalised.values).sum(axis=0), "bias_cell": grad.sum(axis=0)}
    return _Shown(tanh_cell, normalised.backward(grad * weights.gain_cell), own)


def _lstm_backward(step: Values, taken: Taken, grad: States, grad_gates: Values) -> Gradients:
    weights, cell_before = taken.weights, taken.before[1]
    i, f, c, o = (step[gate] for gate in layout_of("lstm").gates)
    of_i, of_f, of_c, of_o = (grad_gates.get(gate, 0) for gate in layout_of("lstm").gates)
    grad_hidden, grad_cell = grad
    shown = _shown_backward(step["cell"], o, grad_hidden, weights)
    own = dict(shown.weights)

    grad_o = (grad_hidden * shown.tanh_cell + of_o) * o * (1 - o)
    grad_cell = grad_cell + shown.cell
    if weights.peepholes is not None:
        grad_cell = grad_cell + weights.peepholes[2] * grad_o
    grad_i = (grad_cell * c + of_i) * i * (1 - i)
    grad_f = (grad_cell * cell_before + of_f) * f * (1 - f)
    grad_c = (grad_cell * i + of_c) * (1 - c**2)
    grad_cell_before = grad_cell * f

    if weights.peepholes is not None:
        p_i, p_f, _ = weights.peepholes
        grad_cell_before = grad_cell_before + p_i * grad_i + p_f * grad_f
        seen = (grad_i * cell_before, grad_f * cell_before, grad_o * step["cell"])
        own["peepholes"] = np.stack([product.sum(axis=0) for product in seen])
    grad_sums = np.concatenate([grad_i, grad_f, grad_c, grad_o], axis=-1)
    before = (np.zeros_like(taken.before[0]), grad_cell_before)
    return Gradients(grad_sums, grad_sums, before, weights=own)


# The LSTM with coupled gates (Greff et al. 2017) writes what it forgets, i_t = 1 - f_t:
#
#   C_t = f_t * C_{t-1} + (1 - f_t) * C̃_t


def _lstm_coupled(taken: Taken) -> Values:
    hold = taken.hold
    a_f, a_c, a_o = np.split(taken.from_input + taken.from_hidden, 3, axis=-1)
    forget_gate = hold("forget_gate", sigmoid(a_f))
    candidate = hold("candidate", np.tanh(a_c))
    cell = hold("cell", forget_gate * taken.before[1] + (1 - forget_gate) * candidate)
    output_gate = hold("output_gate", sigmoid(a_o))
    return {
        "forget_gate": forget_gate,
        "candidate": candidate,
        "output_gate": output_gate,
        "cell": cell,
        "hidden": output_gate * np.tanh(_shown(cell, taken.weights)),
    }


def _lstm_coupled_backward(
    step: Values, taken: Taken, grad: States, grad_gates: Values
) -> Gradients:
    f, c, o = (step[gate] for gate in layout_of("lstm_coupled").gates)
    of_f, of_c, of_o = (grad_gates.get(gate, 0) for gate in layout_of("lstm_coupled").gates)
    shown = _shown_backward(step["cell"], o, grad[0], taken.weights)
    grad_cell = grad[1] + shown.cell
    grad_f = (grad_cell * (taken.before[1] - c) + of_f) * f * (1 - f)
    grad_c = (grad_cell * (1 - f) + of_c) * (1 - c**2)
    grad_o = (grad[0] * shown.tanh_cell + of_o) * o * (1 - o)
    grad_sums = np.concatenate([grad_f, grad_c, grad_o], axis=-1)
    before = (np.zeros_like(taken.before[0]), grad_cell * f)
    return Gradients(grad_sums, grad_sums, before, weights=shown.weights)


# The gated recurrent unit (Cho et al. 2014), u from the input and v from the hidden state:
#
#   r_t = σ(u_r + v_r)    z_t = σ(u_z + v_z)
#   n_t = tanh(u_n + r_t * v_n)                          reset after the product, as in PyTorch
#   n_t = tanh(u_n + W_hn (r_t * h_{t-1}) + b_hn)        reset before it, as in the paper
#   h_t = (1 - z_t) * n_t + z_t * h_{t-1}


def _gru(taken: Taken) -> Values:
    v_n = np.split(taken.from_hidden, 3, axis=-1)[2]
    step = _gru_values(taken, lambda reset_gate: reset_gate * v_n)
    return step | {"candidate_from_hidden": v_n}


def _gru_values(taken: Taken, reset: Callable[[Array], Array]) -> Values:
    """Either form, by what the reset gate leaves of the hidden state in the candidate's sum."""
    u_r, u_z, u_n = np.split(taken.from_input, 3, axis=-1)
    v_r, v_z, _ = np.split(taken.from_hidden, 3, axis=-1)
    reset_gate = taken.hold("reset_gate", sigmoid(u_r + v_r))
    update_gate = taken.hold("update_gate", sigmoid(u_z + v_z))
    candidate = taken.hold("candidate", np.tanh(u_n + reset(reset_gate)))
    return {
        "reset_gate": reset_gate,
        "update_gate": update_gate,
        "candidate": candidate,
        "hidden": (1 - update_gate) * candidate + update_gate * taken.before[0],
    }


def _gru_update_backward(
    step: Values, taken: Taken, grad: States, grad_gates: Values
) -> tuple[Array, Array]:
    """The gradients of the sums of the update gate and of the candidate, in either form."""
    z, n = step["update_gate"], step["candidate"]
    grad_n = (grad[0] * (1 - z) + grad_gates.get("candidate", 0)) * (1 - n**2)
    of_z = grad[0] * (taken.before[0] - n) + grad_gates.get("update_gate", 0)
    return of_z * z * (1 - z), grad_n


def _gru_backward(step: Values, taken: Taken, grad: States, grad_gates: Values) -> Gradients:
    r, z = step["reset_gate"], step["update_gate"]
    grad_z, grad_n = _gru_update_backward(step, taken, grad, grad_gates)
    of_r = grad_n * step["candidate_from_hidden"] + grad_gates.get("reset_gate", 0)
    grad_r = of_r * r * (1 - r)
    return Gradients(
        from_input=np.concatenate([grad_r, grad_z, grad_n], axis=-1),
        from_hidden=np.concatenate([grad_r, grad_z, grad_n * r], axis=-1),
        before=(grad[0] * z,),
    )


def _gru_reset_before(taken: Taken) -> Values:
    weights = taken.weights
    W_hn = np.split(weights.weight_hh, 3)[2]
    b_hn = None if weights.bias_hh is None else np.split(weights.bias_hh, 3)[2]
    return _gru_values(taken, lambda reset_gate: product(W_hn, reset_gate * taken.read, b_hn))


def _gru_reset_before_backward(
    step: Values, taken: Taken, grad: States, grad_gates: Values
) -> Gradients:
    r, z = step["reset_gate"], step["update_gate"]
    weights = taken.weights
    W_hn = np.split(weights.weight_hh, 3)[2]
    grad_z, grad_n = _gru_update_backward(step, taken, grad, grad_gates)
    grad_reset_hidden = grad_n @ W_hn
    of_r = grad_reset_hidden * taken.read + grad_gates.get("reset_gate", 0)
    grad_r = of_r * r * (1 - r)

    grad_W_hh = np.zeros_like(weights.weight_hh)
    np.split(grad_W_hh, 3)[2][...] = grad_n.T @ (r * taken.read)
    grad_b_hh = np.concatenate([np.zeros_like(W_hn[:, 0])] * 2 + [grad_n.sum(axis=0)])
    return Gradients(
        from_input=np.concatenate([grad_r, grad_z, grad_n], axis=-1),
        from_hidden=np.concatenate([grad_r, grad_z, np.zeros_like(grad_n)], axis=-1),
        before=(grad[0] * z,),
        read=grad_reset_hidden * r,
        weights={"weight_hh": grad_W_hh, "bias_hh": grad_b_hh},
    )


CELLS: dict[str, Cell] = {
    "rnn_tanh": _rnn(np.tanh, slope=lambda hidden: 1 - hidden**2),
    "rnn_relu": _rnn(lambda a: np.maximum(a, 0), slope=lambda hidden: np.sign(hidden)),
    "gru": Cell(_gru, _gru_backward),
    "gru_reset_before": Cell(_gru_reset_before, _gru_reset_before_backward),
    "lstm": Cell(_lstm, _lstm_backward),
    "lstm_coupled": Cell(_lstm_coupled, _lstm_coupled_backward),
}
"""Every cell, by the names of `gated.core.layout.LAYOUTS`."""
