"""A program as an ONNX graph, checked in onnxruntime; states come in and go out where it streams.

Shapes: T steps, B sequences, F features. Within the graph steps are (T, B, F), and what is known of
a sequence as a whole (B, F); its inputs and outputs have the sequences first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.errors import ProgramError, require
from gated.live import combining, features, pooling, preparing, recurrence, windows
from gated.live.layer import Layer
from gated.live.model import Model
from gated.live.onnx_features import kernel_features, summaries
from gated.live.onnx_recurrence import recurrent
from gated.live.onnx_writing import IR_VERSION, OPSET, Known, Nodes, State, Value, Writing
from gated.live.program import INPUT
from gated.version import VERSION

CLOSE = 2e-4
"""How near onnxruntime must be to the runtime, relative to the largest prediction or 1."""
AFTER = "_after"
"""What the names of states that go out end with."""
_LOWEST = float(np.finfo(np.float32).min)
Array = NDArray[Any]


class OnnxExport(NamedTuple):
    """A graph with what is known of it."""

    data: bytes
    """The file."""
    features: int
    codes: bool
    """Whether `x` is codes (B, T), not numbers (B, T, F)."""
    outputs: int
    steps: bool
    """Whether the prediction is (B, T, outputs), not (B, outputs)."""
    states: tuple[State, ...]
    """Of a network that streams; of another one the input `lengths` (B,) takes their place."""
    streams: bool
    multiple: int
    """T must be a multiple of this, where several steps become one in a stream; else 1."""
    labels: tuple[str, ...]


def source(model: Model) -> OnnxExport:
    """Return a model as ONNX, compared with the runtime in onnxruntime.

    Where the network streams, what it remembers comes in and goes out: zeros before the first
    step. Where it does not, `lengths` says how many steps of each sequence are no padding.

    Raises:
        ProgramError: the model has a layer that is not written in ONNX, or onnxruntime predicts
            something else.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    program = model.program
    _check_names(model)
    w = Writing(not program.not_streamed)
    codes = program.input.kind != "numbers"
    helper, types = w.onnx.helper, w.onnx.TensorProto
    x = Value(w, "x")
    w.sequences = x.size(0)
    lengths = None if w.streams else Value(w, "lengths")
    turned = x.turned(1, 0) if codes else x.turned(1, 0, 2)
    known = {INPUT: Known(turned, lengths)}
    pairs = zip(program.names, program.layers, program.reads, strict=True)
    for name, layer, reads in pairs:
        write = _EMITTED.get(type(layer))
        if write is None:
            without = f"; train without it, by {layer.without}" if layer.without else ""
            raise ProgramError(
                f"the layer {name!r} ({type(layer).__name__}) is not written in ONNX yet{without}"
            )
        known[name] = write(w, layer, [known[of] for of in reads], _plain(name))
    form = program.output.form
    steps = form.kind == "steps"
    found = known[program.output.of].value.to("float32")
    found = found.turned(1, 0, 2) if steps else found
    w.nodes.append(helper.make_node("Identity", [found.name], ["prediction"]))
    for state, after in zip(w.states, w.after, strict=True):
        w.nodes.append(helper.make_node("Identity", [after.name], [state.name + AFTER]))
    info, dtypes = helper.make_tensor_value_info, helper.np_dtype_to_tensor_dtype
    inputs = [
        info("x", types.INT64, ["batch", "time"])
        if codes
        else info("x", types.FLOAT, ["batch", "time", program.input.form.features])
    ]
    inputs += [] if w.streams else [info("lengths", types.INT64, ["batch"])]
    inputs += [info(of.name, dtypes(np.dtype(of.dtype)), ["batch", *of.shape]) for of in w.states]
    wide = ["batch", "steps", form.features] if steps else ["batch", form.features]
    outputs = [info("prediction", types.FLOAT, wide)]
    outputs += [
        info(of.name + AFTER, dtypes(np.dtype(of.dtype)), ["batch", *of.shape]) for of in w.states
    ]
    graph = helper.make_graph(
        w.nodes, _plain(model.task) or "gated", inputs, outputs, w.initializers
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="gated", producer_version=VERSION,
    )  # fmt: skip
    about = {"task": model.task, "labels": json.dumps(list(model.labels))}
    helper.set_model_props(made, {key: of for key, of in about.items() if of not in ("", "[]")})
    multiple = 1
    for layer in program.layers if w.streams else ():
        if isinstance(layer, preparing.Patch | windows.Windows):
            multiple *= layer.stride
    found_ = OnnxExport(
        made.SerializeToString(), program.input.form.features, codes, form.features, steps,
        tuple(w.states), w.streams, multiple, model.labels,
    )  # fmt: skip
    _check(model, found_)
    return found_


def _plain(name: str) -> str:
    return "".join(of if of.isascii() and of.isalnum() else "_" for of in name)


def _check_names(model: Model) -> None:
    """Names of states are those of layers, of letters and digits alone."""
    names = {INPUT, *map(_plain, model.program.names)}
    if len(names) <= len(model.program.names):
        raise ProgramError("two layers have the same name once only letters and digits are left")


def _check(model: Model, found: OnnxExport) -> None:
    """Compare with the runtime."""
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(found.data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has classes of its own
        raise ProgramError(f"onnxruntime does not take the graph: {error}") from error
    draw = np.random.default_rng(0)
    for sequences, steps in ((1, 1), (3, 7), (2, 24)):
        steps *= found.multiple
        x = _drawn(model, draw, sequences, steps)
        if found.streams:
            wanted, got = _streamed(model, session, found, x)
        else:
            lengths = draw.integers(1, steps + 1, sequences)
            lengths[0] = steps
            (got,) = session.run(["prediction"], {"x": x, "lengths": lengths})
            wanted = model([row[:length] for row, length in zip(x, lengths, strict=True)])
            if found.steps:
                got = np.concatenate([row[: len(of)] for row, of in zip(got, wanted, strict=True)])
                wanted = np.concatenate(wanted)
        off = float(np.abs(got - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
        if not off <= CLOSE:
            raise ProgramError(
                f"onnxruntime is off by {off:.2g} of the largest prediction, at {sequences} "
                f"sequences of {steps} steps: nothing was written. Please report this network."
            )


def _drawn(model: Model, draw: np.random.Generator, sequences: int, steps: int) -> Array:
    """Something to predict from, in the range of the data, with missing values where allowed."""
    given = model.program.input
    if given.kind != "numbers":
        return draw.integers(0, given.form.features, (sequences, steps))
    x = draw.normal(size=(sequences, steps, given.form.features))
    for layer in model.program.layers:
        if isinstance(layer, preparing.Standardise) and len(layer.mean) == x.shape[-1]:
            x = layer.mean + layer.deviation * x
            break
    if given.missing:
        x[draw.random(x.shape) < 0.1] = np.nan
    return x.astype(np.float32)


def _streamed(model: Model, session: Any, found: OnnxExport, x: Array) -> tuple[Array, Array]:
    """The predictions of both, in two parts of a stream."""
    stream = model.stream(sequences=len(x))
    steps = x.shape[1] // found.multiple
    ends = sorted({steps // 3 * found.multiple, x.shape[1]} - {0})
    states = {of.name: np.zeros((len(x), *of.shape), of.dtype) for of in found.states}
    wanted, got, first = [], [], 0
    for end in ends:
        part = x[:, first:end]
        predicted, *after = session.run(
            ["prediction", *(of.name + AFTER for of in found.states)], {"x": part, **states}
        )
        states = dict(zip(states, after, strict=True))
        expected = stream.push_many(part.swapaxes(0, 1)).swapaxes(0, 1)
        got.append(predicted if found.steps else predicted[:, None])
        wanted.append(expected if found.steps else expected[:, -1:])
        first = end
    return np.concatenate(wanted, 1), np.concatenate(got, 1)


# Layers: each adds its nodes, and returns its value.


def _standardise(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x = given[0].value.to("float64")
    return given[0]._replace(value=((x - of.mean) / of.deviation).to("float32"))


def _rescale(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x = given[0].value.to("float64")
    return given[0]._replace(value=(of.mean + of.deviation * x).to("float32"))


def _missing(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    return given[0]._replace(value=w.add("IsNaN", given[0].value).to("float32"))


def _fill(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    start = w.begin(f"{name}_last", of.form.features)

    def step(body: Nodes, states: list[Value], xs: list[Value]) -> tuple[list[Value], list[Value]]:
        known = body.add("Where", body.add("IsNaN", xs[0]), states[0], xs[0])
        return [known], [known]

    last, found = w.scan(step, [start], [given[0].value], 1)
    w.end(last)
    return given[0]._replace(value=found)


def _patch(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x, lengths = given[0]
    if lengths is not None:
        p, one = np.array(of.steps, np.int64), np.array(1, np.int64)
        count = (lengths + (p - one)) / p
        total = count.largest() * p
        times = w.add("Range", np.array(0, np.int64), total, one)
        places = w.add("Min", times.with_axis(1), (lengths - one).with_axis(0)).with_axis(2)
        wide = w.add("Concat", x.size(1), x.size(2), axis=0)
        wide = w.add("Concat", total.with_axis(0), wide, axis=0)
        x, lengths = w.add("GatherElements", x, w.add("Expand", places, wide), axis=0), count
    joined = x.turned(1, 0, 2).shaped(0, -1, of.steps * of.features).turned(1, 0, 2)
    return Known(joined, lengths)


def _average_pool(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    joined = _patch(w, of, given, name)
    parts = joined.value.shaped(0, 0, of.steps, of.features)
    return joined._replace(value=w.add("ReduceMean", parts, axes=[2], keepdims=0))


def _unpatch(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x, lengths = given[0]
    parts = x.turned(1, 0, 2).shaped(0, -1, of.form.features).turned(1, 0, 2)
    return Known(parts, None if lengths is None else lengths * np.array(of.steps, np.int64))


def _embedding(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    return given[0]._replace(value=w.add("Gather", np.array(of.weight), given[0].value))


def _linear(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    found = w.add("MatMul", given[0].value, np.ascontiguousarray(of.weight.T))
    return given[0]._replace(value=found if of.bias is None else found + np.array(of.bias))


def _convolution(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x = w.only_there(given[0], 0.0)
    pads = [of.before, of.steps - 1 - of.before]
    if w.streams and of.before:
        start = w.begin(f"{name}_before", of.before, of.features)
        x = w.add("Concat", start.turned(1, 0, 2), x, axis=0)
        last = [np.array(at, np.int64) for at in ([-of.before], [2**31 - 1], [0])]
        w.end(w.add("Slice", x, *last).turned(1, 0, 2))
        pads = [0, 0]
    bias = None if of.bias is None else np.array(of.bias)
    found = w.add("Conv", x.turned(1, 2, 0), np.array(of.weight), bias, pads=pads)
    return given[0]._replace(value=found.turned(2, 0, 1))


def _convolution_2d(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x, lengths = w.only_there(given[0], 0.0), given[0].lengths
    pads = [of.before, of.after]
    if w.streams:
        if of.after != of.stride - 1:
            raise ProgramError(
                f"the layer {name!r} waits for more steps than it joins, which ONNX cannot"
            )
        if of.before:
            start = w.begin(f"{name}_before", of.before, of.features)
            x = w.add("Concat", start.turned(1, 0, 2), x, axis=0)
            last = [np.array(at, np.int64) for at in ([-of.before], [2**31 - 1], [0])]
            w.end(w.add("Slice", x, *last).turned(1, 0, 2))
        pads = [0, 0]
    if lengths is not None:
        more, stride = sum(pads) - of.width + of.stride, np.array(of.stride, np.int64)
        lengths = (lengths + np.array(more, np.int64)) / stride
    maps = x.turned(1, 2, 0).shaped(0, of.maps, of.bands, -1)
    bias = None if of.bias is None else np.array(of.bias)
    found = w.add(
        "Conv", maps, np.array(of.weight), bias, strides=[of.stride, of.stride],
        pads=[of.before, pads[0], of.before, pads[1]],
    )  # fmt: skip
    return Known(found.shaped(0, of.form.features, -1).turned(2, 0, 1), lengths)


def _look_ahead(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    if w.streams:
        raise ProgramError(
            f"the layer {name!r} answers later in a stream, which a step in ONNX cannot; train "
            f"without it, by {of.without}"
        )
    x = w.only_there(given[0], 0.0)
    bias = None if of.bias is None else np.array(of.bias)
    weight = np.ascontiguousarray(of.weight.T[:, None])
    ahead = w.add("Conv", x.turned(1, 2, 0), weight, bias, pads=[0, of.after], group=of.features)
    return given[0]._replace(value=x + ahead.turned(2, 0, 1))


def _batch_norm(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    return given[0]._replace(value=given[0].value * of.factor + of.shift)


def _layer_norm(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    found = w.add(
        "LayerNormalization", given[0].value, np.array(of.weight), np.array(of.bias),
        axis=-1, epsilon=of.epsilon,
    )  # fmt: skip
    return given[0]._replace(value=found)


def _activation(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x = given[0].value
    simple = {
        "elu": ("Elu", {"alpha": of.alpha}),
        "exponential": ("Exp", {}),
        "hard_sigmoid": ("HardSigmoid", {"alpha": of.alpha, "beta": of.beta}),
        "leaky_relu": ("LeakyRelu", {"alpha": of.alpha}),
        "relu": ("Relu", {}),
        "selu": ("Selu", {}),
        "sigmoid": ("Sigmoid", {}),
        "softplus": ("Softplus", {}),
        "softsign": ("Softsign", {}),
        "tanh": ("Tanh", {}),
    }
    if of.name in simple:
        operation, attributes = simple[of.name]
        found = w.add(operation, x, **attributes)
    elif of.name == "silu":
        found = x * w.add("Sigmoid", x)
    elif of.name == "relu6":
        found = w.add("Clip", x, 0.0, 6.0)
    else:
        found = 0.5 * x * (1.0 + w.add("Erf", x * 0.5**0.5))
    return given[0]._replace(value=found)


def _concatenate(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    return given[0]._replace(value=w.add("Concat", *(one.value for one in given), axis=-1))


def _add(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    terms = [
        one.value if factor == 1 else one.value * factor
        for one, factor in zip(given, of.factors.tolist(), strict=True)
    ]
    total = sum(terms[1:], terms[0])
    return given[0]._replace(value=total)


def _scale(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    return given[0]._replace(value=given[0].value * given[1].value)


def _softmax(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    return given[0]._replace(value=w.add("Softmax", given[0].value, axis=-1))


def _last(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x, lengths = given[0]
    if lengths is None:
        return Known(w.add("Gather", x, np.array(-1, np.int64), axis=0), None)
    times = w.add(
        "Range", np.array(0, np.int64), x.size(0).without_axis(0), np.array(1, np.int64)
    ).with_axis(1)
    here = w.add("Equal", times, (lengths - np.array(1, np.int64)).with_axis(0)).with_axis(2)
    found = w.add("Where", here, x, 0.0).summed()
    if not of.streams:
        half = of.form.features // 2
        first = w.add("Gather", x, np.array(0, np.int64), axis=0)
        parts = [
            w.add("Slice", one, *(np.array([at], np.int64) for at in (begin, begin + half, 1)))
            for one, begin in ((found, 0), (first, half))
        ]
        found = w.add("Concat", *parts, axis=-1)
    return Known(found, None)


def _mean(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x, lengths = given[0]
    total = w.only_there(given[0], 0.0).to("float64").summed()
    if lengths is not None:
        return Known((total / lengths.to("float64").with_axis(1)).to("float32"), None)
    total = w.begin(f"{name}_sum", of.form.features, dtype="float64") + total
    w.end(total)
    count = w.begin(f"{name}_count", 1, dtype="float64") + x.size(0).to("float64")
    w.end(count)
    return Known((total / count).to("float32"), None)


def _max(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    found = w.only_there(given[0], _LOWEST).largest()
    if w.streams:  # zeros before the first step; the count of steps says that they are no maximum
        before = w.begin(f"{name}_max", of.form.features)
        count = w.begin(f"{name}_count", 1)
        none = w.add("Equal", count, 0.0)
        found = w.add("Max", w.add("Where", none, _LOWEST, before), found)
        w.end(found)
        w.end(w.add("Max", count, 1.0))
    return Known(found, None)


def _attention(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    x, energy = given[0].value, w.only_there(given[1], _LOWEST)
    most = energy.largest()
    if not w.streams:
        shares = w.add("Exp", energy - most)
        return Known((shares * w.only_there(given[0], 0.0)).summed() / shares.summed(), None)
    largest = w.begin(f"{name}_most", 1)
    total = w.begin(f"{name}_total", 1)
    weighted = w.begin(f"{name}_weighted", of.form.features)
    before = w.add("Where", w.add("Equal", total, 0.0), _LOWEST, largest)
    new = w.add("Max", before, most)
    old, shares = w.add("Exp", before - new), w.add("Exp", energy - new)
    total = total * old + shares.summed()
    weighted = weighted * old + (shares * x).summed()
    for after in (new, total, weighted):
        w.end(after)
    return Known(weighted / total, None)


_EMITTED: dict[type[Layer], Callable[[Writing, Any, Sequence[Known], str], Known]] = {
    preparing.Standardise: _standardise,
    preparing.Missing: _missing,
    preparing.Fill: _fill,
    preparing.Patch: _patch,
    preparing.AveragePool: _average_pool,
    preparing.Unpatch: _unpatch,
    preparing.Embedding: _embedding,
    preparing.Rescale: _rescale,
    recurrence.Recurrent: recurrent,
    recurrence.Linear: _linear,
    combining.BatchNorm: _batch_norm,
    combining.Activation: _activation,
    combining.Concatenate: _concatenate,
    combining.Add: _add,
    combining.Scale: _scale,
    combining.LayerNorm: _layer_norm,
    combining.Softmax: _softmax,
    pooling.Convolution: _convolution,
    windows.Convolution2d: _convolution_2d,
    windows.LookAhead: _look_ahead,
    pooling.Last: _last,
    pooling.Mean: _mean,
    pooling.Max: _max,
    pooling.Attention: _attention,
    features.KernelFeatures: kernel_features,
    features.Summaries: summaries,
}
