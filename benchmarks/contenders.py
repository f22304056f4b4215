"""Who takes part: each makes of a case a function that does its work once and gives its output.

Every contender runs in a process of its own, on the same number of threads, and is at its best:
runtimes with their optimisations, inference without gradients, compiled functions compiled before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import Case
from gated.core.layout import Weights, from_onnx, to_onnx

Run = Callable[[], Any]
Output = Callable[[], np.ndarray]


def gated_layers(case: Case, threads: int) -> tuple[Run, Output]:
    """Ours, as its users call it."""
    x, weights = case.arrays()
    if case.work == "step":
        from gated.core.stream import Stream

        stream, row = Stream(case.cell, weights, threads=threads), x[0, 0]

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
    model = _with_weights(getattr(gated.nn, _kind(case))(case.I, case.H, **options), weights)
    lengths = None if case.lengths is None else torch.from_numpy(case.lengths)
    x_torch = torch.from_numpy(x).requires_grad_(case.work == "train")
    if case.work == "trace":
        from gated.explain import trace

        return (lambda: trace(model, x_torch)), (lambda: trace(model, x_torch).layers[0].hidden)
    return _torch_work(
        case, lambda: model(x_torch, lengths=lengths)[0], [x_torch, *model.parameters()]
    )


def torch_layers(case: Case, threads: int) -> tuple[Run, Output]:
    """torch.nn; ragged batches packed, layer normalisation as a loop over its own operators."""
    import torch

    torch.set_num_threads(threads)
    if case.layer_norm:
        return _torch_loop(case, lambda loop: loop)
    x, weights = case.arrays()
    options = {"proj_size": case.projected} if case.projected else {}
    model = _with_weights(getattr(torch.nn, _kind(case))(case.I, case.H, **options), weights)
    x_torch = torch.from_numpy(x).requires_grad_(case.work == "train")
    if case.lengths is None:
        forward = lambda: model(x_torch)[0]  # noqa: E731
    else:
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        lengths = torch.from_numpy(case.lengths)

        def forward() -> torch.Tensor:
            packed = pack_padded_sequence(x_torch, lengths, enforce_sorted=False)
            return pad_packed_sequence(model(packed)[0], total_length=case.T)[0]

    return _torch_work(case, forward, [x_torch, *model.parameters()])


def scripted_loop(case: Case, threads: int) -> tuple[Run, Output]:
    """The same loop, compiled by torch.jit.script."""
    import torch

    torch.set_num_threads(threads)
    return _torch_loop(case, torch.jit.script)


def onnxruntime_session(case: Case, threads: int) -> tuple[Run, Output]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(_onnx_model(case), options)
    feed = {"x": case.arrays()[0]}
    return (lambda: session.run(None, feed)), (lambda: session.run(None, feed)[0][:, 0])


def openvino_model(case: Case, threads: int) -> tuple[Run, Output]:
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    options["INFERENCE_PRECISION_HINT"] = "f32"
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
    """Ours, not looked into."""
    return gated_layers(case._replace(work="infer"), threads)


CONTENDERS: dict[str, Callable[[Case, int], tuple[Run, Output]]] = {
    "gated": gated_layers,
    "plain": plain_layers,
    "torch": torch_layers,
    "scripted": scripted_loop,
    "onnxruntime": onnxruntime_session,
    "openvino": openvino_model,
    "jax": jax_scan,
}


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

    return train if case.work == "train" else infer, lambda: forward().detach().numpy()


def _torch_loop(case: Case, compiled: Callable[[Any], Any]) -> tuple[Run, Output]:
    """The layer-norm LSTM (Ba, Kiros and Hinton 2016), written as people write it."""
    import torch
    from torch import Tensor
    from torch.nn import functional

    def loop(
        x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, g_ih: Tensor,
        g_hh: Tensor, g_c: Tensor, b_c: Tensor,
    ) -> Tensor:  # fmt: skip
        h = torch.zeros(x.shape[1], w_hh.shape[1])
        c = torch.zeros(x.shape[1], w_hh.shape[1])
        inputs = functional.layer_norm(x @ w_ih.t(), [w_ih.shape[0]], g_ih, b_ih).unbind(0)
        outputs: list[Tensor] = []
        for u in inputs:
            a = u + functional.layer_norm(h @ w_hh.t(), [w_hh.shape[0]], g_hh, b_hh)
            i, f, g, o = a.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            shown = functional.layer_norm(c, [w_hh.shape[1]], g_c, b_c)
            h = torch.sigmoid(o) * torch.tanh(shown)
            outputs.append(h)
        return torch.stack(outputs)

    x, weights = case.arrays()
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, *weights) if a is not None]
    run = compiled(loop)
    return _torch_work(case, lambda: run(*leaves), leaves)


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
