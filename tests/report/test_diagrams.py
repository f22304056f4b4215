"""The pictures of the LSTM's story: what they show, that it can be read, and values in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from gated import nn as gated_nn
from gated.errors import ConfigurationError, DataError
from gated.explain.trace import LayerTrace, trace
from gated.report.diagrams import STORY, __main__, animated, draw, filled, notation
from gated.report.diagrams.equations import EQUATIONS
from gated.report.diagrams.filled import THINNEST, WIDEST
from gated.report.diagrams.lstm_cell import LSTM_CELL
from gated.report.diagrams.style import DARK, LIGHT

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
LANGUAGES: Any = ("en", "zh")
PICTURES = [
    pytest.param(d, language, id=f"{d.name}.{language}") for d in STORY for language in LANGUAGES
]


class Box(NamedTuple):
    """About where a text stands."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def text_boxes(svg: str, frame: int = 0) -> list[Box]:
    """Of all texts that are seen in a frame; capitals and the depth of subscripts counted in."""
    root = ElementTree.fromstring(svg)
    return [
        box_of(text)
        for text in root.iter(f"{SVG}text")
        if "frame" not in text.get("class", "") or f"f{frame}" in text.get("class", "").split()
    ]


def box_of(text: ElementTree.Element) -> Box:
    size, x, y = (float(text.get(name, "")) for name in ("font-size", "x", "y"))
    letters = list(pieces(text, size))
    wide = 1.0 if "math" in text.get("class", "") else 1.12
    width = wide * sum(of * sum(map(notation.advance, part)) for part, of in letters)
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor", "start")]
    low = 0.3 if text.find(f"{SVG}tspan") is not None else 0.2
    return Box("".join(text.itertext()), left, y - 0.75 * size, left + width, y + low * size)


def pieces(text: ElementTree.Element, size: float) -> Iterator[tuple[str, float]]:
    yield text.text or "", size
    for span in text:
        of = 0.0 if span.text == "˜" else float(span.get("font-size", size))
        yield span.text or "", of


def view_box(svg: str) -> list[float]:
    return [float(n) for n in ElementTree.fromstring(svg).get("viewBox", "").split()]


def symbols_in(svg: str) -> set[str]:
    """Of wires and nodes as they are, of the weights in a layer one by one."""
    found = set()
    for element in ElementTree.fromstring(svg).iter():
        symbol = element.get("data-symbol")
        if symbol and element.get("class") == "weights":
            found |= notation.symbols(symbol)
        elif symbol:
            found.add(symbol)
    return found


# What is drawn


@pytest.mark.parametrize(("diagram", "language"), PICTURES)
def test_the_committed_picture_is_what_the_code_draws(diagram, language):
    path = DOCS / "images" / "lstm" / f"{diagram.name}.{language}.svg"
    assert path.read_text("utf-8") == draw(diagram, language), (
        "run: python -m gated.report.diagrams docs/images/lstm"
    )


def test_the_command_writes_every_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["diagrams", str(tmp_path / "new")])
    __main__.main()
    wanted = {f"{d.name}.{language}.svg" for d in STORY for language in LANGUAGES}
    assert {path.name for path in (tmp_path / "new").iterdir()} == wanted


@pytest.mark.parametrize(("diagram", "language"), PICTURES)
def test_a_picture_stands_alone_and_says_what_it_shows(diagram, language):
    root = ElementTree.fromstring(draw(diagram, language))
    assert root.findtext(f"{SVG}title") == getattr(diagram.title, language)
    assert len(root.findtext(f"{SVG}desc") or "") > 20
    assert not [e for e in root.iter() if e.tag in (f"{SVG}script", f"{SVG}image", f"{SVG}use")]
    assert not re.search(r"url\(|@import|href=", draw(diagram, language))


@pytest.mark.parametrize("diagram", STORY, ids=lambda diagram: diagram.name)
def test_symbols_of_the_equations_are_in_the_picture_and_back(diagram):
    equations = [EQUATIONS[name] for name in diagram.equations]
    shown = symbols_in(draw(diagram))
    wanted = set().union(*map(notation.symbols, equations))
    assert wanted - {notation.at_any_time(symbol) for symbol in shown} <= shown
    said = notation.at_any_time(" ".join(equations))
    unknown = {symbol for symbol in shown if notation.at_any_time(symbol) not in said}
    assert unknown <= {"t"}, "a wire that no equation speaks of"  # t is the axis of time


def test_every_equation_has_a_picture():
    assert {name for diagram in STORY for name in diagram.equations} == set(EQUATIONS)


@pytest.mark.parametrize("diagram", STORY, ids=lambda diagram: diagram.name)
def test_what_has_no_symbol_is_no_wire(diagram):
    written = {box.text.replace("−", "-") for box in text_boxes(draw(diagram))}
    named = {node.symbol for node in diagram.nodes}
    plain = re.compile(r"[_{}\u0303]")
    for wire in diagram.wires:
        if wire.symbol not in named | {"t"}:
            symbol = plain.sub("", wire.symbol).replace("−", "-")
            assert symbol in {text.replace("˜", "") for text in written}


# That it can be read


@pytest.mark.parametrize(("diagram", "language"), PICTURES)
def test_texts_do_not_overlap_and_nothing_is_cut(diagram, language):
    check_room(draw(diagram, language))


def check_room(svg: str, frame: int = 0) -> None:
    boxes = text_boxes(svg, frame)
    overlaps = [(a.text, b.text) for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert not overlaps
    _, _, width, height = view_box(svg)
    outside = [b for b in boxes if b.left < 0 or b.top < 0 or b.right > width or b.bottom > height]
    assert not outside
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        points = re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", ""))
        assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)


def test_the_check_of_room_sees_an_overlap_and_a_cut():
    svg = draw(STORY[-1])
    with pytest.raises(AssertionError):
        check_room(svg.replace('x="736"', 'x="790"'))
    with pytest.raises(AssertionError):
        check_room(re.sub(r'(<text class="math") x="[\d.]+" y="[\d.]+"', r'\1 x="90" y="90"', svg))


def test_colours_are_those_of_the_report_page():
    page = resources.files("gated.report").joinpath("page.html").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    for sheet, colours in ((light, LIGHT), (dark, DARK)):
        declared = dict(re.findall(r"--([a-z]+): (#\w+)", sheet))
        for name in ("paper", "wash", "ink", "line", "blue", "orange", "green", "vermilion"):
            assert colours[name] == declared[name]
    for colours in (LIGHT, DARK):
        assert contrast(colours["ink"], colours["paper"]) > 7
        assert contrast(colours["muted"], colours["wash"]) > 4.5


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# The page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_every_equation_and_every_picture(language):
    page = (DOCS / language / "lstm.md").read_text("utf-8")
    displayed = set(re.findall(r"^\$\$\n(.*?)\n\$\$$", page, re.MULTILINE))
    assert {notation.tex(equation) for equation in EQUATIONS.values()} <= displayed
    pictures = re.findall(r"!\[(.+?)\]\(../images/lstm/(.*?)\)", page)
    assert {name for _, name in pictures} >= {f"{d.name}.{language}.svg" for d in STORY}
    assert all((DOCS / "images" / "lstm" / name).exists() for _, name in pictures)


# Values


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
        look = re.search(rf'data-symbol="{re.escape(symbol)}">.*?style="(.*?)"', svg)
        assert look is not None
        width = THINNEST + (WIDEST - THINNEST) * min(1, abs(value))
        assert f"stroke-width:{width:.1f}" in look[1]
        assert f"--{'blue' if value > 0 else 'orange'}" in look[1]


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
    assert "animation:seen 8s step-end infinite" in svg
    widths = [THINNEST + (WIDEST - THINNEST) * value for value in layer.forget_gate[2:, 0, 3]]
    place = [wire.symbol for wire in LSTM_CELL.wires].index("f_t")
    keyframes = svg.split(f"@keyframes w{place}{{")[1]
    assert re.findall(r"stroke-width:([\d.]+)", keyframes)[:4] == [f"{w:.1f}" for w in widths]
    assert "prefers-reduced-motion" in svg
    assert "<script" not in svg


def test_what_the_diagram_does_not_show_is_refused():
    plain = small()
    with pytest.raises(DataError, match="unit 4 is not in the trace"):
        filled(plain, 0, unit=4)
    with pytest.raises(DataError, match="step must be from 0 to 5"):
        filled(plain, 6)
    with pytest.raises(DataError, match="sequence must be from 0 to 1"):
        filled(plain, 0, sequence=2)
    with pytest.raises(DataError, match="got nothing"):
        animated(plain, "")
    for variant in ({"layer_norm": True}, {"proj_size": 2}, {"zoneout": 0.5}):
        with pytest.raises(ConfigurationError, match="Give a trace of the plain cell"):
            filled(small(**variant), 2)
    with pytest.raises(ConfigurationError, match="there are diagrams of lstm, gru, rnn_tanh"):
        filled(small("RNN", nonlinearity="relu"), 2)


def test_some_units_and_steps_of_a_trace_suffice():
    torch.manual_seed(5)
    layer, x = gated_nn.LSTM(3, 4), torch.randn(6, 2, 3)
    whole = trace(layer, x).layers[0]
    part = trace(layer, x, units=[1, 3], steps=[2, 3]).layers[0]
    assert filled(part, 3, unit=3) == filled(whole, 3, unit=3)
    with pytest.raises(DataError, match="step 1 is not in the trace"):
        filled(part, 2, unit=3)
