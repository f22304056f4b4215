"""Recurrent layers for PyTorch, with the signatures and results of `torch.nn`, and more options."""

from gated.errors import require

require("torch", extra="train")

from gated.nn import init  # noqa: E402
from gated.nn.backends import LayerResult, Run, RunLayer, Variant, observed, recurrence  # noqa: E402
from gated.nn.cells import GRUCell, LSTMCell, RNNCell  # noqa: E402
from gated.nn.dropout import VariationalDropout  # noqa: E402
from gated.nn.keras_modules import from_keras  # noqa: E402
from gated.nn.layers import GRU, LSTM, RNN  # noqa: E402
from gated.nn.onnx_modules import OnnxLayer, from_onnx  # noqa: E402
from gated.nn.operators import LayerCall  # noqa: E402
from gated.nn.recurrent import Recurrent  # noqa: E402

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "LayerCall",
    "LayerResult",
    "OnnxLayer",
    "RNNCell",
    "Recurrent",
    "Run",
    "RunLayer",
    "Variant",
    "VariationalDropout",
    "from_keras",
    "from_onnx",
    "init",
    "observed",
    "recurrence",
]
