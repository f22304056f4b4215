"""The pictures of the LSTM's story: what they show, and that it can be read."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.report.reading_svg import SVG, check_room, crossed, text_boxes

from gated.report.diagrams import STORY, __main__, draw, notation
from gated.report.diagrams.equations import EQUATIONS
from gated.report.diagrams.style import DARK, LIGHT

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES: Any = ("en", "zh")
PICTURES = [
    pytest.param(d, language, id=f"{d.name}.{language}") for d in STORY for language in LANGUAGES
]


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


@pytest.mark.parametrize(("diagram", "language"), PICTURES)
def test_no_wire_runs_through_a_text(diagram, language):
    assert not crossed(draw(diagram, language), diagram)


def test_the_check_of_room_sees_an_overlap_and_a_cut():
    svg = draw(STORY[-1])
    with pytest.raises(AssertionError):
        check_room(svg.replace('x="736"', 'x="790"'))
    with pytest.raises(AssertionError):
        check_room(re.sub(r'(<text class="math") x="[\d.]+" y="[\d.]+"', r'\1 x="90" y="90"', svg))
    lower = re.sub(r'(<text class="math" x="736") y="[\d.]+"', r'\1 y="96"', svg)
    assert crossed(lower, STORY[-1]) == [("ht", "h_t")]


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
