"""Cells, each in the lines of its paper."""

from __future__ import annotations

from typing import Any

from gated.cells.language import PerUnit, cell, linear, relu, sigmoid, tanh

_LSTM = {"i": "input_gate", "f": "forget_gate", "g": "candidate", "o": "output_gate"}
_GRU = {"r": "reset_gate", "z": "update_gate", "n": "candidate"}


@cell(gates={"n": "hidden"})
def rnn_tanh(x: Any, h: Any) -> Any:
    """Elman 1990."""
    return tanh(x.n + h.n)


@cell(gates={"n": "hidden"})
def rnn_relu(x: Any, h: Any) -> Any:
    """Elman 1990, with the function of Le, Jaitly and Hinton 2015."""
    return relu(x.n + h.n)


@cell(gates=_GRU)
def gru(x: Any, h: Any) -> Any:
    """Cho et al. 2014, with the reset gate after the product, as in cuDNN and PyTorch."""
    r, z = sigmoid(x.r + h.r), sigmoid(x.z + h.z)
    n = tanh(x.n + r * h.n)
    return n + z * (h - n)


@cell(gates=_GRU)
def gru_reset_before(x: Any, h: Any) -> Any:
    """Cho et al. 2014."""
    r, z = sigmoid(x.r + h.r), sigmoid(x.z + h.z)
    n = tanh(x.n + linear(r * h).n)
    return n + z * (h - n)


@cell(gates=_LSTM)
def lstm(x: Any, h: Any, c: Any) -> Any:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    i, f = sigmoid(x.i + h.i), sigmoid(x.f + h.f)
    g, o = tanh(x.g + h.g), sigmoid(x.o + h.o)
    c = f * c + i * g
    return o * tanh(c), c


@cell(gates=_LSTM)
def lstm_peephole(x: Any, h: Any, c: Any, *, peepholes: PerUnit) -> Any:
    """The LSTM whose gates see its cell state (Gers and Schmidhuber 2000)."""
    p: Any = peepholes
    i = sigmoid(x.i + h.i + p.i * c)
    f = sigmoid(x.f + h.f + p.f * c)
    c = f * c + i * tanh(x.g + h.g)
    o = sigmoid(x.o + h.o + p.o * c)
    return o * tanh(c), c


@cell(gates={name: _LSTM[name] for name in "fgo"})
def lstm_coupled(x: Any, h: Any, c: Any) -> Any:
    """The LSTM that writes what it forgets: i = 1 - f (Greff et al. 2017)."""
    f, g, o = sigmoid(x.f + h.f), tanh(x.g + h.g), sigmoid(x.o + h.o)
    c = g + f * (c - g)
    return o * tanh(c), c
