"""The recurrent cases that come with the onnx package, as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from gated.core.layout import Array, Weights, from_onnx

NODES = Path(onnx.__file__).parent / "backend/test/data/node"
NAMES = sorted(
    path.name for kind in ("lstm", "gru", "simple_rnn") for path in NODES.glob(f"test_{kind}_*")
)


class Case(NamedTuple):
    """A node's call, in our words, and what it should give."""

    cell: str
    x: Array
    weights: list[Weights[Array]]
    """Of each direction."""
    lengths: np.ndarray | None
    initial: list[Array]
    """Each (D, B, H); empty where none is given."""
    expected: dict[str, Array]
    """By ONNX's names: Y (T, D, B, H), Y_h (D, B, H)."""


def read(name: str) -> Case:
    node = onnx.load(str(NODES / name / "model.onnx")).graph.node[0]
    given = dict(zip(node.input, _arrays(name, "input"), strict=True))
    wanted = dict(zip(filter(None, node.output), _arrays(name, "output"), strict=True))
    attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    known = {"hidden_size", "layout", "linear_before_reset"}
    if attributes.keys() - known:
        raise NotImplementedError(f"{name}: {attributes.keys() - known}")

    cell = {"LSTM": "lstm", "RNN": "rnn_tanh", "GRU": "gru_reset_before"}[node.op_type]
    if attributes.get("linear_before_reset"):
        cell = "gru"
    if attributes.get("layout"):  # batch first: X (B, T, I), Y (B, T, D, H), Y_h (B, D, H)
        given["X"] = given["X"].swapaxes(0, 1)
        wanted["Y"] = wanted["Y"].transpose(1, 2, 0, 3)
        wanted["Y_h"] = wanted["Y_h"].swapaxes(0, 1)
    return Case(
        cell=cell,
        x=given["X"],
        weights=from_onnx(cell, given["W"], given["R"], given.get("B"), given.get("P")),
        lengths=given.get("sequence_lens"),
        initial=[given[state] for state in ("initial_h", "initial_c") if state in given],
        expected=wanted,
    )


def _arrays(name: str, kind: str) -> list[Array]:
    files = sorted((NODES / name / "test_data_set_0").glob(f"{kind}_*.pb"))
    return [numpy_helper.to_array(onnx.load_tensor(str(path))) for path in files]
