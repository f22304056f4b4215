"""gated.nn against the cases of the onnx package."""

from __future__ import annotations

import pytest
import torch
from tests.comparison import assert_agree
from tests.core import onnx_cases

import gated.nn
from gated.core.layout import parameter_names

KINDS = {"lstm": gated.nn.LSTM, "rnn_tanh": gated.nn.RNN}
# The modules reset after the product, have no peepholes and begin at the first step, as torch.nn.
EXPRESSIBLE = [
    name
    for name in onnx_cases.NAMES
    for case in [onnx_cases.read(name)]
    if case.cell in KINDS and case.weights[0].peepholes is None and not case.reverse
]


def test_what_the_modules_cannot_express_is_known() -> None:
    assert sorted(set(onnx_cases.NAMES) - set(EXPRESSIBLE)) == [
        "test_gru_batchwise",
        "test_gru_bidirectional",
        "test_gru_defaults",
        "test_gru_reverse",
        "test_gru_seq_length",
        "test_gru_with_initial_bias",
        "test_lstm_reverse",
        "test_lstm_with_peepholes",
        "test_simple_rnn_reverse",
    ]


@pytest.mark.parametrize("backend", ["torch", "reference", "native"])
@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_the_modules_give_what_onnx_expects(name: str, backend: str) -> None:
    case = onnx_cases.read(name)
    first, units = case.weights[0], case.weights[0].weight_hh.shape[1]
    module = KINDS[case.cell](
        case.x.shape[2],
        units,
        bias=first.bias_ih is not None,
        bidirectional=len(case.weights) == 2,
        backend=backend,
    )
    module.load_state_dict(
        {
            name: torch.from_numpy(weight)
            for way, weights in enumerate(case.weights)
            for name, weight in zip(parameter_names(0, way == 1), weights, strict=True)
            if weight is not None
        }
    )
    output, final = module(torch.from_numpy(case.x.copy()), lengths=case.lengths)
    states = final if isinstance(final, tuple) else (final,)
    actual = {"Y": output.unflatten(2, (-1, units)).transpose(1, 2)}
    actual |= {"Y_" + name: state for name, state in zip("hc", states, strict=False)}
    assert_agree({part: actual[part] for part in case.expected}, case.expected, name)
