"""The single-step cells against torch.nn's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.comparison import assert_agree

import gated.nn
from gated.errors import DataError

CASES = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("GRUCell", {}),
    ("LSTMCell", {}),
    *((kind, {"bias": False}) for kind in ("RNNCell", "GRUCell", "LSTMCell")),
]


def run(cell: torch.nn.Module, x: torch.Tensor, hx: Any) -> dict[str, Any]:
    """The states after the step and, for a loss that depends on them, every gradient."""
    x = x.clone().requires_grad_()
    states = [] if hx is None else [s.clone().requires_grad_() for s in hx]
    after = cell(x, None if not states else tuple(states) if len(states) > 1 else states[0])
    after = after if isinstance(after, tuple) else (after,)
    cell.zero_grad()
    sum((state * torch.arange(1, 1 + state.shape[-1])).sum() for state in after).backward()
    gradients = {name: p.grad for name, p in cell.named_parameters()}
    return {"after": after, "of x": x.grad, "of hx": [s.grad for s in states], **gradients}


@pytest.mark.parametrize("backend", ["torch", "reference", "native"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (17, 7, 5), (2, 3, 17)])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_step_is_torchs_step(
    kind: str, options: dict, sizes: tuple[int, int, int], dtype: torch.dtype, backend: str
) -> None:
    B, I, H = sizes  # noqa: E741
    torch.manual_seed(1)
    ours = getattr(gated.nn, kind)(I, H, backend=backend, dtype=dtype, **options)
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(I, H, dtype=dtype, **options)
    assert_agree(dict(ours.state_dict()), dict(theirs.state_dict()), "initial values", relative=0)
    assert repr(ours) == repr(theirs)
    assert isinstance(ours, type(theirs))

    x = torch.randn(B, I, dtype=dtype)
    states = [torch.randn(B, H, dtype=dtype) for _ in range(2 if kind == "LSTMCell" else 1)]
    for hx in (None, states):
        assert_agree(run(ours, x, hx), run(theirs, x, hx), "batch")
    for hx in (None, [state[0] for state in states]):
        assert_agree(run(ours, x[0], hx), run(theirs, x[0], hx), "unbatched")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 2, 3),), r"input must have the shape \(B, I\).*got \(2, 2, 3\)"),
        ((torch.zeros(2, 4),), r"input must have 3 features \(input_size\), got 4"),
        ((torch.zeros(2, 3).int(),), "input must have the dtype torch.float32, got torch.int32"),
        ((torch.zeros(2, 3), torch.zeros(1, 5)), r"hx \(hidden\).*\(2, 5\), got \(1, 5\)"),
        ((torch.zeros(2, 3), (torch.zeros(2, 5),) * 2), "hx must be one tensor"),
    ],
)
def test_what_does_not_fit_is_named(arguments: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        gated.nn.GRUCell(3, 5)(*arguments)
