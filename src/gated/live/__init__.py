"""A trained network without a framework: loaded, run and streamed with NumPy and the native core.

A run holds its network as a small program, a list of layers from one table (`gated.live.table`),
which refer to the weights by name.
"""

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
