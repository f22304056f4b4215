"""Weights of Keras' layers in PyTorch's order.

Keras has matrices (inputs, G·H) where PyTorch has (G·H, inputs), the GRU's gates in another order,
and one bias, or, of a GRU that resets after the product, two.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from gated.core.layout import Weights

KerasCell: TypeAlias = Literal["SimpleRNN", "GRU", "LSTM"]
_ORDERS = {"SimpleRNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 1, 2, 3)}
"""Where Keras has each of PyTorch's gates: z, r, h of a GRU; i, f, c, o of an LSTM."""


def from_keras(cell: KerasCell, kernel: Any, recurrent: Any, bias: Any = None) -> Weights[Any]:
    """Return the weights of a layer of Keras, of NumPy or of torch as they were given.

    Args:
        cell: the layer's class.
        kernel: (I, G·H)
        recurrent: its `recurrent_kernel`, (H, G·H)
        bias: (G·H,), or (2, G·H) of a GRU with `reset_after`, or None.

    >>> import numpy as np
    >>> from_keras("GRU", np.arange(3.0)[None], np.zeros((1, 3))).weight_ih.ravel().tolist()
    [1.0, 0.0, 2.0]
    """
    order = list(_ORDERS[cell])
    two = bias is not None and len(bias.shape) == 2
    return Weights(
        _rows(kernel.T, order),
        _rows(recurrent.T, order),
        None if bias is None else _rows(bias[0] if two else bias, order),
        _rows(bias[1], order) if two else None,
    )


def _rows(weight: Any, order: list[int]) -> Any:
    if order == sorted(order):
        return weight
    return weight.reshape(len(order), -1, *weight.shape[1:])[order].reshape(weight.shape)
