"""What notebooks show of traces, ledgers, flows and effects."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from torch import nn

from gated.explain import effect, flow, ledger, trace
from gated.explain._notebook import bars, heat_map, pixels, png

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def lstm() -> tuple[nn.LSTM, torch.Tensor]:
    torch.manual_seed(0)
    return nn.LSTM(3, 5), torch.randn(12, 2, 3)


def drawn(html: str) -> list[tuple[str, np.ndarray]]:
    """The names and pixels (rows, columns, 3) of all heat maps."""
    found = re.findall(r'<img alt="([^"]+)".*?base64,([^"]+)"', html)
    return [
        (name, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))) for name, data in found
    ]


def test_a_trace_shows_every_gate_and_state(lstm: tuple[nn.LSTM, torch.Tensor]) -> None:
    seen = trace(*lstm)
    html = seen._repr_html_()
    maps = drawn(html)
    assert "LSTM, layer 0: lstm" in html
    assert [name for name, _ in maps] == list(seen.layers[0].values)
    for name, image in maps:
        values = seen.layers[0].values[name][:, 0]
        np.testing.assert_array_equal(image, pixels(values.T, max(1.0, np.abs(values).max())))


def test_colours_say_sign_and_size() -> None:
    colours = pixels([[0.0, 1.0, -1.0, 3.0, 0.5]], 1.0)
    assert colours.tolist() == [
        [[255, 255, 255], [0, 114, 178], [213, 94, 0], [0, 114, 178], [128, 184, 216]]
    ]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(colours)))), colours)
    assert "the last 200 of 300 steps" in heat_map("<gate>", np.zeros((300, 2)))
    assert "&lt;gate&gt;" in heat_map("<gate>", np.zeros((300, 2)))


def test_a_ledger_shows_its_largest_entries(lstm: tuple[nn.LSTM, torch.Tensor]) -> None:
    found = ledger(*lstm, unit=2, step=-1)
    html = found._repr_html_()
    largest = np.sort(np.argsort(-np.abs(found.written))[:10])
    assert [int(step) for step in re.findall(r"step (\d+)", html)] == largest.tolist()
    assert f"The state is {found.state:.4g}." in html
    assert bars([("a", -2.0), ("b", 1.0)]).count("<tr>") == 2
    of_output = ledger(*lstm, output=lambda output: output[0][-1, 0, 1], step=-1)
    assert f"The output is {of_output.output:.4g}." in of_output._repr_html_()


def test_a_flow_and_an_effect_are_shown(lstm: tuple[nn.LSTM, torch.Tensor]) -> None:
    html = flow(*lstm, loss=lambda output: output[0][-1].square().mean())._repr_html_()
    assert html.count("<polyline") == 2
    assert "product of the Jacobians" in html
    found = effect(*lstm, gate="forget_gate", value=1.0, unit=1)
    html = found._repr_html_()
    assert f"up to {float(found.difference.abs().max()):.4g}." in html
    names = [name for name, _ in drawn(html)]
    assert "LSTM, layer 0: change of forget_gate" in names
    nothing = effect(*lstm, gate="forget_gate", scale=1.0)._repr_html_()
    assert "up to 0." in nothing or drawn(nothing)
