"""A trained network without a framework: loaded, run and streamed with NumPy and the native core.

A run holds its network as a small program, a list of layers from one table (`gated.live.table`),
which refer to the weights by name.
"""

from gated.live.model import Model, load, write
from gated.live.onnx_graph import OnnxGraph, from_onnx
from gated.live.onnx_layer import OnnxLayer
from gated.live.stream import Stream

__all__ = ["Model", "OnnxGraph", "OnnxLayer", "Stream", "from_onnx", "load", "write"]
