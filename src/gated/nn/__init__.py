"""Recurrent networks for PyTorch: the signatures and results of `torch.nn`, and more."""

from gated.errors import require

require("torch", extra="train")

from gated.nn import init  # noqa: E402
from gated.nn.backends import Variant, recurrence  # noqa: E402
from gated.nn.cells import GRUCell, LSTMCell, RNNCell  # noqa: E402
from gated.nn.dropout import VariationalDropout  # noqa: E402
from gated.nn.layers import GRU, LSTM, RNN  # noqa: E402
from gated.nn.recurrent import Recurrent  # noqa: E402

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "Recurrent",
    "Variant",
    "VariationalDropout",
    "init",
    "recurrence",
]
