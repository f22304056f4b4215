"""What can be read in an SVG: where texts stand, free of each other and of wires or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from gated.report.diagrams import notation
from gated.report.diagrams.shapes import Diagram

SVG = "{http://www.w3.org/2000/svg}"


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


def check_room(svg: str, frame: int = 0) -> None:
    """Assert that no text lies on another, and that nothing lies outside the picture."""
    boxes = text_boxes(svg, frame)
    overlaps = [(a.text, b.text) for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert not overlaps
    _, _, width, height = view_box(svg)
    outside = [b for b in boxes if b.left < 0 or b.top < 0 or b.right > width or b.bottom > height]
    assert not outside
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        points = re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", ""))
        assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)


def crossed(svg: str, diagram: Diagram) -> list[tuple[str, str]]:
    """Texts, and the symbols of straight wires that run through them."""
    return [
        (box.text, wire.symbol)
        for box in text_boxes(svg)
        for wire in diagram.wires
        for path in wire.paths
        for begin, end in pairwise(path)
        if not wire.curved and runs_through(np.array(begin), np.array(end), box)
    ]


def runs_through(begin: Any, end: Any, box: Box) -> bool:
    x, y = (begin + np.linspace(0, 1, 400)[:, None] * (end - begin)).T
    inside = (box.left + 1 < x) & (x < box.right - 1) & (box.top + 2 < y) & (y < box.bottom - 2)
    return bool(inside.any())
