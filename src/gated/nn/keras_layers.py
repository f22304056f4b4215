"""Layers of Keras 3 on its torch backend, run on the native core.

Keras' recurrent layers call their `inner_loop`, which steps through the sequence in Python. That of
three classes is replaced once by one that checks a layer's mark, as `gated.nn.accelerate` does.

Shapes: T steps, B sequences, I input features, H hidden units.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from gated.core.keras_weights import from_keras
from gated.nn.backends import MARK, Variant, chosen_backend, run_layer
from gated.nn.operators import LayerCall

_NAMES = ("SimpleRNN", "GRU", "LSTM")


def keras_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """The recurrent layers of Keras in a model, each once, and their names."""
    keras: Any = sys.modules.get("keras")
    if keras is None or keras.backend.backend() != "torch":
        return
    found: dict[int, tuple[str, Any]] = {}
    for module in model.modules():
        if isinstance(module, keras.layers.Layer):
            for layer in module._flatten_layers():
                if isinstance(layer, keras.layers.RNN):
                    found.setdefault(id(layer), (layer.path or layer.name, layer))
    yield from found.values()


def why_left(layer: Any) -> str | None:
    """Why a layer is not run on the core, or None where it is."""
    keras: Any = sys.modules["keras"]
    kind = type(layer)
    if kind not in [getattr(keras.layers, name) for name in _NAMES]:
        return f"a layer of Keras of another class, {kind.__name__}"
    if MARK in vars(layer):
        return "accelerated already"
    activation = keras.activations.serialize(layer.activation)
    if activation != "tanh" and not (kind is keras.layers.SimpleRNN and activation == "relu"):
        return f"its activation is {activation}, not tanh"
    if kind is not keras.layers.SimpleRNN:
        gates = keras.activations.serialize(layer.recurrent_activation)
        if gates != "sigmoid":
            return f"its recurrent_activation is {gates}, not sigmoid"
    for option in ("dropout", "recurrent_dropout"):
        if getattr(layer, option):
            return f"it has {option}, which Keras computes"
    if layer.compute_dtype not in ("float32", "float64"):
        return f"it computes in {layer.compute_dtype}"
    return None


def accelerate_layer(layer: Any) -> None:
    """Mark a layer, and let `inner_loop` of its class check for the mark."""
    kind = type(layer)
    if inspect.unwrap(kind.inner_loop) is kind.inner_loop:
        kind.inner_loop = _asking(kind.inner_loop)
    vars(layer)[MARK] = True


def _asking(inner_loop: Any) -> Any:
    @wraps(inner_loop)
    def asking(
        self: Any, sequences: Any, initial_state: Any, mask: Any = None, training: bool = False
    ) -> Any:
        if MARK in vars(self):
            found = _run(self, sequences, initial_state, mask)
            if found is not None:
                return found
        return inner_loop(self, sequences, initial_state, mask=mask, training=training)

    return asking


def _run(layer: Any, x: Any, initial: Any, mask: Any) -> tuple[Tensor, Tensor, list[Tensor]] | None:
    """What `inner_loop` gives; None where it is left to Keras.

    Args:
        layer: of Keras.
        x: (B, T, I)
        initial: (B, H) of each state.
        mask: (B, T), or None.
    """
    mask = mask[0] if isinstance(mask, (list, tuple)) else mask
    states = list(initial) if isinstance(initial, (list, tuple)) else [initial]
    cell, of = _weights(layer)
    weights = {name: weight for name, weight in of._asdict().items() if weight is not None}
    fits = isinstance(x, Tensor) and x.dim() == 3 and x.numel() and x.device.type == "cpu"
    if not fits or any(given.dtype != x.dtype for given in (*states, *weights.values())):
        return None
    if chosen_backend(None, cell, x, weights, Variant()) != "native":
        return None
    lengths = None
    if mask is not None:
        lengths = _lengths(mask)
        if lengths is None or (layer.zero_output_for_mask and not layer.return_sequences):
            return None
    call = LayerCall(
        cell, x.transpose(0, 1), list(weights.values()), ",".join(weights), states, [], lengths,
        layer.go_backwards,
    )  # fmt: skip
    result = run_layer(call)
    outputs, last = result.output.transpose(0, 1), result.final[0]
    if layer.go_backwards:
        outputs = outputs.flip(1)
    elif mask is not None and not layer.zero_output_for_mask:  # the last output is repeated
        outputs = torch.where(mask.unsqueeze(-1), outputs, last.unsqueeze(1))
    return last, outputs, list(result.final)


def _weights(layer: Any) -> tuple[str, Any]:
    """The cell's name in `gated.core.layout.LAYOUTS`, and its weights in PyTorch's order."""
    cell, name = layer.cell, type(layer).__name__
    bias = None if cell.bias is None else cell.bias.value
    weights = from_keras(name, cell.kernel.value, cell.recurrent_kernel.value, bias)  # type: ignore[arg-type]
    if name == "GRU":
        return ("gru" if cell.reset_after else "gru_reset_before"), weights
    if name == "LSTM":
        return "lstm", weights
    return f"rnn_{'tanh' if cell.activation.__name__ == 'tanh' else 'relu'}", weights


def _lengths(mask: Tensor) -> Tensor | None:
    """Real steps of each sequence, (B,); None where some are in the middle, or there is none."""
    if torch.compiler.is_compiling():
        return None
    mask = mask.bool()
    lengths = mask.sum(1)
    real = torch.arange(mask.shape[1]) < lengths.unsqueeze(1)
    return lengths if bool((real == mask).all()) and bool((lengths > 0).all()) else None
