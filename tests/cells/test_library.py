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
    layer = layer_of(CELLS[name], 2, backend="native")
    x = torch.randn(3, 1, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def output(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(layer, given, (x,))[0]

    assert torch.autograd.gradcheck(output, (x, *values))


def same(w: Weights) -> Weights:
    return w


def zeros(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.float64)


def without_bias(w: Weights) -> Weights:
    """Where a state meets no matrix, one bias says what their two say."""
    first = len(w["bias_hh"])
    bias = torch.cat([w["bias_ih"][:first] + w["bias_hh"], w["bias_ih"][first:]])
    return {"weight_ih": w["weight_ih"], "bias_ih": bias}


CONSTANTS = {
    "cornn": {"dt": 0.1, "gamma": 1.0, "epsilon": 1.0},
    "unicornn": {"dt": 0.1},
    "sgu": {"slope": 1 / 6},
    "dsgu": {"slope": 1 / 6},
}
"""What the other package chose where the paper leaves it open, or chose otherwise."""

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
    "cornn": ("coRNNCell", {}, same),
    "fast_rnn": ("FastRNNCell", {}, same),
    "miru1": ("MiRU1Cell", {}, same),
    "miru2": ("MiRU2Cell", {}, same),
    "brc": ("BRCell", {}, lambda w: without_bias(w) | {"w": w["weight_hh"].reshape(2, -1)}),
    "indrnn": (
        "IndRNNCell",
        {"nonlinearity": "relu"},
        lambda w: without_bias(w) | {"u": w["vector_u"]},
    ),
    "unicornn": (
        "UnICORNNCell",
        {},
        lambda w: {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"],
            "w": w["weight_hh"],
            "pace": w["weight_ch"],
        },
    ),
    "fast_grnn": (
        "FastGRNNCell",
        {"nonlinearity": "sigmoid"},
        lambda w: {
            **{k: w[k] for k in ("weight_ih", "weight_hh", "zeta", "nu")},
            "bias_ih": zeros(5),
            "bias_hh": zeros(5),
            "b": (w["bias_ih"] + w["bias_hh"]).reshape(2, -1),
        },
    ),
    "minimal_rnn": (
        "MinimalRNNCell",
        {},
        lambda w: {
            **{k: w[k] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
            "weight_m": w["weight_mm"],
            "bias_m": zeros(5),
        },
    ),
    "multiplicative_lstm": (
        "MultiplicativeLSTMCell",
        {},
        lambda w: {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"],
            "weight_hh": torch.cat([w["weight_hh"], w["weight_mh"]]),
            "bias_hh": torch.cat([w["bias_hh"], w["bias_mh"]]),
        },
    ),
    "ran": ("RANCell", {}, lambda w: w | {"bias_ih": torch.cat([zeros(5), w["bias_ih"]])}),
    "wmc_lstm": (
        "WMCLSTMCell",
        {},
        lambda w: {
            **{k: w[k] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
            "weight_ch": w["weight_mh"][:10],
            "bias_ch": w["bias_mh"][:10],
            "weight_m": w["weight_mh"][10:],
            "bias_m": w["bias_mh"][10:],
        },
    ),
    "sgu": ("SGUCell", {}, same),
    "dsgu": (
        "DSGUCell",
        {},
        lambda w: {
            **{k: v for k, v in w.items() if k != "weight_ho"},
            "weight_o": w["weight_ho"],
            "bias_o": zeros(5),
        },
    ),
    "residual_lstm": (
        "ResLSTMCell",
        {},
        lambda w: {
            "weight_ih": torch.cat([w["weight_ih"], w["weight_res"]]),
            "bias_ih": torch.cat([w["bias_ih"], zeros(5)]),
            "weight_hh": w["weight_hh"],
            "bias_hh": w["bias_hh"],
            "weight_p": w["weight_proj"],
            "bias_p": zeros(5),
            "peepholes": w["weight_ph"].reshape(3, -1),
        },
    ),
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
    layer = layer_of(CELLS[name], **CONSTANTS.get(name, {}))
    weights = dict(theirs.named_parameters())
    mapped = {
        f"{key}_l0": value.reshape(()) if value.numel() == 1 else value
        for key, value in ours_of(weights).items()
    }
    assert mapped.keys() == dict(layer.named_parameters()).keys()
    output, _ = torch.func.functional_call(layer, mapped, (x,))
    read = [weights[key] for key in weights if key != "beta"]
    results = [
        [of, *torch.autograd.grad(of.sin().sum(), [x, *read])]
        for of in (output, torch.stack(steps))
    ]
    assert_agree(*results, "results", relative=1e-5, absolute=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_lem_reads_the_new_cell_state_as_its_paper_does_and_the_peer_the_old(weight: float) -> None:
    theirs = peer.LEMCell(3, 5).double()
    w = dict(theirs.named_parameters())
    torch.nn.init.constant_(w["weight_ch"], weight)
    x = torch.randn(1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mapped = {
        "weight_ih_l0": w["weight_ih"],
        "bias_ih_l0": w["bias_ih"],
        "weight_hh_l0": torch.cat([w["weight_hh"], w["weight_ch"]]),
        "bias_hh_l0": torch.cat([w["bias_hh"], w["bias_ch"]]),
    }
    output, _ = torch.func.functional_call(layer_of(library.lem), mapped, (x,))
    agree = torch.allclose(output[0], theirs(x[0])[0], atol=1e-8)
    assert agree == (weight == 0)
