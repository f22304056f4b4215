"""The recurrent cases that come with the onnx package, as arrays."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from onnx import helper
from onnx.backend.test.case import node as cases

from gated.core.layout import Array, Weights, from_onnx

for kind in ("lstm", "gru", "rnn"):
    import_module(f"onnx.backend.test.case.node.{kind}")  # adds its cases to the list
_CASES = {
    case.name: case
    for case in cases._NodeTestCases
    if case.model.graph.node[0].op_type in ("LSTM", "GRU", "RNN")
}
NAMES = sorted(_CASES)


class Case(NamedTuple):
    """A node's call, in our words, and what it should give."""

    cell: str
    x: Array
    weights: list[Weights[Array]]
    """Of each direction."""
    lengths: np.ndarray | None
    initial: list[Array]
    """Each (D, B, H); empty where none is given."""
    reverse: bool
    """Whether the only direction is from the end."""
    expected: dict[str, Array]
    """By ONNX's names: Y (T, D, B, H), Y_h and Y_c (D, B, H)."""


def read(name: str) -> Case:
    node = _CASES[name].model.graph.node[0]
    ((inputs, outputs),) = _CASES[name].data_sets
    given = dict(zip(filter(None, node.input), inputs, strict=True))
    wanted = dict(zip(filter(None, node.output), outputs, strict=True))
    attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    known = {"hidden_size", "layout", "direction", "linear_before_reset"}
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
        reverse=attributes.get("direction") == b"reverse",
        expected=wanted,
    )
