"""A trained network without a framework: loaded, run and streamed with NumPy and the native core.

A run holds its network as a small program, a list of layers from one table (`gated.live.table`),
which refer to the weights by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gated.live.keras_programs import from_keras
    from gated.live.model import Model, load, write
    from gated.live.onnx_graph import OnnxGraph, from_onnx
    from gated.live.onnx_layer import OnnxLayer
    from gated.live.stream import Stream
    from gated.live.torch_weights import from_torch

__all__ = [
    "Model",
    "OnnxGraph",
    "OnnxLayer",
    "Stream",
    "from_keras",
    "from_onnx",
    "from_torch",
    "load",
    "write",
]

_MODULES = {
    "Model": "model",
    "OnnxGraph": "onnx_graph",
    "OnnxLayer": "onnx_layer",
    "Stream": "stream",
    "from_keras": "keras_programs",
    "from_onnx": "onnx_graph",
    "from_torch": "torch_weights",
    "load": "model",
    "write": "model",
}


def __getattr__(name: str) -> Any:
    """Import a module when it is first used: loading a run needs none that reads other files."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gated.live.{_MODULES[name]}"), name)
