"""Recurrent layers of models that Keras wrote, as modules of PyTorch, to be trained further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gated.live.keras_programs import program_of
from gated.live.program import Program
from gated.live.recurrence import Recurrent as Layer
from gated.nn.backends import Backend
from gated.nn.recurrent import Recurrent


def from_keras(path: Path | str, backend: Backend | None = None) -> dict[str, Recurrent]:
    """Return the recurrent layers of a model of Keras as modules, by the names of the layers.

    Each is a `Recurrent`, batch first, with both directions where the layer was Bidirectional, and
    gives all steps; weights have PyTorch's names and order. Keras is not needed.

    Args:
        path: a `.keras` file, or an `.h5` file of a whole model.
        backend: as for the layers of `gated.nn`.

    Raises:
        ModelFileError: the file is missing, damaged, or no model of Keras.
        ProgramError: the model has a layer that a program has not.
        MissingExtraError: h5py is not installed.
    """
    program = Program(*program_of(path, without_padding=True))
    pairs = zip(program.names, program.layers, strict=True)
    return {name: _module(of, backend) for name, of in pairs if isinstance(of, Layer)}


def _module(layer: Layer, backend: Backend | None) -> Recurrent:
    """A layer of a program as a module."""
    ways = layer.weights_of
    has_bias = any(name.startswith("bias") for name in ways[0][0])
    two: dict[str, Any] = {"bidirectional": len(ways) > 1, "batch_first": True}
    module = Recurrent(
        layer.cell, layer.features, layer.widths["H"], bias=has_bias, backend=backend, **two
    )
    with torch.no_grad():
        for suffix, (arrays,) in zip(("_l0", "_l0_reverse"), ways, strict=False):
            for matrix in layer.cell.matrices:
                for name in (matrix.name, matrix.bias):
                    parameter = getattr(module, name + suffix, None)
                    if parameter is not None:  # a bias that Keras has not is zero
                        array = arrays.get(name)
                        parameter.zero_()
                        if array is not None:
                            parameter.copy_(torch.from_numpy(array.copy()))
    return module
