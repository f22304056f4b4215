"""What a trace shows is what the network computes, and the network is left as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated.nn
from gated.core import reference
from gated.core.layout import layout_of
from gated.errors import ConfigurationError, DataError
from gated.explain import LayerTrace, intervene, trace
from gated.explain._trace import CHUNK
from gated.nn import LayerCall, LayerResult, backends

T, B, I, H = 7, 3, 4, 5  # noqa: E741


def by_reference(traced: LayerTrace) -> reference.Kept:
    """The layer once more, from what the trace says that it took."""
    run = traced._run
    kept = reference.forward(
        traced.kind,
        run.given["input"].astype(np.float64),
        {name: array.astype(np.float64) for name, array in run.equations.weights.items()},
        lengths=traced.lengths,
        initial=[state.astype(np.float64) for state in traced.initial],
        reverse=traced.reverse,
        keep=True,
    ).kept
    assert kept is not None
    return kept


def sums_of(kind: str, kept: reference.Kept, gate: str) -> np.ndarray:
    """What each gate's activation is applied to, step by step, as the papers write it."""
    weights, layout = kept.call.arrays, layout_of(kind)
    place = layout.gates.index(gate)

    def product(which: str, vectors: np.ndarray) -> np.ndarray:
        sums = np.split(vectors @ weights[f"weight_{which}"].T, len(layout.gates), axis=-1)
        if f"gain_{which}" in weights:
            first = 0
            for span in layout.normalised_together:
                together = np.concatenate(sums[first : first + span], axis=-1)
                mean = together.mean(axis=-1, keepdims=True)
                scale = np.sqrt(together.var(axis=-1, keepdims=True) + 1e-5)
                sums[first : first + span] = np.split((together - mean) / scale, span, axis=-1)
                first += span
            gains = np.split(weights[f"gain_{which}"], len(sums))
            sums = [of * gain for of, gain in zip(sums, gains, strict=True)]
        if f"bias_{which}" not in weights:
            return sums[place]
        return sums[place] + np.split(weights[f"bias_{which}"], len(sums))[place]

    found = np.zeros((*kept.call.x.shape[:2], kept.call.units))
    for step in kept.steps:
        h = step.given["state"][0]
        of_hidden = product("hh", h)
        if gate == "candidate" and kind.startswith("gru"):
            reset = step.values[kept.call.cell.named["reset_gate"]]
            of_hidden = reset * of_hidden if kind == "gru" else product("hh", reset * h)
        found[step.time, step.running] = product("ih", step.given["input"]) + of_hidden
    return found


LAYERS = {
    "rnn": lambda: gated.nn.RNN(I, H),
    "relu": lambda: nn.RNN(I, H, nonlinearity="relu"),
    "gru": lambda: nn.GRU(I, H, num_layers=2, bidirectional=True),
    "gru before": lambda: gated.nn.GRU(I, H, reset_after=False),
    "gru normed": lambda: gated.nn.GRU(I, H, layer_norm=True),
    "lstm": lambda: nn.LSTM(I, H, bidirectional=True),
    "lstm deep": lambda: gated.nn.LSTM(I, H, num_layers=3, dropout=0.5),
    "lstm projected": lambda: nn.LSTM(I, H, proj_size=2, num_layers=2),
    "lstm normed": lambda: gated.nn.LSTM(I, H, layer_norm=True, bidirectional=True),
    "lstm without biases": lambda: nn.LSTM(I, H, bias=False),
}


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_every_gate_is_that_of_the_equations(name: str, ragged: bool) -> None:
    layer = LAYERS[name]()
    x = torch.randn(T, B, I)
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    states = tuple(torch.randn(rows, B, n) for n in (layer.proj_size or H, H))
    initial: Any = states if layer.mode == "LSTM" else states[0]
    if ragged and not isinstance(layer, gated.nn.RNN | gated.nn.GRU | gated.nn.LSTM):
        given: Any = pack_padded_sequence(x, torch.tensor([4, 7, 1]), enforce_sorted=False)
        found = trace(layer, given, initial=initial)
    else:
        found = trace(layer, x, lengths=[4, 7, 1] if ragged else None, initial=initial)
    assert len(found.layers) == layer.num_layers * (2 if layer.bidirectional else 1)
    for place, traced in enumerate(found.layers):
        ways = 2 if layer.bidirectional else 1
        assert (traced.layer, traced.reverse) == (place // ways, place % ways == 1)
        assert traced.lengths.tolist() == ([4, 7, 1] if ragged else [T] * B)
        kept = by_reference(traced)
        names = dict.fromkeys((*layout_of(traced.kind).gates, *layout_of(traced.kind).states))
        assert list(traced.values) == list(names)
        for gate in names:
            assert_agree(getattr(traced, gate), kept.gate(gate).astype("f"), gate, relative=2e-5)
        for gate in layout_of(traced.kind).gates:
            sums = sums_of(traced.kind, kept, gate).astype("f")
            assert_agree(traced.pre_activation(gate), sums, gate,
                         relative=2e-5, absolute=2e-6)  # fmt: skip
    if not ragged:
        last = found.layers[-1]
        assert_agree(found.output[0].numpy()[..., -last.hidden.shape[2] :], last.hidden, "output")


def test_a_model_is_looked_into_and_left_as_it_was() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, I)
            self.below = nn.GRU(I, H, batch_first=True, dropout=0.5, num_layers=2)
            self.above = gated.nn.LSTM(H, 3, batch_first=True, recurrent_dropout=0.5)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            return self.above(self.below(self.embedding(words))[0])[0]

    model = Tagger()
    words = torch.randint(0, 9, (B, T))
    before = {name: w.clone() for name, w in model.state_dict().items()}
    classes = {name: type(module) for name, module in model.named_modules()}
    found = trace(model, words)
    assert model.training
    assert model.below.training
    assert {name: type(module) for name, module in model.named_modules()} == classes
    assert not any({"observers", "forward"} & vars(module).keys() for module in model.modules())
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())
    assert [(of.name, of.kind, of.layer) for of in found.layers] == [
        ("below", "gru", 0),
        ("below", "gru", 1),
        ("above", "lstm", 0),
    ]
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(found.output, model(words))
    assert found.layers[2].cell.shape == (T, B, 3)
    np.testing.assert_array_equal(found.layers[2]._run.given["input"], found.layers[1].hidden)


def test_what_was_accelerated_before_stays_so() -> None:
    model = nn.ModuleDict({"first": nn.LSTM(I, H), "second": nn.GRU(I, H)})
    gated.accelerate(model["first"])
    kind = type(model["first"])
    model.forward = lambda x: (model["first"](x), model["second"](x))  # type: ignore[method-assign]
    assert [of.kind for of in trace(model, torch.randn(T, B, I)).layers] == ["lstm", "gru"]
    assert type(model["first"]) is kind
    assert type(model["second"]) is nn.GRU


def test_an_error_in_the_model_leaves_it_as_it_was() -> None:
    layer = nn.LSTM(I, H)
    with pytest.raises((DataError, RuntimeError)):
        trace(layer, torch.zeros(T, B, I + 1))
    assert type(layer) is nn.LSTM
    assert layer.training


def test_only_what_is_chosen_is_kept() -> None:
    layer = nn.LSTM(I, H, num_layers=2)
    x = torch.randn(T, B, I)
    whole = trace(layer, x).layers[1]
    part = trace(layer, x, layers=[1], units=[4, 0], steps=slice(2, 5)).layers
    assert len(part) == 1
    for name, value in whole.values.items():
        np.testing.assert_array_equal(part[0].values[name], value[2:5][..., [4, 0]])
        assert part[0].values[name].base is None
    sums = whole.pre_activation("forget_gate")
    np.testing.assert_array_equal(part[0].pre_activation("forget_gate"), sums[2:5][..., [4, 0]])


CHUNKED: dict[str, Any] = {
    "rnn": lambda: nn.RNN(I, H),
    "gru": lambda: gated.nn.GRU(I, H, num_layers=2),
    "lstm": lambda: nn.LSTM(I, H, num_layers=2, batch_first=True),
    "lstm projected": lambda: gated.nn.LSTM(I, H, proj_size=2, layer_norm=True, zoneout=0.1),
}


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", CHUNKED)
def test_what_is_chosen_is_run_in_chunks(
    name: str, ragged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same values, output and states as in one run; the gates of 128 steps at the most."""
    layer, steps = CHUNKED[name](), 2 * CHUNK + 50
    x = torch.randn((2, steps, I) if layer.batch_first else (steps, 2, I))
    lengths = [140, steps] if ragged else None
    states = [torch.randn(layer.num_layers, 2, n) for n in (layer.proj_size or H, H)]
    initial: Any = tuple(states) if layer.mode == "LSTM" else states[0]
    whole = trace(layer, x, lengths=lengths, initial=initial)
    ran = []

    def recorded(call: LayerCall, return_gates: bool) -> LayerResult:
        ran.append((len(call.x), return_gates))
        return native(call, return_gates)

    native = backends._RUNS["native"]
    monkeypatch.setitem(backends._RUNS, "native", recorded)
    for chosen, expected in (
        ({"steps": [300, 3, -8, 139]}, [(128, True), (128, True), (50, True)]),
        ({"steps": slice(260, None)}, [(128, True), (128, False), (50, True)]),
        ({"units": [4, 0]}, [(128, True), (128, True), (50, True)]),
        ({"units": slice(1, 3), "steps": [0]}, [(128, True), (128, False), (50, False)]),
        ({"steps": []}, [(128, True), (128, False), (50, False)]),
        ({"steps": [0], "layers": [layer.num_layers - 1]}, None),
        ({"layers": []}, [(steps, False)]),
    ):
        ran.clear()
        part = trace(layer, x, lengths=lengths, initial=initial, **chosen)
        if expected is not None:
            assert ran == expected * layer.num_layers
        assert_agree(part.output, whole.output, "output", relative=1e-5, absolute=1e-6)
        layers = [whole.layers[place] for place in chosen.get("layers", range(layer.num_layers))]
        at = np.arange(steps)[chosen.get("steps", slice(None))]
        units = np.arange(H)[chosen.get("units", slice(None))]
        for one, other in zip(part.layers, layers, strict=True):
            assert (one.steps.tolist(), one.units.tolist()) == (at.tolist(), units.tolist())
            assert_agree(one.initial, other.initial, "initial")
            for gate, value in other.values.items():
                wanted = value[at]
                if not (gate == "hidden" and layer.proj_size):
                    wanted = wanted[..., units]
                assert_agree(one.values[gate], wanted, gate, relative=1e-5, absolute=1e-6)
            gate = layout_of(one.kind).gates[-1]
            wanted = other.pre_activation(gate)[at][..., units]
            assert_agree(one.pre_activation(gate), wanted, gate, relative=1e-5, absolute=1e-5)


@pytest.mark.parametrize("ragged", [False, True])
def test_layers_that_read_from_the_end_are_run_in_chunks_too(
    ragged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, steps = nn.LSTM(I, H, num_layers=2, bidirectional=True), 2 * CHUNK + 50
    x, states = torch.randn(steps, 2, I), tuple(torch.randn(4, 2, H) for _ in "hc")
    lengths = [140, steps] if ragged else None
    model = gated.nn.LSTM(I, H, num_layers=2, bidirectional=True)
    model.load_state_dict(layer.state_dict())
    whole = trace(model, x, lengths=lengths, initial=states)
    ran = []

    def recorded(call: LayerCall, return_gates: bool) -> LayerResult:
        ran.append((call.reverse, len(call.x), return_gates))
        return native(call, return_gates)

    native = backends._RUNS["native"]
    monkeypatch.setitem(backends._RUNS, "native", recorded)
    part = trace(model, x, lengths=lengths, initial=states, steps=[300, 5], units=[3, 1])
    forwards = [(False, 128, True), (False, 128, False), (False, 50, True)]
    backwards = [(True, 50, True), (True, 128, False), (True, 128, True)]
    assert ran == 2 * (forwards + backwards)
    assert_agree(part.output, whole.output, "output", relative=1e-5, absolute=1e-6)
    for one, other in zip(part.layers, whole.layers, strict=True):
        for gate, value in other.values.items():
            wanted = value[[300, 5]][..., [3, 1]]
            assert_agree(one.values[gate], wanted, gate, relative=1e-5, absolute=1e-6)
        sums = other.pre_activation("candidate")[[300, 5]][..., [3, 1]]
        assert_agree(one.pre_activation("candidate"), sums, "sums", relative=1e-5, absolute=1e-5)


def test_within_an_intervention_nothing_is_run_in_chunks() -> None:
    layer, x = nn.LSTM(I, H).eval(), torch.randn(CHUNK + 50, 1, I)
    with intervene(layer, gate="cell", value=0.5, step=CHUNK + 20):
        found = trace(layer, x, steps=[CHUNK + 20]).layers[0]
    assert (found.cell == 0.5).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"units": [5]}, DataError, r"units: there are 5, got \[5\]"),
        ({"lengths": [7, 8, 1]}, DataError, "lengths"),
        ({"lengths": [7, 8, 1], "steps": [0]}, DataError, "lengths"),
        ({"steps": [-8]}, DataError, r"steps: there are 7, got \[-8\]"),
        ({"layers": [1]}, DataError, "layers: the model has 1, from 0 on, got 1"),
        ({"layers": [-1]}, DataError, "layers: the model has 1, from 0 on, got -1"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(options: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        trace(nn.LSTM(I, H), torch.zeros(T, B, I), **options)


def test_a_model_without_recurrent_layers_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no recurrent layer"):
        trace(nn.Linear(I, H), torch.zeros(T, B, I))


def test_names_that_a_cell_lacks_say_what_there_is() -> None:
    traced = trace(nn.GRU(I, H), torch.zeros(T, B, I)).layers[0]
    with pytest.raises(AttributeError, match="has reset_gate, update_gate, candidate, hidden"):
        _ = traced.forget_gate
    with pytest.raises(ConfigurationError, match="gate must be one of"):
        traced.pre_activation("forget_gate")


class Both(nn.Module):
    """Something below, an LSTM above."""

    def __init__(self, below: nn.Module) -> None:
        super().__init__()
        self.below, self.above = below, nn.LSTM(H, H)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = next(self.below.parameters())
        if isinstance(self.below, nn.RNNCellBase):
            outputs = torch.stack([self.below(step) for step in x])
        else:
            outputs = self.below(x.to(weight.dtype))[0]
        return self.above(outputs.to(x.dtype))[0]


class OwnForward(nn.GRU):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return x.mean(-1, keepdim=True).expand(-1, -1, H), None


class Cast(nn.GRU):
    """Torch computes what is under autocast."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


class OwnCell(nn.GRUCell):
    pass


@pytest.mark.parametrize(
    ("below", "why"),
    [
        (OwnCell(I, H), "a cell of a class of its own, OwnCell"),
        (Cast(I, H), "computed by torch"),
        (OwnForward(I, H), "forward of its own"),
    ],
)
def test_what_is_not_looked_into_is_named(below: nn.Module, why: str) -> None:
    found = trace(Both(below), torch.randn(T, B, I))
    assert [of.name for of in found.layers] == ["above"]
    assert list(found.left_out) == ["below"]
    assert why in found.left_out["below"]
    assert trace(Both(nn.GRU(I, H)), torch.randn(T, B, I)).left_out == {}
    with pytest.raises(DataError, match=rf"the model has 1, from 0 on, got 1\nbelow .*{why}"):
        trace(Both(below), torch.randn(T, B, I), layers=[1])


@pytest.mark.parametrize("steps", [1, T])
def test_layers_in_sixteen_bits_are_looked_into(steps: int) -> None:
    layer = nn.GRU(I, H).bfloat16()
    x = torch.randn(steps, B, I).bfloat16()
    found = trace(layer, x).layers[0]
    wide = nn.GRU(I, H)
    wide.load_state_dict({name: of.float() for name, of in layer.state_dict().items()})
    expected = trace(wide, x.float()).layers[0]
    for gate in ("reset_gate", "update_gate", "candidate", "hidden"):
        assert np.abs(getattr(found, gate) - getattr(expected, gate)).max() < 1e-2


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bidirectional": True}])
def test_what_the_model_writes_to_its_outputs_and_inputs_does_not_reach_the_trace(
    options: Any,
) -> None:
    layer = nn.LSTM(I, H, **options)

    class Writing(nn.Module):
        def __init__(self, write: bool) -> None:
            super().__init__()
            self.layer, self.write = layer, write

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.clone()
            output, (hidden, cell) = self.layer(x)
            if self.write:
                for written in (x, output, hidden, cell):
                    written.zero_()
            return output

    x = torch.randn(T, B, I)
    before, after = (trace(Writing(write), x).layers for write in (False, True))
    for one, other in zip(before, after, strict=True):
        for name in one.values:
            np.testing.assert_array_equal(other.values[name], one.values[name])
        np.testing.assert_array_equal(
            other.pre_activation("forget_gate"), one.pre_activation("forget_gate")
        )


def test_initial_states_are_those_of_the_run() -> None:
    states = torch.randn(1, B, H), torch.randn(1, B, H)
    traced = trace(nn.LSTM(I, H), torch.randn(T, B, I), initial=states).layers[0]
    expected = [state[0].numpy().copy() for state in states]
    for state in states:
        state.zero_()
    for kept, wanted in zip(traced.initial, expected, strict=True):
        np.testing.assert_array_equal(kept, wanted)


def test_pre_activations_of_weights_that_have_changed_are_refused() -> None:
    layer = nn.LSTM(I, H)
    traced = trace(layer, torch.randn(T, B, I)).layers[0]
    gate = traced.forget_gate
    np.testing.assert_allclose(
        1 / (1 + np.exp(-traced.pre_activation("forget_gate"))), gate, rtol=1e-5
    )
    with torch.no_grad():
        layer.weight_ih_l0.mul_(3)
    with pytest.raises(DataError, match="LSTM have changed since it was traced"):
        traced.pre_activation("forget_gate")


def test_it_says_which_units_and_steps_it_has() -> None:
    traced = trace(nn.GRU(I, H), torch.randn(T, B, I), units=[4, -5], steps=slice(2, None, 2))
    assert traced.layers[0].units.tolist() == [4, 0]
    assert traced.layers[0].steps.tolist() == [2, 4, 6]
    assert (traced.layers[0].size, traced.layers[0].time) == (H, T)
