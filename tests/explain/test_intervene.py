"""Gates are held at the values asked for, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn

import gated.nn
from gated.core.layout import layout_of
from gated.errors import ConfigurationError, DataError
from gated.explain import Intervention, effect, intervene, trace

T, B, I, H = 6, 3, 4, 5  # noqa: E741

LAYERS = {
    "rnn": lambda: nn.RNN(I, H),
    "relu": lambda: nn.RNN(I, H, nonlinearity="relu"),
    "gru": lambda: nn.GRU(I, H, num_layers=2, bidirectional=True),
    "gru before": lambda: gated.nn.GRU(I, H, reset_after=False),
    "lstm": lambda: nn.LSTM(I, H, num_layers=2, bidirectional=True),
    "lstm normed": lambda: gated.nn.LSTM(I, H, layer_norm=True, zoneout=0.2),
    "lstm projected": lambda: nn.LSTM(I, H, proj_size=2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_scale_of_one_changes_nothing(name: str) -> None:
    layer = LAYERS[name]().eval()
    x = torch.randn(T, B, I)
    for place in range(layer.num_layers * (2 if layer.bidirectional else 1)):
        gate = layout_of(trace(layer, x).layers[place].kind).gates[0]
        found = effect(layer, x, Intervention(gate, scale=1.0, layer=place))
        assert found.difference.abs().max() < 2e-6
        for one, other in zip(found.plain.layers, found.changed.layers, strict=True):
            assert list(one.values) == list(other.values)
            for gate in one.values:
                assert_agree(other.values[gate], one.values[gate], gate, relative=2e-5)
        for one, other in zip(found.plain.output[1], found.changed.output[1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [None, [2, 6, 5]])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_every_gate_is_held_where_it_was_asked_and_nowhere_else(kind: str, lengths: Any) -> None:
    options: dict = {"reset_after": lengths is None} if kind == "GRU" else {}
    layer = getattr(gated.nn, kind)(I, H, bidirectional=True, **options)
    x = torch.randn(T, B, I)
    cell = trace(layer, x).layers[0].kind
    for gate in layout_of(cell).gates:
        held = Intervention(gate, value=0.25, layer=1, unit=[0, 3], step=slice(1, 3), sequence=2)
        found = effect(layer, x, held, lengths=lengths)
        before, after = (getattr(of.layers[1], gate) for of in (found.plain, found.changed))
        np.testing.assert_allclose(after[1:3, 2][:, [0, 3]], 0.25, rtol=1e-6)
        # Backwards in time: later steps came before, and no other sequence or layer is touched.
        np.testing.assert_allclose(after[3:], before[3:], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(after[:, :2], before[:, :2], rtol=1e-4, atol=1e-6)
        assert np.abs(after[0, 2] - before[0, 2]).max() > 1e-5
        assert_agree(found.changed.layers[0].hidden, found.plain.layers[0].hidden, "the other way",
                     relative=2e-5)  # fmt: skip


def test_a_memory_that_neither_forgets_nor_writes_stays() -> None:
    layer = nn.LSTM(I, H).eval()
    x, cell = torch.randn(T, B, I), torch.randn(1, B, H)
    frozen = (Intervention("forget_gate", value=1.0), Intervention("input_gate", value=0.0))
    with intervene(layer, *frozen):
        _, (_, after) = layer(x, (torch.zeros(1, B, H), cell))
    assert torch.equal(after, cell)
    assert not torch.equal(layer(x, (torch.zeros(1, B, H), cell))[1][1], cell)
    assert type(layer) is nn.LSTM
    assert "_run" not in vars(layer)


def test_a_scale_multiplies_the_gate_as_it_would_have_been() -> None:
    layer = nn.LSTM(I, H)
    found = effect(layer, torch.randn(T, B, I), Intervention("output_gate", scale=0.5, step=0))
    before, after = found.plain.layers[0], found.changed.layers[0]
    np.testing.assert_allclose(after.output_gate[0], before.output_gate[0] / 2, rtol=1e-5)
    np.testing.assert_allclose(after.hidden[0], before.hidden[0] / 2, rtol=1e-5)
    np.testing.assert_allclose(after.cell[0], before.cell[0], rtol=1e-5)


STATES = {
    "rnn": lambda: nn.RNN(I, H),
    "relu": lambda: nn.RNN(I, H, nonlinearity="relu"),
    "gru": lambda: nn.GRU(I, H),
    "gru before": lambda: gated.nn.GRU(I, H, reset_after=False),
    "gru zoneout": lambda: gated.nn.GRU(I, H, zoneout=0.3),
    "lstm": lambda: nn.LSTM(I, H),
    "lstm zoneout": lambda: gated.nn.LSTM(I, H, zoneout=0.3),
    "lstm normed": lambda: gated.nn.LSTM(I, H, layer_norm=True),
    "lstm projected": lambda: gated.nn.LSTM(I, H, proj_size=2),
}


@pytest.mark.parametrize("state", ["hidden", "cell"])
@pytest.mark.parametrize("name", STATES)
def test_a_state_that_is_held_is_where_the_next_step_starts(name: str, state: str) -> None:
    """Beside a run that is stopped after the step, changed by hand, and goes on from there."""
    if state == "cell" and "lstm" not in name:
        return
    layer, at = STATES[name]().eval(), 2
    if name == "lstm normed":
        nn.init.normal_(layer.gain_cell_l0)
        nn.init.normal_(layer.bias_cell_l0)
    x = torch.randn(T, B, I)
    found = effect(layer, x, gate=state, scale=0.5, step=at, unit=1, sequence=[0, 2])
    with torch.no_grad():
        before = layer(x[: at + 1])[1]
        states = [s.clone() for s in (before if layer.mode == "LSTM" else (before,))]
        states[state == "cell"][0, [0, 2], 1] *= 0.5
        if state == "cell" and name != "lstm zoneout":  # there h_t is read before zoneout
            shown = states[1][0]
            if name == "lstm normed":
                shown = nn.functional.layer_norm(
                    shown, (H,), layer.gain_cell_l0, layer.bias_cell_l0
                )
            output_gate = torch.from_numpy(found.plain.layers[0].output_gate[at])
            states[0] = (output_gate * torch.tanh(shown))[None]
            if name == "lstm projected":
                states[0] = states[0] @ layer.weight_hr_l0.T
        after = layer(x[at + 1 :], tuple(states) if layer.mode == "LSTM" else states[0])[0]
    plain, changed = found.plain.layers[0], found.changed.layers[0]
    for kept in plain.values:  # the past, and the other sequence, are as they were
        assert_agree(changed.values[kept][:at], plain.values[kept][:at], kept, relative=2e-5)
        assert_agree(changed.values[kept][:, 1], plain.values[kept][:, 1], kept, relative=2e-5)
    held = changed.values[state][at]
    assert_agree(held[[0, 2], 1], plain.values[state][at][[0, 2], 1] / 2, state, relative=1e-5)
    assert_agree(changed.hidden[at], states[0][0].numpy(), "hidden", absolute=1e-6)
    assert_agree(changed.hidden[at + 1 :], after.numpy(), "what follows", absolute=1e-6)
    assert_agree(found.changed.output[0][at + 1 :], after, "output", absolute=1e-6)


def test_a_memory_is_cleared_whatever_it_held() -> None:
    layer, x = gated.nn.LSTM(I, H, zoneout=0.2).eval(), torch.randn(T, B, I)
    cleared = (
        Intervention("cell", scale=0.0, step=3),
        Intervention("hidden", value=0.0, step=3),
    )
    with intervene(layer, *cleared), torch.no_grad():
        output, _ = layer(x)
    with torch.no_grad():
        assert_agree(output[4:], layer(x[4:])[0], "afresh", absolute=1e-6)
    assert not output[3].any()


def test_keywords_are_one_intervention() -> None:
    layer, x = nn.LSTM(I, H), torch.randn(T, B, I)
    held = {"gate": "forget_gate", "value": 0.0, "unit": 2, "step": slice(1, 4)}
    one, other = effect(layer, x, **held), effect(layer, x, Intervention(**held))
    assert torch.equal(one.changed.output[0], other.changed.output[0])
    assert one.difference.abs().max() > 1e-4
    with pytest.raises(
        ConfigurationError, match=r"gate= and either value= .*got 0 of these.*step$"
    ):
        effect(layer, x, value=0.0, step=1)
    with (
        pytest.raises(ConfigurationError, match="got 1 of these"),
        intervene(layer, Intervention("forget_gate", value=0.0), gate="cell", scale=0.0),
    ):
        pass


def test_a_step_that_only_a_longer_sequence_has_is_refused() -> None:
    layer, x = gated.nn.GRU(I, H), torch.randn(T, B, I)
    effect(layer, x, gate="hidden", scale=0.0, step=3, lengths=[2, 6, 1])
    with pytest.raises(DataError, match=r"sequence=\[0, 2\]: no sequence has such a step"):
        effect(layer, x, gate="hidden", scale=0.0, step=3, sequence=[0, 2], lengths=[2, 6, 1])


def test_of_a_model_only_the_layer_asked_for_is_held() -> None:
    model = nn.Sequential()
    below, above = nn.GRU(I, H, num_layers=2), gated.nn.LSTM(H, 2)
    model.extend([below, above])
    model.forward = lambda x: above(below(x)[0])[0]  # type: ignore[method-assign]
    x = torch.randn(T, B, I)
    found = effect(model, x, Intervention("forget_gate", value=0.0, layer=2))
    for place in (0, 1):
        np.testing.assert_array_equal(
            found.changed.layers[place].hidden, found.plain.layers[place].hidden
        )
    assert (found.changed.layers[2].forget_gate == 0).all()
    assert found.difference.abs().max() > 1e-4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ConfigurationError, "either value or scale"),
        ({"value": 0.5, "scale": 1.0}, ConfigurationError, "either value or scale"),
        ({"value": 1.5}, ConfigurationError, "must be from 0 to 1, got 1.5"),
        ({"value": 0.5, "gate": "reset_gate"}, ConfigurationError, "must be one of input_gate"),
        ({"value": np.nan}, ConfigurationError, "value must be a finite number, got nan"),
        ({"scale": np.inf, "gate": "cell"}, ConfigurationError, "scale must be a finite number"),
        ({"value": 0.5, "unit": 5}, DataError, "unit: there are 5, got 5"),
        ({"value": 0.5, "step": [1, -7]}, DataError, "step: there are 6"),
        ({"value": 0.5, "sequence": 3}, DataError, "sequence: there are 3"),
        ({"value": 0.5, "step": slice(6, None)}, DataError, "no sequence has such a step"),
        ({"value": 0.5, "unit": []}, DataError, "there is no such unit"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: Any, error: type, message: str) -> None:
    def tried(layer: nn.Module, **given: Any) -> None:
        effect(layer, torch.randn(T, B, I), Intervention(**given))

    with pytest.raises(error, match=message):
        tried(nn.LSTM(I, H), **{"gate": "forget_gate"} | options)


@pytest.mark.parametrize("place", [1, -1])
def test_a_layer_that_is_not_there_is_refused(place: int) -> None:
    layer = nn.LSTM(I, H)
    with pytest.raises(DataError, match=f"layer: the model has 1, from 0 on, got {place}"):
        effect(layer, torch.randn(T, B, I), Intervention("forget_gate", value=0.0, layer=place))
    assert type(layer) is nn.LSTM
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


def test_a_layer_that_torch_computes_is_not_left_unheld() -> None:
    layer = nn.GRU(I, H).eval()
    with (
        pytest.raises(DataError, match="GRU is not examined: computed by torch"),
        intervene(layer, Intervention("update_gate", value=0.0)),
        torch.autocast("cpu", torch.bfloat16),
    ):
        layer(torch.randn(T, B, I))
    sixteen_bits = nn.LSTM(I, H).bfloat16().eval()
    for steps in (1, T):
        with intervene(sixteen_bits, Intervention("output_gate", value=0.0)), torch.no_grad():
            assert not sixteen_bits(torch.randn(steps, B, I).bfloat16())[0].any()


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(I, H)

    def forward(self, x: torch.Tensor, parts: int = 1) -> torch.Tensor:
        return self.layer(x[: len(x) // parts])[0]


def test_every_call_of_the_model_is_held_and_no_part_runs_unheld() -> None:
    model, x = Encoder().eval(), torch.randn(T, B, I)
    with intervene(model, Intervention("output_gate", value=0.0)), torch.no_grad():
        assert all(not model(x).any() for _ in range(3))
        with pytest.raises(ConfigurationError, match="layer runs outside a call of the model"):
            model.layer(x)
        with pytest.raises(ZeroDivisionError):
            model(x, parts=0)  # a call that fails is over, too
        with pytest.raises(ConfigurationError, match="layer runs outside a call of the model"):
            model.layer(x)
    assert model.layer(x)[0].any()


def test_one_intervention_within_another_is_refused() -> None:
    model, x = Encoder().eval(), torch.randn(T, B, I)
    with intervene(model, Intervention("output_gate", value=0.0)):
        with (
            pytest.raises(ConfigurationError, match="layer is held already: give all"),
            intervene(model, Intervention("forget_gate", value=1.0)),
        ):
            pass
        assert not model(x).any()
    with intervene(model, Intervention("output_gate", value=0.0)):
        assert not model(x).any()
    assert type(model.layer) is nn.LSTM


@pytest.mark.parametrize("module", [nn, gated.nn])
def test_what_does_not_fit_is_refused_where_it_is_met(module: Any) -> None:
    layer = module.LSTM(I, H).eval()
    with intervene(layer, Intervention("output_gate", value=0.0, step=T)):
        with pytest.raises(DataError, match="step: there are 6, got 6"):
            layer(torch.randn(T, B, I))
        with pytest.raises(
            (DataError, RuntimeError), match=r"input must have 4|must be equal to input"
        ):
            layer(torch.randn(T, B, I + 1))
        assert layer(torch.randn(T + 1, B, I))[0].any()
    assert not {"observers", "forward"} & vars(layer).keys()
