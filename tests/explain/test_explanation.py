"""What is found in a network: the same as its parts say, and words that fit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.explain.reader import H, make_probe

from gated.errors import DataError
from gated.explain import Intervention, Probe, Timeline, explain, intervene, statistics


def test_statistics_and_the_cost_of_forgetting_are_those_of_the_parts() -> None:
    probe = make_probe(num_layers=2)
    found = explain(probe)
    assert [layer.title for layer in found.layers] == ["memory, layer 0", "memory, layer 1"]
    (x, lengths), *_ = probe.batches
    assert probe.loss is not None
    with torch.no_grad():
        plain = float(probe.loss(probe.model(x, lengths=lengths)))
    assert found.loss == pytest.approx(plain, rel=1e-6)
    for place, layer in enumerate(found.layers):
        (same,) = statistics(probe.model, probe.batches, layers=[place])
        np.testing.assert_array_equal(layer.statistics.left["input_gate"], same.left["input_gate"])
        held = Intervention("forget_gate", value=0.0, layer=place)
        with torch.no_grad(), intervene(probe.model, held):
            without = float(probe.loss(probe.model(x, lengths=lengths)))
        assert layer.forgetting == pytest.approx(without, rel=1e-6)
        assert layer.forgetting != pytest.approx(plain, rel=1e-6)
        assert layer.traced.forget_gate.shape == (13, 2, H)


def test_units_are_ordered_by_memory_and_those_of_an_rnn_by_slowness() -> None:
    (layer,) = explain(make_probe("GRU")).layers
    memory = layer.statistics.memory
    assert memory is not None
    assert np.all(np.diff(memory[layer.by_memory]) <= 0)
    probe = make_probe("RNN")
    recurrent = probe.model.memory.weight_hh_l0
    with torch.no_grad():
        probe.model.memory.weight_ih_l0.mul_(0.05)
        recurrent.zero_()
        recurrent[3, 3] = 1.0  # unit 3 adds up, all others forget at once
    (layer,) = explain(probe).layers
    assert layer.statistics.memory is None
    assert layer.forgetting is None
    assert layer.by_memory[0] == 3


def remembering() -> Probe:
    """A network whose output depends on what it has kept."""
    probe = make_probe()
    with torch.no_grad():
        probe.model.memory.weight_ih_l0.mul_(3.0)
        probe.model.memory.bias_ih_l0[H : 2 * H] = 3.0
    return probe


def test_the_verdict_names_findings_and_reach() -> None:
    probe = remembering()
    healthy = explain(probe)
    assert healthy.flow is not None
    (first,) = healthy.flow.layers
    assert healthy.verdict == (
        f"No rule finds anything wrong with 1 recurrent layer. In memory, layer 0, {first.verdict}"
    )
    assert healthy.flow.loss == pytest.approx(healthy.loss, rel=1e-5)
    with torch.no_grad():  # forget gates shut for good
        probe.model.memory.bias_ih_l0[H : 2 * H] = -20.0
    broken = explain(probe)
    assert broken.verdict.startswith(
        "2 findings: forgets at once (memory, layer 0), memory not used (memory, layer 0). In"
    )
    assert broken.findings[0].measured == 1.0
    # A gate that is shut already cannot be missed.
    assert broken.layers[0].forgetting == pytest.approx(broken.loss, rel=1e-5)


def test_a_memory_that_is_not_used_is_found_with_advice_that_the_task_can_follow() -> None:
    probe = make_probe()
    with torch.no_grad():  # the candidates, hence the memory, are next to nothing
        for weights in (probe.model.memory.weight_ih_l0, probe.model.memory.weight_hh_l0):
            weights[2 * H : 3 * H] *= 1e-4
        for bias in (probe.model.memory.bias_ih_l0, probe.model.memory.bias_hh_l0):
            bias[2 * H : 3 * H] = 0
    found = explain(replace(probe, options=frozenset({"steps", "hidden"})))
    (finding,) = (of for of in found.findings if of.rule == "memory not used")
    assert finding.title == "memory, layer 0"
    assert abs(finding.measured) < 0.01
    assert "the loss changes by " in finding.words
    assert "(steps)" in finding.advice
    assert "(hidden)" in finding.advice
    assert "history" not in finding.advice
    assert not [of for of in explain(remembering()).findings if of.rule == "memory not used"]


def test_the_verdict_says_where_the_gradient_is_cut() -> None:
    probe = make_probe(num_layers=2)
    with torch.no_grad():  # the second layer hears next to nothing of the first
        probe.model.memory.weight_ih_l1.mul_(1e-5)
    assert ". The gradient is cut in memory, layer 0: " in explain(probe).verdict


def test_products_of_jacobians_are_left_out_where_they_would_take_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flow_of = explain(make_probe()).flow
    assert flow_of is not None
    assert flow_of.layers[0].jacobian is not None
    monkeypatch.setattr("gated.explain._explanation.MOST_PRODUCTS", 13 * H**3 - 1)
    flow_of = explain(make_probe()).flow
    assert flow_of is not None
    assert flow_of.layers[0].jacobian is None


def test_only_some_of_many_layers_are_looked_into_unless_chosen() -> None:
    probe = make_probe(num_layers=3, bidirectional=True)
    assert [layer.place for layer in explain(probe).layers] == [0, 1, 2, 3]
    chosen = explain(probe, [5])
    assert [layer.title for layer in chosen.layers] == ["memory, layer 2, backwards"]
    assert chosen.count == 6


def test_what_is_found_goes_to_json() -> None:
    document = json.loads(json.dumps(explain(make_probe()).to_dict()))
    assert document["layers"][0]["units"] == H
    assert len(document["layers"][0]["memory"]) == H
    assert document["reach"][0]["of"] == 13
    assert document["layers"][0]["loss_without_memory"] > 0


def test_a_probe_without_a_loss_or_a_timeline_will_do() -> None:
    probe = replace(make_probe(), loss=None, timelines={})
    found = explain(probe)
    assert found.loss is None
    assert found.layers[0].forgetting is None
    assert found.flow is None
    assert found.verdict.endswith("1 recurrent layer.")
    numbered = probe.timeline("memory", 1, 12)
    assert isinstance(numbered, Timeline)
    assert list(numbered.labels) == list(range(12))


def test_absent_layers_sequences_and_data_are_refused() -> None:
    probe = make_probe()
    with pytest.raises(DataError, match="1 recurrent layer, from 0 to 0, got 1"):
        explain(probe, [1])
    with pytest.raises(DataError, match="no sequence"):
        explain(replace(probe, batches=[]))
    assert probe.sequence(-1) == 1
    with pytest.raises(DataError, match="sequence: there are 2, from 0 to 1, got 2"):
        probe.sequence(2)
