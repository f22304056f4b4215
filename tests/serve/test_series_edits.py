"""Numbers of a forecaster that are changed in the page: what follows is what torch makes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.serve import series_reference
from tests.serve.conftest import Ask
from tests.serve.series_reference import assert_read
from torch import Tensor, nn

from gated.explain import Intervention
from gated.serve.exhibit import Exhibit
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.network import ForecastNetwork

HISTORY, MOMENT, UNIT, FROM = 48, 9, 3, 5
GATES = {
    "gru": ("reset_gate", "update_gate", "candidate"),
    "lstm": ("input_gate", "forget_gate", "candidate", "output_gate"),
}


def copied(forecasters: Any, cell: str) -> tuple[Forecaster, Any, int]:
    """A forecaster whose weights may be changed, its data, and the row of a window's last step."""
    forecaster, after = forecasters[cell]
    series_of = after.prepared.panel.series_of[after.origins]
    row = int(after.origins[series_of == np.unique(series_of)[0]][MOMENT])
    return copy.deepcopy(forecaster), after.prepared, row


def change_weights(network: ForecastNetwork, part: str, layer: int, gate: str, column: int) -> str:
    """Change three weights of a gate of one unit; return the edits that do the same."""
    cell = "gru" if layer < 0 else "lstm"
    layer = max(layer, 0)
    name = "gru" if cell == "gru" else f"lstm {layer + 1}"
    row = GATES[cell].index(gate) * 20 + UNIT
    of = {
        which: getattr(getattr(network, part), f"{which}_l{layer}").data
        for which in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    of["weight_ih"][row, column] = -1.5
    of["weight_hh"][row, FROM] = 1.75
    edits = [
        f"{name}/input_weight/{part}/{gate}/{UNIT}/{column}/-1.5",
        f"{name}/weight/{part}/{gate}/{UNIT}/{FROM}/1.75",
        f"{name}/bias/{part}/{gate}/{UNIT}/0.5",
    ]
    if cell == "gru" and gate == "candidate":
        of["bias_ih"][row], of["bias_hh"][row] = 0.5, -0.75
        edits.append(f"{name}/inner/{part}/{gate}/{UNIT}/-0.75")
    else:
        of["bias_ih"][row] = 0.5 - of["bias_hh"][row]
    return ";".join(edits)


CHANGED = [
    ("encoder", -1, "candidate", "gru"),
    ("decoder", -1, "update_gate", "gru"),
    ("encoder", 0, "forget_gate", "lstm 2"),
    ("decoder", 1, "output_gate", "lstm 1"),
]


def test_changed_weights_are_computed_with(
    ask: Callable[[Path], Ask], written: Path, forecasters: Any
) -> None:
    """Gates, states, forecast and gradient, of the layer that was changed and of the other one."""
    asks = ask(written)
    for part, layer, gate, shown in CHANGED:
        cell, _, number = shown.partition(" ")
        forecaster, prepared, row = copied(forecasters, cell)
        place, around = int(number or 1) - 1, forecasters[cell][0]
        plain = series_reference.read(forecaster, prepared, row, place)
        edits = change_weights(forecaster.first_network, part, layer, gate, 4)
        expected = series_reference.read(forecaster, prepared, row, place, around=around)
        moved = np.abs(expected.outputs["forecast"] - plain.outputs["forecast"])[HISTORY:]
        assert moved.max() > 1e-3
        header, arrays = asks(shown, 0, MOMENT, edits=edits)
        assert_read(arrays, expected)
        assert header["score"] == pytest.approx(expected.score, rel=2e-5)


class Setting(nn.Module):
    """A GRU whose state is set after a step."""

    def __init__(self, layer: Any, step: int, unit: int, value: float) -> None:
        super().__init__()
        self.layer, self.step, self.unit, self.value = layer, step, unit, value

    def forward(self, x: Tensor, state: Any = None) -> Any:
        first, state = self.layer(x[: self.step + 1], state)
        state = state.clone()
        state[..., self.unit] = self.value
        second, state = self.layer(x[self.step + 1 :], state)
        return torch.cat([first[:-1], state[-1:] if not len(second) else first[-1:], second]), state


def test_a_state_is_set_and_the_gradient_ends_there(
    ask: Callable[[Path], Ask], written: Path, forecasters: Any
) -> None:
    step, value = 44, -0.875
    forecaster, prepared, row = copied(forecasters, "gru")
    hold = Intervention("hidden", value=value, unit=UNIT, step=step)
    expected = series_reference.read(forecaster, prepared, row, 0, states=[hold])
    network = forecaster.first_network
    network.encoder = Setting(network.encoder, step, UNIT, value)
    batch = series_reference.batch_at(prepared, row)
    gradient = series_reference.gradient_by_distance(network, batch)
    assert np.abs(gradient - expected.gradient).max() > 1e-4 * gradient.max()
    edits = f"gru/hidden/{UNIT}/{step}/{value}"
    _, arrays = ask(written)("gru", 0, MOMENT, edits=edits)
    expected = type(expected)(expected.values, gradient, expected.outputs, expected.score)
    assert_read(arrays, expected)


def test_states_of_both_layers_are_set_in_history_and_forecast(
    ask: Callable[[Path], Ask], written: Path, forecasters: Any
) -> None:
    """The second layer reads what is set in the first; the cell state gives its h."""
    forecaster, prepared, row = copied(forecasters, "lstm")
    holds = [
        Intervention("hidden", value=0.75, layer=0, unit=FROM, step=30),
        Intervention("cell", value=-2.5, layer=1, unit=UNIT, step=47),
        Intervention("cell", value=1.5, layer=3, unit=UNIT, step=2),
    ]
    edits = f"lstm 1/hidden/{FROM}/30/0.75;lstm 2/cell/{UNIT}/47/-2.5;lstm 2/cell/{UNIT}/50/1.5"
    asks = ask(written)
    for layer in (0, 1):
        expected = series_reference.read(forecaster, prepared, row, layer, states=holds)
        _, arrays = asks(f"lstm {layer + 1}", 0, MOMENT, edits=edits)
        for name, values in (expected.values | expected.outputs).items():
            np.testing.assert_allclose(arrays[name], values, rtol=1e-4, atol=2e-5, err_msg=name)


@contextmanager
def reading(network: Any, part: str, step: int, place: int, x: float) -> Iterator[None]:
    """The network reads another number at a step."""
    name = "encoder_inputs" if part == "encoder" else "_decoder_inputs"
    plain = getattr(network, name)

    def changed(batch: Any) -> Tensor:
        read: Tensor = plain(batch).clone()
        read[step, :, place] = x
        return read

    setattr(network, name, changed)
    try:
        yield
    finally:
        delattr(network, name)


def columns(exhibit: Exhibit, part: str) -> dict[tuple[str, str], int]:
    """The places of columns, by kind and name."""
    listed = exhibit.offered["networks"][0]["forecaster"]["columns"][part]
    ends = np.cumsum([of["count"] for of in listed])
    return {
        (of["kind"], of["name"]): int(end - of["count"])
        for of, end in zip(listed, ends, strict=True)
    }


def test_columns_are_listed_in_the_order_of_the_weights(exhibit: Exhibit, forecasters: Any) -> None:
    forecaster, _ = forecasters["gru"]
    network, fitted = forecaster.first_network, forecaster.preprocessing
    for part, layer in (("encoder", network.encoder), ("decoder", network.decoder)):
        listed = exhibit.offered["networks"][0]["forecaster"]["columns"][part]
        assert sum(of["count"] for of in listed) == layer.weight_ih_l0.shape[1]
    form = {
        "observed": "observed({})",
        "error": "error({})",
        "sine": "sin({})",
        "cosine": "cos({})",
    }
    named = [form.get(kind, "{}").format(name) for kind, name in columns(exhibit, "encoder")]
    assert tuple(named[: len(fitted.input_names)]) == fitted.input_names


INPUTS = [
    ("encoder", 40, "target", "temp", 75.5),
    ("encoder", 47, "lag", "temp", 12.0),
    ("encoder", 20, "number", "humid", 99.0),
    ("encoder", 3, "level", "temp", 20.0),
    ("encoder", 10, "error", "temp", -3.0),
    ("decoder", 50, "smooth", "temp", 64.0),
    ("decoder", 49, "sine", "day", 0.25),
]


def test_an_input_is_changed_in_the_unit_of_its_column(
    ask: Callable[[Path], Ask], written: Path, exhibit: Exhibit, forecasters: Any
) -> None:
    asks = ask(written)
    forecaster, prepared, row = copied(forecasters, "gru")
    network, fitted = forecaster.first_network, forecaster.preprocessing
    names = (*fitted.known_numbers, *fitted.past_numbers)
    _, plain = asks("gru", 0, MOMENT)
    for part, step, kind, name, value in INPUTS:
        x = value
        if kind in ("target", "lag", "smooth", "level"):
            last = 0.0 if kind == "level" else float(prepared.target[row])
            x = float(prepared.scaled(np.array([value]), np.array([row]))[0]) - last
        elif kind == "number":
            x = float(fitted.numbers.apply(np.array(value), names.index(name)))
        place = columns(exhibit, part)[kind, name]
        local = step - (HISTORY if part == "decoder" else 0)
        with reading(network, part, local, place, x):
            around = forecasters["gru"][0]
            expected = series_reference.read(forecaster, prepared, row, 0, around=around)
        _, arrays = asks("gru", 0, MOMENT, edits=f"gru/input/{place}/{step}/{value}")
        assert_read(arrays, expected)
        assert np.abs(arrays["hidden"][step] - plain["hidden"][step]).max() > 1e-5
        np.testing.assert_array_equal(arrays["hidden"][:step], plain["hidden"][:step])
