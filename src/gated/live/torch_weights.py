"""Recurrent layers of PyTorch, or weights by its names, as programs: torch is not imported.

Shapes: I inputs, H hidden units, P units of the projected hidden state, G gates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import ProgramError
from gated.live.model import Model
from gated.live.program import Program, Writer

Array = NDArray[Any]
_NAME = re.compile(
    r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh|peepholes|gain_ih|gain_hh|gain_cell|bias_cell)"
    r"_l(\d+)(_reverse)?"
)
_OF_MODE = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}
_OF_GATES = {1: "rnn_tanh", 3: "gru", 4: "lstm"}


def program_of(
    source: Any, cell: str | None = None, prefix: str = ""
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return recurrent layers of PyTorch as a program and its weights, for `gated.live.write`.

    Args:
        source: as of `from_torch`, and so the other.

    Raises:
        ProgramError: as of `from_torch`.
    """
    given = source
    if not isinstance(source, Mapping):
        if not hasattr(source, "state_dict"):
            raise ProgramError(
                f"source must be a layer of PyTorch or weights by name, got {type(source).__name__}"
            )
        given = source.state_dict()
        known = getattr(source, "_cell", None) or _OF_MODE.get(getattr(source, "mode", ""))
        if known is None:
            raise ProgramError(
                f"a {type(source).__name__} is no RNN, GRU or LSTM: give the recurrent "
                "layer in it, such as network.lstm"
            )
        cell = cell or str(known)
        if any(getattr(getattr(source, "variant", None), "zoneout", None) or ()):
            raise ProgramError("the layer has zoneout: save its run, which gated.load reads")
    named = {str(name): of for name, of in given.items()}
    arrays = {
        name.removeprefix(prefix): _array(name, of)
        for name, of in named.items()
        if name.startswith(prefix)
    }
    parts = {name: _NAME.fullmatch(name) for name in arrays}
    if strange := [name for name, of in parts.items() if of is None]:
        raise ProgramError(
            f"{strange[0]!r} is no weight of a layer of torch.nn, such as weight_ih_l0: give those "
            "of one layer alone, by prefix= what their names begin with"
        )
    if "weight_hh_l0" not in arrays or "weight_ih_l0" not in arrays:
        raise ProgramError("weight_ih_l0 and weight_hh_l0 are missing: give a recurrent layer")
    depth = 1 + max(int(of[2]) for of in parts.values() if of)
    directions = 2 if "weight_ih_l0_reverse" in arrays else 1
    rows, columns = arrays["weight_hh_l0"].shape
    projected = arrays.get("weight_hr_l0")
    units = columns if projected is None else projected.shape[1]
    if cell is None:
        gates = rows // max(units, 1)
        if rows != gates * units or gates not in _OF_GATES:
            raise ProgramError(
                f"weight_hh_l0 is {arrays['weight_hh_l0'].shape}: neither an RNN's, a GRU's nor an "
                "LSTM's"
            )
        cell = _OF_GATES[gates]
    writer = Writer("numbers", arrays["weight_ih_l0"].shape[1])
    found = writer.add(
        "recurrent", writer.input, cell=cell, weights="", layers=depth, units=units,
        directions=directions if directions > 1 else None,
        projected=None if projected is None else columns,
    )  # fmt: skip
    return writer.program("numbers", found), arrays


def from_torch(source: Any, cell: str | None = None, *, prefix: str = "") -> Model:
    """Read a recurrent layer of PyTorch: its steps, streams and exports, with NumPy alone.

    A `torch.nn.RNN`, `GRU` or `LSTM`, of any number of layers, both directions and `proj_size`; a
    layer of `gated.nn` of these names with its options; or a state dict of one, of tensors or of
    arrays, such as safetensors holds. The predictions are the hidden states of the last layer, as
    a layer returns them. In PyTorch itself nothing needs to be converted: layers of `gated.nn` load
    the same state dicts, and `gated.accelerate` runs a whole model.

    Args:
        source: the layer, or its weights by the names of `torch.nn`.
        cell: of weights by name, one of `gated.core.layout.LAYOUTS`; by default `lstm`, `gru` or
            `rnn_tanh`, as their shapes say.
        prefix: what the names of the weights of this layer begin with, such as `decoder.rnn.`.

    Raises:
        ProgramError: it is none of these, or weights are missing.

    >>> weights = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.ones((1, 1))}
    >>> from_torch(weights, "rnn_relu")(np.ones((3, 1))).ravel().tolist()
    [1.0, 2.0, 3.0]
    """
    values, arrays = program_of(source, cell, prefix)
    return Model(Program(values, arrays), arrays)


def _array(name: Any, given: Any) -> Array:
    """A tensor or an array, as float32."""
    if hasattr(given, "detach"):
        given = given.detach().cpu().float().numpy()
    found = np.ascontiguousarray(given)
    if found.dtype.kind != "f":
        raise ProgramError(f"{name} must hold floating-point numbers, got {found.dtype}")
    return found.astype(np.float32)
