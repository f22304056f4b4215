"""The nodes LSTM, GRU and RNN of ONNX: their attributes as cells, their weights by our names.

Shapes: I input features, H hidden units, G gates of the node, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.cells import library
from gated.cells.activated import FUNCTIONS, USUAL, Activation, activated
from gated.cells.cell import Cell
from gated.core import layout
from gated.errors import CellError, ConfigurationError, DataError

OPERATIONS = ("LSTM", "GRU", "RNN")
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_KNOWN = {
    "activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size",
    "input_forget", "layout", "linear_before_reset", "output_sequence",
}  # fmt: skip
_NAMES = {name.replace("_", ""): name for name in FUNCTIONS}
_OF_ONNX = (
    "affine", "elu", "hard_sigmoid", "leaky_relu", "relu", "scaled_tanh", "sigmoid", "softplus",
    "softsign", "tanh", "thresholded_relu",
)  # fmt: skip
_NO_DEFAULT = ("affine", "scaled_tanh")
_BLOCKS = {"LSTM": 4, "GRU": 3, "RNN": 1}


class OnnxNode(NamedTuple):
    """What a node computes, without its weights."""

    operation: str
    """`LSTM`, `GRU` or `RNN`."""
    cells: tuple[Cell, ...]
    """Of each direction: activations may differ."""
    backwards: tuple[bool, ...]
    """Whether each direction runs from the end."""
    units: int
    """H; 0 where the node leaves it to its weights."""
    batch_first: bool
    """Whether X is (B, T, I), by `layout=1`."""
    coupled: bool
    """Whether an LSTM's forget gate is 1 minus its input gate."""

    def weights(
        self,
        W: NDArray[Any],
        R: NDArray[Any],
        B: NDArray[Any] | None = None,
        P: NDArray[Any] | None = None,
    ) -> list[dict[str, NDArray[Any]]]:
        """Return the weights of each direction, by the names of its cell.

        Args:
            W: (D, G·H, I), in ONNX's order of gates, and so all others.
            R: (D, G·H, H)
            B: (D, 2·G·H), or None.
            P: (D, 3·H), or None.

        Raises:
            DataError: a shape is not as described.
        """
        W, R = np.asarray(W), np.asarray(R)
        D, blocks = len(self.cells), _BLOCKS[self.operation]
        units = R.shape[2] if R.ndim == 3 else 0
        if self.units and units and self.units != units:
            raise DataError(f"hidden_size is {self.units}, and R has {units} units")
        inputs = W.shape[2] if W.ndim == 3 else 0
        shapes: dict[str, tuple[int, ...]] = {
            "W": (D, blocks * units, inputs),
            "R": (D, blocks * units, units),
        }
        given = {"W": W, "R": R}
        if B is not None:
            shapes["B"], given["B"] = (D, 2 * blocks * units), np.asarray(B)
        if P is not None:
            shapes["P"], given["P"] = (D, 3 * units), np.asarray(P)
        for name, array in given.items():
            if array.shape != shapes[name] or not array.size:
                raise DataError(
                    f"{name} of a node {self.operation} with D = {D} directions must be "
                    f"{_SHAPES[name].replace('G', str(blocks))}, got {array.shape}"
                )
        cell = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn_tanh"}[self.operation]
        found = []
        for direction, of in zip(layout.from_onnx(cell, **given), self.cells, strict=True):
            arrays = {name: rows for name, rows in direction._asdict().items() if rows is not None}
            if self.coupled:
                arrays = {name: _without_forget(name, rows) for name, rows in arrays.items()}
            wanted = {parameter.name: parameter.gates for parameter in of.parameters}
            if "peepholes" in arrays:
                places = [_PEEPHOLES.index(gate) for gate in wanted["peepholes"]]
                arrays["peepholes"] = direction.peepholes[places]  # type: ignore[index]
            found.append({name: np.ascontiguousarray(rows) for name, rows in arrays.items()})
        return found


_SHAPES = {"W": "(D, G·H, I)", "R": "(D, G·H, H)", "B": "(D, 2·G·H)", "P": "(D, 3·H)"}
_PEEPHOLES = "ifo"


def _without_forget(name: str, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of i, f, g, o without those of f."""
    if name == "peepholes":
        return rows
    gates = np.split(rows, 4)
    return np.concatenate([gates[0], *gates[2:]])


def read_node(operation: str, attributes: Mapping[str, Any], peepholes: bool) -> OnnxNode:
    """Return what a node computes.

    Args:
        operation: `LSTM`, `GRU` or `RNN`.
        attributes: of the node, as numbers, texts (bytes too) and lists of these.
        peepholes: whether it has the input P.

    Raises:
        ConfigurationError: an attribute is not known, or has a value that ONNX does not know.

    >>> read_node("RNN", {"activations": [b"Relu"], "hidden_size": 3}, False).cells
    (<cell rnn_relu: states h; gates hidden>,)
    """
    if operation not in OPERATIONS:
        raise ConfigurationError(f"operation must be one of {', '.join(OPERATIONS)}")
    if strange := sorted(attributes.keys() - _KNOWN):
        raise ConfigurationError(f"a node {operation} has the attribute {strange[0]!r}: unknown")
    direction = _text(attributes.get("direction", "forward"))
    if direction not in DIRECTIONS:
        raise ConfigurationError(
            f"direction of a node {operation} must be one of {', '.join(DIRECTIONS)}, got "
            f"{direction!r}"
        )
    kind = {"LSTM": "lstm", "RNN": "rnn", "GRU": "gru_reset_before"}[operation]
    if operation == "GRU" and attributes.get("linear_before_reset", 0):
        kind = "gru"
    backwards = DIRECTIONS[direction]
    coupled = operation == "LSTM" and bool(attributes.get("input_forget", 0))
    clip = float(attributes.get("clip", 0.0)) or None
    per_direction = len(USUAL[kind])
    given = _activations(operation, attributes, per_direction * len(backwards))
    try:
        cells = tuple(
            activated(
                kind,
                given[at * per_direction : (at + 1) * per_direction],
                clip=clip,
                peepholes=peepholes and operation == "LSTM",
                coupled=coupled,
            )
            for at in range(len(backwards))
        )
    except CellError as error:
        raise ConfigurationError(f"a node {operation}: {error}") from error
    units, batch_first = int(attributes.get("hidden_size", 0)), bool(attributes.get("layout", 0))
    return OnnxNode(operation, cells, backwards, units, batch_first, coupled)


def _activations(operation: str, attributes: Mapping[str, Any], count: int) -> Sequence[Activation]:
    """All activations, with the numbers that they take from the two lists in turn."""
    names = [_text(of) for of in attributes.get("activations", ())]
    if not names:
        return ()
    if len(names) != count:
        raise ConfigurationError(
            f"activations of a node {operation} must be {count} functions, got {len(names)}: "
            f"{', '.join(names)}"
        )
    alphas = iter(attributes.get("activation_alpha", ()))
    betas = iter(attributes.get("activation_beta", ()))
    found = []
    for name in names:
        known = _NAMES.get(name.lower())
        if known not in _OF_ONNX:
            raise ConfigurationError(
                f"a node {operation} has the activation {name!r}, which ONNX does not know: it "
                f"has {', '.join(_OF_ONNX)}"
            )
        kind = FUNCTIONS[known]
        alpha = None if kind.alpha is None else next(alphas, None)
        beta = None if kind.beta is None else next(betas, None)
        if known in _NO_DEFAULT and (alpha is None or beta is None):
            raise ConfigurationError(
                f"a node {operation} has the activation {name} without numbers in activation_alpha "
                "and activation_beta, for which ONNX has no default: write them"
            )
        found.append(Activation(known, alpha, beta))
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class WrittenNode(NamedTuple):
    """A node that computes a cell of the library."""

    operation: str
    layout: str
    """The cell's name in `gated.core.layout.LAYOUTS`."""
    attributes: dict[str, Any]


NODES = {
    cell.digest: node
    for cell, node in (
        (library.rnn_tanh, WrittenNode("RNN", "rnn_tanh", {})),
        (library.rnn_relu, WrittenNode("RNN", "rnn_relu", {"activations": ["Relu"]})),
        (library.gru, WrittenNode("GRU", "gru", {"linear_before_reset": 1})),
        (
            library.gru_reset_before,
            WrittenNode("GRU", "gru_reset_before", {"linear_before_reset": 0}),
        ),
        (library.lstm, WrittenNode("LSTM", "lstm", {})),
        (library.lstm_peephole, WrittenNode("LSTM", "lstm", {})),
    )
}
"""By the cell's digest."""
