"""Diagrams as SVG: one file without scripts or external resources, for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from gated.report.diagrams import notation
from gated.report.diagrams.shapes import (
    LAYER_HEIGHT,
    NEURON,
    OPERATION,
    STATE,
    Caption,
    Diagram,
    Language,
    Node,
    Path,
    Point,
    Region,
    Wire,
)
from gated.report.diagrams.style import STYLE

SYMBOL_SIZE, WEIGHTS_SIZE, CAPTION_SIZE = 20.0, 14.0, 14.0
ROUNDING = 12.0
"""Radius of the corners of wires."""
HEAD = 9.0
"""Length of an arrow head."""
SIZES = {"layer": 19.0, "function": 17.0, "state": 19.0, "operation": 14.0, "name": 20.0}
"""Font sizes of the symbols of nodes, by shape."""
NAMES = {"⊙": "product unit by unit", "+": "sum", "1 −": "one minus", "σ": "sigmoid"}


def new_picture(diagram: Diagram, language: Language, size: Point | None = None) -> Element:
    """Return an empty picture with the diagram's title, of its size or of `size`."""
    width, height = size or diagram.size
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "gated-diagram",
            "viewBox": f"0 0 {number(width)} {number(height)}",
            "width": number(width),
            "height": number(height),
            "role": "img",
            "aria-labelledby": f"{diagram.name}-title {diagram.name}-desc",
            "lang": {"en": "en", "zh": "zh-CN"}[language],
        },
    )
    title = SubElement(svg, "title", id=f"{diagram.name}-title")
    title.text = getattr(diagram.title, language)
    description = SubElement(svg, "desc", id=f"{diagram.name}-desc")
    description.text = getattr(diagram.description, language)
    style = SubElement(svg, "style")
    style.text = STYLE
    ground = {"class": "paper", "width": number(width), "height": number(height), "rx": "10"}
    SubElement(svg, "rect", ground)
    return svg


def add_diagram(
    svg: Element, diagram: Diagram, language: Language, head: float = HEAD
) -> list[Element]:
    """Draw the parts of a diagram, and return the element of each wire, in the diagram's order.

    Args:
        svg: where to draw.
        diagram: what to draw.
        language: of the captions.
        head: length of arrow heads.
    """
    for region in diagram.regions:
        _add_region(svg, region)
    ways = [_add_wire(svg, wire, head) for wire in diagram.wires]
    for node in diagram.nodes:
        _add_node(svg, node)
    for caption in diagram.captions:
        add_caption(svg, caption, language)
    return ways


def write(svg: Element) -> str:
    """Return the text of the file, one element a line."""
    for element in svg:
        element.tail = "\n"
    return ElementTree.tostring(svg, "unicode") + "\n"


def _add_wire(svg: Element, wire: Wire, head: float) -> Element:
    """Draw lines with arrow heads, dots where they branch, and the symbol beside them."""
    classes = ["wire", wire.role, *(["dashed"] * wire.dashed), *(["thin"] * wire.thin)]
    group = SubElement(svg, "g", {"class": " ".join(classes), "data-symbol": wire.symbol})
    SubElement(group, "title").text = wire.symbol
    head = head if wire.heads else 0.0
    line = "".join(_line(path, wire.curved, head) for path in wire.paths)
    if wire.over:
        SubElement(group, "path", {"class": "halo", "d": line})
    way = SubElement(group, "g", {"class": "way"})
    SubElement(way, "path", {"class": "line", "d": line})
    if wire.heads:
        heads = "".join(_head(path, head) for path in wire.paths)
        SubElement(way, "path", {"class": "head", "d": heads})
    for branch in wire.paths[1:] if wire.heads else ():
        x, y = branch[0]
        dot = {"class": "joint", "cx": number(x), "cy": number(y), "r": "3.5"}
        SubElement(way, "circle", dot)
    if wire.label is not None:
        add_formula(group, wire.symbol, wire.label, wire.anchor)
    return way


def add_formula(
    parent: Element, line: str, place: Point, anchor: str = "start", size: float = SYMBOL_SIZE
) -> Element:
    """Add a formula in the notation of `notation`."""
    text = add_text(parent, place, anchor, size, "math")
    lowered, back = False, 0.0
    for run in notation.runs(line):
        letters, tilde, _ = run.text.partition(notation.TILDE)
        options = {"dx": number(back)} if back else {}
        if run.italic:
            options["class"] = "variable"
        if run.lowered:
            options["font-size"] = number(0.7 * size)
        if run.lowered != lowered:
            options["dy"] = number((0.22 if run.lowered else -0.22) * size)
        lowered, back = run.lowered, 0.0
        SubElement(text, "tspan", options).text = letters
        if tilde:
            # A separate character, since many fonts lack the combining tilde.
            SubElement(text, "tspan", dx=number(-0.38 * size)).text = "˜"
            back = 0.06 * size
    return text


def add_caption(svg: Element, caption: Caption, language: Language) -> Element:
    """Add a caption in the given language."""
    kind = "strong" if caption.strong else "words"
    size = CAPTION_SIZE + 2 * caption.strong
    text = add_text(svg, caption.place, caption.anchor, size, kind)
    text.text = getattr(caption.words, language)
    return text


def add_text(parent: Element, place: Point, anchor: str, size: float, kind: str) -> Element:
    """Add an empty line of text."""
    x, y = place
    options = {"class": kind, "x": number(x), "y": number(y), "font-size": number(size)}
    return SubElement(parent, "text", options | {"text-anchor": anchor})


def _add_region(svg: Element, region: Region) -> None:
    kind = f"region {region.role}{' dashed' * region.dashed}"
    first, second, *others = region.corners
    middle = ((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
    edge = _rounded((middle, second, *others, first, middle))
    SubElement(svg, "path", {"class": kind, "d": f"{edge}Z"})


def _add_node(svg: Element, node: Node) -> None:
    group = SubElement(svg, "g", {"class": f"node {node.role} {node.shape}"})
    if node.symbol:
        group.set("data-symbol", node.symbol)
        title = SubElement(group, "title")
        title.text = f"{node.symbol}: {NAMES[node.symbol]}" if node.symbol in NAMES else node.symbol
    if node.shape != "name":
        for kind in ("base", "tint"):
            _add_outline(group, node, kind)
    if node.symbol in ("⊙", "+"):
        _add_sign(group, node.symbol, node.place)
    elif node.symbol and node.shape != "neuron":
        x, y = node.place
        down = -3.0 if node.shape == "layer" and node.weights else 5.5
        add_formula(group, node.symbol, (x, y + down), "middle", SIZES[node.shape])
    if node.weights:
        _add_weights(group, node)


def _add_weights(group: Element, node: Node) -> None:
    """Write the names of weights under a layer's symbol, or left of a state."""
    (x, y), anchor = node.place, "middle"
    if node.shape == "layer":
        y += 17.0 if node.symbol else 5.0
    else:
        x, y, anchor = x - STATE - 8, y + 5, "end"
    line = SubElement(group, "g", {"class": "weights", "data-symbol": node.weights})
    add_formula(line, node.weights, (x, y), anchor, WEIGHTS_SIZE)


def half_layer(node: Node) -> float:
    """Return half of the width of a layer's box."""
    return max(42.0, notation.width(node.weights, WEIGHTS_SIZE) / 2 + 8)


def _add_outline(group: Element, node: Node, kind: str) -> None:
    x, y = node.place
    if node.shape == "layer":
        half, height = half_layer(node), LAYER_HEIGHT
        tag = "rect"
        size = {"x": x - half, "y": y - height / 2, "width": 2 * half, "height": height, "rx": 7.0}
    elif node.shape == "function":
        tag, size = "ellipse", {"cx": x, "cy": y, "rx": 30.0, "ry": 17.0}
    else:
        radius = {"operation": OPERATION, "state": STATE, "neuron": NEURON}[node.shape]
        tag, size = "circle", {"cx": x, "cy": y, "r": radius}
    SubElement(group, tag, {"class": kind} | {key: number(value) for key, value in size.items()})


def _add_sign(group: Element, symbol: str, place: Point) -> None:
    """Draw ⊙ and + as shapes: fonts do not centre them in a circle."""
    x, y = place
    if symbol == "⊙":
        SubElement(group, "circle", {"class": "dot", "cx": number(x), "cy": number(y), "r": "3.5"})
    else:
        plus = f"M{number(x - 7)} {number(y)}h14M{number(x)} {number(y - 7)}v14"
        SubElement(group, "path", {"class": "plus", "d": plus})


def _line(path: Path, curved: bool, head: float) -> str:
    """Return the path up to the beginning of its arrow head."""
    (x, y), angle = path[-1], _direction(path)
    end = (x - 0.8 * head * math.cos(angle), y - 0.8 * head * math.sin(angle))
    return (_curve if curved else _rounded)((*path[:-1], end))


def _head(path: Path, length: float) -> str:
    (x, y), angle = path[-1], _direction(path)
    back = [
        (x + 1.1 * length * math.cos(angle + turn), y + 1.1 * length * math.sin(angle + turn))
        for turn in (math.pi - 0.42, math.pi + 0.42)
    ]
    return f"M{_place((x, y))}L{_place(back[0])}L{_place(back[1])}Z"


def _direction(path: Path) -> float:
    """Return the angle of the last part of a path."""
    (x0, y0), (x1, y1) = path[-2:]
    return math.atan2(y1 - y0, x1 - x0)


def _curve(path: Path) -> str:
    start, *others = path
    return f"M{_place(start)}C" + " ".join(_place(point) for point in others)


def _rounded(path: Path) -> str:
    return "".join(_pieces(path))


def _pieces(path: Path) -> Iterator[str]:
    yield f"M{_place(path[0])}"
    for before, corner, after in zip(path, path[1:], path[2:], strict=False):
        begin, end = _toward(corner, before), _toward(corner, after)
        yield f"L{_place(begin)}Q{_place(corner)} {_place(end)}"
    yield f"L{_place(path[-1])}"


def _toward(corner: Point, other: Point) -> Point:
    """Return where the rounding of a corner begins or ends."""
    (x, y), (to_x, to_y) = corner, other
    length = math.hypot(to_x - x, to_y - y)
    share = min(ROUNDING, length / 2) / length
    return (x + share * (to_x - x), y + share * (to_y - y))


def _place(point: Point) -> str:
    return f"{number(point[0])} {number(point[1])}"


def number(value: float) -> str:
    """Write a number with at most one decimal, none where it is zero.

    >>> number(3.04), number(2.5)
    ('3', '2.5')
    """
    return f"{value:.1f}".removesuffix(".0").replace("-0", "-0" if abs(value) >= 0.05 else "0")
