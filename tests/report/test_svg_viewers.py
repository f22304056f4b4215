"""Every SVG that is written as a file, in a viewer that knows no CSS variables: resvg."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gated import nn as gated_nn
from gated.cells import cell, linear, sigmoid
from gated.explain import LayerTrace, trace
from gated.report.cell_picture import cell_picture
from gated.report.diagrams import STORY, animated, draw, filled
from gated.report.diagrams.style import DARK, LIGHT
from gated.report.drawing import BLUE, finish, new_figure, standalone, style

DOCS = Path(__file__).parents[2] / "docs"


def traced() -> LayerTrace:
    torch.manual_seed(5)
    return trace(gated_nn.LSTM(3, 4), 3 * torch.randn(6, 2, 3)).layers[0]


def own_cell() -> str:
    @cell
    def leaky(x, hidden):
        keep = sigmoid(linear(x, hidden))
        return keep * hidden

    return cell_picture(leaky)


def figure() -> str:
    with style():
        drawn, axes = new_figure(3)
        axes.plot([0, 1, 3], "o-", color=BLUE)
        return standalone(finish(drawn, "line", description="a line", caption="a line").svg)


DRAWN: dict[str, tuple[Callable[[], str], set[str]]] = {
    "story": (lambda: draw(STORY[0]), {"wash", "sky", "ink"}),
    "cell": (lambda: draw(STORY[6], "zh"), {"wash", "blue", "vermilion", "green", "orange"}),
    "filled": (lambda: filled(traced(), 3, unit=2), {"blue", "orange", "muted"}),
    "animated": (lambda: animated(traced(), "abcd", unit=2), {"blue", "orange", "muted"}),
    "own cell": (own_cell, {"sky", "muted"}),
    "figure": (figure, {"blue", "line"}),
}
"""What draws each kind of picture, and colours that are in it."""


def pixels(svg: str) -> NDArray[Any]:
    """(height, width, 4), as resvg draws it."""
    resvg = pytest.importorskip("resvg_py")
    data = resvg.svg_to_bytes(svg_string=svg)
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGBA"), int)


def share_near(drawn: NDArray[Any], colour: str) -> float:
    """The share of pixels that have a colour, up to rounding."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(drawn[..., :3] - rgb).max(axis=-1) <= 3).mean())


@pytest.mark.parametrize("kind", DRAWN)
def test_a_picture_has_its_colours_where_there_are_no_variables(kind: str) -> None:
    draws, colours = DRAWN[kind]
    drawn = pixels(draws())
    assert drawn.shape[1] > 200
    assert (drawn[20:-20, 20:-20, 3] == 255).all(), "it has a ground of its own"
    assert share_near(drawn, "#ffffff") > 0.3, "which is white"
    assert share_near(drawn, "#000000") < 0.001, "nothing is black"
    missing = [name for name in colours if share_near(drawn, LIGHT[name]) < 2e-5]
    assert not missing


@pytest.mark.parametrize("kind", DRAWN)
def test_no_svg_needs_variables(kind: str) -> None:
    svg = DRAWN[kind][0]()
    assert "var(" not in svg
    assert "--" not in svg.replace("<!--", "").replace("-->", "")


def test_no_committed_svg_needs_variables() -> None:
    pictures = sorted(DOCS.rglob("*.svg"))
    assert len(pictures) > 20
    assert [path.name for path in pictures if "var(" in path.read_text("utf-8")] == []


def test_each_colour_of_a_light_page_has_one_on_a_dark_page() -> None:
    svg = draw(STORY[6])
    light, dark = svg.split("@media (prefers-color-scheme:dark)")
    rules = [line for line in light.splitlines() if line.startswith(".gated-diagram")]
    coloured = [rule for rule in rules if any(colour in rule for colour in LIGHT.values())]
    assert len(coloured) > 20
    for rule in coloured:
        by_name = {light: name for name, light in LIGHT.items()}
        selector, declarations = rule.rstrip("}").split("{")
        other = next(line for line in dark.splitlines() if line.startswith(f"{selector}{{"))
        expected = declarations
        for colour, name in by_name.items():
            expected = expected.replace(colour, DARK[name])
        assert other == f"{selector}{{{expected}}}"
