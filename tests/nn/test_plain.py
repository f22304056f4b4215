"""Plain calls: right whatever became of the weights since the last one."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import gated
from gated.cells import library
from gated.core import native
from gated.nn import plain

INPUT = torch.linspace(-1, 1, 24).view(3, 2, 4)


def of_torch(layer: nn.LSTM) -> Any:
    """What torch's own layer gives with the weights that the layer has now."""
    with torch.no_grad():
        own = nn.LSTM(4, 5).to(layer.weight_hh_l0.dtype)
        own.load_state_dict({name: getattr(layer, name) for name in own.state_dict()})
        return own(INPUT.to(layer.weight_hh_l0.dtype))


def step(layer: nn.LSTM) -> None:
    layer(INPUT)[0].sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.5).step()


def double_data(layer: nn.LSTM) -> None:
    layer.weight_hh_l0.data.mul_(2)  # which no version counter sees


def swap_data(layer: nn.LSTM) -> None:
    for _ in range(3):  # memory that is free again may be taken for the next
        layer.weight_hh_l0.data = layer.weight_hh_l0.data * 2


def turn_data(layer: nn.LSTM) -> None:
    square = layer.weight_hh_l0.data[:5].clone()
    layer.weight_hh_l0.data[:5] = square.t()


def lie_otherwise(layer: nn.LSTM) -> None:
    columns = layer.weight_hh_l0.data.t().contiguous()
    layer.weight_hh_l0.data = columns.t()


def edit_by_numpy(layer: nn.LSTM) -> None:
    layer.weight_ih_l0.detach().numpy()[:] += 1


def load(layer: nn.LSTM) -> None:
    layer.load_state_dict(nn.LSTM(4, 5).state_dict())


def assign(layer: nn.LSTM) -> None:
    layer.load_state_dict(nn.LSTM(4, 5).state_dict(), assign=True)


def replace(layer: nn.LSTM) -> None:
    layer.weight_hh_l0 = nn.Parameter(torch.randn(20, 5))


def share(layer: nn.LSTM) -> None:
    layer.share_memory()
    layer.weight_hh_l0.data.add_(1)


def cut(layer: nn.LSTM) -> None:
    prune.l1_unstructured(layer, "bias_hh_l0", amount=0.5)  # the last of the parameters
    layer(INPUT)


def normalise(layer: nn.LSTM) -> None:
    parametrizations.weight_norm(layer, "weight_hh_l0")
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(3)


CHANGES = [
    step, double_data, swap_data, turn_data, lie_otherwise, edit_by_numpy, load, assign, replace,
    share, cut, normalise, nn.Module.double,
]  # fmt: skip


@pytest.mark.parametrize("made", [gated.nn.LSTM, nn.LSTM], ids=["gated", "accelerated"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_weights_are_those_of_now(change: Callable[[Any], Any], made: Any) -> None:
    layer = made(4, 5)
    gated.accelerate(layer)
    for gradients in (torch.no_grad, torch.enable_grad):
        with gradients():
            before = layer(INPUT)[0]
    change(layer)
    expected = of_torch(layer)
    assert not torch.equal(expected[0].float(), before)
    for gradients in (torch.no_grad, torch.enable_grad):
        with gradients():
            assert_agree(layer(INPUT.to(layer.weight_hh_l0.dtype)), expected, "after the change")


def test_a_square_weight_that_is_turned_where_it_lies() -> None:
    """Its address and shape stay."""
    layer, own = gated.nn.RNN(4, 5), nn.RNN(4, 5)
    layer(INPUT)
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.t()
    own.load_state_dict(layer.state_dict())
    assert_agree(layer(INPUT), own(INPUT), "turned")


def test_values_that_are_not_what_lies_in_memory() -> None:
    """A sign that torch keeps beside the values, as of the imaginary part of a conjugate."""
    layer, ones = gated.nn.LSTM(4, 5), torch.ones(1, 2, 5)
    negated = [torch._neg_view(of) for of in (INPUT, ones)]
    assert all(of.is_neg() and of.is_contiguous() for of in negated)
    assert_agree(layer(negated[0]), layer(-INPUT), "input")
    assert_agree(layer(INPUT, (negated[1],) * 2), layer(INPUT, (-ones,) * 2), "states")


def test_gradients_are_those_of_the_weights_that_were_read() -> None:
    layer = gated.nn.GRU(4, 5)
    memory = np.linspace(-1, 1, 75, dtype=np.float32).reshape(15, 5)
    layer.weight_hh_l0.data = torch.from_numpy(memory)
    expected = torch.autograd.grad(layer(INPUT)[0].square().sum(), layer.weight_ih_l0)[0]
    loss = layer(INPUT)[0].square().sum()
    layer.weight_hh_l0.data = torch.zeros(15, 5)
    there = weakref.ref(memory)
    del memory
    gc.collect()
    assert there() is not None
    torch.testing.assert_close(torch.autograd.grad(loss, layer.weight_ih_l0)[0], expected)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_has_its_own_weights(twin: Callable[[Any], Any]) -> None:
    layer = gated.nn.LSTM(4, 5)
    layer(INPUT)
    other = twin(layer)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    assert_agree(other(INPUT), of_torch(other), "the copy")
    assert_agree(layer(INPUT), of_torch(layer), "the first")


def test_weights_given_for_a_call() -> None:
    layer, other = gated.nn.LSTM(4, 5), nn.LSTM(4, 5)
    layer(INPUT)
    found = torch.func.functional_call(layer, dict(other.named_parameters()), (INPUT,))
    assert_agree(found, of_torch(other), "with the weights given")
    assert_agree(layer(INPUT), of_torch(layer), "with its own again")


@pytest.mark.parametrize("isa", native.instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("units", [1, 7, 8, 33, 64, 100])
def test_one_row_that_reads_each_weight_once(units: int, dtype: torch.dtype, isa: str) -> None:
    used = native.instruction_set()
    native.set_instruction_set(isa)
    try:
        for kind in ("RNN", "GRU", "LSTM"):
            layer = getattr(gated.nn, kind)(units + 3, units).to(dtype)
            own = getattr(nn, kind)(units + 3, units).to(dtype)
            own.load_state_dict(layer.state_dict())
            x = torch.randn(1, 1, units + 3, dtype=dtype)
            assert_agree(layer(x), own(x), f"{kind} {units}")
    finally:
        native.set_instruction_set(used)


def test_what_wants_no_gradient_gets_none() -> None:
    layer = gated.nn.GRU(4, 5, num_layers=2, bidirectional=True)
    own = nn.GRU(4, 5, num_layers=2, bidirectional=True)
    own.load_state_dict(layer.state_dict())
    hidden = torch.randn(4, 2, 5, requires_grad=True)
    for one in (layer, own):
        for name in ("weight_hh_l0", "bias_ih_l1_reverse"):
            getattr(one, name).requires_grad_(False)
        hidden.grad = None
        output, final = one(INPUT, hidden)
        (output.square().sum() + final.sum()).backward()
        one.of_hidden = hidden.grad  # type: ignore[assignment]
    assert layer.weight_hh_l0.grad is None
    assert layer.bias_ih_l1_reverse.grad is None
    for (name, weight), other in zip(layer.named_parameters(), own.parameters(), strict=True):
        if weight.requires_grad:
            torch.testing.assert_close(weight.grad, other.grad, msg=name)
    torch.testing.assert_close(layer.of_hidden, own.of_hidden)


def test_any_cell_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what has more to it than its equations does not."""
    taken = []
    run = plain.PlainLayers.__call__
    monkeypatch.setattr(
        plain.PlainLayers, "__call__", lambda *given: taken.append(1) or run(*given)
    )
    layer = gated.nn.Recurrent(library.mgu, 4, 5, num_layers=2, batch_first=True)
    found = layer(INPUT)
    assert taken == [1]
    layer.backend = "torch"
    assert_agree(found, layer(INPUT), "step by step")
    gated.nn.LSTM(4, 5, zoneout=0.5)(INPUT)
    gated.nn.LSTM(4, 5, recurrent_dropout=0.5)(INPUT)
    assert taken == [1]
    gated.nn.LSTM(4, 5, 2, dropout=0.5)(INPUT, lengths=[3, 1])
    gated.nn.LSTM(4, 5)(pack_padded_sequence(INPUT, [3, 1]))
    gated.nn.LSTM(4, 5)(INPUT[:, 0])
    assert len(taken) == 4


@pytest.mark.parametrize("is_accelerated", [False, True], ids=["gated", "accelerated"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("dropout", [0.0, 0.4, 1.0])
def test_a_packed_sequence_gives_what_torch_gives(
    kind: str, dropout: float, is_accelerated: bool
) -> None:
    """With the same draws: both drop rows of real steps alone."""
    options: dict[str, Any] = {"bidirectional": True, "dropout": dropout, "dtype": torch.float64}
    of_torch = getattr(nn, kind)(4, 5, 2, **options)
    layer = (
        copy.deepcopy(of_torch) if is_accelerated else getattr(gated.nn, kind)(4, 5, 2, **options)
    )
    layer.load_state_dict(of_torch.state_dict())
    if is_accelerated:
        gated.accelerate(layer)
    padded = torch.randn(6, 5, 4, dtype=torch.float64)
    states = tuple(torch.randn(4, 5, 5, dtype=torch.float64) for _ in range(1 + (kind == "LSTM")))

    def run(module: Any) -> list[Any]:
        torch.manual_seed(3)
        x = padded.clone().requires_grad_()
        hx = tuple(state.clone().requires_grad_() for state in states)
        packed = pack_padded_sequence(x, [2, 6, 1, 6, 3], enforce_sorted=False)
        output, final = module(packed, hx if len(hx) > 1 else hx[0])
        assert output.sorted_indices.equal(packed.sorted_indices)
        assert output.unsorted_indices.equal(packed.unsorted_indices)
        results = [output.data, *(final if isinstance(final, tuple) else [final])]
        loss = sum(((i + 1) * result).square().sum() for i, result in enumerate(results))
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        (loss + slope.square().sum()).backward()
        grads = [weight.grad for weight in module.parameters()]
        return [*results, x.grad, *(state.grad for state in hx), *grads]

    for ours, theirs in zip(run(layer), run(of_torch), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_padded_packed_and_whole_are_the_same_to_the_bit() -> None:
    layer = gated.nn.GRU(4, 5, 2, bidirectional=True)
    lengths = torch.tensor([2, 6, 6, 1])
    x = torch.randn(6, 4, 4)
    padded, final = layer(x, lengths=lengths)
    packed, of_packed = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    assert pad_packed_sequence(packed)[0].equal(padded)
    assert of_packed.equal(final)
    for b, length in enumerate(lengths):
        alone, of_alone = layer(x[:length, b])
        assert alone.equal(padded[:length, b])
        assert of_alone.equal(final[:, b])


def test_draws_between_layers_are_torchs() -> None:
    of_torch = nn.LSTM(4, 5, 3, dropout=0.3)
    layer = gated.nn.LSTM(4, 5, 3, dropout=0.3)
    layer.load_state_dict(of_torch.state_dict())
    results = []
    for module in (of_torch, layer):
        torch.manual_seed(0)
        output, _ = module(INPUT)
        output.sum().backward()
        results.append((output.detach(), module.weight_hh_l0.grad))
    assert_agree(results[0], results[1], "dropout")
    layer.eval()
    assert_agree(layer(INPUT), of_torch.eval()(INPUT), "evaluation")


def test_lengths_are_read_when_the_layer_runs() -> None:
    """A caller may use their tensor again before the way back."""
    layer = gated.nn.RNN(4, 5)
    grads = []
    for overwrites in (False, True):
        layer.zero_grad()
        lengths = torch.tensor([3, 1])
        output, _ = layer(INPUT, lengths=lengths)
        if overwrites:
            lengths.fill_(0)
        output.sum().backward()
        grads.append(layer.weight_ih_l0.grad)
    assert grads[0].equal(grads[1])


@pytest.mark.parametrize("sizes", [[2, 3], [3, 3], [0], []])
def test_a_packed_sequence_that_does_not_fit_itself_is_refused(sizes: list[int]) -> None:
    packed = PackedSequence(torch.zeros(5, 4), torch.tensor(sizes, dtype=torch.int64))
    for layer in (gated.nn.LSTM(4, 5), nn.LSTM(4, 5)):
        gated.accelerate(layer)
        with pytest.raises((RuntimeError, IndexError, ValueError)):  # torch's own
            layer(packed)
