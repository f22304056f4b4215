"""The parts of a diagram. Places are (x, y) in units of the picture, y downwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Language: TypeAlias = Literal["en", "zh"]
Point: TypeAlias = tuple[float, float]
Path: TypeAlias = tuple[Point, ...]
"""Corners of a line."""
Anchor: TypeAlias = Literal["start", "middle", "end"]
Role: TypeAlias = Literal[
    "keep", "write", "candidate", "read", "cell", "hidden", "input", "output", "plain"
]
"""The function of a part in a network, which decides its colour in all pictures: the forget gate
and the GRU's update gate keep, the input gate writes, output gate and reset gate read."""


OPERATION, STATE, NEURON = 14.0, 21.0, 6.5
"""Radii."""
LAYER_HEIGHT = 52.0


class Words(NamedTuple):
    """A text in both languages."""

    en: str
    zh: str


@dataclass(frozen=True)
class Node:
    """A part that wires begin or end at."""

    symbol: str
    place: Point
    shape: Literal["layer", "operation", "function", "state", "neuron", "name"]
    """In this order: a layer with weights, an elementwise operation (⊙ or +), an elementwise
    function, a vector, one number of a vector, or nothing but the symbol."""
    role: Role = "plain"
    weights: str = ""
    """Names of the weights, separated by commas; under a layer's symbol, left of a state."""


@dataclass(frozen=True)
class Wire:
    """A line that carries a vector, with an arrow head at the end of each path."""

    symbol: str
    paths: tuple[Path, ...]
    """The first path starts at the wire's beginning, further ones branch off it."""
    role: Role = "plain"
    label: Point | None = None
    """Position of its symbol on the base line; `anchor` says whether start, middle or end."""
    anchor: Anchor = "start"
    curved: bool = False
    """Whether the paths are cubic Bézier curves, each of four points."""
    heads: bool = True
    dashed: bool = False
    thin: bool = False
    over: bool = False
    """Whether it is drawn in front of the wires that it crosses."""


@dataclass(frozen=True)
class Region:
    """A coloured background area."""

    corners: Path
    role: Role = "plain"
    dashed: bool = False


@dataclass(frozen=True)
class Caption:
    """A text in the picture."""

    words: Words
    place: Point
    anchor: Anchor = "middle"
    strong: bool = False


@dataclass(frozen=True)
class Diagram:
    """A picture, and the equations that it shows."""

    name: str
    """Of its file, without language and suffix."""
    size: tuple[float, float]
    title: Words
    description: Words
    """Alternative text for readers who cannot see the picture."""
    equations: tuple[str, ...]
    """Names in `gated.report.diagrams.equations.EQUATIONS`."""
    nodes: tuple[Node, ...]
    wires: tuple[Wire, ...]
    regions: tuple[Region, ...] = ()
    captions: tuple[Caption, ...] = ()


def rectangle(left: float, top: float, right: float, bottom: float) -> Path:
    """Return the corners of a rectangle."""
    return ((left, top), (right, top), (right, bottom), (left, bottom))
