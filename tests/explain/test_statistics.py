"""Statistics over a data set, and the rules that read them, on networks broken on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated.nn
from gated.errors import ConfigurationError, DataError, options_as_typed
from gated.explain import RULES, diagnose, statistics, tied_to, trace

T, B, I, H = 60, 8, 3, 12  # noqa: E741


def data(seed: int = 0) -> torch.Tensor:
    return torch.randn(T, B, I, generator=torch.Generator().manual_seed(seed))


def test_statistics_are_those_of_all_real_steps_together() -> None:
    layer = gated.nn.LSTM(I, H, num_layers=2)
    lengths = [60, 1, 30, 60, 12, 59, 7, 2]
    batches = [(data(0), lengths), data(1)]
    found = statistics(layer, batches)[1]
    traces = [
        trace(layer, x, lengths=n).layers[1] for x, n in ((data(0), lengths), (data(1), None))
    ]

    def real(name: str) -> np.ndarray:
        rows = [of.values[name][np.arange(T)[:, None] < of.lengths] for of in traces]
        return np.concatenate(rows).astype(np.float64)

    assert found.steps == sum(lengths) + T * B
    forget = real("forget_gate")
    assert_agree(found.mean["forget_gate"], forget.mean(0), "mean")
    assert_agree(found.left["output_gate"], (real("output_gate") < 0.1).mean(0), "left")
    assert_agree(found.right["input_gate"], (real("input_gate") > 0.9).mean(0), "right")
    assert found.memory is not None
    assert_agree(found.memory, -1 / np.log(forget).mean(0), "memory")
    assert_agree(found.deviation, real("hidden").std(0), "deviation", relative=1e-6)
    assert_agree(found.correlation, np.corrcoef(real("hidden").T), "correlation", absolute=1e-7)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_other_cells_have_what_they_have(kind: str) -> None:
    found = statistics(getattr(nn, kind)(I, H), [data()])[0]
    assert (found.memory is None) == (kind == "RNN")
    assert set(found.mean) == ({"reset_gate", "update_gate"} if kind == "GRU" else set())


def test_a_memory_of_constant_gates_is_known() -> None:
    layer = nn.LSTM(I, H)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.zero_()
        layer.bias_ih_l0[H : 2 * H] = float(np.log(0.9 / 0.1))
        layer.bias_hh_l0.zero_()
    memory = statistics(layer, [data()])[0].memory
    assert memory is not None
    np.testing.assert_allclose(memory, -1 / np.log(0.9), rtol=1e-5)


def test_the_unit_that_counts_is_found() -> None:
    """A cell that adds one a step is tied to the position; the others are not."""
    layer = nn.LSTM(I, H)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
        for gate in (0, 1):  # unit 5 writes and keeps all
            layer.weight_ih_l0[gate * H + 5] = 0
            layer.bias_ih_l0[gate * H + 5] = 20
        layer.weight_ih_l0[2 * H + 5] = 0
        layer.bias_ih_l0[2 * H + 5] = 1
    traced = trace(layer, data()).layers[0]
    position = np.broadcast_to(np.arange(T)[:, None], (T, B))
    tied = tied_to(traced, position)
    assert np.abs(tied).argmax() == 5
    assert tied[5] == pytest.approx(1.0, abs=1e-6)
    assert np.abs(np.delete(tied, 5)).max() < 0.6
    assert_agree(tied_to(traced, np.arange(T)), tied, "the same of all sequences")
    with pytest.raises(DataError, match=r"must have the shape \(60, 8\)"):
        tied_to(traced, position[:-1])
    with pytest.raises(ConfigurationError, match="state must be one of"):
        tied_to(traced, position, state="memory")


def broken(rule: str) -> tuple[nn.Module, torch.Tensor]:
    layer, x = gated.nn.LSTM(I, H), data()
    gates = {"input": 0, "forget": 1, "output": 3}
    with torch.no_grad():
        for gate, sign in {
            "forgets at once": [("forget", -9.0)],
            "never forgets": [("forget", 9.0)],
            "writes nothing": [("input", -9.0)],
            "outputs nothing": [("output", -9.0)],
        }.get(rule, []):
            layer.bias_ih_l0[gates[gate] * H : (gates[gate] + 1) * H] = sign
        if rule == "saturated":
            x = 300 * x
        if rule == "dead units":
            layer.bias_ih_l0[3 * H : 3 * H + 3] = -30
        if rule == "redundant units":
            for weights in (layer.weight_ih_l0, layer.weight_hh_l0):
                weights.view(4, H, -1)[:, 6:] = weights.view(4, H, -1)[:, :6].clone()
            for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
                bias.view(4, H)[:, 6:] = bias.view(4, H)[:, :6].clone()
    return layer, x


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_every_rule_finds_what_it_is_for(rule: str) -> None:
    layer, x = broken(rule)
    found = {finding.rule: finding for finding in diagnose(layer, [x])}
    assert rule in found
    assert found[rule].measured > found[rule].threshold
    assert str(found[rule]).startswith("LSTM, layer 0: ")
    assert "%" in found[rule].words
    assert "{" not in found[rule].words
    assert found[rule].advice


def test_advice_names_the_options_of_the_task_alone() -> None:
    layer, x = broken("saturated")
    advice = {of.rule: of.advice for of in diagnose(layer, [x])}["saturated"]
    assert "layer_norm=True" in advice
    assert "clip_norm" not in advice, "a layer of one's own has no such option"
    found = diagnose(layer, [x], options={"clip_norm", "hidden"})
    advice = {of.rule: of.advice for of in found}["saturated"]
    assert "Clip gradients at a lower norm (clip_norm)." in advice
    assert "layer_norm" not in advice
    with options_as_typed():
        found = diagnose(layer, [x], options={"clip_norm"})
    assert "(--clip-norm)" in {of.rule: of.advice for of in found}["saturated"]


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_healthy_network_has_no_findings(kind: str) -> None:
    layer = getattr(nn, kind)(I, H, num_layers=2)
    assert diagnose(layer, [data(), data(1)], lambda output: output[0].square().mean()) == []


def test_a_layer_that_the_gradient_does_not_reach_is_found() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.above = nn.GRU(I, H), nn.GRU(H, H)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.above(1e-6 * self.below(x)[0])[0]

    model = Deep()
    found = diagnose(model, [data()], lambda output: output.square().mean())
    assert [(of.rule, of.layer) for of in found if "gradient" in of.rule] == [
        ("gradient does not arrive", 0)
    ]


class Chain(nn.Module):
    """Layers one after the other, and how often they were called."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.LSTM(I, H, bidirectional=True)
        self.above = gated.nn.GRU(2 * H, H, num_layers=2)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        hidden = self.below(x)[0]
        return hidden.sum() if len(x) == 1 else self.above(hidden)[0]


def test_all_layers_are_gone_over_in_one_pass() -> None:
    model, batches = Chain(), [data(0), data(1), data(2)]
    found = statistics(model, batches)
    assert model.calls == 3
    assert [(of.name, of.layer, of.reverse) for of in found] == [
        ("below", 0, False),
        ("below", 0, True),
        ("above", 0, False),
        ("above", 1, False),
    ]
    chosen = statistics(model, batches, layers=[3, 1])
    for one, other in zip(chosen, (found[1], found[3]), strict=True):
        assert (one.name, one.kind, one.steps) == (other.name, other.kind, 3 * T * B)
        assert_agree(one.mean, other.mean, "mean")
        assert_agree(one.correlation, other.correlation, "correlation")
    model.calls = 0
    diagnose(model, batches, lambda output: output.square().mean())
    assert model.calls == 4  # and the first batch once more for the gradient


def test_batches_that_run_other_layers_are_refused() -> None:
    with pytest.raises(DataError, match="one ran below, below, the first below, below, above"):
        statistics(Chain(), [data(), data()[:1]])


def test_no_data_is_said() -> None:
    layer: Any = nn.GRU(I, H)
    with pytest.raises(DataError, match="no step"):
        statistics(layer, [])


def test_a_gate_that_is_always_one_keeps_for_ever_and_one_that_is_zero_not_at_all() -> None:
    layer = nn.LSTM(I, 2)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.zero_()
        layer.bias_ih_l0[2:4] = torch.tensor([100.0, -200.0])
    assert statistics(layer, [data()])[0].memory.tolist() == [np.inf, 0]  # type: ignore[union-attr]


def test_packed_batches_are_no_pairs() -> None:
    layer = gated.nn.LSTM(I, H)
    lengths = torch.tensor([60, 12, 7, 30, 60, 1, 2, 3])
    packed = pack_padded_sequence(data(), lengths, enforce_sorted=False)
    (found,), (padded,) = statistics(layer, [packed]), statistics(layer, [(data(), lengths)])
    assert found.steps == padded.steps == int(lengths.sum())
    assert_agree(found.deviation, padded.deviation, "deviation")
    assert diagnose(layer, [packed]) == diagnose(layer, [(data(), lengths)])


def test_a_property_goes_with_the_steps_that_were_traced() -> None:
    layer = gated.nn.LSTM(I, H)
    lengths = [60, 12, 7, 30, 60, 20, 25, 3]
    steps = slice(20, 50)
    property_ = np.arange(T * B).reshape(T, B) % 7
    part = trace(layer, data(), lengths=lengths, steps=steps).layers[0]
    whole = trace(layer, data(), lengths=lengths).layers[0]
    real = np.arange(T)[steps, None] < np.array(lengths)
    wanted = property_[steps][real]
    expected = [np.corrcoef(whole.cell[steps][real][:, h], wanted)[0, 1] for h in range(H)]
    assert_agree(tied_to(part, property_[steps]), expected, "tied", absolute=1e-6)


class Upside(nn.Module):
    """The layer that runs first is registered last."""

    def __init__(self) -> None:
        super().__init__()
        self.above, self.below = nn.GRU(H, H), nn.GRU(I, H)
        self.norm = nn.BatchNorm1d(H)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = self.above(1e-6 * self.below(x)[0])[0]
        return self.norm(output.flatten(0, 1))


def unreached(model: nn.Module) -> list[int]:
    found = diagnose(model, [data()], lambda output: output.square().mean())
    return [of.layer for of in found if of.rule == "gradient does not arrive"]


def test_a_layer_that_is_not_reached_has_its_place_in_the_trace() -> None:
    model = Upside()
    assert [of.name for of in trace(model, data()).layers] == ["below", "above"]
    assert unreached(model) == [0]
    assert model.training
    assert int(model.norm.num_batches_tracked) == 0


def test_weights_that_are_not_trained_are_not_missed() -> None:
    model = Upside()
    model.below.requires_grad_(False)
    assert unreached(model) == []
    model.requires_grad_(False)
    assert unreached(model) == []


def test_a_parametrized_layer_is_reached_through_what_its_weight_is_made_from() -> None:
    model = Upside()
    for layer in (model.above, model.below):
        torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    assert unreached(model) == [0]


def test_no_batch_to_diagnose_is_said() -> None:
    with pytest.raises(DataError, match="no batch"):
        diagnose(nn.GRU(I, H), [])
