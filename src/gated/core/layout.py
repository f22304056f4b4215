"""Names, orders and shapes of the weights and gates of PyTorch's cells and their variants.

Shapes: I input features, H hidden units, G gates of the cell, P units of the projected hidden
state (H where nothing is projected), D directions. Names, orders and shapes are PyTorch's, so that
state dicts are exchanged unchanged; ONNX orders its gates differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gated.errors import ConfigurationError

CellName: TypeAlias = Literal[
    "rnn_tanh", "rnn_relu", "gru", "gru_reset_before", "lstm", "lstm_coupled"
]
Array: TypeAlias = NDArray[np.floating[Any]]
W = TypeVar("W")


class CellLayout(NamedTuple):
    """The names and order of a cell's gates and states."""

    gates: tuple[str, ...]
    """The gates, in the order of the rows of the weights (PyTorch's)."""
    onnx_gates: tuple[str, ...]
    """The same gates in ONNX's order."""
    states: tuple[str, ...]
    """The states that a step passes to the next; the hidden state first."""
    normalised_together: tuple[int, ...]
    """Sizes of the groups of gates, from the first on, that layer normalisation normalises together
    (Ba, Kiros and Hinton 2016); empty where it is not defined."""


_RNN = CellLayout(("hidden",), ("hidden",), ("hidden",), (1,))
_GRU = CellLayout(
    gates=("reset_gate", "update_gate", "candidate"),
    onnx_gates=("update_gate", "reset_gate", "candidate"),
    states=("hidden",),
    normalised_together=(2, 1),
)
_LSTM = CellLayout(
    gates=("input_gate", "forget_gate", "candidate", "output_gate"),
    onnx_gates=("input_gate", "output_gate", "forget_gate", "candidate"),
    states=("hidden", "cell"),
    normalised_together=(4,),
)
LAYOUTS: dict[str, CellLayout] = {
    "rnn_tanh": _RNN,
    "rnn_relu": _RNN,
    "gru": _GRU,
    "gru_reset_before": _GRU._replace(normalised_together=()),
    "lstm": _LSTM,
    "lstm_coupled": CellLayout(
        gates=("forget_gate", "candidate", "output_gate"),
        onnx_gates=("output_gate", "forget_gate", "candidate"),
        states=("hidden", "cell"),
        normalised_together=(3,),
    ),
}
"""The cells by name. `gru` resets after the product with the hidden state, as PyTorch does (ONNX:
`linear_before_reset=1`), `gru_reset_before` before it, as in Cho et al. 2014. The input gate of
`lstm_coupled` is 1 minus its forget gate (Greff et al. 2017)."""

PEEPHOLE_GATES = ("input_gate", "forget_gate", "output_gate")
"""The gates that read the cell state, in the order of the rows of `Weights.peepholes`."""
ONNX_PEEPHOLE_GATES = ("input_gate", "output_gate", "forget_gate")


class Weights(NamedTuple, Generic[W]):
    """The weights of one layer in one direction: arrays, tensors, or something else for each."""

    weight_ih: W
    """(G·H, I)"""
    weight_hh: W
    """(G·H, P)"""
    bias_ih: W | None = None
    """(G·H,)"""
    bias_hh: W | None = None
    """(G·H,)"""
    weight_hr: W | None = None
    """(P, H), projects the hidden state of an LSTM (Sak, Senior and Beaufays 2014)."""
    peepholes: W | None = None
    """(3, H), from the cell state of an LSTM to its gates (Gers and Schmidhuber 2000)."""
    gain_ih: W | None = None
    """(G·H,), gain of the normalised product with the input (Ba, Kiros and Hinton 2016)."""
    gain_hh: W | None = None
    """(G·H,), gain of the normalised product with the hidden state."""
    gain_cell: W | None = None
    """(H,), gain of the normalised cell state, which tanh and output gate are applied to."""
    bias_cell: W | None = None
    """(H,), bias of the normalised cell state."""


def layout_of(cell: str) -> CellLayout:
    """Return the layout of a cell.

    Raises:
        ConfigurationError: there is no such cell.
    """
    if cell not in LAYOUTS:
        raise ConfigurationError(f"cell must be one of {', '.join(LAYOUTS)}, got {cell!r}")
    return LAYOUTS[cell]


def weight_shapes(cell: str, inputs: int, units: int, projected: int = 0) -> Weights[Any]:
    """Return the shape of each weight, including optional ones.

    >>> weight_shapes("lstm", inputs=3, units=5).weight_ih
    (20, 3)
    """
    rows = len(layout_of(cell).gates) * units
    return Weights(
        weight_ih=(rows, inputs),
        weight_hh=(rows, projected or units),
        bias_ih=(rows,),
        bias_hh=(rows,),
        weight_hr=(projected or units, units),
        peepholes=(len(PEEPHOLE_GATES), units),
        gain_ih=(rows,),
        gain_hh=(rows,),
        gain_cell=(units,),
        bias_cell=(units,),
    )


def parameter_names(layer: int, reverse: bool) -> tuple[str, ...]:
    """Return the name of each of the `Weights` in the state dict of a layer of `torch.nn`.

    >>> parameter_names(layer=1, reverse=True)[:2]
    ('weight_ih_l1_reverse', 'weight_hh_l1_reverse')
    """
    suffix = f"_l{layer}{'_reverse' if reverse else ''}"
    return tuple(name + suffix for name in Weights._fields)


def gate_rows(cell: str, gate: str, units: int) -> slice:
    """Return the rows of the weights and biases that belong to one gate.

    >>> gate_rows("lstm", "forget_gate", units=8)
    slice(8, 16, None)

    Raises:
        ConfigurationError: the cell has no such gate.
    """
    gates = layout_of(cell).gates
    if gate not in gates:
        raise ConfigurationError(f"gate of {cell} must be one of {', '.join(gates)}, got {gate!r}")
    first = gates.index(gate) * units
    return slice(first, first + units)


def to_onnx(cell: str, directions: Sequence[Weights[Array]]) -> dict[str, Array]:
    """Return the inputs of an ONNX node for its directions: W, R and, if present, B and P.

    W is (D, G·H, I), R (D, G·H, H), B (D, 2·G·H), P (D, 3·H). ONNX has no projection.

    Raises:
        ConfigurationError: the weights project or normalise, or have only one of the two biases.
    """
    node: dict[str, list[Array]] = {}
    gates, onnx_gates = layout_of(cell)[:2]
    for weights in directions:
        if weights.weight_hr is not None:
            raise ConfigurationError("ONNX cannot express weight_hr, a projected hidden state")
        if weights.gain_ih is not None:
            raise ConfigurationError("ONNX cannot express gain_ih, layer normalisation in the loop")
        if (weights.bias_ih is None) != (weights.bias_hh is None):
            raise ConfigurationError("ONNX has both bias_ih and bias_hh, or none: one is missing")
        node.setdefault("W", []).append(_reordered(weights.weight_ih, gates, onnx_gates))
        node.setdefault("R", []).append(_reordered(weights.weight_hh, gates, onnx_gates))
        if weights.bias_ih is not None and weights.bias_hh is not None:
            both = [_reordered(b, gates, onnx_gates) for b in (weights.bias_ih, weights.bias_hh)]
            node.setdefault("B", []).append(np.concatenate(both))
        if weights.peepholes is not None:
            flat = weights.peepholes.reshape(-1)
            rows = _reordered(flat, PEEPHOLE_GATES, ONNX_PEEPHOLE_GATES)
            node.setdefault("P", []).append(rows)
    return {name: np.stack(arrays) for name, arrays in node.items()}


def from_onnx(
    cell: str, W: Array, R: Array, B: Array | None = None, P: Array | None = None
) -> list[Weights[Array]]:
    """Return the weights of each direction of an ONNX node: the inverse of `to_onnx`."""
    gates, onnx_gates = layout_of(cell)[:2]
    directions = []
    for d in range(len(W)):
        biases = [] if B is None else np.split(B[d], 2)
        weights = Weights(*(_reordered(rows, onnx_gates, gates) for rows in (W[d], R[d], *biases)))
        if P is not None:
            rows = _reordered(P[d], ONNX_PEEPHOLE_GATES, PEEPHOLE_GATES)
            weights = weights._replace(peepholes=rows.reshape(len(PEEPHOLE_GATES), -1))
        directions.append(weights)
    return directions


def _reordered(rows: Array, given: tuple[str, ...], wanted: tuple[str, ...]) -> Array:
    """Return `rows` (G·H, …) with its G blocks reordered from the order `given` to `wanted`."""
    blocks = dict(zip(given, np.split(rows, len(given)), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])
