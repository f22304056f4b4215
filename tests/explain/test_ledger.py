"""The entries of a ledger add up to the state, and are what was written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gated.nn
from gated.errors import ConfigurationError, DataError
from gated.explain import entries, ledger, ledger_of, trace

T, B, I, H = 40, 3, 4, 6  # noqa: E741

LAYERS = {
    "lstm": lambda: nn.LSTM(I, H, num_layers=2, bidirectional=True),
    "gru": lambda: nn.GRU(I, H, num_layers=2, bidirectional=True),
    "gru before": lambda: gated.nn.GRU(I, H, reset_after=False),
    "lstm normed": lambda: gated.nn.LSTM(I, H, layer_norm=True),
    "lstm projected": lambda: nn.LSTM(I, H, proj_size=2),
    "gru zoneout": lambda: gated.nn.GRU(I, H, zoneout=0.3, bidirectional=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_the_entries_add_up_to_the_state(name: str, dtype: torch.dtype) -> None:
    layer = LAYERS[name]().to(dtype)
    x = torch.randn(T, B, I, dtype=dtype)
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    states = [torch.randn(rows, B, width, dtype=dtype) for width in (layer.proj_size or H, H)]
    initial: Any = tuple(states) if layer.mode == "LSTM" else states[0]
    rounding = 2e-6 if dtype == torch.float32 else 2e-15
    for place, traced in enumerate(trace(layer, x, initial=initial).layers):
        for unit, step, sequence in ((0, T - 1, 0), (5, 17, 2), (3, 0, 1)):
            found = ledger(
                layer, x, initial=initial, layer=place, unit=unit, step=step, sequence=sequence
            )
            count = T - step if traced.reverse else step + 1
            assert found.written.shape == found.kept.shape == (count,)
            assert found.steps.tolist() == (
                list(range(T - 1, step - 1, -1)) if traced.reverse else list(range(step + 1))
            )
            total = found.written.sum() + found.initial
            assert abs(total - found.state) < rounding * (1 + np.abs(found.written).sum())
            assert ((found.kept >= 0) & (found.kept <= 1)).all()
            assert found.kept[-1] == 1
            same = ledger_of(traced, unit=unit, step=step, sequence=sequence)
            np.testing.assert_allclose(same.written, found.written, rtol=1e-6, atol=1e-12)
            if not layer.proj_size:
                assert found.hidden == pytest.approx(
                    float(traced.hidden[step, sequence, unit]), abs=rounding
                )
            shown = found.shown.sum() + found.initial * found.hidden / found.state
            assert shown == pytest.approx(found.hidden, abs=1e-5)


def test_a_gate_that_forgets_closes_the_book() -> None:
    """Forget gate 1 but at step 5, where it is 0: only what came from there on counts."""
    layer = nn.LSTM(1, 1, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor([[0.0], [80.0], [1.0], [0.0]]))
        layer.weight_hh_l0.zero_()
    x = torch.ones(9, 1, 1)
    x[5] = -1.0  # the forget gate is σ(80 x): 1, and 0 once
    found = ledger(layer, x, unit=0, step=8)
    np.testing.assert_allclose(found.kept, [0] * 5 + [1] * 4, atol=1e-30)
    once = 0.5 * np.tanh(1.0)
    np.testing.assert_allclose(found.written, [0] * 5 + [-once] + [once] * 3, atol=1e-6)
    assert found.initial == 0


def test_padding_is_no_entry() -> None:
    layer = gated.nn.LSTM(I, H)
    x = torch.randn(T, B, I)
    found = ledger(layer, x, lengths=[9, T, 3], unit=1, step=-1, sequence=0)
    assert len(found.written) == 9
    np.testing.assert_allclose(found.written.sum(), found.state, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "options", "error", "message"),
    [
        (nn.RNN(I, H), {}, ConfigurationError, "hidden is computed anew"),
        (gated.nn.LSTM(I, H, zoneout=0.1), {}, ConfigurationError, "before zoneout"),
        (nn.LSTM(I, H), {"unit": H}, DataError, "units: there are 6"),
        (nn.LSTM(I, H), {"step": T}, DataError, "sequence 0 has 40 steps, got 40"),
        (nn.LSTM(I, H), {"sequence": B}, DataError, "sequence: there are 3, got 3"),
        (nn.LSTM(I, H), {"layer": 2}, DataError, "layers: the model has 1, from 0 on, got 2"),
    ],
)
def test_what_has_no_ledger_is_refused(
    layer: nn.Module, options: Any, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        ledger(layer, torch.randn(T, B, I), **({"unit": 0, "step": 3} | options))


def test_what_a_projected_normalised_cell_shows_is_what_is_projected() -> None:
    layer = gated.nn.LSTM(I, H, proj_size=2, layer_norm=True)
    with torch.no_grad():
        layer.gain_cell_l0.uniform_(0.5, 2)
        layer.bias_cell_l0.uniform_(-1, 1)
    x = torch.randn(T, B, I)
    shown = [ledger(layer, x, unit=unit, step=17, sequence=1).hidden for unit in range(H)]
    np.testing.assert_allclose(
        layer.weight_hr_l0.detach().numpy() @ np.array(shown),
        trace(layer, x).layers[0].hidden[17, 1],
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_trace_of_some_units_has_their_ledgers() -> None:
    layer, x = nn.LSTM(I, H), torch.randn(T, B, I)
    initial = torch.randn(1, B, H), torch.randn(1, B, H)
    traced = trace(layer, x, initial=initial, units=[4, 2]).layers[0]
    for unit in (2, 4, -2):
        found = ledger_of(traced, unit=unit, step=9)
        whole = ledger(layer, x, initial=initial, unit=unit, step=9)
        np.testing.assert_array_equal(found.written, whole.written)
        assert (found.initial, found.state) == (whole.initial, whole.state)
    with pytest.raises(DataError, match=r"one of the trace's, \[4, 2\], got 0"):
        ledger_of(traced, unit=0, step=9)


def test_a_trace_of_some_steps_has_no_ledger() -> None:
    traced = trace(nn.LSTM(I, H), torch.randn(T, B, I), steps=slice(0, 30)).layers[0]
    with pytest.raises(DataError, match="all steps"):
        ledger_of(traced, unit=0, step=9)


class Reader(nn.Module):
    """A layer, and a linear map of its states at every step."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 3)

    def forward(self, x: torch.Tensor, lengths: Any = None) -> torch.Tensor:
        states = self.layer(x)[0] if lengths is None else self.layer(x, lengths=lengths)[0]
        return self.head(states)


WIDTHS = {"lstm": 2 * H, "gru": 2 * H, "gru zoneout": 2 * H, "lstm projected": 2}


@pytest.mark.parametrize("name", LAYERS)
def test_what_memory_carries_of_an_output_adds_up_to_it(name: str) -> None:
    model = Reader(LAYERS[name](), WIDTHS.get(name, H)).double().eval()
    x = torch.randn(T, B, I, dtype=torch.float64)
    last = len(trace(model, x).layers) - (2 if model.layer.bidirectional else 1)
    total, step, sequence = 0.0, 17, -2
    for layer in range(last, last + 1 + model.layer.bidirectional):
        found = ledger(
            model, x, layer=layer, output=lambda o: o[17, 1, 2], step=step, sequence=sequence
        )
        assert found.parts.shape == (len(found.steps), H)
        assert found.output == pytest.approx(model(x)[17, 1, 2].item())
        assert found.written.sum() + found.initial + found.rest == pytest.approx(found.output)
        total += found.written.sum() + found.initial
        one = ledger(model, x, layer=layer, unit=4, step=step, sequence=sequence)
        if not model.layer.proj_size:
            way = H * (layer - last)
            weight = model.head.weight[2, way + 4].item()
            np.testing.assert_allclose(found.parts[:, 4], weight * one.shown)
    # The head is linear: but for its bias all that it says is memory.
    assert total + model.head.bias[2].item() == pytest.approx(found.output)


def test_what_an_lstm_with_zoneout_remembers_adds_up() -> None:
    layer = gated.nn.LSTM(I, H, zoneout=(0.2, 0.3)).eval()
    initial = torch.randn(1, B, H), torch.randn(1, B, H)
    for found in entries(trace(layer, torch.randn(T, B, I), initial=initial).layers[0]):
        total = found.written.sum(axis=0) + found.initial
        np.testing.assert_allclose(total, found.state, atol=1e-5)


def test_an_output_of_the_final_state_is_read_where_each_sequence_ends() -> None:
    layer, x = gated.nn.GRU(I, H), torch.randn(T, B, I)
    lengths = [5, T, 9]
    found = ledger(layer, x, output=lambda o: o[1][0, 2, 3], step=-1, sequence=2, lengths=lengths)
    one = ledger(layer, x, unit=3, step=8, sequence=2, lengths=lengths)
    np.testing.assert_allclose(found.written, one.shown, atol=1e-6)
    assert found.rest == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_asked_of_an_output_is_refused() -> None:
    stacked, x = nn.LSTM(I, H, num_layers=2), torch.randn(T, B, I)
    with pytest.raises(DataError, match="take one from 1 to 1"):
        ledger(stacked, x, output=lambda o: o[0].sum(), step=3)
    with pytest.raises(DataError, match="one number that depends on layer 1"):
        ledger(stacked, x, layer=1, output=lambda o: o[0], step=3)
    with pytest.raises(ConfigurationError, match="give either unit or output"):
        ledger(stacked, x, unit=1, output=lambda o: o[0].sum(), step=3)
    with pytest.raises(ConfigurationError, match="give either unit or output"):
        ledger(stacked, x, step=3)


@pytest.mark.parametrize("lengths", [None, [9, T, 3]])
def test_a_final_state_is_owed_to_the_last_step_of_its_direction(lengths: Any) -> None:
    """The end of a layer that runs backwards is the beginning of the sequence."""
    layer = gated.nn.GRU(I, H, bidirectional=True)
    x = torch.randn(T, B, I)
    for way, step in ((0, -1), (1, 0)):
        found = ledger(
            layer, x, output=lambda o, way=way: o[1][way, 0].sum(), layer=way, step=step,
            lengths=lengths,
        )  # fmt: skip
        assert found.output != 0
        assert found.rest == pytest.approx(0, abs=1e-5)
