"""Weights rounded to whole numbers of eight bits with a scale for each row.

Shapes: O rows, I columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.live.model import Model
from gated.live.pooling import Convolution
from gated.live.preparing import Embedding
from gated.live.program import Program
from gated.live.recurrence import Linear, Recurrent

Array = NDArray[Any]
MOST = 127


def quantised(weight: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return whole numbers (O, …) and the scale of each row, (O,): their product is the weight.

    Halves are rounded away from zero; a weight is off by at most half of 1/127 of the largest of
    its row.

    >>> quantised(np.array([[1.0, -0.5], [0.0, 0.0]]))[0].tolist()
    [[127, -64], [0, 0]]
    """
    flat = np.asarray(weight, np.float64).reshape(len(weight), -1)
    scale = (np.abs(flat).max(1) / MOST).astype(np.float32)
    parts = flat / np.where(scale > 0, scale, 1)[:, None].astype(np.float64)
    whole = np.sign(parts) * np.floor(np.abs(parts) + 0.5)
    return np.clip(whole, -MOST, MOST).astype(np.int8).reshape(weight.shape), scale


def rounded(weight: Array) -> Array:
    """Return what the whole numbers and scales of a weight stand for, float32."""
    whole, scale = quantised(weight)
    return whole * scale.reshape(-1, *[1] * (weight.ndim - 1))


def rounded_model(values: Mapping[str, Any], arrays: Mapping[str, Array], task: str = "") -> Model:
    """Return a model whose matrices are rounded; sums, states, biases and inputs stay float32.

    Args:
        values: the program.
        arrays: its weights by name.
        task: that it was trained for.
    """
    program, changed = Program(values, arrays), dict(arrays)
    for options, layer in zip(values["layers"], program.layers, strict=True):
        names: list[str] = []
        if isinstance(layer, Linear | Convolution | Embedding):
            names = [options["weight"]]
        elif isinstance(layer, Recurrent):
            names = [
                f"{options['weights']}{matrix.name}_l{depth}{suffix}"
                for depth in range(layer.depth)
                for suffix in ("", "_reverse")[: len(layer.weights_of)]
                for matrix in layer.cell.matrices
            ]
        for name in names:
            changed[name] = rounded(np.asarray(arrays[name]))
    return Model(Program(values, changed), changed, task)
