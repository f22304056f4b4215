"""Whatever catches the errors of torch's layers catches ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated
from gated.errors import DataError, LayerArgumentError

X = torch.randn(4, 2, 3)


def packed(x: torch.Tensor) -> Any:
    return pack_padded_sequence(x, [4, 2])


def states(module: nn.Module, *shape: int, dtype: torch.dtype | None = None) -> Any:
    state = torch.zeros(*shape, dtype=dtype)
    return (state, state) if "LSTM" in type(module).__name__ else state


BAD_CALLS: dict[str, Callable[[Any], Any]] = {
    "features": lambda m: m(torch.randn(4, 2, 7)),
    "one dimension": lambda m: m(torch.randn(3)),
    "four dimensions": lambda m: m(torch.randn(1, 4, 2, 3)),
    "dtype": lambda m: m(X.double()),
    "integers": lambda m: m(torch.zeros(4, 2, 3, dtype=torch.long)),
    "device": lambda m: m(X.to("meta")),
    "hx of another batch": lambda m: m(X, states(m, 1, 3, 5)),
    "hx of more layers": lambda m: m(X, states(m, 2, 2, 5)),
    "hx of more units": lambda m: m(X, states(m, 1, 2, 6)),
    "hx without batch": lambda m: m(X, states(m, 2, 5)),
    "hx with batch": lambda m: m(X[:, 0], states(m, 1, 2, 5)),
    "hx of another cell": lambda m: m(
        X, torch.zeros(1, 2, 5) if m.mode == "LSTM" else (torch.zeros(1, 2, 5),) * 2
    ),
    "three states": lambda m: m(X, (torch.zeros(1, 2, 5),) * 3),
    "hx no tensor": lambda m: m(X, 3),
    "hx of another dtype": lambda m: m(X, states(m, 1, 2, 5, dtype=torch.double)),
    "a number": lambda m: m(3),
    "nothing": lambda m: m(None),
    "a list": lambda m: m([[1.0]]),
    "packed, features": lambda m: m(packed(torch.randn(4, 2, 7))),
    "packed, hx": lambda m: m(packed(X), states(m, 1, 3, 5)),
    "packed, dtype": lambda m: m(packed(X.double())),
    "unknown option": lambda m: m(X, nothing=3),
}
OF_CELLS: dict[str, Callable[[Any], Any]] = {
    "features": lambda m: m(torch.randn(2, 7)),
    "no dimension": lambda m: m(torch.tensor(1.0)),
    "three dimensions": lambda m: m(X),
    "dtype": lambda m: m(X[0].double()),
    "hx of another batch": lambda m: m(X[0], states(m, 3, 5)),
    "hx of more units": lambda m: m(X[0], states(m, 2, 6)),
    "hx without batch": lambda m: m(X[0], states(m, 5)),
    "hx no tensor": lambda m: m(X[0], 3),
    "hx of another dtype": lambda m: m(X[0], states(m, 2, 5, dtype=torch.double)),
    "nothing": lambda m: m(None),
}


def error_of(call: Callable[[Any], Any], module: nn.Module) -> Exception:
    with pytest.raises(Exception) as error:  # noqa: PT011
        call(module)
    return error.value


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("case", BAD_CALLS)
def test_layers(name: str, case: str) -> None:
    call = BAD_CALLS[case]
    of_torch = error_of(call, getattr(nn, name)(3, 5))
    ours = error_of(call, getattr(gated.nn, name)(3, 5))
    assert isinstance(ours, type(of_torch))
    if case != "unknown option":
        assert isinstance(ours, LayerArgumentError)
        assert isinstance(ours, DataError)
    fast = getattr(nn, name)(3, 5)
    gated.accelerate(fast)
    accelerated = error_of(call, fast)
    assert (type(accelerated), str(accelerated)) == (type(of_torch), str(of_torch))


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("backend", [None, "native"])
@pytest.mark.parametrize("case", OF_CELLS)
def test_cells(name: str, backend: str | None, case: str) -> None:
    of_torch = error_of(OF_CELLS[case], getattr(nn, name)(3, 5))
    ours = error_of(OF_CELLS[case], getattr(gated.nn, name)(3, 5, backend=backend))
    assert isinstance(ours, type(of_torch))
    assert isinstance(ours, LayerArgumentError)


@pytest.mark.parametrize("hx", [3, torch.zeros(1, 2, 6), (torch.zeros(1, 2, 5),) * 3])
def test_layers_of_any_cell(hx: Any) -> None:
    layer = gated.nn.Recurrent(gated.cells.library.lstm, 3, 5)
    with pytest.raises(LayerArgumentError, match="hx"):
        layer(X, hx if not isinstance(hx, torch.Tensor) else (hx, hx))


def test_no_step_at_all_is_torchs_error_of_an_accelerated_layer_alone() -> None:
    layer = nn.GRU(3, 5)
    gated.accelerate(layer)
    with pytest.raises(RuntimeError, match="sequence length to be larger than 0"):
        layer(torch.zeros(0, 2, 3))
    assert gated.nn.GRU(3, 5)(torch.zeros(0, 2, 3))[0].shape == (0, 2, 5)
