"""Pictures 3 to 5: a second chain in time is added, seen from above, and connected by functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from gated.report.diagrams.shapes import (
    LAYER_HEIGHT,
    OPERATION,
    STATE,
    Caption,
    Diagram,
    Node,
    Point,
    Region,
    Role,
    Wire,
    Words,
    rectangle,
)
from gated.report.diagrams.unrolled import TIMES, column, onward, time_axis, upward

Drawn: TypeAlias = tuple[list[Node], list[Wire]]
HEIGHTS = LOW, MIDDLE, HIGH = (340.0, 228.0, 92.0)
"""The y of inputs, hidden states and outputs."""


DEPTH = (44.0, -58.0)
"""Offset (x, y) from a hidden state to the cell state behind it."""


def _behind(place: Point, share: float = 1.0) -> Point:
    return (place[0] + share * DEPTH[0], place[1] + share * DEPTH[1])


def _chain(letter: str, places: Sequence[Point], dashed: bool = False) -> Drawn:
    """Return the states c or h at these places, each with an arrow to the next."""
    role: Role = "cell" if letter == "c" else "hidden"
    names = [f"{letter}_{time}" for time in TIMES]
    states = [Node(name, place, "state", role) for name, place in zip(names, places, strict=True)]
    ways = zip(names, pairwise(places), strict=False)
    return states, [onward(name, *ends, role, dashed) for name, ends in ways]


def _network(columns: Sequence[float]) -> Drawn:
    """Return the plain RNN, drawn in the plane."""
    states = [
        node for x, time in zip(columns, TIMES, strict=True) for node in column(x, HEIGHTS, time)
    ]
    upwards = [
        wire
        for x, time in zip(columns, TIMES, strict=True)
        for wire in upward(x, HEIGHTS, (f"x_{time}", "V"), ("input", "hidden"))
    ]
    return states, [*_chain("h", [(x, MIDDLE) for x in columns])[1], *upwards]


def _links(columns: Sequence[float]) -> list[Wire]:
    """Return a line between each hidden state and the cell state behind it."""
    shorter = STATE / math.hypot(*DEPTH)
    return [
        Wire(
            f"c_{time}",
            ((_behind((x, MIDDLE), shorter), _behind((x, MIDDLE), 1 - shorter)),),
            "cell",
            heads=False,
        )
        for x, time in zip(columns, TIMES, strict=True)
    ]


def _two_chains(columns: Sequence[float], dashed: bool = False, links: bool = True) -> Drawn:
    """Return the plain RNN, and behind it the chain of cell states."""
    behind = _chain("c", [_behind((x, MIDDLE)) for x in columns], dashed)
    front = _network(columns)
    between = _links(columns) if links else []
    return [*behind[0], *front[0]], [*behind[1], *between, *front[1]]


def _time_chain() -> Diagram:
    added = _two_chains((62, 166, 270), dashed=True, links=False)
    joined = _two_chains((452, 556, 660))
    axes = [time_axis(40, 250, 394), time_axis(430, 640, 394)]
    return Diagram(
        name="3-time-chain",
        size=(760, 416),
        title=Words("A second chain in time", "增加一条时间链"),
        description=Words(
            "Left: behind the hidden states, which are linked from step to step, a second chain of "
            "cell states c is added. Right: each hidden state is joined to its cell state.",
            "左：隐藏状态原本逐步相连，在它们后面再加一条由记忆状态 c 组成的链。"
            "右：每个隐藏状态与自己的记忆状态连起来。",
        ),
        equations=("two_chains", "rnn_output"),
        nodes=(*added[0], *joined[0]),
        wires=(*added[1], *joined[1], *(wire for wire, _ in axes)),
        captions=(
            Caption(Words("a chain is added …", "增加一条时间链……"), (190, 34), strong=True),
            Caption(Words("… and joined to the network", "……再连起来"), (580, 34), strong=True),
            *(word for _, word in axes),
        ),
    )


def _planes() -> Diagram:
    columns = (70.0, 174.0, 278.0)
    above = (484.0, 590.0, 696.0)
    front = _two_chains(columns)
    upper, lower = 164.0, 300.0
    seen = [_chain("c", [(x, upper) for x in above]), _chain("h", [(x, lower) for x in above])]
    links = [
        Wire(f"c_{time}", (((x, lower - STATE), (x, upper + STATE)),), "cell", heads=False)
        for x, time in zip(above, TIMES, strict=True)
    ]
    flat = [
        _behind((columns[0] - 36, MIDDLE), -0.5),
        _behind((columns[0] - 36, MIDDLE), 1.6),
        _behind((columns[-1] + 36, MIDDLE), 1.6),
        _behind((columns[-1] + 36, MIDDLE), -0.5),
    ]
    upright = rectangle(columns[0] - 38, HIGH - 36, columns[-1] + 38, LOW + 36)
    return Diagram(
        name="4-two-chains",
        size=(760, 416),
        title=Words("The two chains, turned into one plane", "两条链，转到同一平面"),
        description=Words(
            "Left: the network stands upright, and the chain of cell states lies behind its hidden "
            "states, in a plane across. Right: that plane seen from above; the two chains run side "
            "by side.",
            "左：网络竖立，记忆链位于隐藏状态之后，处在与网络垂直的平面上。右：从上方看这个平面，两条链并排前行。",
        ),
        equations=("two_chains", "rnn_output"),
        nodes=(*front[0], *seen[0][0], *seen[1][0]),
        wires=(*front[1], *seen[0][1], *seen[1][1], *links),
        regions=(
            Region(upright, "hidden"),
            Region(tuple(flat), "cell"),
            Region(rectangle(436, 104, 744, 360), "cell"),
        ),
        captions=(
            Caption(Words("two planes", "两个平面"), (190, 34), strong=True),
            Caption(Words("seen from above", "从上方看"), (590, 34), strong=True),
            Caption(Words("cell state, also written C", "记忆状态，也写作 C"), (590, 130)),
            Caption(Words("hidden state, also written S", "隐藏状态，也写作 S"), (590, 346)),
            Caption(Words("the network", "原来的网络"), (174, 398)),
        ),
    )


def _functions() -> Diagram:
    upper, box, lower = 110.0, 220.0, 322.0
    one, delete, add, read = 140.0, 434.0, 552.0, 668.0
    join = 350.0
    foot, top = box + LAYER_HEIGHT / 2, box - LAYER_HEIGHT / 2
    return Diagram(
        name="5-functions",
        size=(760, 416),
        title=Words("One line between the chains becomes three", "一条线拆成三条线"),
        description=Words(
            "Left: hidden state and cell state of a step, joined by one line. Right: in its place "
            "f1 deletes from the cell state, f2 adds to it, and the hidden state is read from it.",
            "左：同一步的隐藏状态与记忆状态由一条线相连。右：这条线拆成三条："
            "f1 从记忆中删除，f2 往记忆中增加，隐藏状态再从记忆中读出。",
        ),
        equations=("delete", "add", "delete_and_add", "two_chains"),
        nodes=(
            Node("c_t", (one, upper), "state", "cell"),
            Node("h_t", (one, lower), "state", "hidden"),
            Node("⊙", (delete, upper), "operation", "keep"),
            Node("+", (add, upper), "operation", "cell"),
            Node("σ", (delete, box), "layer", "keep", "W_1, b_1"),
            Node("", (add, box), "layer", "write", "i_t ⊙ c̃_t"),
            Node("c_t", (read, upper), "state", "cell"),
            Node("h_t", (read, lower), "state", "hidden"),
        ),
        wires=(
            Wire("c_{t-1}", (((24, upper), (one - STATE, upper)),), "cell", (24, upper - 14)),
            Wire("c_t", (((one + STATE, upper), (one + 84, upper)),), "cell"),
            Wire("h_{t-1}", (((24, lower), (one - STATE, lower)),), "hidden", (24, lower - 14)),
            Wire("h_t", (((one + STATE, lower), (one + 84, lower)),), "hidden"),
            Wire("c_t", (((one, lower - STATE), (one, upper + STATE)),), "plain", heads=False),
            Wire("x_t", (((one, 392), (one, lower + STATE)),), "input", (one + 12, 388)),
            Wire(
                "c_{t-1}", (((290, upper), (delete - OPERATION, upper)),), "cell", (290, upper - 14)
            ),
            Wire(
                "f_1", (((delete, top), (delete, upper + OPERATION)),), "keep", (delete + 10, 164)
            ),
            Wire("f_2", (((add, top), (add, upper + OPERATION)),), "write", (add + 10, 164)),
            Wire(
                "f_1 ⊙ c_{t-1}",
                (((delete + OPERATION, upper), (add - OPERATION, upper)),),
                "keep",
                ((delete + add) / 2, upper - 20),
                "middle",
            ),
            Wire("c_t", (((add + OPERATION, upper), (read - STATE, upper)),), "cell"),
            Wire("c_t", (((read + STATE, upper), (736, upper)),), "cell"),
            Wire("c_t", (((read, upper + STATE), (read, lower - STATE)),), "read"),
            Wire("h_t", (((read + STATE, lower), (736, lower)),), "hidden"),
            Wire(
                "[h_{t-1}, x_t]",
                (
                    ((join, lower), (add, lower), (add, foot)),
                    ((delete, lower), (delete, foot)),
                ),
                "hidden",
                (join + 20, lower + 26),
            ),
            Wire(
                "h_{t-1}",
                (((290, lower), (join, lower)),),
                "hidden",
                (290, lower - 14),
                heads=False,
            ),
            Wire("x_t", (((join, 392), (join, lower)),), "input", (join + 12, 388)),
        ),
        captions=(
            Caption(Words("one line …", "一条线……"), (one, 34), strong=True),
            Caption(Words("… becomes three", "……拆成三条"), ((delete + read) / 2, 34), strong=True),
            Caption(Words("delete", "删除"), (delete + 9, foot + 24), "start"),
            Caption(Words("add", "增加"), (add + 9, foot + 24), "start"),
            Caption(Words("read", "读出"), (read + 10, box + 5), "start"),
        ),
    )


TIME_CHAIN = _time_chain()
TWO_CHAINS = _planes()
FUNCTIONS = _functions()
