"""Pictures 6 and 7: the memory cell, and the whole LSTM cell."""

from __future__ import annotations

from gated.report.diagrams.shapes import (
    LAYER_HEIGHT,
    OPERATION,
    Caption,
    Diagram,
    Node,
    Region,
    Wire,
    Words,
    rectangle,
)

CHAIN, PRODUCT, LAYER, BUS, BOTTOM = 96.0, 178.0, 272.0, 358.0, 432.0
"""The y of the chain of states, the products, the layers, [h_{t-1}, x_t], and the input."""
TOP_OF_LAYER, FOOT_OF_LAYER = LAYER - LAYER_HEIGHT / 2, LAYER + LAYER_HEIGHT / 2
NAME = LAYER + 48
LEFT, JOIN, RIGHT = 24.0, 84.0, 736.0
"""The x where the states enter, where the input joins the hidden state, where the states leave."""


def states_in() -> tuple[Wire, ...]:
    """Return the wires of the previous hidden state and of the input that joins it."""
    return (
        Wire("x_t", (((JOIN, BOTTOM), (JOIN, BUS)),), "input", (JOIN + 12, BOTTOM - 6)),
        Wire("h_{t-1}", (((LEFT, BUS), (JOIN, BUS)),), "hidden", (LEFT, BUS - 14), heads=False),
    )


def into_layers(*layers: float) -> Wire:
    """Return the wire of [h_{t-1}, x_t] into layers at these x; the last is the farthest."""
    *near, far = layers
    branches = (((x, BUS), (x, FOOT_OF_LAYER)) for x in near)
    way = ((JOIN, BUS), (far, BUS), (far, FOOT_OF_LAYER))
    return Wire("[h_{t-1}, x_t]", (way, *branches), "hidden", (JOIN + 34, BUS + 24))


def forget(forget_gate: float, add: float) -> tuple[tuple[Node, ...], tuple[Wire, ...]]:
    """Return the part that deletes, with the forget gate and the sum at these x."""
    nodes = (
        Node("σ", (forget_gate, LAYER), "layer", "keep", "W_f, b_f"),
        Node("⊙", (forget_gate, CHAIN), "operation", "keep"),
    )
    up = ((forget_gate, TOP_OF_LAYER), (forget_gate, CHAIN + OPERATION))
    along = ((forget_gate + OPERATION, CHAIN), (add - OPERATION, CHAIN))
    middle = ((forget_gate + add) / 2, CHAIN - 14)
    before = ((LEFT, CHAIN), (forget_gate - OPERATION, CHAIN))
    wires = (
        Wire("c_{t-1}", (before,), "cell", (LEFT, CHAIN - 14)),
        Wire("f_t", (up,), "keep", (forget_gate + 10, PRODUCT)),
        Wire("f_t ⊙ c_{t-1}", (along,), "keep", middle, "middle"),
    )
    return nodes, wires


def write(input_gate: float, candidate: float) -> tuple[tuple[Node, ...], tuple[Wire, ...]]:
    """Return the part that adds, with the input gate and the candidate at these x."""
    nodes = (
        Node("σ", (input_gate, LAYER), "layer", "write", "W_i, b_i"),
        Node("tanh", (candidate, LAYER), "layer", "candidate", "W_c, b_c"),
        Node("⊙", (candidate, PRODUCT), "operation", "write"),
        Node("+", (candidate, CHAIN), "operation", "cell"),
    )
    across = (
        (input_gate, TOP_OF_LAYER),
        (input_gate, PRODUCT),
        (candidate - OPERATION, PRODUCT),
    )
    up = ((candidate, TOP_OF_LAYER), (candidate, PRODUCT + OPERATION))
    on = ((candidate, PRODUCT - OPERATION), (candidate, CHAIN + OPERATION))
    wires = (
        Wire("i_t", (across,), "write", (input_gate + 10, PRODUCT - 12)),
        Wire("c̃_t", (up,), "candidate", (candidate + 10, PRODUCT + 48)),
        Wire("i_t ⊙ c̃_t", (on,), "write", (candidate + 10, CHAIN + 48)),
    )
    return nodes, wires


def name(words: Words, layer: float) -> Caption:
    """Return the name of the layer at this x, beside the wire that enters it."""
    return Caption(words, (layer + 9, NAME), "start")


FORGET_GATE = Words("forget gate", "遗忘门")
INPUT_GATE = Words("input gate", "输入门")
CANDIDATE = Words("candidate", "候选记忆")
OUTPUT_GATE = Words("output gate", "输出门")


def _memory_cell() -> Diagram:
    f, i, c = 222.0, 392.0, 560.0
    forget_nodes, forget_wires = forget(f, c)
    write_nodes, write_wires = write(i, c)
    after = ((c + OPERATION, CHAIN), (RIGHT, CHAIN))
    return Diagram(
        name="6-memory-cell",
        size=(760, 450),
        title=Words(
            "The memory cell: what is deleted, what is added", "记忆单元：删除什么，增加什么"
        ),
        description=Words(
            "The chain of the cell state runs from left to right. The forget gate multiplies it "
            "and so deletes; the product of input gate and candidate is added to it.",
            "记忆链从左到右穿过。遗忘门与它相乘，从而删除；输入门与候选记忆的乘积加到它上面。",
        ),
        equations=("forget_gate", "input_gate", "candidate", "cell"),
        nodes=forget_nodes + write_nodes,
        wires=(
            *forget_wires,
            *write_wires,
            Wire("c_t", (after,), "cell", (RIGHT, CHAIN - 14), "end"),
            into_layers(f, i, c),
            *states_in(),
        ),
        regions=(
            Region(rectangle(126, 22, 318, 336), "keep"),
            Region(rectangle(330, 22, 672, 336), "write"),
        ),
        captions=(
            Caption(Words("delete", "删除"), (222, 50), strong=True),
            Caption(Words("add", "增加"), (501, 50), strong=True),
            name(FORGET_GATE, f),
            name(INPUT_GATE, i),
            name(CANDIDATE, c),
        ),
    )


def _lstm_cell() -> Diagram:
    f, i, c, o, out = 182.0, 304.0, 426.0, 538.0, 640.0
    tanh, shown = 142.0, 210.0
    forget_nodes, forget_wires = forget(f, c)
    write_nodes, write_wires = write(i, c)
    read = (
        Node("σ", (o, LAYER), "layer", "read", "W_o, b_o"),
        Node("tanh", (out, tanh), "function", "cell"),
        Node("⊙", (out, shown), "operation", "read"),
    )
    after = ((c + OPERATION, CHAIN), (RIGHT, CHAIN))
    down = ((out, CHAIN), (out, tanh - 17))
    opened = ((o, TOP_OF_LAYER), (o, shown), (out - OPERATION, shown))
    squashed = ((out, tanh + 17), (out, shown - OPERATION))
    away = ((out, shown + OPERATION), (out, BUS), (RIGHT, BUS))
    return Diagram(
        name="7-lstm-cell",
        size=(760, 450),
        title=Words("The LSTM cell", "LSTM 单元"),
        description=Words(
            "The cell state runs along the top: the forget gate multiplies it, the product of "
            "input gate and candidate is added. The output gate multiplies its tanh: the hidden "
            "state.",
            "记忆沿上方穿过：先乘以遗忘门，再加上输入门与候选记忆的乘积；"
            "它的 tanh 乘以输出门，得到隐藏状态。",
        ),
        equations=("forget_gate", "input_gate", "candidate", "cell", "output_gate", "hidden"),
        nodes=forget_nodes + write_nodes + read,
        wires=(
            *forget_wires,
            *write_wires,
            Wire("c_t", (after, down), "cell", (RIGHT, CHAIN - 14), "end"),
            Wire("o_t", (opened,), "read", (o + 10, TOP_OF_LAYER - 12)),
            Wire("tanh(c_t)", (squashed,), "cell", (out - 10, shown - 24), "end"),
            Wire("h_t", (away,), "hidden", (RIGHT, BUS - 14), "end"),
            into_layers(f, i, c, o),
            *states_in(),
        ),
        regions=(Region(rectangle(112, 40, 706, 396)),),
        captions=(
            name(FORGET_GATE, f),
            name(INPUT_GATE, i),
            name(CANDIDATE, c),
            name(OUTPUT_GATE, o),
        ),
    )


MEMORY_CELL = _memory_cell()
LSTM_CELL = _lstm_cell()
