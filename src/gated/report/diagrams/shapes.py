"""What a diagram is made of. Places are (x, y) in units of the picture, y downwards."""

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
"""What something does in a network, which gives it its colour in all pictures: the forget gate and
the GRU's update gate keep, the input gate writes, the output gate and the GRU's reset gate read."""


OPERATION, STATE, NEURON = 14.0, 21.0, 6.5
"""Radii."""
LAYER_HEIGHT = 52.0


class Words(NamedTuple):
    """A text in both languages."""

    en: str
    zh: str


@dataclass(frozen=True)
class Node:
    """Something that wires meet in."""

    symbol: str
    place: Point
    shape: Literal["layer", "operation", "function", "state", "neuron", "name"]
    """A layer with weights, an operation unit by unit (⊙ or +), a function unit by unit, a vector,
    one number of a vector, or nothing but the symbol."""
    role: Role = "plain"
    weights: str = ""
    """Of a layer, with commas between; shown under its symbol, of a state to its left."""


@dataclass(frozen=True)
class Wire:
    """A vector on its way, with an arrow head at the end of each path."""

    symbol: str
    paths: tuple[Path, ...]
    """The first comes from where the wire begins, further ones branch off."""
    role: Role = "plain"
    label: Point | None = None
    """Where its symbol begins, ends or has its middle, on the base line."""
    anchor: Anchor = "start"
    curved: bool = False
    """Whether the paths are cubic curves, by their ends and the two points between them."""
    heads: bool = True
    dashed: bool = False
    thin: bool = False
    over: bool = False
    """Whether it is to be seen in front of wires that it crosses."""


@dataclass(frozen=True)
class Region:
    """A coloured ground."""

    corners: Path
    role: Role = "plain"
    dashed: bool = False


@dataclass(frozen=True)
class Caption:
    """Words in the picture."""

    words: Words
    place: Point
    anchor: Anchor = "middle"
    strong: bool = False


@dataclass(frozen=True)
class Diagram:
    """A picture, and the equations that it shows."""

    name: str
    """Of its file, without language and ending."""
    size: tuple[float, float]
    title: Words
    description: Words
    """What is to be seen, for those who do not see it."""
    equations: tuple[str, ...]
    """Names in `gated.report.diagrams.equations.EQUATIONS`."""
    nodes: tuple[Node, ...]
    wires: tuple[Wire, ...]
    regions: tuple[Region, ...] = ()
    captions: tuple[Caption, ...] = ()


def rectangle(left: float, top: float, right: float, bottom: float) -> Path:
    """The corners of a rectangle."""
    return ((left, top), (right, top), (right, bottom), (left, bottom))
