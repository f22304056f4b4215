"""What torch's layers and cells refuse, ours refuse; whatever catches their errors catches ours.

Each row is a call; torch's verdict on it is found by calling torch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import gated
from gated.errors import ConfigurationError, DataError, LayerArgumentError, LayerTypeError

LAYERS = ["RNN", "GRU", "LSTM"]
CELLS = ["RNNCell", "GRUCell", "LSTMCell"]
Case: TypeAlias = Callable[[Any], Any]
X, STATE = torch.randn(4, 2, 3), torch.randn(1, 2, 5)
Z = torch.zeros


def packed(x: torch.Tensor, lengths: tuple[int, ...] = (4, 2)) -> PackedSequence:
    return pack_padded_sequence(x, list(lengths), enforce_sorted=False)


def sizes(*of: float, rows: int = 6) -> PackedSequence:
    return PackedSequence(torch.randn(rows, 3), torch.tensor(of))


def states(module: nn.Module, *shape: int, **options: Any) -> Any:
    state = Z(shape, **options)
    return (state, state) if isinstance(module, LSTMS) else state


def of_another_cell(module: nn.Module) -> Any:
    return STATE if isinstance(module, LSTMS) else (STATE, STATE)


LSTMS = (nn.LSTM, nn.LSTMCell, gated.nn.LSTM, gated.nn.LSTMCell)

CONSTRUCTORS: dict[str, Case] = {
    "nothing": lambda k: k(),
    "one size": lambda k: k(3),
    "dropout below 0": lambda k: k(3, 5, dropout=-0.1),
    "dropout above 1": lambda k: k(3, 5, dropout=1.1),
    "dropout 1": lambda k: k(3, 5, 2, dropout=1),
    "dropout True": lambda k: k(3, 5, dropout=True),
    "dropout text": lambda k: k(3, 5, dropout="x"),
    "dropout a number in text": lambda k: k(3, 5, dropout="0.5"),
    "dropout None": lambda k: k(3, 5, dropout=None),
    "dropout NaN": lambda k: k(3, 5, dropout=math.nan),
    "dropout of NumPy": lambda k: k(3, 5, 2, dropout=np.float32(0.5)),
    "dropout a tensor": lambda k: k(3, 5, 2, dropout=torch.tensor(0.5)),
    "dropout of one layer": lambda k: k(3, 5, dropout=0.5),
    "bias 1": lambda k: k(3, 5, bias=1),
    "bias None": lambda k: k(3, 5, bias=None),
    "bias text": lambda k: k(3, 5, bias="no"),
    "bias of NumPy": lambda k: k(3, 5, bias=np.bool_(True)),
    "batch_first 1": lambda k: k(3, 5, batch_first=1),
    "batch_first None": lambda k: k(3, 5, batch_first=None),
    "bidirectional 1": lambda k: k(3, 5, bidirectional=1),
    "bidirectional None": lambda k: k(3, 5, bidirectional=None),
    "bidirectional text": lambda k: k(3, 5, bidirectional="yes"),
    "input_size 0": lambda k: k(0, 5),
    "input_size -1": lambda k: k(-1, 5),
    "input_size 3.0": lambda k: k(3.0, 5),
    "input_size None": lambda k: k(None, 5),
    "input_size True": lambda k: k(True, 5),
    "input_size of NumPy": lambda k: k(np.int64(3), 5),
    "hidden_size 0": lambda k: k(3, 0),
    "hidden_size -1": lambda k: k(3, -1),
    "hidden_size 5.0": lambda k: k(3, 5.0),
    "hidden_size text": lambda k: k(3, "5"),
    "hidden_size None": lambda k: k(3, None),
    "hidden_size twice": lambda k: k(3, 5, hidden_size=5),
    "num_layers 0": lambda k: k(3, 5, 0),
    "num_layers -1": lambda k: k(3, 5, -1),
    "num_layers 2.0": lambda k: k(3, 5, 2.0),
    "num_layers None": lambda k: k(3, 5, None),
    "num_layers True": lambda k: k(3, 5, True),
    "proj_size 0": lambda k: k(3, 5, proj_size=0),
    "proj_size 2": lambda k: k(3, 5, proj_size=2),
    "proj_size -1": lambda k: k(3, 5, proj_size=-1),
    "proj_size of hidden_size": lambda k: k(3, 5, proj_size=5),
    "proj_size 2.0": lambda k: k(3, 5, proj_size=2.0),
    "mode": lambda k: k(3, 5, mode="GRU"),
    "nonlinearity": lambda k: k(3, 5, nonlinearity="relu"),
    "nonlinearity by position": lambda k: k(3, 5, 1, "relu"),
    "nonlinearity unknown": lambda k: k(3, 5, nonlinearity="gelu"),
    "nonlinearity None": lambda k: k(3, 5, nonlinearity=None),
    "nonlinearity a list": lambda k: k(3, 5, nonlinearity=["tanh"]),
    "unknown option": lambda k: k(3, 5, nothing=1),
    "dtype of integers": lambda k: k(3, 5, dtype=torch.int64),
    "dtype text": lambda k: k(3, 5, dtype="float32"),
    "dtype half": lambda k: k(3, 5, dtype=torch.float16),
    "device unknown": lambda k: k(3, 5, device="nowhere"),
    "device meta": lambda k: k(3, 5, device="meta"),
}
"""Not among them: `proj_size=None` of an RNN or GRU, and options of these by position behind
`bidirectional`, where torch's documentation names `device` and its code has `proj_size`."""

CALLS: dict[str, Case] = {
    "nothing wrong": lambda m: m(X),
    "unbatched": lambda m: m(X[:, 0]),
    "unbatched, hx": lambda m: m(X[:, 0], states(m, 1, 5)),
    "no step": lambda m: m(Z(0, 2, 3)),
    "no step, hx": lambda m: m(Z(0, 2, 3), states(m, 1, 2, 5)),
    "no step, unbatched": lambda m: m(Z(0, 3)),
    "no step, hx unbatched": lambda m: m(Z(0, 3), states(m, 1, 5)),
    "no step, features": lambda m: m(Z(0, 2, 7)),
    "no step, hx of another batch": lambda m: m(Z(0, 2, 3), states(m, 1, 3, 5)),
    "no step, dtype": lambda m: m(Z(0, 2, 3).double()),
    "no sequence": lambda m: m(Z(4, 0, 3)),
    "no sequence, hx": lambda m: m(Z(4, 0, 3), states(m, 1, 0, 5)),
    "no sequence and no step": lambda m: m(Z(0, 0, 3)),
    "no features": lambda m: m(Z(4, 2, 0)),
    "features": lambda m: m(torch.randn(4, 2, 7)),
    "features, unbatched": lambda m: m(torch.randn(4, 7)),
    "no dimension": lambda m: m(torch.tensor(1.0)),
    "one dimension": lambda m: m(torch.randn(3)),
    "four dimensions": lambda m: m(torch.randn(1, 4, 2, 3)),
    "double": lambda m: m(X.double()),
    "half": lambda m: m(X.half()),
    "complex": lambda m: m(X.cfloat()),
    "integers": lambda m: m(X.long()),
    "bool": lambda m: m(X.bool()),
    "device": lambda m: m(X.to("meta")),
    "sparse": lambda m: m(X.to_sparse()),
    "not contiguous": lambda m: m(X.transpose(0, 1).contiguous().transpose(0, 1)),
    "expanded": lambda m: m(X[:1, :1].expand(4, 2, 3)),
    "hx": lambda m: m(X, states(m, 1, 2, 5)),
    "hx, by name": lambda m: m(input=X, hx=states(m, 1, 2, 5)),
    "hx not contiguous": lambda m: m(
        X, states(m, 1, 2, 10)[..., ::2] if m.mode != "LSTM" else None
    ),
    "hx on another device": lambda m: m(X, states(m, 1, 2, 5, device="meta")),
    "hx of another batch": lambda m: m(X, states(m, 1, 3, 5)),
    "hx of a batch of one": lambda m: m(X, states(m, 1, 1, 5)),
    "hx of more layers": lambda m: m(X, states(m, 2, 2, 5)),
    "hx of no layers": lambda m: m(X, states(m, 0, 2, 5)),
    "hx of more units": lambda m: m(X, states(m, 1, 2, 6)),
    "hx without batch": lambda m: m(X, states(m, 2, 5)),
    "hx of four dimensions": lambda m: m(X, states(m, 1, 1, 2, 5)),
    "hx unbatched, a number": lambda m: m(X[:, 0], 3),
    "hx unbatched, a pair of None": lambda m: m(X[:, 0], (None, None)),
    "hx with batch": lambda m: m(X[:, 0], states(m, 1, 1, 5)),
    "hx of one dimension": lambda m: m(X[:, 0], states(m, 5)),
    "hx unbatched, more units": lambda m: m(X[:, 0], states(m, 1, 6)),
    "hx double": lambda m: m(X, states(m, 1, 2, 5, dtype=torch.double)),
    "hx half": lambda m: m(X, states(m, 1, 2, 5, dtype=torch.half)),
    "hx of integers": lambda m: m(X, states(m, 1, 2, 5, dtype=torch.long)),
    "hx of another cell": lambda m: m(X, of_another_cell(m)),
    "hx a list": lambda m: m(X, [STATE, STATE]),
    "hx a list of one": lambda m: m(X, [STATE]),
    "hx a tuple of one": lambda m: m(X, (STATE,)),
    "hx a pair in a tuple": lambda m: m(X, ((STATE, STATE),)),
    "hx of three": lambda m: m(X, (STATE,) * 3),
    "hx of none": lambda m: m(X, ()),
    "hx an empty list": lambda m: m(X, []),
    "hx a pair of None": lambda m: m(X, (None, None)),
    "hidden None": lambda m: m(X, (None, STATE)),
    "cell None": lambda m: m(X, (STATE, None)),
    "cell of more units": lambda m: m(X, (STATE, Z(1, 2, 6))),
    "cell of another batch": lambda m: m(X, (STATE, Z(1, 3, 5))),
    "cell without batch": lambda m: m(X, (STATE, Z(2, 5))),
    "cell double": lambda m: m(X, (STATE, STATE.double())),
    "hx stacked": lambda m: m(X, Z(2, 1, 2, 5)),
    "hx a number": lambda m: m(X, 3),
    "hx False": lambda m: m(X, False),
    "hx text": lambda m: m(X, "zeros"),
    "hx of NumPy": lambda m: m(X, np.zeros((1, 2, 5), np.float32)),
    "a number": lambda m: m(3),
    "None": lambda m: m(None),
    "a list": lambda m: m([[1.0]]),
    "a tuple": lambda m: m((X,)),
    "of NumPy": lambda m: m(np.zeros((4, 2, 3), np.float32)),
    "no input": lambda m: m(),
    "unknown option": lambda m: m(X, nothing=3),
    "packed": lambda m: m(packed(X)),
    "packed, hx": lambda m: m(packed(X), states(m, 1, 2, 5)),
    "packed, unsorted": lambda m: m(packed(X, (2, 4)), states(m, 1, 2, 5)),
    "packed, features": lambda m: m(packed(torch.randn(4, 2, 7))),
    "packed, one dimension": lambda m: m(packed(torch.randn(4, 2))),
    "packed, three dimensions": lambda m: m(packed(torch.randn(4, 2, 3, 1))),
    "packed, dtype": lambda m: m(packed(X.double())),
    "packed, hx of another batch": lambda m: m(packed(X), states(m, 1, 3, 5)),
    "packed, hx without batch": lambda m: m(packed(X), states(m, 2, 5)),
    "packed, hx of another cell": lambda m: m(packed(X), of_another_cell(m)),
    "packed, hx double": lambda m: m(packed(X), states(m, 1, 2, 5, dtype=torch.double)),
    "packed, hx a number": lambda m: m(packed(X), 3),
    "packed, no steps": lambda m: m(PackedSequence(Z(0, 3), Z(0, dtype=torch.long))),
    "packed, sizes that rise": lambda m: m(sizes(1, 2, 3)),
    "packed, sizes of more rows": lambda m: m(sizes(4, 4)),
    "packed, sizes no integers": lambda m: m(sizes(3.0, 3.0)),
}
ACCEPTED_BY_TORCH: dict[str, Case] = {
    "packed, sizes of fewer rows": lambda m: m(sizes(2, 2)),
    "packed, sizes that end in 0": lambda m: m(sizes(3, 3, 0)),
}
"""What no packing writes: `gated.nn` refuses it, an accelerated layer gives it to torch. An `hx`
that is a dict is a KeyError of torch's LSTM, and a TypeError of ours."""

OF_CELLS: dict[str, Case] = {
    "nothing wrong": lambda m: m(X[0]),
    "hx": lambda m: m(X[0], states(m, 2, 5)),
    "unbatched": lambda m: m(X[0, 0]),
    "unbatched, hx": lambda m: m(X[0, 0], states(m, 5)),
    "unbatched, features": lambda m: m(torch.randn(7)),
    "unbatched, hx with batch": lambda m: m(X[0, 0], states(m, 1, 5)),
    "unbatched, hx of three dimensions": lambda m: m(X[0, 0], states(m, 1, 1, 5)),
    "unbatched, hx of no dimension": lambda m: m(X[0, 0], states(m)),
    "unbatched, hx of more units": lambda m: m(X[0, 0], states(m, 6)),
    "features": lambda m: m(torch.randn(2, 7)),
    "no dimension": lambda m: m(torch.tensor(1.0)),
    "three dimensions": lambda m: m(X),
    "no sequence": lambda m: m(Z(0, 3)),
    "no features": lambda m: m(Z(2, 0)),
    "double": lambda m: m(X[0].double()),
    "integers": lambda m: m(X[0].long()),
    "device": lambda m: m(X[0].to("meta")),
    "hx of another batch": lambda m: m(X[0], states(m, 3, 5)),
    "hx of a batch of one": lambda m: m(X[0], states(m, 1, 5)),
    "hx of more units": lambda m: m(X[0], states(m, 2, 6)),
    "hx without batch": lambda m: m(X[0], states(m, 5)),
    "hx of three dimensions": lambda m: m(X[0], states(m, 1, 2, 5)),
    "hx of no dimension": lambda m: m(X[0], states(m)),
    "hx double": lambda m: m(X[0], states(m, 2, 5, dtype=torch.double)),
    "hx on another device": lambda m: m(X[0], states(m, 2, 5, device="meta")),
    "hx a list": lambda m: m(X[0], [STATE[0], STATE[0]]),
    "hx a tuple of one": lambda m: m(X[0], (STATE[0],)),
    "hx of another cell": lambda m: m(X[0], STATE[0] if isinstance(m, LSTMS) else (STATE[0],) * 2),
    "hx of three": lambda m: m(X[0], (STATE[0],) * 3),
    "hx of none": lambda m: m(X[0], ()),
    "hx a pair of None": lambda m: m(X[0], (None, None)),
    "cell None": lambda m: m(X[0], (STATE[0], None)),
    "cell of another batch": lambda m: m(X[0], (STATE[0], Z(3, 5))),
    "cell without batch": lambda m: m(X[0], (STATE[0], Z(5))),
    "hx stacked": lambda m: m(X[0], Z(2, 2, 5)),
    "hx a number": lambda m: m(X[0], 3),
    "hx False": lambda m: m(X[0], False),
    "hx text": lambda m: m(X[0], "ab"),
    "None": lambda m: m(None),
    "a number": lambda m: m(3),
    "a list": lambda m: m([1.0]),
    "no input": lambda m: m(),
    "unknown option": lambda m: m(X[0], nothing=1),
    "packed": lambda m: m(packed(X)),
}


def verdict(case: Case, of: Any) -> Any:
    """The results of a call, or its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dropout of one layer
        try:
            return case(of)
        except Exception as error:
            return error


def assert_same(found: Any, expected: Any, case: str) -> None:
    """Results agree, and an error is caught by what catches torch's."""
    if isinstance(expected, Exception):
        assert isinstance(found, type(expected)), (case, expected, found)
    else:
        assert not isinstance(found, Exception), (case, found)
        assert_agree(list(flat(found)), list(flat(expected)), case)


def flat(results: Any) -> Any:
    if isinstance(results, torch.Tensor):
        yield results
    elif isinstance(results, tuple):
        for of in results:
            yield from flat(of)


@pytest.mark.parametrize("name", LAYERS + CELLS)
@pytest.mark.parametrize("case", CONSTRUCTORS)
def test_constructors(name: str, case: str) -> None:
    expected = verdict(CONSTRUCTORS[case], getattr(nn, name))
    found = verdict(CONSTRUCTORS[case], getattr(gated.nn, name))
    if isinstance(expected, Exception):
        assert isinstance(found, type(expected)), (expected, found)
    else:
        assert not isinstance(found, Exception)
        assert repr(found) == repr(expected)
        shapes = {name: of.shape for name, of in expected.state_dict().items()}
        assert {name: of.shape for name, of in found.state_dict().items()} == shapes


def test_a_width_of_projection_is_refused_in_torchs_words() -> None:
    with pytest.raises(ConfigurationError, match="proj_size argument is only supported for LSTM"):
        gated.nn.GRU(3, 5, proj_size=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("case", CALLS | ACCEPTED_BY_TORCH)
def test_layers(name: str, case: str, batch_first: bool) -> None:
    call = (CALLS | ACCEPTED_BY_TORCH)[case]
    of_torch = getattr(nn, name)(3, 5, batch_first=batch_first)
    torch.manual_seed(0)
    expected = verdict(call, of_torch)
    ours = getattr(gated.nn, name)(3, 5, batch_first=batch_first)
    ours.load_state_dict(of_torch.state_dict())
    torch.manual_seed(0)
    found = verdict(call, ours)
    if case in ACCEPTED_BY_TORCH:
        assert isinstance(found, LayerTypeError)
    else:
        assert_same(found, expected, case)
    if isinstance(found, Exception) and case not in ("unknown option", "no input", "sparse"):
        assert isinstance(found, LayerArgumentError)
        assert isinstance(found, DataError)
    gated.accelerate(of_torch)
    torch.manual_seed(0)
    accelerated = verdict(call, of_torch)
    assert_same(accelerated, expected, case)
    if isinstance(expected, Exception):
        assert (type(accelerated), str(accelerated)) == (type(expected), str(expected))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("backend", [None, "native"])
@pytest.mark.parametrize("case", OF_CELLS)
def test_cells(name: str, backend: str | None, case: str) -> None:
    of_torch = getattr(nn, name)(3, 5)
    ours = getattr(gated.nn, name)(3, 5, backend=backend)
    ours.load_state_dict(of_torch.state_dict())
    found = verdict(OF_CELLS[case], ours)
    assert_same(found, verdict(OF_CELLS[case], of_torch), case)
    if isinstance(found, Exception) and case not in ("unknown option", "no input"):
        assert isinstance(found, LayerArgumentError)


@pytest.mark.parametrize("hx", [3, Z(1, 2, 6), (Z(1, 2, 5),) * 3])
def test_layers_of_any_cell(hx: Any) -> None:
    layer = gated.nn.Recurrent(gated.cells.library.lstm, 3, 5)
    with pytest.raises(LayerArgumentError, match="hx"):
        layer(X, hx if not isinstance(hx, torch.Tensor) else (hx, hx))


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
def test_no_step_at_all_is_an_error_without_lengths(backend: Any) -> None:
    layer = gated.nn.GRU(3, 5, backend=backend)
    with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0 in RNN"):
        layer(Z(0, 2, 3))
    output, hidden = layer(Z(0, 2, 3), STATE, lengths=[0, 0])
    assert output.shape == (0, 2, 5)
    assert_agree(hidden, STATE, "states that nothing changed")
    with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0 in RNN"):
        torch.compile(layer, backend="eager")(Z(0, 2, 3))
