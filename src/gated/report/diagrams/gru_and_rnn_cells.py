"""The diagrams of the GRU and the plain RNN, in the style of the LSTM's."""

from __future__ import annotations

from gated.report.diagrams.lstm_cell import (
    CHAIN,
    FOOT_OF_LAYER,
    JOIN,
    LAYER,
    LEFT,
    RIGHT,
    TOP_OF_LAYER,
)
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


def _gru_cell() -> Diagram:
    z, r, u, n, add = 190.0, 298.0, 402.0, 556.0, 648.0
    """The x of the gates, the product with the hidden state, the candidate and the sum."""
    rest, reset, h_bus, x_bus = 152.0, 208.0, 354.0, 400.0
    flip, wide = z + 82, 30.0
    kept = tuple(((x, CHAIN), (z - OPERATION, CHAIN)) for x in (LEFT, JOIN))
    into_layers = (
        ((JOIN, CHAIN), (JOIN, h_bus), (u, h_bus), (u, FOOT_OF_LAYER)),
        *(((gate - 15, h_bus), (gate - 15, FOOT_OF_LAYER)) for gate in (z, r)),
    )
    from_input = (
        ((LEFT, x_bus), (n, x_bus), (n, FOOT_OF_LAYER)),
        *(((gate + 15, x_bus), (gate + 15, FOOT_OF_LAYER)) for gate in (z, r)),
    )
    update = (
        ((z, TOP_OF_LAYER), (z, CHAIN + OPERATION)),
        ((z, rest), (flip - wide, rest)),
    )
    new = ((n + 42, LAYER), (add, LAYER), (add, rest + OPERATION))
    seen = ((u + OPERATION, reset), (n, reset), (n, TOP_OF_LAYER))
    chain_label, rest_label = (414.0, CHAIN - 14), (374.0, rest - 12)
    return Diagram(
        name="gru-cell",
        size=(760, 450),
        title=Words("The GRU cell", "GRU 单元"),
        description=Words(
            "The hidden state runs along the top. The update gate keeps a share of it, the rest is "
            "filled by the candidate, which sees the hidden state through the reset gate.",
            "隐藏状态沿上方穿过。更新门保留其中一份，其余由候选状态补上；候选状态透过重置门看到隐藏状态。",
        ),
        equations=("gru_reset_gate", "gru_update_gate", "gru_candidate", "gru_hidden"),
        nodes=(
            Node("σ", (z, LAYER), "layer", "keep", "W_z, U_z, b_z"),
            Node("σ", (r, LAYER), "layer", "read", "W_r, U_r, b_r"),
            Node("", (u, LAYER), "layer", "hidden", "U_n, b′_n"),
            Node("tanh", (n, LAYER), "layer", "candidate", "W_n, b_n"),
            Node("⊙", (z, CHAIN), "operation", "keep"),
            Node("1 −", (flip, rest), "function", "write"),
            Node("⊙", (u, reset), "operation", "read"),
            Node("⊙", (add, rest), "operation", "write"),
            Node("+", (add, CHAIN), "operation", "hidden"),
        ),
        wires=(
            Wire("h_{t-1}", into_layers, "hidden"),
            Wire("h_{t-1}", kept, "hidden", (LEFT, CHAIN - 14)),
            Wire("x_t", from_input, "input", (LEFT, x_bus - 12), over=True),
            Wire("z_t", update, "keep", (z + 10, reset - 8)),
            Wire(
                "1 − z_t",
                (((flip + wide, rest), (add - OPERATION, rest)),),
                "write",
                rest_label,
                "middle",
            ),
            Wire(
                "z_t ⊙ h_{t-1}",
                (((z + OPERATION, CHAIN), (add - OPERATION, CHAIN)),),
                "keep",
                chain_label,
                "middle",
            ),
            Wire(
                "r_t",
                (((r, TOP_OF_LAYER), (r, reset), (u - OPERATION, reset)),),
                "read",
                (r + 10, reset - 12),
            ),
            Wire(
                "U_n h_{t-1} + b′_n",
                (((u, TOP_OF_LAYER), (u, reset + OPERATION)),),
                "hidden",
                (u + 9, reset + 29),
            ),
            Wire("r_t ⊙ (U_n h_{t-1} + b′_n)", (seen,), "read", (u + 18, reset - 12)),
            Wire("n_t", (new,), "candidate", (add + 10, reset + 12)),
            Wire(
                "(1 − z_t) ⊙ n_t",
                (((add, rest - OPERATION), (add, CHAIN + OPERATION)),),
                "write",
                (add - 12, CHAIN + 32),
                "end",
            ),
            Wire(
                "h_t",
                (((add + OPERATION, CHAIN), (RIGHT, CHAIN)),),
                "hidden",
                (RIGHT, CHAIN - 14),
                "end",
            ),
        ),
        regions=(Region(rectangle(112, 40, 706, 426)),),
        captions=(
            Caption(Words("update gate", "更新门"), (z + 9, TOP_OF_LAYER - 10), "start"),
            Caption(Words("reset gate", "重置门"), (r + 9, TOP_OF_LAYER - 10), "start"),
            Caption(Words("candidate", "候选状态"), (n + 9, TOP_OF_LAYER - 10), "start"),
        ),
    )


def _rnn_cell() -> Diagram:
    layer, chain, bus, middle = 166.0, 90.0, 252.0, 400.0
    into = ((JOIN, bus), (middle, bus), (middle, layer + LAYER_HEIGHT / 2))
    out = ((middle, layer - LAYER_HEIGHT / 2), (middle, chain), (RIGHT, chain))
    return Diagram(
        name="rnn-cell",
        size=(760, 340),
        title=Words("The plain RNN cell", "普通 RNN 单元"),
        description=Words(
            "One layer computes the hidden state anew from the one before and the input; nothing "
            "is kept as it was.",
            "一层网络由前一隐藏状态和输入重新算出隐藏状态，没有任何内容原样保留。",
        ),
        equations=("rnn_hidden",),
        nodes=(Node("tanh", (middle, layer), "layer", "candidate", "W, U, b"),),
        wires=(
            Wire("h_t", (out,), "hidden", (RIGHT, chain - 14), "end"),
            Wire("h_{t-1}", (into,), "hidden"),
            Wire("h_{t-1}", (((LEFT, bus), (JOIN, bus)),), "hidden", (LEFT, bus - 14), heads=False),
            Wire("x_t", (((JOIN, bus + 66), (JOIN, bus)),), "input", (JOIN + 12, bus + 62)),
        ),
        regions=(Region(rectangle(112, 40, 706, 290)),),
        captions=(
            Caption(Words("computed anew at every step", "每一步都重新计算"), (458, 171), "start"),
        ),
    )


GRU_CELL = _gru_cell()
RNN_CELL = _rnn_cell()
