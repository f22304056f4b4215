"""gated.nn against the cases of the onnx package."""

from __future__ import annotations

import pytest
import torch
from tests.comparison import assert_agree
from tests.core import onnx_cases

import gated.nn
from gated.core.layout import parameter_names

KINDS = {"lstm": gated.nn.LSTM, "rnn_tanh": gated.nn.RNN}
# The modules reset after the product and have no peepholes, as torch.nn.
EXPRESSIBLE = [
    name
    for name in onnx_cases.NAMES
    for case in [onnx_cases.read(name)]
    if case.cell in KINDS and case.weights[0].peepholes is None
]


def test_what_the_modules_cannot_express_is_known() -> None:
    assert sorted(set(onnx_cases.NAMES) - set(EXPRESSIBLE)) == [
        "test_gru_batchwise",
        "test_gru_defaults",
        "test_gru_seq_length",
        "test_gru_with_initial_bias",
        "test_lstm_with_peepholes",
    ]


@pytest.mark.parametrize("backend", ["torch", "reference", "native"])
@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_the_modules_give_what_onnx_expects(name: str, backend: str) -> None:
    case = onnx_cases.read(name)
    (weights,) = case.weights
    units = weights.weight_hh.shape[1]
    module = KINDS[case.cell](
        case.x.shape[2], units, bias=weights.bias_ih is not None, backend=backend
    )
    named = zip(parameter_names(0, reverse=False), weights, strict=True)
    module.load_state_dict({n: torch.from_numpy(w) for n, w in named if w is not None})
    output, final = module(torch.from_numpy(case.x.copy()), lengths=case.lengths)
    hidden = final[0] if isinstance(final, tuple) else final
    actual = {"Y": output.unsqueeze(1), "Y_h": hidden}
    assert_agree({part: actual[part] for part in case.expected}, case.expected, name)
