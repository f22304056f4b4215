"""gated.nn against torch.nn: every option, output, state and gradient, for each backend."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import assert_agree
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import gated.nn
from gated.errors import ConfigurationError, DataError

KINDS = ["RNN", "GRU", "LSTM"]
BACKENDS = ["torch", "reference", "native"]
DTYPES = [torch.float64, torch.float32]


def pair(kind: str, *sizes: int, backend: str | None = None, **options: Any) -> tuple[Any, Any]:
    """Our layer and torch's, with the same weights."""
    torch.manual_seed(1)
    ours = getattr(gated.nn, kind)(*sizes, backend=backend, **options)
    torch.manual_seed(1)
    return ours, getattr(torch.nn, kind)(*sizes, **options)


def run(module: torch.nn.Module, x: Any, hx: Any = None, **options: Any) -> dict[str, Any]:
    """Output, final states and, for a loss that depends on all of them, every gradient."""
    data = x.data if isinstance(x, PackedSequence) else x
    data = data.detach().clone().requires_grad_()
    pair_of_states = isinstance(hx, tuple)
    states = (
        [s.detach().clone().requires_grad_() for s in (hx if pair_of_states else [hx])]
        if (hx is not None)
        else []
    )
    given = x._replace(data=data) if isinstance(x, PackedSequence) else data
    hidden = None if not states else tuple(states) if pair_of_states else states[0]
    module.zero_grad()
    output, final = module(given, hidden, **options)
    results = [output.data if isinstance(output, PackedSequence) else output]
    results += list(final) if isinstance(final, tuple) else [final]
    generator = torch.Generator().manual_seed(2)
    loss = sum(
        (r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum() for r in results
    )
    loss.backward()
    return {
        "output": results[0],
        "final": results[1:],
        "of x": data.grad,
        "of hx": [state.grad for state in states],
        **{f"of {name}": p.grad for name, p in module.named_parameters()},
    }


def random_states(module: torch.nn.RNNBase, *batch: int) -> Any:
    rows = module.num_layers * (2 if module.bidirectional else 1)
    dtype = module.weight_ih_l0.dtype
    hidden = torch.randn(rows, *batch, module.proj_size or module.hidden_size, dtype=dtype)
    if module.mode != "LSTM":
        return hidden
    return hidden, torch.randn(rows, *batch, module.hidden_size, dtype=dtype)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 3},
    {"bias": False},
    {"batch_first": True},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
]
CASES = [
    *((kind, options) for kind in KINDS for options in OPTIONS),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"proj_size": 1, "num_layers": 2, "bidirectional": True, "batch_first": True}),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_option(kind: str, options: dict, backend: str, dtype: torch.dtype) -> None:
    ours, theirs = pair(kind, 3, 5, backend=backend, dtype=dtype, **options)
    x = torch.randn(4, 6, 3, dtype=dtype)
    states = random_states(theirs, 4 if options.get("batch_first") else 6)
    for hx in (None, states):
        assert_agree(run(ours, x, hx), run(theirs, x, hx), "batch")

    states = random_states(theirs)
    for hx in (None, states):
        assert_agree(run(ours, x[:, 0], hx), run(theirs, x[:, 0], hx), "unbatched")

    packed = pack_padded_sequence(x, torch.tensor([2, 4, 1, 4, 2, 3]), enforce_sorted=False)
    states = random_states(theirs, 6)
    for hx in (None, states):
        assert_agree(run(ours, packed, hx), run(theirs, packed, hx), "packed")
    output, _ = ours(packed)
    assert isinstance(output, PackedSequence)
    assert_agree(output[1:], packed[1:], "how it is packed")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 17, 7, 1), (17, 1, 1, 17), (7, 7, 17, 7)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_odd_sizes(
    kind: str, sizes: tuple[int, int, int, int], backend: str, dtype: torch.dtype
) -> None:
    T, B, I, H = sizes  # noqa: E741
    ours, theirs = pair(kind, I, H, backend=backend, dtype=dtype, bidirectional=True)
    x = torch.randn(T, B, I, dtype=dtype)
    hx = random_states(theirs, B)
    assert_agree(run(ours, x, hx), run(theirs, x, hx), kind)


STACKED = {"bidirectional": True, "num_layers": 2}


def one_by_one(module: torch.nn.RNNBase, x: Tensor, hx: Any, lengths: list[int]) -> Any:
    """What each sequence gives alone, without its padding, by torch.nn."""
    output = x.new_zeros(*x.shape[:2], module(x)[0].shape[-1])
    finals = list(hx) if isinstance(hx, tuple) else [hx]
    columns = []
    for b, length in enumerate(lengths):
        states = [state[:, b : b + 1] for state in finals]
        if length:
            hidden = tuple(states) if len(states) > 1 else states[0]
            alone, final = module(x[:length, b : b + 1], hidden)
            output = output.index_put((torch.arange(length), torch.tensor(b)), alone.squeeze(1))
            states = list(final) if len(states) > 1 else [final]
        columns.append(states)
    final = tuple(torch.cat(parts, dim=1) for parts in zip(*columns, strict=True))
    return output, final if isinstance(hx, tuple) else final[0]


class OneByOne(torch.nn.Module):
    """torch.nn on each sequence alone, with the parameters' own names."""

    def __init__(self, module: torch.nn.RNNBase) -> None:
        super().__init__()
        self.__dict__["module"] = module
        for name, parameter in module.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor, hx: Any, lengths: list[int]) -> Any:
        return one_by_one(self.module, x, hx, lengths)


@pytest.mark.parametrize(
    ("kind", "options", "backend"),
    [
        *((kind, {}, backend) for kind in ("GRU", "LSTM") for backend in BACKENDS),
        *((kind, STACKED, backend) for kind in KINDS for backend in BACKENDS),
        *(("LSTM", {"proj_size": 2} | STACKED, backend) for backend in BACKENDS),
    ],
)
@settings(max_examples=25)
@given(data=st.data())
def test_a_padded_batch_is_its_sequences_one_by_one(
    kind: str, options: dict, backend: str, data: st.DataObject
) -> None:
    T, B = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 5))
    lengths = data.draw(st.lists(st.integers(0, T), min_size=B, max_size=B))
    ours, theirs = pair(kind, 2, 3, backend=backend, dtype=torch.float64, **options)
    x = torch.randn(T, B, 2, dtype=torch.float64)
    hx = random_states(theirs, B)
    expected = run(OneByOne(theirs), x, hx, lengths=lengths)
    for b, length in enumerate(lengths):
        x[length:, b] = torch.nan  # padding is never read
    actual = run(ours, x, hx, lengths=lengths)
    if not any(lengths):  # nothing ran, so torch gave the weights no gradient at all
        actual, expected = (
            {k: r[k] for k in ("output", "final", "of hx")} for r in (actual, expected)
        )
    assert_agree(actual, expected, "padded")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_give_what_a_packed_sequence_gives(kind: str, backend: str) -> None:
    ours, theirs = pair(kind, 3, 5, num_layers=2, bidirectional=True, batch_first=True)
    ours.backend = backend
    x = torch.randn(4, 6, 3)
    lengths = torch.tensor([3, 6, 1, 6])
    hx = random_states(theirs, 4)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    output, final = theirs(packed, hx)
    expected = pad_packed_sequence(output, batch_first=True, total_length=6)[0], final
    assert_agree(ours(x, hx, lengths=lengths), expected, "lengths")
    assert_agree(ours(x, hx, lengths=lengths.tolist()), expected, "a list of lengths")
    assert_agree(ours(x, hx, lengths=[6] * 4), theirs(x, hx), "full lengths")


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_steps_and_no_sequences(backend: str) -> None:
    layer = gated.nn.LSTM(3, 5, bidirectional=True, backend=backend)
    hx = random_states(layer, 2)
    output, final = layer(torch.zeros(0, 2, 3), hx, lengths=[0, 0])
    assert output.shape == (0, 2, 10)
    assert_agree(final, hx, "states that nothing changed")
    output, final = layer(torch.zeros(4, 0, 3))
    assert output.shape == (4, 0, 10)
    assert final[1].shape == (2, 0, 5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers_draws_what_torch_draws(kind: str, backend: str) -> None:
    ours, theirs = pair(kind, 3, 5, num_layers=3, dropout=0.4, backend=backend)
    x = torch.randn(4, 6, 3)
    results = []
    for module in (ours, theirs):
        torch.manual_seed(3)
        results.append(run(module, x))
    assert_agree(results[0], results[1], "training")
    assert_agree(ours.eval()(x), theirs.eval()(x), "evaluation")
    assert not torch.equal(ours.train()(x)[0], ours.eval()(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_state_dicts_move_both_ways(kind: str) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    options |= {"proj_size": 2} if kind == "LSTM" else {}
    ours, theirs = pair(kind, 3, 5, **options)
    assert isinstance(ours, torch.nn.RNNBase)
    assert_agree(dict(ours.state_dict()), dict(theirs.state_dict()), "initial values", relative=0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    fresh = type(theirs)(3, 5, **options)
    fresh.load_state_dict(ours.state_dict())
    x = torch.randn(4, 2, 3)
    assert_agree(fresh(x), ours(x), "ours in torch's")
    fresh = type(ours)(3, 5, **options)
    fresh.load_state_dict(theirs.state_dict())
    assert_agree(fresh(x), theirs(x), "torch's in ours")


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_come_in_torchs_order(kind: str) -> None:
    options: list[Any] = [3, 5, 2, False, True, 0.25, True]
    if kind == "RNN":
        options.insert(3, "relu")
    if kind == "LSTM":
        options.append(2)
    ours, theirs = (
        getattr(module, kind)(*options, device="cpu", dtype=torch.float64)
        for module in (gated.nn, torch.nn)
    )
    assert repr(ours) == repr(theirs)
    shapes = {name: (p.shape, p.dtype) for name, p in theirs.named_parameters()}
    assert {name: (p.shape, p.dtype) for name, p in ours.named_parameters()} == shapes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", ["reference", "native"])
def test_gradients_are_those_of_differences(kind: str, reverse: bool, backend: str) -> None:
    layer = getattr(gated.nn, kind)(
        2, 3, bidirectional=reverse, backend=backend, dtype=torch.float64
    )
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    hx = random_states(layer, 2)
    states = [s.requires_grad_() for s in (hx if isinstance(hx, tuple) else (hx,))]

    def function(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        parameters = dict(zip(dict(layer.named_parameters()), tensors[len(states) :], strict=True))
        hidden = tensors[: len(states)]
        hidden = hidden if len(hidden) > 1 else hidden[0]
        output, final = torch.func.functional_call(
            layer, parameters, (x, hidden), {"lengths": [3, 1]}
        )
        return output, *(final if isinstance(final, tuple) else (final,))

    assert torch.autograd.gradcheck(function, (x, *states, *layer.parameters()))


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_changes_in_place_are_noticed(backend: str) -> None:
    layer = gated.nn.GRU(2, 3, backend=backend)
    output, _ = layer(torch.randn(4, 1, 2))
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_second_derivatives_that_are_not_there_are_refused() -> None:
    x = torch.randn(4, 1, 2, requires_grad=True)
    by_reference = gated.nn.GRU(2, 3, backend="reference")(x)[0].sum()
    of_gates = gated.nn.GRU(2, 3)(x, return_gates=True)[2][0]["update_gate"].sum()
    refused = pytest.raises(ConfigurationError, match=r"second derivatives.*backend='torch'")
    with refused:
        torch.autograd.grad(by_reference, x, create_graph=True)
    (first,) = torch.autograd.grad(of_gates, x, create_graph=True)
    with refused:
        torch.autograd.grad(first.square().sum(), x)


@pytest.mark.parametrize("arguments", [{}, {"lengths": [4, 2]}], ids=["plain", "lengths"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_results_may_be_changed_in_place(kind: str, arguments: dict[str, Any]) -> None:
    layer = getattr(gated.nn, kind)(2, 3)
    x = torch.randn(4, 2, 2)

    def gradients(change: bool) -> list[torch.Tensor]:
        output, final = layer(x, **arguments)
        states = final if isinstance(final, tuple) else (final,)
        if change:
            output += 1
            torch.nn.functional.relu(output, inplace=True)
            for state in states:
                state.mul_(2)
        else:
            output, states = (output + 1).relu(), tuple(state * 2 for state in states)
        loss = output.square().sum() + sum(state.square().sum() for state in states)
        return list(torch.autograd.grad(loss, list(layer.parameters())))

    for found, expected in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_an_output_is_copied_where_it_is_changed_and_nowhere_else(kind: str) -> None:
    first, second = getattr(gated.nn, kind)(2, 3, 2, bidirectional=True), gated.nn.GRU(6, 5)
    x = torch.randn(6, 4, 2)[2:, 1:3]

    def gradients(run: Any) -> list[torch.Tensor]:
        output = first(x)[0]
        return list(torch.autograd.grad(run(output).square().sum(), list(first.parameters())))

    def unchanged(output: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = second(output)[0]
        assert torch._C._is_cow_tensor(output)  # the memory of what the backward pass reads
        return result

    expected = gradients(lambda output: second(output.clone())[0])
    assert_agree(gradients(unchanged), expected, "read")
    assert_agree(
        gradients(lambda output: output.mul_(2)), gradients(lambda output: output * 2), "changed"
    )
    alone = x.clone()
    assert_agree(
        gradients(lambda output: second(output[1:])[0]),
        gradients(lambda output: second(output[1:].clone())[0]),
        "a part of the memory",
    )
    found = [
        of
        for at in (x, alone)
        for of in torch.autograd.grad(first(at)[0].square().sum(), list(first.parameters()))
    ]
    assert_agree(found[: len(found) // 2], found[len(found) // 2 :], "an input inside another")
    with torch.no_grad():
        assert not torch._C._is_cow_tensor(first(x)[0])
    output = first(x)[0]
    before = [
        of.clone()
        for of in torch.autograd.grad(output.sum(), list(first.parameters()), retain_graph=True)
    ]
    output.detach().numpy()[:] = 7
    assert_agree(list(torch.autograd.grad(output.sum(), list(first.parameters()))), before, "again")


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_the_precision_on_request(backend: str) -> None:
    layer = gated.nn.LSTM(3, 5, num_layers=2, backend=backend)
    x = torch.randn(4, 2, 3)
    expected = layer(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = layer(x.bfloat16(), lengths=[4, 2])
    assert_agree(output[:, 0].float(), expected[:, 0], "autocast", relative=0.05, absolute=0.02)


def test_a_copy_is_a_copy() -> None:
    layer = gated.nn.LSTM(3, 5, forget_bias=1.0, backend="reference")
    twin = copy.deepcopy(layer)
    x = torch.randn(4, 2, 3)
    assert twin.backend == "reference"
    assert_agree(twin(x), layer(x), "copy")


@pytest.mark.parametrize("kind", ["LSTM", "LSTMCell"])
def test_forget_bias(kind: str) -> None:
    torch.manual_seed(0)
    plain = getattr(gated.nn, kind)(3, 5)
    torch.manual_seed(0)
    module = getattr(gated.nn, kind)(3, 5, forget_bias=1.5)
    for name, values in plain.state_dict().items():
        ours = module.state_dict()[name]
        if name.startswith("bias"):
            wanted = 1.5 if name.startswith("bias_ih") else 0.0
            assert (ours[5:10] == wanted).all()
            ours, values = (torch.cat([v[:5], v[10:]]) for v in (ours, values))
        assert torch.equal(ours, values), name


@pytest.mark.parametrize("kind", [*KINDS, "RNNCell", "GRUCell", "LSTMCell"])
def test_orthogonal_recurrent_matrices(kind: str) -> None:
    module = getattr(gated.nn, kind)(3, 5, recurrent_init="orthogonal", dtype=torch.float64)
    weight_hh = next(p for name, p in module.named_parameters() if "weight_hh" in name)
    for gate in weight_hh.detach().split(5):
        assert_agree(gate @ gate.T, torch.eye(5, dtype=torch.float64), "Q Qᵀ")
    torch.manual_seed(5)
    module.reset_parameters()
    first = weight_hh.detach().clone()
    module.reset_parameters()
    assert not torch.equal(first, weight_hh)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x",), r"input must have the shape \(T, B, I\).*got str"),
        ((torch.zeros(3),), r"input must have the shape.*got \(3,\)"),
        ((torch.zeros(4, 2, 4),), r"input must have 3 features \(input_size\), got 4"),
        ((torch.zeros(4, 2, 3).double(),), "input must have the dtype torch.float32"),
        ((torch.zeros(4, 2, 3), torch.zeros(1, 2, 5)), r"hx must be a pair.*got one tensor"),
        (
            (torch.zeros(4, 2, 3), (torch.zeros(1, 2, 5), torch.zeros(1, 3, 5))),
            r"hx \(cell\) must have the shape \(1, 2, 5\), got \(1, 3, 5\)",
        ),
        (
            (torch.zeros(4, 2, 3), (torch.zeros(1, 2, 5).double(), torch.zeros(1, 2, 5))),
            r"hx \(hidden\) must have the dtype torch.float32",
        ),
    ],
)
def test_what_does_not_fit_is_named(arguments: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        gated.nn.LSTM(3, 5)(*arguments)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1], "lengths must be 2 integers"),
        ([1.5, 2.0], "lengths must be 2 integers.*float64"),
        ([5, 1], "from 0 to 4, .*got 5 for sequence 0"),
        (torch.tensor([4, -1]), "from 0 to 4, .*got -1 for sequence 1"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_lengths_that_cannot_be(lengths: Any, message: str, backend: str) -> None:
    with pytest.raises(DataError, match=message):
        gated.nn.GRU(3, 5, backend=backend)(torch.zeros(4, 2, 3), lengths=lengths)


def test_a_single_state_where_one_is_wanted() -> None:
    with pytest.raises(DataError, match=r"hx must be one tensor.*got a tuple of 2"):
        gated.nn.GRU(3, 5)(torch.zeros(4, 2, 3), (torch.zeros(1, 2, 5),) * 2)


def test_lengths_beside_a_packed_sequence() -> None:
    packed = pack_padded_sequence(torch.zeros(4, 2, 3), [4, 2])
    with pytest.raises(DataError, match="lengths came with a PackedSequence"):
        gated.nn.GRU(3, 5)(packed, lengths=[4, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "cuda"}, "backend must be native, triton, torch or reference, got 'cuda'"),
        ({"recurrent_init": "zeros"}, "recurrent_init must be default or orthogonal.*'zeros'"),
        ({"forget_bias": 1.0, "bias": False}, r"forget_bias is 1\.0, but bias=False leaves"),
    ],
)
def test_options_that_cannot_be_meant(options: dict, message: str) -> None:
    for kind in (gated.nn.LSTM, gated.nn.LSTMCell):
        with pytest.raises(ConfigurationError, match=message):
            kind(3, 5, **options)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "RNNCell", "GRUCell"])
def test_only_an_lstm_has_a_forget_gate(kind: str) -> None:
    with pytest.raises((ConfigurationError, TypeError), match=r"no forget gate|'forget_bias'"):
        getattr(gated.nn, kind)(3, 5, forget_bias=1.0)


def test_signatures_are_written_out_and_begin_as_those_of_torch() -> None:
    for name in ("RNN", "GRU", "LSTM"):
        ours = inspect.signature(getattr(gated.nn, name)).parameters
        assert not any(of.kind in (of.VAR_POSITIONAL, of.VAR_KEYWORD) for of in ours.values())
        assert list(ours)[:3] == ["input_size", "hidden_size", "num_layers"]
        assert {"bias", "batch_first", "dropout", "bidirectional", "device", "dtype"} < set(ours)
        assert ours["recompute"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("options", [{"coupled": True}, {"peepholes": True}])
def test_coupled_gates_and_peepholes_are_those_of_the_equations(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    layer = gated.nn.LSTM(3, 5, 2, bidirectional=True, dtype=torch.float64, proj_size=2, **options)
    assert layer.weight_hh_l1.shape == (5 * (3 if "coupled" in options else 4), 2)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    output, (h, c) = layer(x, lengths=[6, 0, 3, 5])
    grads = torch.autograd.grad(output.square().sum() + c.sum(), list(layer.parameters()))
    layer.backend = "reference"
    expected, (h_expected, c_expected) = layer(x, lengths=[6, 0, 3, 5])
    loss = expected.square().sum() + c_expected.sum()
    wanted = torch.autograd.grad(loss, list(layer.parameters()))
    assert_agree((output, h, c), (expected, h_expected, c_expected), "results")
    assert_agree(grads, wanted, "gradients")
    assert all(grad.abs().max() > 0 for grad in grads)
    twin = gated.nn.LSTM(3, 5, 2, bidirectional=True, dtype=torch.float64, proj_size=2, **options)
    twin.load_state_dict(layer.state_dict())
    twin.backend = "reference"
    assert_agree(twin(x)[0], layer(x)[0], "a copy")
    assert type(copy.deepcopy(layer)(x)[0]) is torch.Tensor


def test_coupled_gates_start_with_the_memory_asked_for() -> None:
    layer = gated.nn.LSTM(3, 8, coupled=True, chrono_init=50)
    forget = (layer.bias_ih_l0 + layer.bias_hh_l0)[:8]
    assert forget.min() >= 0
    assert forget.max() <= math.log(49)
    with pytest.raises(ConfigurationError, match="not coupled"):
        gated.nn.LSTM(3, 8, coupled=True, peepholes=True)
