"""Values of real steps in the cells' diagrams, still and moving."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from tests.report.reading_svg import SVG, Box, check_room, crossed, text_boxes

from gated import nn as gated_nn
from gated.errors import ConfigurationError, DataError
from gated.explain import LayerTrace, trace
from gated.report.diagrams import animated, filled
from gated.report.diagrams.filled import CELLS, THINNEST, WIDEST
from gated.report.diagrams.lstm_cell import LSTM_CELL
from gated.report.diagrams.shapes import LAYER_HEIGHT, OPERATION

LANGUAGES: Any = ("en", "zh")


def small(kind: str = "LSTM", **options: Any) -> LayerTrace:
    torch.manual_seed(5)
    layer = getattr(gated_nn, kind)(3, 4, **options)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=1.2)
    return trace(layer, torch.randn(6, 2, 3)).layers[0]


def shown_values(svg: str, frame: int = 0) -> dict[str, str]:
    """What is written behind each symbol."""
    labels = ElementTree.fromstring(svg).iter(f"{SVG}g")
    return {
        label.get("data-symbol", ""): value.text or ""
        for label in labels
        if label.get("class") == "label"
        for value in label.findall(f"{SVG}text")
        if value.get("class", "").startswith("value")
        and ("frame" not in value.get("class", "") or f"f{frame}" in value.get("class", "").split())
    }


def as_number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_a_step_of_an_lstm_stands_on_its_wires():
    layer = small()
    svg = filled(layer, 3, unit=2, sequence=1, reads="a")
    i, f, g, o, c, h = (
        float(layer.values[name][3, 1, 2])
        for name in ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")
    )
    before_c, before_h = (float(layer.values[name][2, 1, 2]) for name in ("cell", "hidden"))
    wanted = {
        "i_t": i,
        "f_t": f,
        "c̃_t": g,
        "o_t": o,
        "c_t": c,
        "h_t": h,
        "c_{t-1}": before_c,
        "h_{t-1}": before_h,
        "f_t ⊙ c_{t-1}": f * before_c,
        "i_t ⊙ c̃_t": i * g,
        "tanh(c_t)": np.tanh(c),
    }
    shown = shown_values(svg)
    assert shown.pop("x_t") == "“a”"
    assert shown.keys() == wanted.keys()
    for symbol, value in wanted.items():
        assert as_number(shown[symbol]) == pytest.approx(value, abs=0.0051)


def test_wires_are_wide_where_values_are_large_and_tell_the_sign():
    layer = small()
    svg = filled(layer, 3, unit=2, sequence=1)
    for symbol, name in (("f_t", "forget_gate"), ("c̃_t", "candidate"), ("h_t", "hidden")):
        value = float(layer.values[name][3, 1, 2])
        look = re.search(rf'data-symbol="{re.escape(symbol)}">.*?class="(.*?)" style="(.*?)"', svg)
        assert look is not None
        width = THINNEST + (WIDEST - THINNEST) * min(1, abs(value))
        assert f"stroke-width:{width:.1f}" in look[2]
        assert look[1].split()[-1] == ("positive" if value > 0 else "negative")
    assert ".way.positive{color:#0072b2}" in svg
    assert ".way.negative{color:#e69f00}" in svg


def test_without_a_unit_the_mean_magnitude_is_shown():
    layer = small()
    shown = shown_values(filled(layer, 0))
    assert as_number(shown["c̃_t"]) == pytest.approx(
        np.abs(layer.candidate[0, 0]).mean(), abs=0.0051
    )
    assert shown["c_{t-1}"] == "0.00"


def test_the_step_before_is_the_one_after_where_a_layer_runs_backwards():
    torch.manual_seed(5)
    layer = trace(gated_nn.LSTM(3, 4, bidirectional=True), torch.randn(6, 2, 3)).layers[1]
    shown = shown_values(filled(layer, 2, unit=0))
    assert as_number(shown["h_{t-1}"]) == pytest.approx(layer.hidden[3, 0, 0], abs=0.0051)
    assert shown_values(filled(layer, 5, unit=0))["h_{t-1}"] == "0.00"


def test_a_gru_and_an_rnn_have_their_diagrams():
    gru = small("GRU")
    shown = shown_values(filled(gru, 4, unit=1))
    z, n, h = (as_number(shown[symbol]) for symbol in ("z_t", "n_t", "h_{t-1}"))
    assert as_number(shown["h_t"]) == pytest.approx((1 - z) * n + z * h, abs=0.02)
    assert as_number(shown["1 − z_t"]) == pytest.approx(1 - gru.update_gate[4, 0, 1], abs=0.0051)
    rnn = small("RNN")
    assert as_number(shown_values(filled(rnn, 4, unit=1))["h_t"]) == pytest.approx(
        rnn.hidden[4, 0, 1], abs=0.0051
    )


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_pictures_with_values_can_be_read(kind, language):
    layer = small(kind)
    for unit in (None, 0, 1, 2, 3):
        check_room(filled(layer, 2, unit=unit, reads="m", language=language))
    moving = animated(layer, "a\nword", unit=0, language=language)
    for frame in range(6):
        check_room(moving, frame)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_what_goes_into_layers_has_not_the_look_of_one_unit(kind):
    """Layers read the states of all units."""
    layer = small(kind)
    root = ElementTree.fromstring(filled(layer, 3, unit=2))
    ways = [g for g in root.iter(f"{SVG}g") if g.get("class", "").split()[0] == "way"]
    wires = CELLS[layer.kind].wires
    of_a_unit = {w.symbol for w, way in zip(wires, ways, strict=True) if way.get("style")}
    assert {"h_{t-1}", "h_t"} <= of_a_unit
    boxes = [node for node in CELLS[layer.kind].nodes if node.shape == "layer"]
    for wire, way in zip(wires, ways, strict=True):
        ends = [path[-1] for path in wire.paths]
        enters = any(
            abs(x - box.place[0]) < 40 and y == box.place[1] + LAYER_HEIGHT / 2
            for x, y in ends
            for box in boxes
        )
        assert not (enters and way.get("style"))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_values_stand_clear_of_operations(kind):
    layer = small(kind)
    for unit in range(4):
        svg = filled(layer, 2, unit=unit, reads="m")
        for node in CELLS[layer.kind].nodes:
            if node.shape == "operation":
                (x, y), r = node.place, OPERATION
                circle = Box(node.symbol, x - r, y - r, x + r, y + r)
                texts = [box for box in text_boxes(svg) if box.text != node.symbol]
                assert not [box.text for box in texts if box.overlaps(circle)]


def test_the_legend_speaks_of_signs_where_there_are_any():
    layer = small()
    assert "blue: positive" in filled(layer, 0, unit=1)
    assert "blue: positive" not in filled(layer, 0)
    assert "蓝色为正" not in filled(layer, 0, language="zh")


def test_a_moving_picture_shows_each_step_in_its_turn():
    layer = small()
    svg = animated(layer, "ab d", first=2, unit=3, seconds=2.0)
    for frame, letter in enumerate("ab␣d"):
        shown = shown_values(svg, frame)
        assert shown["x_t"] == f"“{letter}”"
        assert as_number(shown["f_t"]) == pytest.approx(
            layer.forget_gate[2 + frame, 0, 3], abs=0.0051
        )
        assert f".f{frame}{{animation-delay:{2 * frame}.00s}}" in svg
    assert "-seen 8s step-end infinite" in svg
    widths = [THINNEST + (WIDEST - THINNEST) * value for value in layer.forget_gate[2:, 0, 3]]
    place = [wire.symbol for wire in LSTM_CELL.wires].index("f_t")
    keyframes = svg.split(f"-w{place}{{")[1]
    assert re.findall(r"stroke-width:([\d.]+)", keyframes)[:4] == [f"{w:.1f}" for w in widths]
    assert "prefers-reduced-motion" in svg
    assert "<script" not in svg


def test_a_moving_picture_moves_no_other_of_its_page():
    layer = small()
    pictures = [animated(layer, "abc", unit=unit) for unit in (0, 1)]
    styles = ["".join(re.findall(r"<style>([^<]*@keyframes[^<]*)</style>", p)) for p in pictures]
    own = [re.findall(r"moving-\w+", picture)[0] for picture in pictures]
    assert own[0] != own[1]
    for name, style in zip(own, styles, strict=True):
        lines = style.strip().splitlines()
        assert len(lines) > 10
        starts = (
            f"@keyframes {name}-",
            f".{name} ",
            f"@media (prefers-reduced-motion:reduce){{.{name} ",
            f"@media (prefers-color-scheme:dark){{@keyframes {name}-",
        )
        assert all(line.startswith(starts) for line in lines)


def test_what_the_diagram_does_not_show_is_refused():
    plain = small()
    with pytest.raises(DataError, match="unit 4 is not in the trace"):
        filled(plain, 0, unit=4)
    with pytest.raises(DataError, match="step must be from 0 to 5"):
        filled(plain, 6)
    with pytest.raises(DataError, match="sequence must be from 0 to 1"):
        filled(plain, 0, sequence=2)
    with pytest.raises(DataError, match="must hold the input of at least one step"):
        animated(plain, "")
    for variant in ({"layer_norm": True}, {"proj_size": 2}, {"zoneout": 0.5}):
        with pytest.raises(ConfigurationError, match="Give a trace of the plain cell"):
            filled(small(**variant), 2)
    with pytest.raises(ConfigurationError, match="there are diagrams only of lstm, gru, rnn_tanh"):
        filled(small("RNN", nonlinearity="relu"), 2)


def test_some_units_and_steps_of_a_trace_suffice():
    torch.manual_seed(5)
    layer, x = gated_nn.LSTM(3, 4), torch.randn(6, 2, 3)
    whole = trace(layer, x).layers[0]
    part = trace(layer, x, units=[1, 3], steps=[2, 3]).layers[0]
    assert filled(part, 3, unit=3) == filled(whole, 3, unit=3)
    with pytest.raises(DataError, match="step 1 is not in the trace"):
        filled(part, 2, unit=3)


def test_no_wire_runs_through_a_value():
    for kind in ("LSTM", "GRU", "RNN"):
        layer = small(kind)
        for unit in range(4):
            assert not crossed(filled(layer, 2, unit=unit, reads="m"), CELLS[layer.kind])
