"""Models of Keras as programs: each layer is written as those of `gated.live`'s table.

Shapes: I inputs, O outputs, K steps of a kernel, H hidden units, G gates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.cells.activated import FUNCTIONS as GATE_FUNCTIONS
from gated.core import keras_weights
from gated.core.keras_weights import KerasCell
from gated.errors import ProgramError
from gated.live import combining
from gated.live.keras_files import KerasFile, KerasLayer
from gated.live.model import Model
from gated.live.program import Program, Writer

Array = NDArray[Any]
SKIPPED = {
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "SpatialDropout1D",
}  # fmt: skip
"""Layers that do something in training alone."""
_PARTS = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


class _Writing:
    """A program that is being written, with its weights.

    Args:
        without_padding: as of `from_keras`.
    """

    def __init__(self, without_padding: bool) -> None:
        self.without_padding = without_padding
        self.arrays: dict[str, Array] = {}
        self.writer: Writer | None = None
        self.of: dict[str, str] = {}
        """The layer of the program that gives what a layer of Keras gives."""
        self.features: dict[str, int] = {}
        self.steps: dict[str, bool] = {}
        """Whether layers of the program give steps, not one result."""
        self.shares: set[str] = set()
        """The layers of the program that give probabilities."""

    def begin(self, kind: str, features: int) -> str:
        """Begin with the input."""
        self.writer = Writer(kind, features)
        self.features[self.writer.input], self.steps[self.writer.input] = features, True
        return self.writer.input

    def add(
        self,
        kind: str,
        *of: str,
        features: int,
        name: str = "",
        steps: bool | None = None,
        **options: Any,
    ) -> str:
        """Add a layer to the program."""
        assert self.writer is not None  # noqa: S101 - begun by the input
        found = self.writer.add(kind, *of, name=name, **options)
        self.features[found] = features
        self.steps[found] = self.steps[of[0]] if steps is None else steps
        return found

    def keep(self, layer: KerasLayer, name: str, array: Array) -> str:
        """Keep weights under a name of their own, and return it."""
        full = f"{layer.name}.{name}"
        self.arrays[full] = np.ascontiguousarray(array, np.float32)
        return full


def program_of(
    path: Path | str, without_padding: bool = False
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return a model of Keras as a program and its weights, for `gated.live.write`.

    Args:
        path: as of `from_keras`, and so the other.

    Raises:
        ModelFileError: as of `from_keras`, and so the other.
        ProgramError: as of `from_keras`.
    """
    file = KerasFile(path)
    w = _Writing(without_padding)
    by_name = {layer.name for layer in file.layers}
    for layer in file.layers:
        if layer.kind == "InputLayer":
            continue
        if unknown := [of for of in layer.reads if of not in by_name]:
            raise layer.refused(f"reads {unknown[0]!r}, which is no layer but an operation")
        reads = layer.reads
        if w.writer is None:
            reads = [_begin(w, layer)]
        elif not reads:
            raise layer.refused("is a second input; a program has one")
        else:
            reads = [w.of.get(of, w.writer.input) for of in reads]
        found = _add(w, layer, reads)
        w.of[layer.name] = found
    if w.writer is None:
        raise ProgramError(f"{path} has no layer but its input")
    output = w.of[file.output]
    kind = "probabilities" if output in w.shares else "numbers"
    if output == w.writer.input:
        raise ProgramError(f"{path} has no layer that computes anything")
    return w.writer.program(kind, output), w.arrays


def from_keras(path: Path | str, *, without_padding: bool = False) -> Model:
    """Read a model that Keras wrote: the same streams, states and exports as of `gated.load`.

    Keras is not needed, and no code of the file is run. LSTM, GRU (both ways to reset) and
    SimpleRNN with their activations, Bidirectional, Dense, Embedding, Conv1D, normalisations,
    pooling, Add and Concatenate; any other layer is refused by name.

    Args:
        path: a `.keras` file, or an `.h5` file of a whole model.
        without_padding: sequences will be given without padding, so that Masking, and code 0 of an
            Embedding with `mask_zero`, have nothing to skip. Such models are refused without it.

    Raises:
        ModelFileError: the file is missing, damaged, or no model of Keras.
        ProgramError: the model has a layer, or an option, that a program has not.
        MissingExtraError: h5py is not installed.
    """
    values, arrays = program_of(path, without_padding)
    return Model(Program(values, arrays), arrays)


def _begin(w: _Writing, first: KerasLayer) -> str:
    """The input, from the first layer that reads it."""
    if first.kind == "Embedding":
        return w.begin("codes", int(first.options["input_dim"]))
    inner = first
    while inner.kind == "TimeDistributed":
        inner = inner.within
    for size in _given_widths(first, inner):
        return w.begin("numbers", size)
    raise first.refused("has no known number of input features: save the model after it was built")


def _given_widths(first: KerasLayer, inner: KerasLayer) -> Any:
    """How many channels the weights, or the shapes in the configuration, say there are."""
    if inner.kind in (*_PARTS, "Dense") and inner.weights:
        yield int(inner.weights[0].shape[0])
    if inner.kind in ("Bidirectional", "Conv1D") and inner.weights:
        yield int(inner.weights[0].shape[-2])
    for shape in (first.input_shape, first.options.get("batch_input_shape")):
        if shape and len(shape) == 3 and isinstance(shape[-1], int):
            yield shape[-1]


# Layers: each adds what computes it, and returns the name of the last.


def _add(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    """A layer of Keras."""
    if layer.kind in SKIPPED:
        return reads[0]
    if layer.kind == "TimeDistributed":
        if layer.within.kind not in (*SKIPPED, "Dense", "Activation", "LayerNormalization"):
            raise layer.refused(f"holds a layer {layer.within.kind}, which a program has not")
        return _add(w, layer.within, reads)
    write = _WRITTEN.get(layer.kind)
    if write is None:
        raise layer.refused(
            "is of a class that a program has not: it has "
            f"{', '.join(sorted([*_WRITTEN, *SKIPPED]))}"
        )
    if layer.kind not in ("Add", "Concatenate") and len(reads) != 1:
        raise layer.refused(f"reads {len(reads)} values, such as initial states; a program reads 1")
    if layer.kind in _STEPS and not w.steps[reads[0]]:
        raise layer.refused("reads one result of the whole sequence, and needs steps")
    return write(w, layer, reads)


def _weights(layer: KerasLayer, count: int) -> Sequence[Array]:
    if len(layer.weights) != count:
        raise layer.refused(
            f"must have {count} weights in the file, which has {len(layer.weights)}"
        )
    return layer.weights


def _recurrent(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    """LSTM, GRU or SimpleRNN."""
    if layer.options.get("go_backwards"):
        raise layer.refused("goes backwards by itself; a program has that within Bidirectional")
    arrays = _weights(layer, _count_of(layer))
    return _ended(w, layer, _stack(w, layer, layer, reads[0], [arrays]))


def _count_of(layer: KerasLayer) -> int:
    return 3 if layer.options.get("use_bias", True) else 2


def _stack(
    w: _Writing, layer: KerasLayer, inner: KerasLayer, read: str, ways: Sequence[Sequence[Array]]
) -> str:
    """A recurrent layer of one or two directions."""
    units, features = int(inner.options["units"]), w.features[read]
    rows = _PARTS[inner.kind] * units
    after = inner.kind == "GRU" and bool(inner.options.get("reset_after", not inner.old))
    for way, arrays in enumerate(ways):
        shapes = [(features, rows), (units, rows), (2, rows) if after else (rows,)]
        if [of.shape for of in arrays] != shapes[: len(arrays)]:
            raise layer.refused(
                f"must have weights of the shapes {shapes[: len(arrays)]}, and the file has "
                f"{[of.shape for of in arrays]}"
            )
        cell: KerasCell = inner.kind  # type: ignore[assignment]
        named = keras_weights.from_keras(cell, *arrays)._asdict()
        for name, array in named.items():
            if array is not None:
                w.keep(layer, f"{name}_l0{'_reverse' * way}", array)
    kind = {"LSTM": "lstm", "GRU": "gru" if after else "gru_reset_before"}.get(
        inner.kind, "rnn_tanh"
    )
    return w.add(
        "recurrent", read, name=layer.name, features=units * len(ways), cell=kind,
        weights=f"{layer.name}.", layers=1, units=units,
        directions=len(ways) if len(ways) > 1 else None, **_gate_functions(inner),
    )  # fmt: skip


def _gate_functions(layer: KerasLayer) -> dict[str, Any]:
    """The options of a recurrent layer for other activations; none for the usual ones."""
    of_state = _function(layer, "activation", "tanh")
    if layer.kind == "SimpleRNN":
        given, usual = [of_state], ["tanh"]
    else:
        default = "hard_sigmoid" if layer.old else "sigmoid"
        given = [_function(layer, "recurrent_activation", default), of_state]
        usual = ["sigmoid", "tanh"]
        if layer.kind == "LSTM":
            given, usual = [*given, of_state], [*usual, "tanh"]
    names = [name for name, _, _ in given]
    if names == usual:
        return {}
    for name in names:
        if name not in GATE_FUNCTIONS:
            raise layer.refused(f"has the activation {name!r}, which a gate cannot have")
    return {
        "activations": names,
        "alpha": [alpha for _, alpha, _ in given],
        "beta": [beta for _, _, beta in given],
    }


def _function(layer: KerasLayer, option: str, default: str) -> tuple[str, float, float]:
    """The activation that an option names, and its two numbers."""
    given = layer.options.get(option, default)
    within: Mapping[str, Any] = {}
    if isinstance(given, Mapping):
        within = given.get("config", {}) if isinstance(given.get("config"), Mapping) else {}
        text = given.get("config") if isinstance(given.get("config"), str) else None
        given = text or str(given.get("class_name"))
    name = {"LeakyReLU": "leaky_relu", "ReLU": "relu", "ELU": "elu", "Softmax": "softmax"}.get(
        str(given or "linear"), str(given or "linear")
    )
    name = {"swish": "silu"}.get(name, name)
    return name, *_numbers(layer, name, within)


def _numbers(layer: KerasLayer, name: str, within: Mapping[str, Any]) -> tuple[float, float]:
    """The numbers that an activation has in Keras, whose functions differ from ONNX's."""
    if name == "hard_sigmoid":  # since Keras 3 that of relu6(x + 3) / 6
        return (0.2, 0.5) if layer.old else (1 / 6, 0.5)
    if name == "leaky_relu":
        default = 0.3 if "alpha" in within or layer.kind == "LeakyReLU" else 0.2
        return float(within.get("negative_slope", within.get("alpha", default))), 0.0
    if name == "relu":
        limits = within.get("max_value"), within.get("negative_slope"), within.get("threshold")
        if any(limits):
            raise layer.refused("has a ReLU with a limit, a slope or a threshold")
    return (float(within.get("alpha", 1.0)), 0.0) if name == "elu" else (0.0, 0.0)


def _ended(w: _Writing, layer: KerasLayer, found: str, directions: int = 1) -> str:
    """The steps of a recurrent layer, or its last one."""
    if layer.options.get("return_sequences"):
        return found
    two = directions if directions > 1 else None
    return w.add("last", found, features=w.features[found], steps=False, directions=two)


def _bidirectional(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    inner = KerasLayer(layer.options["layer"], layer.reads, layer.old)
    inner.name = layer.name
    if inner.kind not in _PARTS:
        raise layer.refused(f"holds a layer {inner.kind}; a program has {', '.join(_PARTS)}")
    other = layer.options.get("backward_layer")
    if other is not None:
        same = ("units", "activation", "recurrent_activation", "use_bias", "reset_after")
        mine, theirs = inner.options, other["config"]
        if other["class_name"] != inner.kind or any(mine.get(of) != theirs.get(of) for of in same):
            raise layer.refused("has a backward layer that differs from the forward one")
    if inner.options.get("go_backwards"):
        raise layer.refused("has a forward layer that goes backwards")
    count = _count_of(inner)
    arrays = _weights(layer, 2 * count)
    found = _stack(w, layer, inner, reads[0], [arrays[:count], arrays[count:]])
    found = _ended(w, inner, found, 2)
    merge, units = layer.options.get("merge_mode", "concat"), int(inner.options["units"])
    if merge == "concat":
        return found
    if merge not in ("sum", "ave"):
        raise layer.refused(f"has merge_mode = {merge!r}; a program has concat, sum and ave")
    half = np.eye(units) * (1.0 if merge == "sum" else 0.5)
    weight = w.keep(layer, "merge", np.concatenate([half, half], 1))
    return w.add("linear", found, features=units, weight=weight)


def _dense(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    has_bias = bool(layer.options.get("use_bias", True))
    kernel, *bias = _weights(layer, 1 + has_bias)
    if kernel.ndim != 2 or kernel.shape[0] != w.features[reads[0]]:
        raise layer.refused(
            f"must have a kernel ({w.features[reads[0]]}, O), and the file has {kernel.shape}"
        )
    found = w.add(
        "linear", reads[0], name=layer.name, features=kernel.shape[1],
        weight=w.keep(layer, "weight", kernel.T),
        bias=w.keep(layer, "bias", bias[0]) if bias else None,
    )  # fmt: skip
    return _activated(w, layer, found)


def _activated(w: _Writing, layer: KerasLayer, found: str, option: str = "activation") -> str:
    """What an activation makes of a layer."""
    name, alpha, beta = _function(layer, option, "linear")
    features = w.features[found]
    if name == "linear":
        return found
    if name == "softmax":
        w.shares.add(shares := w.add("softmax", found, features=features))
        return shares
    if name not in combining.FUNCTIONS:
        raise layer.refused(
            f"has the activation {name!r}; a program has {', '.join(combining.FUNCTIONS)}"
        )
    numbers: dict[str, Any] = {"alpha": alpha, "beta": beta} if name in combining.NUMBERS else {}
    return w.add("activation", found, features=features, function=name, **numbers)


def _activation(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    """Activation, or a class that is one."""
    if layer.kind != "Activation":
        options = {"activation": {"class_name": layer.kind, "config": dict(layer.options)}}
        layer = KerasLayer(
            {"class_name": layer.kind, "config": {**layer.options, **options}}, [], layer.old
        )
    return _activated(w, layer, reads[0])


def _embedding(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    if layer.options.get("mask_zero"):
        _check_masks(w, layer)
    if w.writer is None or reads[0] != w.writer.input:
        raise layer.refused("must read the input")
    (table,) = _weights(layer, 1)
    weight = w.keep(layer, "weight", table)
    return w.add("embedding", reads[0], name=layer.name, features=table.shape[-1], weight=weight)


def _masking(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    _check_masks(w, layer)
    return reads[0]


def _check_masks(w: _Writing, layer: KerasLayer) -> None:
    if not w.without_padding:
        raise layer.refused(
            "skips padding, which sequences need not have here: read the model with "
            "without_padding=True, and give sequences without their padding"
        )


def _convolution(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    has_bias = bool(layer.options.get("use_bias", True))
    kernel, *bias = _weights(layer, 1 + has_bias)  # (K, I, O)
    strides, groups = _one(layer, "strides"), int(layer.options.get("groups", 1))
    padding = layer.options.get("padding", "valid")
    if strides != 1 or groups != 1 or padding not in ("causal", "same"):
        raise layer.refused(
            f"has strides = {strides}, groups = {groups}, padding = {padding!r}; a program has 1, "
            "1, and causal or same"
        )
    K, features, outputs = kernel.shape
    apart = _one(layer, "dilation_rate")
    spread = np.zeros(((K - 1) * apart + 1, features, outputs), np.float32)
    spread[::apart] = kernel
    seen = len(spread) - 1
    found = w.add(
        "convolution", reads[0], name=layer.name, features=outputs,
        weight=w.keep(layer, "weight", spread.transpose(2, 1, 0)),
        bias=w.keep(layer, "bias", bias[0]) if bias else None,
        before=seen if padding == "causal" else seen // 2,
    )  # fmt: skip
    return _activated(w, layer, found)


def _one(layer: KerasLayer, option: str) -> int:
    given = layer.options.get(option, 1)
    return int(given[0] if isinstance(given, list) else given)


def _of_last_axis(w: _Writing, layer: KerasLayer, read: str) -> int:
    axis = layer.options.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, 2 if w.steps[read] else 1):
        raise layer.refused(f"normalises the axis {axis}; a program has the last one")
    return w.features[read]


def _batch_norm(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    size = _of_last_axis(w, layer, reads[0])
    has = [bool(layer.options.get(of, True)) for of in ("scale", "center")]
    arrays = iter(_weights(layer, 2 + sum(has)))
    scale, center = (next(arrays) if there else None for there in has)
    named = {
        "weight": np.ones(size) if scale is None else scale,
        "bias": np.zeros(size) if center is None else center,
        "mean": next(arrays),
        "variance": next(arrays),
    }
    kept: dict[str, Any] = {name: w.keep(layer, name, of) for name, of in named.items()}
    return w.add(
        "batch_norm", reads[0], name=layer.name, features=size,
        epsilon=float(layer.options.get("epsilon", 1e-3)),
        **kept,
    )  # fmt: skip


def _layer_norm(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    size = _of_last_axis(w, layer, reads[0])
    if layer.options.get("rms_scaling"):
        raise layer.refused("has rms_scaling, which a program has not")
    has = [bool(layer.options.get(of, True)) for of in ("scale", "center")]
    arrays = iter(_weights(layer, sum(has)))
    scale, center = (next(arrays) if there else None for there in has)
    return w.add(
        "layer_norm", reads[0], name=layer.name, features=size,
        epsilon=float(layer.options.get("epsilon", 1e-3)),
        weight=w.keep(layer, "weight", np.ones(size) if scale is None else scale),
        bias=w.keep(layer, "bias", np.zeros(size) if center is None else center),
    )  # fmt: skip


def _pooled(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    if layer.options.get("keepdims"):
        raise layer.refused("has keepdims, which a program has not")
    kind = "mean" if "Average" in layer.kind else "max"
    return w.add(kind, reads[0], name=layer.name, features=w.features[reads[0]], steps=False)


def _joined(w: _Writing, layer: KerasLayer, reads: Sequence[str]) -> str:
    sizes = [w.features[of] for of in reads]
    if layer.kind == "Add":
        return w.add("add", *reads, name=layer.name, features=sizes[0])
    if layer.options.get("axis", -1) not in (-1, 2 if w.steps[reads[0]] else 1):
        raise layer.refused("joins another axis than the features")
    return w.add("concatenate", *reads, name=layer.name, features=sum(sizes))


_WRITTEN: dict[str, Callable[[_Writing, KerasLayer, Sequence[str]], str]] = {
    **dict.fromkeys(_PARTS, _recurrent),
    **dict.fromkeys(("Activation", "ELU", "LeakyReLU", "ReLU", "Softmax"), _activation),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalMaxPooling1D"), _pooled),
    **dict.fromkeys(("Add", "Concatenate"), _joined),
    "BatchNormalization": _batch_norm,
    "Bidirectional": _bidirectional,
    "Conv1D": _convolution,
    "Dense": _dense,
    "Embedding": _embedding,
    "LayerNormalization": _layer_norm,
    "Masking": _masking,
}
_STEPS = {*_PARTS, "Bidirectional", "Conv1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D"}
