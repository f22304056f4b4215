"""What layers do beyond `torch.nn`: variants, their parameters, gates and initial values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

import gated.nn
from gated.core.layout import LAYOUTS
from gated.errors import ConfigurationError

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"layer_norm": True}),
    ("GRU", {"layer_norm": True, "bidirectional": True}),
    ("RNN", {"layer_norm": True, "num_layers": 2}),
    ("GRU", {"reset_after": False, "num_layers": 2}),
    ("LSTM", {"recurrent_dropout": 0.4}),
    ("GRU", {"weight_drop": 0.4}),
    ("LSTM", {"zoneout": (0.1, 0.5)}),
    ("RNN", {"zoneout": 0.3}),
    ("LSTM", {"recompute": True, "num_layers": 2}),
    (
        "LSTM",
        {
            "layer_norm": True,
            "recurrent_dropout": 0.2,
            "weight_drop": 0.2,
            "zoneout": 0.2,
            "proj_size": 2,
            "recompute": True,
            "bidirectional": True,
        },
    ),
]


def result(model: torch.nn.Module, x: torch.Tensor, seed: int = 3) -> list[torch.Tensor]:
    """Output, states, and every gradient."""
    torch.manual_seed(seed)
    model.zero_grad()
    x = x.clone().requires_grad_()
    output, final = model(x, lengths=[4, 0, 2, 3])
    states = final if isinstance(final, tuple) else (final,)
    sum((part**2).sum() for part in (output, *states)).backward()
    return [output, *states, x.grad, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
def test_native_reference_and_torch_agree(kind: str, options: dict[str, Any]) -> None:
    """With the same draws, in training and in evaluation."""
    native = getattr(gated.nn, kind)(3, 5, backend="native", dtype=torch.float64, **options)
    for parameter in native.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    for backend in ("reference", "torch"):
        other = getattr(gated.nn, kind)(3, 5, backend=backend, dtype=torch.float64, **options)
        other.load_state_dict(native.state_dict())
        for training in (True, False):
            ours = result(native.train(training), x)
            assert_agree(ours, result(other.train(training), x), f"{kind} by {backend}")
    changes = options.keys() & {"recurrent_dropout", "weight_drop", "zoneout"}
    other = result(native.train(), x, seed=4)
    assert all(map(torch.equal, other, result(native, x))) == (not changes)
    assert all(map(torch.equal, result(native.eval(), x), result(native, x, seed=4)))


def test_options_that_are_off_leave_the_layer_of_torch() -> None:
    torch.manual_seed(0)
    ours = gated.nn.LSTM(3, 5, layer_norm=False, zoneout=0.0, recurrent_dropout=0.0)
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(3, 5)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(4, 2, 3)
    assert_agree(ours(x), theirs(x), "output and states")


def test_gains_start_at_one_and_travel_in_the_state_dict() -> None:
    model = gated.nn.LSTM(3, 5, num_layers=2, bidirectional=True, layer_norm=True)
    names = [name for name in model.state_dict() if name.startswith(("gain", "bias_cell"))]
    assert len(names) == 4 * 4
    assert "gain_hh_l1_reverse" in names
    assert model.gain_ih_l0.shape == (20,)
    assert model.gain_cell_l1.shape == (5,)
    for _ in range(2):
        for name in names:
            expected = 0.0 if name.startswith("bias") else 1.0
            assert (getattr(model, name) == expected).all(), name
            torch.nn.init.normal_(getattr(model, name))
        model.reset_parameters()
    again = gated.nn.LSTM(3, 5, num_layers=2, bidirectional=True, layer_norm=True)
    again.load_state_dict(model.state_dict())
    x = torch.randn(4, 2, 3)
    assert torch.equal(again(x)[0], model(x)[0])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, [2, 4, 0]])
def test_gates_are_named_and_have_gradients(
    kind: str, backend: str, batch_first: bool, lengths: list[int] | None
) -> None:
    model = getattr(gated.nn, kind)(
        3, 5, num_layers=2, bidirectional=True, batch_first=batch_first, backend=backend
    ).double()
    x = torch.randn(3, 4, 3, dtype=torch.float64)
    x = x if batch_first else x.transpose(0, 1)
    output, final, gates = model(x, lengths=lengths, return_gates=True)
    plain, plain_final = model(x, lengths=lengths)
    assert_agree((output, final), (plain, plain_final), "results", relative=0)
    assert len(gates) == 4
    cell = model.mode.lower()
    assert set(gates[0]) == {*LAYOUTS[cell].gates, *LAYOUTS[cell].states}
    assert_agree(torch.cat([gates[2]["hidden"], gates[3]["hidden"]], -1), output, "hidden")
    if kind == "LSTM":
        for of in gates:
            shown = of["output_gate"] * torch.tanh(of["cell"])
            assert_agree(of["hidden"], shown, "what the output gate shows")

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        named = dict(zip(dict(model.named_parameters()), parameters, strict=True))
        options = {"lengths": lengths, "return_gates": True}
        *_, gates = torch.func.functional_call(model, named, (x,), options)
        weights = torch.Generator().manual_seed(1)
        return sum(
            (gate * torch.randn(gate.shape, generator=weights, dtype=gate.dtype)).sum()
            for of in gates
            for gate in of.values()
        )

    assert torch.autograd.gradcheck(loss, tuple(model.parameters()), fast_mode=True)


def test_gates_of_an_unbatched_and_of_a_packed_input() -> None:
    model = gated.nn.GRU(3, 5)
    x = torch.randn(4, 2, 3)
    expected = model(x, lengths=[2, 4], return_gates=True)[2][0]
    alone = model(x[:, 1], return_gates=True)[2][0]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2, 4]), enforce_sorted=False)
    of_packed = model(packed, return_gates=True)[2][0]
    for name, gate in expected.items():
        assert_agree(alone[name], gate[:, 1], name, relative=1e-6, absolute=1e-7)
        padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(of_packed[name])
        assert lengths.tolist() == [2, 4]
        assert_agree(padded, gate, name, relative=1e-6, absolute=1e-7)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell"])
def test_chrono_initialisation(kind: str) -> None:
    """Biases log(u) with u between 1 and T - 1 (Tallec and Ollivier 2018)."""
    H, longest = 4000, 800
    model = getattr(gated.nn, kind)(1, H, chrono_init=longest)
    names = ("bias_ih", "bias_hh") if kind.endswith("Cell") else ("bias_ih_l0", "bias_hh_l0")
    total = sum(getattr(model, name).detach() for name in names)
    gates = LAYOUTS["lstm" if kind.startswith("LSTM") else "gru"].gates
    of_gate = dict(zip(gates, total.split(H), strict=True))
    lifetimes = of_gate["forget_gate" if "LSTM" in kind else "update_gate"].exp()
    assert 1 <= lifetimes.min() < 3
    assert longest - 4 < lifetimes.max() <= longest - 1
    assert abs(lifetimes.mean() - longest / 2) < 5 * longest / np.sqrt(12 * H)
    if "LSTM" in kind:
        assert_agree(of_gate["input_gate"], -of_gate["forget_gate"], "input gate")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("GRU", {"reset_after": False, "layer_norm": True}, "no layer normalisation for the cell"),
        ("LSTM", {"zoneout": 1.5}, "zoneout is a probability, 0 to 1, got 1.5"),
        ("GRU", {"zoneout": (0.1, 0.2)}, "a GRU has one state: give one number"),
        ("LSTM", {"weight_drop": -0.1}, "weight_drop is a probability"),
        ("LSTM", {"chrono_init": 2}, "at least 3, got 2"),
        ("LSTM", {"chrono_init": 9, "forget_bias": 1.0}, "set the same: leave one out"),
        ("LSTM", {"chrono_init": 9, "bias": False}, "bias=False leaves no bias to set"),
    ],
)
def test_options_that_cannot_be_meant(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        getattr(gated.nn, kind)(3, 5, **options)


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
def test_a_stream_goes_through_a_sequence_as_the_layers_do(
    kind: str, options: dict[str, Any]
) -> None:
    layers = getattr(gated.nn, kind)(3, 5, **options).eval()
    if layers.bidirectional:
        with pytest.raises(ConfigurationError, match="bidirectional"):
            layers.stream()
        return
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(7, 3)
    with torch.no_grad():
        expected, _ = layers(x)
    stream = layers.stream()
    assert_agree(stream.steps(x.numpy()), expected.numpy(), "hidden states")
    stream.reset()
    assert_agree(stream.step(x[0].numpy()), expected[0].numpy(), "hidden state after a reset")
