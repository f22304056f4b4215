"""Names, orders and shapes of weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

from gated.cells import library
from gated.core import layout
from gated.errors import ConfigurationError


@pytest.mark.parametrize("cell", layout.LAYOUTS)
def test_every_cell_of_the_table_has_its_equations(cell: str) -> None:
    gates, onnx_gates, states, together = layout.LAYOUTS[cell]
    defined = getattr(library, cell)
    assert tuple(defined.gates) == gates
    assert defined.state_names == states
    assert sorted(gates) == sorted(onnx_gates)
    assert sum(together) in (0, len(gates))


@pytest.mark.parametrize(
    ("cell", "kind", "options"),
    [
        ("rnn_tanh", torch.nn.RNN, {}),
        ("gru", torch.nn.GRU, {}),
        ("lstm", torch.nn.LSTM, {}),
        ("lstm", torch.nn.LSTM, {"proj_size": 2}),
    ],
)
def test_names_and_shapes_are_those_of_torch(cell: str, kind: type, options: dict) -> None:
    module = kind(3, 5, num_layers=2, bidirectional=True, **options)
    projected = options.get("proj_size", 0)
    expected = {name: tuple(p.shape) for name, p in module.named_parameters()}
    named = {}
    for layer in range(2):
        inputs = 3 if layer == 0 else 2 * (projected or 5)
        for reverse in (False, True):
            names = layout.parameter_names(layer, reverse)
            named |= dict(zip(names, layout.weight_shapes(cell, inputs, 5, projected), strict=True))
    assert {name: named[name] for name in expected} == expected


def test_gates_change_places_between_the_two_orders() -> None:
    rows = np.arange(4.0)
    weights = layout.Weights(rows[:, None], rows[:, None], rows, rows, peepholes=rows[:3, None])
    node = layout.to_onnx("lstm", [weights])
    assert node["W"].ravel().tolist() == [0, 3, 1, 2]  # input, output, forget, candidate
    assert node["B"].ravel().tolist() == [0, 3, 1, 2] * 2
    assert node["P"].ravel().tolist() == [0, 2, 1]  # input, output, forget
    three = layout.Weights(rows[:3, None], rows[:3, None])
    assert layout.to_onnx("gru", [three])["R"].ravel().tolist() == [1, 0, 2]  # update, reset


@pytest.mark.parametrize("cell", layout.LAYOUTS)
def test_there_and_back_again(cell: str) -> None:
    rng = np.random.default_rng(0)
    shapes = layout.weight_shapes(cell, 3, 5)._asdict()
    known = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", *["peepholes"] * (cell == "lstm")]
    directions = [
        layout.Weights(**{name: rng.normal(size=shapes[name]) for name in known}) for _ in range(2)
    ]
    assert_agree(layout.from_onnx(cell, **layout.to_onnx(cell, directions)), directions, cell)


def test_what_onnx_cannot_say_is_refused() -> None:
    square = np.zeros((4, 1))
    with pytest.raises(ConfigurationError, match="weight_hr"):
        layout.to_onnx("lstm", [layout.Weights(square, square, weight_hr=square)])
    with pytest.raises(ConfigurationError, match="gain_ih"):
        layout.to_onnx("lstm", [layout.Weights(square, square, gain_ih=square[:, 0])])
    with pytest.raises(ConfigurationError, match="one is missing"):
        layout.to_onnx("lstm", [layout.Weights(square, square, bias_ih=square[:, 0])])


def test_rows_of_a_gate() -> None:
    assert layout.gate_rows("gru", "candidate", 7) == slice(14, 21)
    with pytest.raises(ConfigurationError, match=r"reset_gate.*'forget_gate'"):
        layout.gate_rows("gru", "forget_gate", 7)
    with pytest.raises(ConfigurationError, match=r"lstm_coupled, got 'elman'"):
        layout.layout_of("elman")
