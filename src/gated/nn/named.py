"""Layers of a cell by its name, as an option of a task names it."""

from __future__ import annotations

from typing import Any

from gated.cells.named import HELD, cell_named
from gated.nn import init
from gated.nn.layers import GRU, LSTM, RNN
from gated.nn.recurrent import Recurrent

LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def layers_named(
    cell: str, inputs: int, units: int, layers: int = 1, *, open_gates: bool = False, **options: Any
) -> RNN | GRU | LSTM | Recurrent:
    """Return recurrent layers of a cell.

    Args:
        cell: rnn, gru, lstm, or another of `gated.cells.library`. Gates of the others that keep a
            state begin open.
        inputs: I.
        units: H.
        layers: L.
        open_gates: let the forget gate of an lstm begin open (Jozefowicz, Zaremba and Sutskever
            2015).
        options: further ones of the layers.

    Raises:
        ConfigurationError: there is no such cell, or it does not support an option.
    """
    if cell in LAYERS:
        begin = {"forget_bias": 1.0} if open_gates and cell == "lstm" else {}
        usual: RNN | GRU | LSTM = LAYERS[cell](inputs, units, layers, **options, **begin)
        return usual
    layer = Recurrent(cell_named(cell), inputs, units, layers, **options)
    start_open_(layer)
    return layer


def start_open_(layer: Recurrent) -> None:
    """Let gates that keep a state begin open, where the cell has any.

    The weights of `HELD` are held in their form instead.
    """
    if layer.cell.name in HELD:
        init.stay_antisymmetric_(layer)
    elif next(layer.parameters()).is_meta:  # asked for shapes alone: there are no values to set
        return
    elif any(of.role == "writes" for of in init.gate_roles(layer.cell)):
        init.forget_bias_(layer)
