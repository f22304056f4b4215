"""Recurrent layers as ONNX: its own nodes for the cells that it has, else a Scan over equations.

Shapes: T steps, B sequences, F features, D directions, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.cells import Cell, library
from gated.cells.evaluate import Equations
from gated.core.layout import Weights, to_onnx
from gated.core.onnx_nodes import NODES, WrittenNode
from gated.core.plans import varied
from gated.core.variants import Regularisation, Zoneout
from gated.live.onnx_writing import Known, Nodes, Value, Writing, functions

Array = NDArray[Any]


_NODES = NODES | {library.lstm_coupled.digest: WrittenNode("LSTM", "lstm", {"input_forget": 1})}


def recurrent(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    """Write each layer as a node LSTM, GRU or RNN, or any other cell as a loop over the steps."""
    x, lengths = given[0]
    kind = None if any(of.zoneout) else _NODES.get(of.cell.digest)
    for depth in range(of.depth):
        ways = [layers[depth] for layers in of.weights_of]
        places = [f"{name}_{depth}_{state.name}" for state in of.cell.states]
        starts = (
            [
                w.begin(at, of.widths[state.width])
                for at, state in zip(places, of.cell.states, strict=True)
            ]
            if w.streams
            else []
        )
        if kind is not None:
            x, final = _node(w, of, kind, ways, x, lengths, starts)
        else:
            found = [
                _loop(w, of, weights, x, lengths, starts, bool(way))
                for way, weights in enumerate(ways)
            ]
            x = w.add("Concat", *(output for output, _ in found), axis=-1)
            final = found[0][1]
        for state in final if w.streams else ():
            w.end(state)
    return Known(x, lengths)


def _node(
    w: Writing,
    of: Any,
    kind: WrittenNode,
    ways: Sequence[Mapping[str, Array]],
    x: Value,
    lengths: Value | None,
    starts: Sequence[Value],
) -> tuple[Value, list[Value]]:
    """A layer as one node: its output (T, B, D·H) and its final states."""
    units, count = of.widths["H"], len(of.cell.states)
    arrays = to_onnx(kind.layout, [_whole(kind, weights) for weights in ways])
    before: list[Value | None] = [start.with_axis(0) for start in starts]
    found = w.add_many(
        kind.operation, x, arrays["W"], arrays["R"], arrays.get("B"),
        None if lengths is None else lengths.to("int32"),
        *(before or [None] * count),
        *([arrays["P"]] if "P" in arrays else []),
        outputs=1 + count, hidden_size=units, **kind.attributes,
        direction="bidirectional" if len(ways) > 1 else "forward",
    )  # fmt: skip
    output = found[0].turned(0, 2, 1, 3).shaped(0, 0, len(ways) * units)
    return output, [state.without_axis(0) for state in found[1:]] if w.streams else []


def _whole(kind: WrittenNode, given: Mapping[str, Array]) -> Weights[Array]:
    """The weights with both biases, and of a coupled LSTM with an input gate of its own."""
    weights = {name: np.array(of) for name, of in given.items()}
    for one, other in (("bias_ih", "bias_hh"), ("bias_hh", "bias_ih")):
        if one in weights and other not in weights:
            weights[other] = np.zeros_like(weights[one])
    if "input_forget" in kind.attributes:  # i = 1 - f, so its sum is that of f with another sign
        for name, rows in weights.items():
            forget, candidate, output = np.split(rows, 3)
            weights[name] = np.concatenate([-forget, forget, candidate, output])
    return Weights(**weights)


def _loop(
    w: Writing,
    of: Any,
    given: Mapping[str, Array],
    x: Value,
    lengths: Value | None,
    starts: Sequence[Value],
    reverse: bool,
) -> tuple[Value, list[Value]]:
    """A layer in one direction as a Scan over the cell's own equations."""
    cell = (
        varied(of.cell, Regularisation(zoneout=Zoneout(of.zoneout))) if any(of.zoneout) else of.cell
    )
    cell, weights = _with_whole_blocks(cell, given)
    widths = {**of.widths, "I": next(iter(given.values())).shape[-1]}
    states = list(starts) or [_zeros(w, x, widths[state.width]) for state in cell.states]
    steps = [x]
    mask = w.there(Known(x, lengths))
    steps += [] if mask is None else [mask]
    kept = {at: float(rate) for at, rate in enumerate(of.zoneout)}

    def step(body: Nodes, before: list[Value], xs: list[Value]) -> tuple[list[Value], list[Value]]:
        def spread(value: Any, units: int) -> Any:
            return value + np.zeros(units, np.float32)

        equations = Equations(cell, weights, widths, functions(body, spread))
        values = equations.values(
            {
                "input": xs[0],
                "state": dict(enumerate(Value(body, of.name) for of in before)),
                "per_step": {},
                "per_sequence": {},
                "draw": {at: body.constant(rate) for at, rate in kept.items()},
            }
        )
        after, output = [values[state.after] for state in cell.states], values[cell.output]
        after = [
            spread(new, widths[state.width]) if cell.tape[state.after].width == "1" else new
            for new, state in zip(after, cell.states, strict=True)
        ]
        if len(xs) > 1:
            after = [
                body.add("Where", xs[1], new, old) for new, old in zip(after, before, strict=True)
            ]
            output = body.add("Where", xs[1], output, 0.0)
        return after, [output]

    *final, output = w.scan(step, states, steps, 1, reverse)
    return output, final


def _zeros(w: Writing, x: Value, width: int) -> Value:
    """Zeros of all sequences, (B, width)."""
    wide = w.add("Concat", x.size(1), np.array([width], np.int64), axis=0)
    return w.add("Expand", 0.0, wide)


def _with_whole_blocks(cell: Cell, given: Mapping[str, Array]) -> tuple[Cell, dict[str, Array]]:
    """The cell and its weights without heads: squares on a diagonal, zeros beside them."""
    weights = {name: np.array(of) for name, of in given.items()}
    for matrix in cell.matrices:
        if matrix.heads > 1:
            stored = weights[matrix.name]
            each, blocks = stored.shape[1], len(matrix.gates)
            whole = np.zeros((blocks, matrix.heads, each, matrix.heads, each), np.float32)
            squares = stored.reshape(blocks, matrix.heads, each, each)
            for head in range(matrix.heads):
                whole[:, head, :, head] = squares[:, head]
            weights[matrix.name] = whole.reshape(len(stored), -1)
    plain = tuple(matrix._replace(heads=1) for matrix in cell.matrices)
    return replace(cell, matrices=plain), weights
