"""Who takes part: each makes of a case a function that does its work once and gives its output.

Every contender runs in a process of its own, on the same number of threads, and is at its best:
runtimes with their optimisations, inference without gradients, compiled functions compiled before.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.machine import narrow_instructions
from gated.core.layout import Weights, from_onnx, to_onnx

Run = Callable[[], Any]
Output = Callable[[], np.ndarray]


def gated_layers(case: Case, threads: int) -> tuple[Run, Output]:
    """Ours, as its users call it."""
    x, weights = case.arrays()
    if case.work == "step":
        from gated.core.stream import Stream

        stream = Stream(case.cell, weights, threads=threads, stored_as=case.precision)
        row = x[0, 0]

        def first() -> np.ndarray:
            stream.reset()
            return stream.step(row).copy()[None, None]

        return (lambda: stream.step(row)), first
    import torch

    import gated.nn

    torch.set_num_threads(threads)
    options: dict[str, Any] = {"backend": "native"}
    options |= {"proj_size": case.projected} if case.projected else {}
    options |= {"layer_norm": True} if case.layer_norm else {}
    options |= {"recompute": True} if case.recompute else {}
    narrow = case.precision != "float32"
    options |= {"stored_as": case.precision} if narrow and case.work != "train" else {}
    model = _with_weights(getattr(gated.nn, _kind(case))(case.I, case.H, **options), weights)
    lengths = None if case.lengths is None else torch.from_numpy(case.lengths)
    x_torch = torch.from_numpy(x)
    if narrow and case.work == "train":
        model, x_torch = model.to(getattr(torch, case.precision)), x_torch.bfloat16()
    x_torch.requires_grad_(case.work == "train")
    if case.work == "trace":
        from gated.explain import trace

        return (lambda: trace(model, x_torch)), (lambda: trace(model, x_torch).layers[0].hidden)
    return _torch_work(
        case, lambda: model(x_torch, lengths=lengths)[0], [x_torch, *model.parameters()]
    )


def torch_layers(case: Case, threads: int) -> tuple[Run, Output]:
    """torch.nn; ragged batches packed, layer normalisation as a loop over its own operators.

    bfloat16 is a model converted to it, int8 one with its weights quantised, its input as it comes.
    """
    import torch

    torch.set_num_threads(threads)
    if case.layer_norm:
        return _torch_loop(case, lambda loop: loop)
    x, weights = case.arrays()
    options = {"proj_size": case.projected} if case.projected else {}
    model = _with_weights(getattr(torch.nn, _kind(case))(case.I, case.H, **options), weights)
    x_torch = torch.from_numpy(x)
    if case.precision == "bfloat16":
        model, x_torch = model.bfloat16(), x_torch.bfloat16()
    if case.precision == "int8":
        model = _quantised(model)
    x_torch.requires_grad_(case.work == "train")
    if case.lengths is None:
        forward = lambda: model(x_torch)[0]  # noqa: E731
    else:
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        lengths = torch.from_numpy(case.lengths)

        def forward() -> torch.Tensor:
            packed = pack_padded_sequence(x_torch, lengths, enforce_sorted=False)
            return pad_packed_sequence(model(packed)[0], total_length=case.T)[0]

    return _torch_work(case, forward, [x_torch, *model.parameters()])


def autocast_layers(case: Case, threads: int) -> tuple[Run, Output]:
    """torch.nn in float32, which `torch.autocast` runs in bfloat16."""
    import torch

    run, output = torch_layers(case._replace(precision="float32"), threads)

    def work() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            run()

    def its_output() -> np.ndarray:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return output()

    return work, its_output


def scripted_loop(case: Case, threads: int) -> tuple[Run, Output]:
    """The same loop, compiled by torch.jit.script."""
    import torch

    torch.set_num_threads(threads)
    return _torch_loop(case, torch.jit.script)


def compiled_loop(case: Case, threads: int) -> tuple[Run, Output]:
    """The same loop by torch.compile, ten steps at a time.

    A hundred at once took it more than five minutes to compile.
    """
    import torch

    torch.set_num_threads(threads)
    return _torch_loop(case, torch.compile, steps=10)


def onnxruntime_session(case: Case, threads: int) -> tuple[Run, Output]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    model = _onnx_model(case)
    if case.precision == "int8":
        model = _onnx_quantised(model)
    session = onnxruntime.InferenceSession(model, options)
    feed = {"x": case.arrays()[0]}
    return (lambda: session.run(None, feed)), (lambda: session.run(None, feed)[0][:, 0])


def openvino_model(case: Case, threads: int) -> tuple[Run, Output]:
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    hint = {"float32": "f32", "bfloat16": "bf16"}.get(case.precision)
    if hint is None:
        raise NotImplementedError("it quantises what a calibration has gone through")
    if hint == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise NotImplementedError("this processor has no instructions for bfloat16 that it uses")
    options["INFERENCE_PRECISION_HINT"] = hint
    model = core.compile_model(core.read_model(_onnx_model(case)), "CPU", options)
    request = model.create_infer_request()
    request.set_input_tensor(openvino.Tensor(case.arrays()[0]))

    def output() -> np.ndarray:
        request.infer()
        return request.get_output_tensor(0).data[:, 0]

    return request.infer, output


def jax_scan(case: Case, threads: int) -> tuple[Run, Output]:
    """lax.scan over the equations, with the product of all inputs before it; jitted."""
    import jax
    import jax.numpy as jnp

    x, weights = case.arrays()
    given = {n: jnp.asarray(w) for n, w in weights._asdict().items() if w is not None}

    def step(w: Any, states: Any, u: Any) -> Any:
        h = states[0]
        v = h @ w["weight_hh"].T + w["bias_hh"]
        if case.cell == "lstm":
            i, f, g, o = jnp.split(u + v, 4, axis=-1)
            c = jax.nn.sigmoid(f) * states[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h
        if case.cell == "gru":
            (u_r, u_z, u_n), (v_r, v_z, v_n) = jnp.split(u, 3, axis=-1), jnp.split(v, 3, axis=-1)
            r, z = jax.nn.sigmoid(u_r + v_r), jax.nn.sigmoid(u_z + v_z)
            h = (1 - z) * jnp.tanh(u_n + r * v_n) + z * h
            return (h, h), h
        h = jnp.tanh(u + v)
        return (h, h), h

    def layer(w: Any, x: Any) -> Any:
        u = x @ w["weight_ih"].T + w["bias_ih"]
        zeros = jnp.zeros((case.B, case.H), jnp.float32)
        return jax.lax.scan(lambda s, u_t: step(w, s, u_t), (zeros, zeros), u)[1]

    forward = jax.jit(layer)
    trained = jax.jit(jax.grad(lambda w, x: layer(w, x).sum(), argnums=(0, 1)))
    x_jax = jnp.asarray(x)
    work = trained if case.work == "train" else forward
    return (
        lambda: jax.block_until_ready(work(given, x_jax)),
        lambda: np.asarray(forward(given, x_jax)),
    )


def plain_layers(case: Case, threads: int) -> tuple[Run, Output]:
    """Ours, not looked into and without options."""
    return gated_layers(case.plain, threads)


def rtneural_layer(case: Case, threads: int) -> tuple[Run, Output]:
    """RTNeural, one thread; `benchmarks/rtneural.cpp` says how the library is built."""
    library = ctypes.CDLL(os.environ["GATED_RTNEURAL"])
    pointer = ctypes.c_void_p
    library.lstm.restype = pointer
    library.lstm.argtypes = [ctypes.c_int, ctypes.c_int, pointer, pointer, pointer]
    library.reset.argtypes = [pointer]
    library.step.argtypes = [pointer, pointer, pointer]
    x, weights = case.arrays()
    bias = weights.bias_ih + weights.bias_hh
    arrays = (weights.weight_ih, weights.weight_hh, bias)
    layer = library.lstm(case.I, case.H, *(array.ctypes.data for array in arrays))
    if layer is None:
        raise NotImplementedError(f"rtneural.cpp has no LSTM of {case.I} inputs, {case.H} units")
    hidden = np.empty((1, 1, case.H), np.float32)
    # Such pointers, unlike numbers, keep their arrays alive.
    run = partial(library.step, layer, x.ctypes.data_as(pointer), hidden.ctypes.data_as(pointer))

    def first() -> np.ndarray:
        library.reset(layer)
        run()
        return hidden.copy()

    return run, first


CONTENDERS: dict[str, Callable[[Case, int], tuple[Run, Output]]] = {
    "gated": gated_layers,
    "plain": plain_layers,
    "torch": torch_layers,
    "autocast": autocast_layers,
    "scripted": scripted_loop,
    "compiled": compiled_loop,
    "onnxruntime": onnxruntime_session,
    "openvino": openvino_model,
    "jax": jax_scan,
    "rtneural": rtneural_layer,
}


def contender(peer: str, case: Case, threads: int) -> tuple[Run, Output]:
    """The work of a case by a peer, which may be named with a precision of its own."""
    name, _, precision = peer.partition(" ")
    return CONTENDERS[name](case._replace(precision=precision or case.precision), threads)


def _kind(case: Case) -> str:
    return case.cell.partition("_")[0].upper()


def _with_weights(model: Any, weights: Weights[Any]) -> Any:
    import torch

    named = {f"{name}_l0": w for name, w in weights._asdict().items() if w is not None}
    model.load_state_dict({name: torch.from_numpy(w) for name, w in named.items()})
    return model


def _torch_work(case: Case, forward: Callable[[], Any], leaves: list[Any]) -> tuple[Run, Output]:
    import torch

    def train() -> None:
        for leaf in leaves:
            leaf.grad = None
        output = forward()
        output.backward(torch.ones_like(output))

    def infer() -> None:
        with torch.inference_mode():
            forward()

    return train if case.work == "train" else infer, lambda: forward().detach().float().numpy()


def _quantised(model: Any) -> Any:
    """The layer with weights in int8, its input quantised as it comes."""
    import torch

    with warnings.catch_warnings():  # torch says that it will move elsewhere
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(
            torch.nn.ModuleList([model]), {type(model)}, dtype=torch.qint8
        )[0]


def _torch_loop(
    case: Case, compiled: Callable[[Any], Any], steps: int | None = None
) -> tuple[Run, Output]:
    """The LSTM as people write it, with layer norm that of Ba, Kiros and Hinton (2016).

    `compiled` is applied to a loop over so many steps, by default all.
    """
    import torch
    from torch import Tensor
    from torch.nn import functional

    def normalised(
        x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor,
        g_ih: Tensor, g_hh: Tensor, g_c: Tensor, b_c: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        outputs: list[Tensor] = []
        for u in functional.layer_norm(x @ w_ih.t(), [w_ih.shape[0]], g_ih, b_ih).unbind(0):
            a = u + functional.layer_norm(h @ w_hh.t(), [w_hh.shape[0]], g_hh, b_hh)
            i, f, g, o = a.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            shown = functional.layer_norm(c, [w_hh.shape[1]], g_c, b_c)
            h = torch.sigmoid(o) * torch.tanh(shown)
            outputs.append(h)
        return torch.stack(outputs), h, c

    def plain(
        x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        outputs: list[Tensor] = []
        for u in functional.linear(x, w_ih, b_ih + b_hh).unbind(0):
            i, f, g, o = (u + h @ w_hh.t()).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), h, c

    x, weights = case.arrays()
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, *weights) if a is not None]
    loop = compiled(normalised if case.layer_norm else plain)

    def forward() -> Tensor:
        h = c = torch.zeros(case.B, case.H)
        parts = []
        for part in leaves[0].split(steps or case.T):
            output, h, c = loop(part, h, c, *leaves[1:])
            parts.append(output)
        return torch.cat(parts)

    return _torch_work(case, forward, leaves)


def _onnx_model(case: Case) -> bytes:
    """The layer as an ONNX graph: x (T, B, I) to Y (T, 1, B, H)."""
    from onnx import TensorProto, helper, numpy_helper

    _, weights = case.arrays()
    node = to_onnx(case.cell, [weights])
    assert len(from_onnx(case.cell, **node)) == 1  # noqa: S101
    options = {"linear_before_reset": 1} if case.cell == "gru" else {}
    graph = helper.make_graph(
        [helper.make_node(_kind(case), ["x", *node], ["y"], hidden_size=case.H, **options)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [case.T, case.B, case.I])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [case.T, 1, case.B, case.H])],
        [numpy_helper.from_array(array, name) for name, array in node.items()],
    )
    versions = [helper.make_opsetid("", 14)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8)
    return bytes(model.SerializeToString())


def _onnx_quantised(model: bytes) -> bytes:
    """The graph with weights in int8, by onnxruntime's own tool, which works on files."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(model)
        # Without instructions for int8, sums of two products of eight bits do not fit into sixteen.
        narrower = not narrow_instructions()["int8"]
        quantize_dynamic(
            before,
            after,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=narrower,
        )
        return after.read_bytes()
