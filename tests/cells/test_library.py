"""The library's cells: native against torch's operations, and against another implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchrecurrent as peer
from tests.comparison import assert_agree

import gated
from gated.cells import Cell, library

CELLS = {name: of for name, of in vars(library).items() if isinstance(of, Cell)}
Weights = dict[str, torch.Tensor]


def layer_of(of: Cell, H: int = 5, **options: Any) -> gated.nn.Recurrent:
    torch.manual_seed(0)
    return gated.nn.Recurrent(of, 3, H, dtype=torch.float64, **options)


@pytest.mark.parametrize("name", CELLS)
def test_native_is_torch(name: str) -> None:
    layer = layer_of(CELLS[name], 13)
    x = torch.randn(6, 4, 3, dtype=torch.float64, requires_grad=True)
    results = []
    for backend in ("native", "torch"):
        layer.backend = backend  # type: ignore[assignment]
        output, _ = layer(x, lengths=[6, 2, 5, 1])
        results.append([output, *torch.autograd.grad(output.sin().sum(), [x, *layer.parameters()])])
    assert_agree(*results, "results", relative=1e-8, absolute=1e-8)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_differences(name: str) -> None:
    layer = layer_of(CELLS[name], 3, backend="torch")
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x)[0], (x,))


def same(w: Weights) -> Weights:
    return w


PEERS: dict[str, tuple[str, dict[str, Any], Callable[[Weights], Weights]]] = {
    "mgu": ("MGUCell", {}, same),
    "janet": ("JANETCell", {}, lambda w: {k: v for k, v in w.items() if k != "beta"}),
    "ligru": ("LiGRUCell", {}, same),
    "ugrnn": ("UGRNNCell", {}, same),
    "atr": ("ATRCell", {}, same),
    "nbrc": ("NBRCell", {}, same),
    "cfn": ("CFNCell", {}, same),
    "light_ru": ("LightRUCell", {}, same),
    "mut1": ("MUT1Cell", {}, same),
    "mut2": ("MUT2Cell", {}, same),
    "mut3": ("MUT3Cell", {}, same),
    "nas": ("NASCell", {}, same),
    "lstm_original": ("OriginalLSTMCell", {}, same),
    "sgrn": ("SGRNCell", {}, same),
    "star": ("STARCell", {}, same),
    "trnn": ("TRNNCell", {}, same),
    "lstm_peephole": (
        "PeepholeLSTMCell",
        {},
        lambda w: {
            **{k: v for k, v in w.items() if k != "weight_ph"},
            "peepholes": w["weight_ph"].reshape(3, -1),
        },
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_outputs_and_gradients_are_the_peers(name: str) -> None:
    kind, options, ours_of = PEERS[name]
    torch.manual_seed(1)
    theirs = getattr(peer, kind)(3, 5, **options).double()
    for parameter in theirs.parameters():
        if parameter.dim():
            torch.nn.init.uniform_(parameter, -0.7, 0.7)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    state, steps = None, []
    for step in x:
        state = theirs(step) if state is None else theirs(step, state)
        steps.append(state[0] if isinstance(state, tuple) else state)
    layer = layer_of(CELLS[name])
    weights = dict(theirs.named_parameters())
    mapped = {f"{key}_l0": value for key, value in ours_of(weights).items()}
    assert mapped.keys() == dict(layer.named_parameters()).keys()
    output, _ = torch.func.functional_call(layer, mapped, (x,))
    read = [weights[key] for key in weights if key != "beta"]
    results = [
        [of, *torch.autograd.grad(of.sin().sum(), [x, *read])]
        for of in (output, torch.stack(steps))
    ]
    assert_agree(*results, "results", relative=1e-5, absolute=1e-5)
