"""PyTorch's own cases for its recurrent modules, for those of gated and for accelerated ones.

Of the checks that PyTorch runs on them in `test_modules.py` these are left out: what needs a GPU
(parity of devices, transfers, memory formats of cuDNN), what is about modules with an `inplace`
argument, and the texts of errors, which are ours: their types are compared. Cells are not
accelerated.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.comparison import assert_agree
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map_only

import gated
from gated.errors import DataError

with pytest.MonkeyPatch.context() as patch:
    patch.setattr("sys.argv", ["pytest"])  # which torch's testing reads
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db
    from torch.testing._internal.common_utils import freeze_rng_state

NAMES = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
INFO = {info.name.removeprefix("nn."): info for info in module_db}
LAYERS = tuple(name for name in NAMES if "Cell" not in name)

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit"),  # torch's own use of it
    pytest.mark.filterwarnings("ignore:There is a performance drop"),
]
Make = Callable[..., Any]


def of_gated(name: str) -> Make:
    made: Make = getattr(gated.nn, name)
    return made


def accelerated(name: str) -> Make:
    def make(*arguments: Any, **options: Any) -> Any:
        layer = getattr(nn, name)(*arguments, **options)
        gated.accelerate(layer)
        return layer

    return make


WHO = [
    *(pytest.param(name, of_gated(name), id=f"gated.nn.{name}") for name in NAMES),
    *(pytest.param(name, accelerated(name), id=f"accelerated {name}") for name in LAYERS),
]
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
every_module = pytest.mark.parametrize(("name", "make"), WHO)


def cases(
    name: str, make: Make, training: bool, dtype: torch.dtype = torch.float64, **given: Any
) -> Iterator[tuple[Any, Any, Any]]:
    """Each of torch's cases: our module, the same of torch, and what it is called with."""
    info = INFO[name]
    inputs = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=given.pop("requires_grad", False),
        training=training, **given,
    )  # fmt: skip
    for case in inputs:
        of = case.constructor_input
        ours = make(*of.args, **of.kwargs, dtype=dtype).train(training)
        torchs = info.module_cls(*of.args, **of.kwargs, dtype=dtype).train(training)
        torchs.load_state_dict(ours.state_dict())
        yield ours, torchs, case


def called(module: Any, case: Any) -> Any:
    with freeze_rng_state():
        return module(*case.forward_input.args, **case.forward_input.kwargs)


def pieces(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


@every_module
@both_modes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_forward(name: str, make: Make, training: bool, dtype: torch.dtype) -> None:
    packed = {"with_packed_sequence": True} if name in ("RNN", "GRU") else {}
    for ours, torchs, case in cases(name, make, training, dtype, **packed):
        found = called(ours, case)
        assert_agree(pieces(found), pieces(called(torchs, case)), name, absolute=1e-6)
        if not packed or isinstance(case.forward_input.args[0], Tensor):  # it takes no others
            expected = case.reference_fn(torchs, *case.forward_input.args)
            assert_agree(pieces(found), pieces(expected), "torch's reference", absolute=1e-6)


@every_module
def test_arguments_of_the_factory(name: str, make: Make) -> None:
    for _, torchs, case in cases(name, make, True):
        of = case.constructor_input
        made = make(*of.args, **of.kwargs, device="meta", dtype=torch.float32)
        assert all(w.is_meta and w.dtype == torch.float32 for w in made.parameters())
        assert [n for n, _ in made.named_parameters()] == [n for n, _ in torchs.named_parameters()]
        filled = made.to_empty(device="cpu").double()
        assert all(w.dtype == torch.float64 and not w.is_meta for w in filled.parameters())


@every_module
@both_modes
def test_pickles_copies_and_state_dicts(name: str, make: Make, training: bool) -> None:
    for ours, _, case in cases(name, make, training):
        expected = called(ours, case)
        file = io.BytesIO()
        torch.save(ours, file)
        file.seek(0)
        for again in (
            pickle.loads(pickle.dumps(ours)),
            copy.deepcopy(ours),
            torch.load(file, weights_only=False),
        ):
            assert again.training == training
            assert_agree(pieces(called(again, case)), pieces(expected), name, relative=0)
        of = case.constructor_input
        fresh = make(*of.args, **of.kwargs, dtype=torch.float64).train(training)
        fresh.load_state_dict(ours.state_dict())
        assert_agree(pieces(called(fresh, case)), pieces(expected), name, relative=0)


def apart(tensor: Tensor) -> Tensor:
    """The same values, no two of them neighbours in memory."""
    if tensor.dim() == 0:
        return tensor
    wide = torch.empty(*tensor.shape, 2, dtype=tensor.dtype)
    wide[..., 0] = tensor.detach()
    return wide[..., 0].requires_grad_(tensor.requires_grad)


def gradients(module: Any, case: Any) -> Any:
    """Results, and the gradients of inputs and weights."""
    results = pieces(called(module, case))
    weights = list(module.parameters())
    inputs = [of for of in pieces(case.forward_input.args) if of.requires_grad]
    loss = sum((result * torch.cos(result.detach() * 3)).sum() for result in results)
    return results, torch.autograd.grad(loss, [*inputs, *weights])


@every_module
@both_modes
def test_what_does_not_lie_in_one_piece(name: str, make: Make, training: bool) -> None:
    for ours, _, case in cases(name, make, training, requires_grad=True):
        expected = gradients(ours, case)
        given = case.forward_input
        given.args = tree_map_only(Tensor, apart, given.args)
        assert_agree(gradients(ours, case), expected, name, absolute=1e-12)
        for weight in ours.parameters():
            weight.data = apart(weight.data).detach()
        assert_agree(gradients(ours, case), expected, name, absolute=1e-12)


def as_function(module: Any, case: Any) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
    """What a case computes, of its tensors and the module's weights."""
    args = case.forward_input.args
    given, names = pieces(args), [name for name, _ in module.named_parameters()]

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        rest = iter(tensors)
        own = tree_map_only(Tensor, lambda _: next(rest), args)
        weights = dict(zip(names, rest, strict=True))
        with freeze_rng_state():
            return tuple(pieces(functional_call(module, weights, own)))

    return function, (*given, *module.parameters())


def second_gradients(module: Any, case: Any) -> Any:
    """Of the squares of all gradients; and many of these at once."""
    inputs = [*(of for of in pieces(case.forward_input.args)), *module.parameters()]
    loss = sum((result**3).sum() for result in pieces(called(module, case)))
    first = torch.autograd.grad(loss, inputs, create_graph=True)
    squares = torch.stack([of.square().sum() for of in first])
    return torch.autograd.grad(
        squares, inputs, torch.eye(len(squares), dtype=squares.dtype), is_grads_batched=True
    )


@every_module
@both_modes
def test_gradients_and_second_gradients(name: str, make: Make, training: bool) -> None:
    for ours, torchs, case in cases(name, make, training, requires_grad=True):
        assert_agree(gradients(ours, case), gradients(torchs, case), name)
        if not training:  # these take long, and no case drops anything
            continue
        found, expected = second_gradients(ours, case), second_gradients(torchs, case)
        assert_agree(found, expected, name, relative=1e-8, absolute=1e-8)


@every_module
def test_gradients_by_differences(name: str, make: Make) -> None:
    *_, (ours, _, case) = cases(name, make, True, requires_grad=True)
    function, tensors = as_function(ours, case)
    options: Any = {"fast_mode": True, "check_batched_grad": True}
    assert torch.autograd.gradcheck(function, tensors, check_forward_ad=True, **options)
    assert torch.autograd.gradgradcheck(function, tensors, **options)


@every_module
def test_train_and_eval(name: str, make: Make) -> None:
    for ours, _, case in cases(name, make, True):
        expected = called(ours, case)
        assert not ours.eval().training
        assert_agree(pieces(called(ours, case)), pieces(expected), name, relative=0)
        assert ours.train().training


@every_module
def test_what_it_says_of_itself(name: str, make: Make) -> None:
    for ours, torchs, _ in cases(name, make, True):
        assert type(ours).__name__ == name
        assert repr(ours) == repr(torchs)


@every_module
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_errors(name: str, make: Make, dtype: torch.dtype) -> None:
    info = INFO[name]
    found = info.module_error_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=False, training=True
    )
    assert found
    for case in found:
        of = case.module_error_input.constructor_input
        if case.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(case.error_type):
                make(*of.args, **of.kwargs)
            continue
        module = make(*of.args, **of.kwargs).to(dtype)
        ours = name not in LAYERS  # gated's cells name the argument: a DataError
        with pytest.raises(DataError if ours else case.error_type):
            called(module, case.module_error_input)
