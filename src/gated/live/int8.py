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
from gated.live.windows import Convolution2d
from gated.model_files import quantised

Array = NDArray[Any]


def rounded(weight: Array) -> Array:
    """Return what the whole numbers and scales of a weight stand for, float32."""
    whole, scale = quantised(weight)
    return whole * scale.reshape(-1, *[1] * (weight.ndim - 1))


def matrices_of(program: Program) -> list[str]:
    """Return the names of the matrices that a program multiplies by, or looks up rows of."""
    names: list[str] = []
    for options, layer in zip(program.values["layers"], program.layers, strict=True):
        if isinstance(layer, Linear | Convolution | Convolution2d | Embedding):
            names.append(options["weight"])
        elif isinstance(layer, Recurrent):
            names += [
                f"{options['weights']}{matrix.name}_l{depth}{suffix}"
                for depth in range(layer.depth)
                for suffix in ("", "_reverse")[: len(layer.weights_of)]
                for matrix in layer.cell.matrices
            ]
    return list(dict.fromkeys(names))


def rounded_model(values: Mapping[str, Any], arrays: Mapping[str, Array], task: str = "") -> Model:
    """Return a model whose matrices are rounded; sums, states, biases and inputs stay float32.

    Args:
        values: the program.
        arrays: its weights by name.
        task: that it was trained for.
    """
    changed = dict(arrays)
    for name in matrices_of(Program(values, arrays)):
        changed[name] = rounded(np.asarray(arrays[name]))
    return Model(Program(values, changed), changed, task)
