"""Cells of recurrent networks, each written once, in the lines of its paper.

    from gated.cells import PerUnit, cell, sigmoid, tanh

    @cell
    def peephole_lstm(x, h, c, *, p: PerUnit):  # Gers and Schmidhuber 2000
        i = sigmoid(x.i + h.i + p.i * c)
        f = sigmoid(x.f + h.f + p.f * c)
        c = f * c + i * tanh(x.g + h.g)
        o = sigmoid(x.o + h.o + p.o * c)
        return o * tanh(c), c

Gradients, the loop over time, streams, traces, equations and pictures follow from the definition.
"""

from gated.cells.cell import Cell
from gated.cells.language import (
    Delayed,
    PerStep,
    PerStepFeature,
    PerStepUnit,
    PerUnit,
    Scalar,
    absolute,
    cell,
    equal,
    exp,
    linear,
    log,
    maximum,
    mean,
    minimum,
    norm,
    relu,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    total,
    where,
)

__all__ = [
    "Cell",
    "Delayed",
    "PerStep",
    "PerStepFeature",
    "PerStepUnit",
    "PerUnit",
    "Scalar",
    "absolute",
    "cell",
    "equal",
    "exp",
    "linear",
    "log",
    "maximum",
    "mean",
    "minimum",
    "norm",
    "relu",
    "sigmoid",
    "softplus",
    "sqrt",
    "tanh",
    "total",
    "where",
]
