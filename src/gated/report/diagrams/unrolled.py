"""Pictures 1 and 2: the plain RNN folded, unrolled in depth, and in the plane."""

from __future__ import annotations

from itertools import pairwise

from gated.report.diagrams.shapes import (
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

TIMES = ("{t-1}", "t", "{t+1}")
"""Subscripts."""
TIME = Words("time", "时间")


def column(
    x: float, heights: tuple[float, float, float], time: str, weights: str = ""
) -> tuple[Node, ...]:
    """Return input, hidden state and output of a step, from the bottom up."""
    low, middle, high = heights
    return (
        Node(f"x_{time}", (x, low), "state", "input"),
        Node(f"h_{time}", (x, middle), "state", "hidden", weights),
        Node(f"y_{time}", (x, high), "state", "output"),
    )


def upward(
    x: float,
    heights: tuple[float, float, float],
    symbols: tuple[str, str] = ("W", "V"),
    roles: tuple[Role, Role] = ("plain", "plain"),
) -> tuple[Wire, ...]:
    """Return the wires from input to hidden state to output, labelled with their weights."""
    low, middle, high = heights
    ways = zip(symbols, roles, ((low, middle), (middle, high)), strict=True)
    return tuple(
        Wire(
            symbol,
            (((x, begin - STATE), (x, end + STATE)),),
            role,
            (x + 9, end + STATE + 28) if "_" not in symbol else None,
            over=True,
        )
        for symbol, role, (begin, end) in ways
    )


def onward(
    symbol: str, begin: Point, end: Point, role: Role = "hidden", dashed: bool = False
) -> Wire:
    """Return the wire from a state to the next in time, labelled if `symbol` is a weight."""
    path = ((begin[0] + STATE, begin[1]), (end[0] - STATE, end[1]))
    label = ((begin[0] + end[0]) / 2, begin[1] - 10) if "_" not in symbol else None
    return Wire(symbol, (path,), role, label, "middle", dashed=dashed)


def time_axis(left: float, right: float, y: float) -> tuple[Wire, Caption]:
    """Return an arrow in the direction of time, and its label."""
    return (
        Wire("t", (((left, y), (right, y)),), "plain", thin=True),
        Caption(TIME, (right + 8, y + 5), "start"),
    )


LOW, MIDDLE, HIGH = HEIGHTS = (318.0, 210.0, 102.0)
"""The y of inputs, hidden states and outputs."""
LEVELS = dict(zip("xhy", HEIGHTS, strict=True))
ROWS = {"x": (-1.0, 0.0, 1.0), "h": (-1.0, 0.0, 1.0), "y": (-0.5, 0.5)}
"""Positions of the numbers of each vector in its row."""
ROLES: dict[str, Role] = {"x": "input", "h": "hidden", "y": "output"}
SHEETS = (366.0, 506.0, 646.0)
"""The x of the network of each step, seen from the side."""


def _neuron(sheet: float, letter: str, unit: float) -> Point:
    return (sheet + 26 * unit, LEVELS[letter] - 17 * unit)


def _bundle(
    symbol: str, role: Role, begin: tuple[float, str], end: tuple[float, str], label: Point
) -> Wire:
    """Return lines from every number of a vector to every number of another."""
    pairs = [(a, b) for a in ROWS[begin[1]] for b in ROWS[end[1]]]
    paths = tuple((_neuron(*begin, a), _neuron(*end, b)) for a, b in pairs)
    return Wire(symbol, paths, role, label, heads=False, thin=True)


def _sheet(sheet: float, time: str) -> tuple[list[Node], list[Wire], Region]:
    """Return the network of one step."""
    nodes = [
        Node(f"{letter}_{time}", _neuron(sheet, letter, unit), "neuron", ROLES[letter])
        for letter, units in ROWS.items()
        for unit in units
    ]
    nodes += [
        Node(f"{letter}_{time}", (sheet - 48, y + 44), "name") for letter, y in LEVELS.items()
    ]
    bundles = [
        _bundle("W", "plain", (sheet, "x"), (sheet, "h"), (sheet + 32, (LOW + MIDDLE) / 2 + 2)),
        _bundle("V", "plain", (sheet, "h"), (sheet, "y"), (sheet + 32, (MIDDLE + HIGH) / 2 + 2)),
    ]
    corners = ((-2.6, HIGH - 26), (1.9, HIGH - 26), (1.9, LOW + 26), (-2.6, LOW + 26))
    edge = tuple((sheet + 26 * k, y - 17 * k) for k, y in corners)
    return nodes, bundles, Region(edge, "hidden")


def _in_depth() -> Diagram:
    x = 112.0
    sheets = [_sheet(sheet, time) for sheet, time in zip(SHEETS, TIMES, strict=True)]
    through_time = [
        _bundle("U", "hidden", (begin, "h"), (end, "h"), ((begin + end) / 2 - 2, MIDDLE - 28))
        for begin, end in pairwise(SHEETS)
    ]
    loop = (
        (x + 18, MIDDLE - 12),
        (x + 78, MIDDLE - 48),
        (x + 78, MIDDLE + 48),
        (x + 18, MIDDLE + 12),
    )
    arrow, word = time_axis(330, 660, 418)
    return Diagram(
        name="1-rnn-in-depth",
        size=(760, 440),
        title=Words("The RNN, folded and unrolled in depth", "RNN：折叠与立体展开"),
        description=Words(
            "Left: input, hidden state and output, the hidden state with a loop back to itself. "
            "Right: the same network once for each step, one sheet behind the other; through time "
            "only the hidden layers are connected.",
            "左：输入、隐藏状态、输出，隐藏状态有一条回到自身的环。右：同一网络每个时间步各一张，"
            "沿时间排开；各时间步之间只有隐藏层相连。",
        ),
        equations=("rnn_hidden", "rnn_output"),
        nodes=(
            *column(x, HEIGHTS, "t", "tanh, b"),
            *(node for nodes, _, _ in sheets for node in nodes),
        ),
        wires=(
            *upward(x, HEIGHTS),
            Wire("U", (loop,), "hidden", (x + 68, MIDDLE + 6), curved=True),
            *through_time,
            *(wire for _, wires, _ in sheets for wire in wires),
            arrow,
        ),
        regions=tuple(region for _, _, region in sheets),
        captions=(
            Caption(Words("folded", "折叠"), (x, 34), strong=True),
            Caption(Words("unrolled in depth", "立体展开"), (SHEETS[1], 34), strong=True),
            word,
        ),
    )


def _in_plane() -> Diagram:
    alone, columns = 112.0, (366.0, 506.0, 646.0)
    arrow, word = time_axis(330, 660, 390)
    before = Wire("U", (((columns[0] - 76, MIDDLE), (columns[0] - STATE, MIDDLE)),), "hidden")
    after = Wire("U", (((columns[2] + STATE, MIDDLE), (columns[2] + 76, MIDDLE)),), "hidden")
    return Diagram(
        name="2-rnn-in-plane",
        size=(760, 412),
        title=Words("The RNN in the plane: a network, and time", "平面上的 RNN：前馈网络加上时间"),
        description=Words(
            "Left: a feed-forward network, from input through hidden layer to output. Right: the "
            "same column at every step, and an arrow from each hidden state to the next.",
            "左：前馈网络，从输入经隐藏层到输出。右：每个时间步都有同样的一列，隐藏状态之间多了沿时间的箭头。",
        ),
        equations=("rnn_hidden", "rnn_output"),
        nodes=(
            *(
                Node(name, (alone, y), "state", ROLES[name], "tanh, b" if name == "h" else "")
                for name, y in LEVELS.items()
            ),
            *(
                node
                for x, time in zip(columns, TIMES, strict=True)
                for node in column(x, HEIGHTS, time)
            ),
        ),
        wires=(
            *upward(alone, HEIGHTS),
            before,
            *(onward("U", (begin, MIDDLE), (end, MIDDLE)) for begin, end in pairwise(columns)),
            after,
            *(wire for x in columns for wire in upward(x, HEIGHTS)),
            arrow,
        ),
        regions=(
            Region(rectangle(columns[1] - 44, 62, columns[1] + 44, 358), "plain", dashed=True),
        ),
        captions=(
            Caption(Words("feed-forward network", "前馈神经网络"), (alone, 34), strong=True),
            Caption(Words("with time", "加入时间"), (columns[1], 34), strong=True),
            Caption(Words("+ time", "+ 时间"), (228, MIDDLE + 5)),
            word,
        ),
    )


RNN_IN_DEPTH = _in_depth()
RNN_IN_PLANE = _in_plane()
