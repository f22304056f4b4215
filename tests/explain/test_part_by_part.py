"""A layer that a model calls one part at a time is looked into as if it were called once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import Tensor, nn

import gated
import gated.nn
from gated.cells import library
from gated.errors import DataError
from gated.explain import (
    Effect,
    diagnose,
    effect,
    entries,
    flow,
    ledger,
    statistics,
    trace,
)

T, B, I, H = 7, 3, 4, 5  # noqa: E741

LAYERS = {
    "torch LSTM": lambda: nn.LSTM(I, H),
    "two GRUs": lambda: nn.GRU(I, H, num_layers=2),
    "gated LSTM": lambda: gated.nn.LSTM(I, H, zoneout=0.2),
    "Recurrent": lambda: gated.nn.Recurrent(library.janet, I, H),
}
CELLS = {
    "RNN": (nn.RNNCell, nn.RNN),
    "GRU": (nn.GRUCell, nn.GRU),
    "LSTM": (nn.LSTMCell, nn.LSTM),
    "gated LSTM": (gated.nn.LSTMCell, nn.LSTM),
    "gated GRU": (gated.nn.GRUCell, nn.GRU),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class InParts(nn.Module):
    """Calls a layer a few steps at a time, or at once."""

    def __init__(self, layer: nn.Module, size: int = 1) -> None:
        super().__init__()
        self.layer, self.size = layer, size

    def forward(self, x: Tensor) -> Tensor:
        outputs, states = [], None
        for part in x.split(self.size):
            output, states = self.layer(part, states)
            outputs.append(output)
        return torch.cat(outputs)


class OfCells(nn.Module):
    """Two cells, one above the other, step by step."""

    def __init__(self, below: nn.Module, above: nn.Module) -> None:
        super().__init__()
        self.below, self.above = below, above

    def forward(self, x: Tensor) -> Tensor:
        lower: Any = None
        upper: Any = None
        outputs = []
        for step in x:
            lower = self.below(step, lower)
            hidden = lower[0] if isinstance(lower, tuple) else lower
            upper = self.above(hidden, upper)
            outputs.append(upper[0] if isinstance(upper, tuple) else upper)
        return torch.stack(outputs)


def assert_same_layers(parts: list[Any], whole: list[Any]) -> None:
    assert len(parts) == len(whole)
    for part, of in zip(parts, whole, strict=True):
        assert (part.layer, part.time, part.call) == (of.layer, of.time, None)
        np.testing.assert_array_equal(part.lengths, of.lengths)
        assert part.values.keys() == of.values.keys()
        for name in of.values:
            assert_agree(part.values[name], of.values[name], name, absolute=1e-6)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [1, 3])
def test_a_trace_in_parts_is_that_of_the_whole(name: str, size: int) -> None:
    layer, x = LAYERS[name](), torch.randn(T, B, I)
    whole = trace(InParts(layer, T), x).layers
    assert_same_layers(trace(InParts(layer, size), x).layers, whole)
    gate = next(iter(whole[0].definition.gates))
    parts = trace(InParts(layer, size), x).layers
    assert_agree(parts[0].pre_activation(gate), whole[0].pre_activation(gate), gate, absolute=1e-6)


@pytest.mark.parametrize("steps", [[5, 0], [-1, 2], slice(1, 6, 2), slice(-3, None)])
@pytest.mark.parametrize("size", [1, 3])
def test_steps_are_chosen_through_all_parts(steps: Any, size: int) -> None:
    layer, x = nn.LSTM(I, H), torch.randn(T, B, I)
    chosen = trace(InParts(layer, size), x, steps=steps, units=[1, 3]).layers[0]
    whole = trace(layer, x).layers[0]
    np.testing.assert_array_equal(chosen.steps, np.arange(T)[steps])
    for name, values in whole.values.items():
        assert_agree(chosen.values[name], values[steps][..., [1, 3]], name, absolute=1e-6)
    with pytest.raises(DataError, match="steps: there are 7, got"):
        trace(InParts(layer, size), x, steps=[T])


@pytest.mark.parametrize("name", ["torch LSTM", "two GRUs", "Recurrent"])
def test_a_ledger_in_parts_has_every_step(name: str) -> None:
    layer, x = LAYERS[name](), torch.randn(T, B, I)
    found = ledger(InParts(layer), x, unit=2, step=5, sequence=1)
    whole = ledger(InParts(layer, T), x, unit=2, step=5, sequence=1)
    assert list(found.steps) == list(range(6))
    assert_agree(found.written, whole.written, "written", absolute=1e-6)
    assert_agree(found.kept, whole.kept, "kept", absolute=1e-6)
    assert abs(found.state - whole.state) < 1e-6
    assert abs(found.written[:-1]).sum() > 1e-3
    traced = trace(InParts(layer), x).layers[0]
    *_, last = entries(traced, sequence=1)
    assert_agree(last.written.sum(0) + last.initial, last.state, "state", absolute=1e-5)


@pytest.mark.parametrize("name", ["torch LSTM", "Recurrent"])
def test_an_output_in_parts_is_owed_to_every_step(name: str) -> None:
    layer, x, head = LAYERS[name](), torch.randn(T, B, I), nn.Linear(H, 1)
    found, whole = (
        ledger(
            InParts(layer, size),
            x,
            output=lambda o: head(o[4, 2]).sum() + o[6, 2].sum(),
            step=4,
            sequence=2,
        )
        for size in (1, T)
    )
    assert_agree(found.parts, whole.parts, "parts", absolute=1e-6)
    assert abs(found.output - whole.output) < 1e-6
    assert abs(found.parts[:-1]).sum() > 1e-3


@pytest.mark.parametrize("kind", CELLS)
def test_cells_in_a_loop_are_layers(kind: str) -> None:
    of_cell, of_layer = CELLS[kind]
    model, x = OfCells(of_cell(I, H), of_cell(H, H)), torch.randn(T, B, I)
    layer = of_layer(I, H, num_layers=2)
    with torch.no_grad():
        for k, cell in enumerate((model.below, model.above)):
            for name, weight in cell.named_parameters():
                getattr(layer, f"{name}_l{k}").copy_(weight)
    kinds = type(model.below), type(model.above)
    traced = trace(model, x)
    assert traced.left_out == {}
    assert [of.name for of in traced.layers] == ["below", "above"]
    for part, of in zip(traced.layers, trace(layer, x).layers, strict=True):
        assert part.time == T
        for name in of.values:
            assert_agree(part.values[name], of.values[name], name, absolute=1e-6)
    assert (type(model.below), type(model.above)) == kinds
    assert "observers" not in vars(model.below)

    def loss(output: Any) -> Tensor:
        return (output[0] if isinstance(output, tuple) else output)[-1].square().sum()

    parts, whole = flow(model, x, loss).layers, flow(layer, x, loss).layers
    assert len(parts) == len(whole) == 2
    for followed, of in zip(parts, whole, strict=True):
        assert_agree(followed.hidden, of.hidden, "hidden", absolute=1e-6)
        assert_agree(followed.jacobian, of.jacobian, "jacobian", relative=1e-4)
        if of.cell is not None:
            assert_agree(followed.cell, of.cell, "cell", absolute=1e-6)
    if "RNN" not in kind:
        found, expected = (ledger(of, x, unit=1, step=-1) for of in (model, layer))
        assert_agree(found.written, expected.written, "written", absolute=1e-6)
    alone = statistics(model, [x])
    together = statistics(layer, [x])
    for few, many in zip(alone, together, strict=True):
        assert few.steps == many.steps == T * B
        assert_agree(few.deviation, many.deviation, "deviation", absolute=1e-6)
    assert [of.rule for of in diagnose(model, [x])] == [of.rule for of in diagnose(layer, [x])]


def test_sequences_of_unequal_lengths_go_on_where_each_ended() -> None:
    layer, x = gated.nn.GRU(I, H), torch.randn(6, B, I)

    class Ragged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            first, states = self.layer(x[:4], lengths=[4, 2, 3])
            second, _ = self.layer(x[4:], states, lengths=[1, 2, 0])
            return torch.cat([first, second])

    (traced,) = trace(Ragged(), x).layers
    np.testing.assert_array_equal(traced.lengths, [5, 4, 3])
    whole = torch.zeros(5, B, I)
    whole[:4] = x[:4]
    whole[4, 0] = x[4, 0]
    whole[2:4, 1] = x[4:6, 1]
    expected = trace(layer, whole, lengths=[5, 4, 3]).layers[0]
    for name in expected.values:
        assert_agree(traced.values[name], expected.values[name], name, absolute=1e-6)
    found = ledger(Ragged(), x, unit=0, step=-1, sequence=1)
    assert_agree(
        found.written,
        ledger(layer, whole, unit=0, step=-1, sequence=1, lengths=[5, 4, 3]).written,
        "written",
        absolute=1e-6,
    )

    def loss(output: Any) -> Tensor:
        return output[0].sum() if isinstance(output, tuple) else output.sum()

    (followed,) = flow(Ragged(), x, loss).layers
    (expected_flow,) = flow(layer, whole, loss, lengths=[5, 4, 3]).layers
    assert_agree(followed.hidden, expected_flow.hidden, "hidden", absolute=1e-6)


def test_an_intervention_counts_steps_through_all_parts() -> None:
    layer, x = nn.LSTM(I, H), torch.randn(T, B, I)
    held = {"gate": "cell", "scale": 0.0, "step": [2, 5], "sequence": 1}
    for parts, whole in [
        (effect(InParts(layer, size), x, **held), effect(InParts(layer, T), x, **held))
        for size in (1, 3)
    ]:
        assert isinstance(parts, Effect)
        assert_agree(parts.changed.output, whole.changed.output, "output", absolute=1e-6)
        assert len(parts.changed.layers) == 1
        assert not parts.changed.layers[0].cell[[2, 5], 1].any()
        assert parts.changed.layers[0].cell[[2, 5], 0].any()
    # A memory that is cleared whole does not make a new sequence of what follows.
    cleared = effect(InParts(nn.GRU(I, H)), x, gate="hidden", value=0.0, step=2)
    assert [of.time for of in cleared.changed.layers] == [T]
    with pytest.raises(DataError, match="step: there are 7, got 7"):
        effect(InParts(layer), x, gate="cell", scale=0.0, step=T)
    with pytest.raises(DataError, match="step=-1 counts from the end, which is not known"):
        effect(InParts(layer), x, gate="cell", scale=0.0, step=-1)


class Twice(nn.Module):
    """Two sequences, each from zeros, and each one step at a time, side by side."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        one: Any = None
        other: Any = None
        for step in x.split(1):
            _, one = self.layer(step, one)
            _, other = self.layer(-step, other)
        return one[0] - other[0]


def test_calls_that_begin_anew_are_told_apart() -> None:
    layer, x = nn.LSTM(I, H), torch.randn(T, B, I)
    traced = trace(Twice(layer), x).layers
    assert [(of.name, of.call, of.time) for of in traced] == [("layer", 0, T), ("layer", 1, T)]
    for part, inputs in zip(traced, (x, -x), strict=True):
        assert_agree(part.cell, trace(layer, inputs).layers[0].cell, "cell", absolute=1e-6)
    with pytest.raises(DataError, match=r"layer is called several times.*Trace\.layers"):
        ledger(Twice(layer), x, unit=1, step=3)
    with pytest.raises(DataError, match=r"layer is called several times.*call 0, index 0"):
        ledger(Twice(layer), x, output=lambda o: o.sum(), step=3)
    for k, inputs in enumerate((x, -x)):
        found = ledger(Twice(layer), x, layer=k, unit=1, step=3)
        assert_agree(
            found.written, ledger(layer, inputs, unit=1, step=3).written, "w", absolute=1e-6
        )
    titles = [of.title for of in flow(Twice(layer), x, lambda output: output.sum()).layers]
    assert titles == ["layer, layer 0, call 0", "layer, layer 0, call 1"]
    assert trace(layer, x).layers[0].call is None


def test_other_weights_make_another_sequence() -> None:
    class Changed(InParts):
        def forward(self, x: Tensor) -> Tensor:
            output, states = self.layer(x[:3])
            self.layer.weight_hh_l0 = nn.Parameter(self.layer.weight_hh_l0 * 2)
            return torch.cat([output, self.layer(x[3:], states)[0]])

    found = trace(Changed(nn.GRU(I, H)), torch.randn(T, B, I)).layers
    assert [(of.call, of.time) for of in found] == [(0, 3), (1, T - 3)]
