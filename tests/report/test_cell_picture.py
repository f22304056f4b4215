"""Pictures of cells: everything is there, inside the picture, and free of other texts."""

import html
import re
import sys
from base64 import b64decode
from itertools import combinations
from xml.etree import ElementTree

import pytest
from tests.report.reading_svg import SVG, text_boxes

from gated.cells import Cell, PerStep, PerUnit, cell, exp, library, linear, sigmoid, tanh, where
from gated.report.cell_picture import cell_picture


@cell
def two_stages(x, h, c, *, p: PerUnit, dt: PerStep):
    r = sigmoid(x.r + h.r + p.r * c)
    u = tanh(x.u + linear(r * h).u)
    c = r * c * exp(-dt) + (1 - r) * linear(u)
    return tanh(c) * u, where(c < 2, c, h)


CELLS = [*(of for of in vars(library).values() if isinstance(of, Cell)), two_stages]


def symbols(svg):
    root = ElementTree.fromstring(svg)
    return [
        group.get("data-symbol", "")
        for group in root.iter(f"{SVG}g")
        if group.get("class", "").startswith("node")
    ]


@pytest.mark.parametrize("of", CELLS, ids=lambda of: of.name)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_cut_and_no_text_covers_another(of, language):
    svg = cell_picture(of, language)
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
    boxes = text_boxes(svg)
    assert len(boxes) >= 2 + len(of.states)
    for box in boxes:
        assert box.left >= 0, box
        assert box.top >= 0, box
        assert box.right <= width, box
        assert box.bottom <= height, box
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)


def test_the_lstm_has_its_gates_products_and_states():
    svg = cell_picture(library.lstm)
    found = symbols(svg)
    assert sorted(found) == sorted(
        ["x_t", "h_{t-1}", "c_{t-1}", "h_t", "c_t", *"σσσ", *("tanh",) * 2, *"⊙⊙⊙", "+"]
    )
    for caption in ("input gate", "forget gate", "output gate", "candidate"):
        assert f">{caption}<" in svg
    assert "遗忘门" in cell_picture(library.lstm, "zh")
    assert "prefers-color-scheme:dark" in svg


def test_a_notebook_shows_the_equations_and_the_picture(monkeypatch):
    assert library.gru._repr_svg_() == cell_picture(library.gru)
    for of in (library.gru, two_stages):
        shown = of._repr_html_()
        equations, image = shown.split("\n<img ")
        assert html.unescape(equations) == of._repr_latex_()
        assert not set("<>") & set(equations)
        data = re.fullmatch(rf'alt="{of.name}" src="data:image/svg\+xml;base64,(.+)">', image)
        assert b64decode(data[1]).decode() == cell_picture(of)
    # Where nothing draws, the equations are shown alone.
    monkeypatch.setitem(sys.modules, "gated.report.cell_picture", None)
    assert library.gru._repr_svg_() is None
    assert html.unescape(library.gru._repr_html_()) == library.gru._repr_latex_()


def test_boxes_stand_to_the_right_of_what_they_read():
    root = ElementTree.fromstring(cell_picture(two_stages))
    lines = [path.get("d") for path in root.iter(f"{SVG}path") if path.get("class") == "line"]
    assert len(lines) > 20
    for line in lines:
        places = [float(x) for x, _ in re.findall(r"(-?[\d.]+) (-?[\d.]+)", line)]
        assert places[-1] > places[0], line


def test_one_minus_is_one_circle_and_numbers_are_written_where_they_are_used():
    found = symbols(cell_picture(two_stages))
    assert found.count("1 −") == 1
    assert found.count("2") == 1
    assert "where" in found
