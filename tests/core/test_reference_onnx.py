"""The reference against the cases of the onnx package."""

from __future__ import annotations

import numpy as np
import pytest
from tests.comparison import assert_agree
from tests.core import onnx_cases

from gated.core import reference


def test_all_cases_are_there() -> None:
    assert len(onnx_cases.NAMES) == 18
    assert sum(onnx_cases.read(name).reverse for name in onnx_cases.NAMES) == 3
    assert sum(len(onnx_cases.read(name).weights) == 2 for name in onnx_cases.NAMES) == 3
    cells = [onnx_cases.read(name).cell for name in onnx_cases.NAMES]
    assert set(cells) == {"lstm", "gru_reset_before", "rnn_tanh"}
    peepholes = onnx_cases.read("test_lstm_with_peepholes").weights[0].peepholes
    assert peepholes is not None
    assert peepholes.any()


@pytest.mark.parametrize("name", onnx_cases.NAMES)
def test_the_reference_gives_what_onnx_expects(name: str) -> None:
    case = onnx_cases.read(name)
    outputs, finals = [], []
    for direction, weights in enumerate(case.weights):
        output, final, _ = reference.forward(
            case.cell,
            case.x,
            weights,
            lengths=case.lengths,
            initial=[state[direction] for state in case.initial] or None,
            reverse=case.reverse or direction == 1,
        )
        outputs.append(output)
        finals.append(final)
    actual = {"Y": np.stack(outputs, axis=1)}
    for state, of in zip("hc", zip(*finals, strict=True), strict=False):
        actual["Y_" + state] = np.stack(of)
    assert case.expected
    assert_agree({part: actual[part] for part in case.expected}, case.expected, name)
