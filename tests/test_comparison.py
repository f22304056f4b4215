"""The comparison helper fails where it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_one_perturbed_weight_is_noticed(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = torch.nn.LSTM(3, 4).to(dtype)
    perturbed = torch.nn.LSTM(3, 4).to(dtype)
    perturbed.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3, dtype=dtype)
    assert_agree(perturbed(x), layer(x), "output")
    with torch.no_grad():
        perturbed.weight_ih_l0[14, 1] += 1.0 if dtype == torch.bfloat16 else 1e-2
    with pytest.raises(AssertionError, match="output"):
        assert_agree(perturbed(x), layer(x), "output")


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (np.zeros((2, 1)), np.zeros((2,))),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.array([np.nan, 1.0]), np.array([1.0, np.nan])),
        (np.array([np.inf]), np.array([-np.inf])),
        (np.array([1, 2]), np.array([1, 3])),
        (None, np.zeros(2)),
        (np.zeros(2), None),
        ((np.zeros(2),), (np.zeros(2), np.zeros(2))),
        ({"a": np.zeros(2)}, {"b": np.zeros(2)}),
        ({"a": np.zeros(2)}, {"a": np.ones(2)}),
    ],
)
def test_differences_are_noticed(actual: object, expected: object) -> None:
    with pytest.raises(AssertionError):
        assert_agree(actual, expected, "array")


def test_the_same_is_accepted() -> None:
    array = np.array([np.nan, np.inf, 1.0])
    assert_agree(array, array + 1e-12, "array")
    assert_agree({"a": (array, None)}, {"a": [array, None]}, "nested")
    assert_agree(torch.ones(3), np.ones(3, np.float32), "tensor and array")
