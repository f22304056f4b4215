"""The configuration of Triton Inference Server for an exported network.

Where the network streams, the server keeps the states of each sequence ("implicit state" of its
sequence batcher), so that a client sends its steps alone.
"""

from __future__ import annotations

import json

from gated.live.emit_onnx import AFTER, OnnxExport

_TYPES = {"float32": "TYPE_FP32", "float64": "TYPE_FP64", "int64": "TYPE_INT64"}


def config(found: OnnxExport, name: str, *, batch: int = 64, idle_seconds: int = 60) -> str:
    """Return `config.pbtxt` of a model in the server's repository.

    Args:
        found: the network.
        name: of its directory.
        batch: sequences in one call at most.
        idle_seconds: after which the server forgets a sequence.
    """
    wide = "[ -1 ]" if found.codes else f"[ -1, {found.features} ]"
    kind = "int64" if found.codes else "float32"
    inputs = [_tensor("x", kind, wide)]
    if not found.streams:
        inputs.append(_tensor("lengths", "int64", "[ 1 ]", " reshape { shape: [ ] }"))
    out = f"[ -1, {found.outputs} ]" if found.steps else f"[ {found.outputs} ]"
    lines = [
        f"name: {json.dumps(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {batch}",
        f"input [ {', '.join(inputs)} ]",
        f"output [ {_tensor('prediction', 'float32', out)} ]",
    ]
    if not found.streams:
        return "\n".join([*lines, "dynamic_batching { }", ""])
    lines += [
        "sequence_batching {",
        f"  max_sequence_idle_microseconds: {idle_seconds * 1_000_000}",
        "  oldest { max_candidate_sequences: 1024 }",
    ]
    for of in found.states:
        shape = f"[ {', '.join(map(str, of.shape))} ]"
        lines += [
            "  state [ {",
            f"    input_name: {json.dumps(of.name)}",
            f"    output_name: {json.dumps(of.name + AFTER)}",
            f"    data_type: {_TYPES[of.dtype]}",
            f"    dims: {shape}",
            f'    initial_state: {{ name: "zeros" data_type: {_TYPES[of.dtype]} dims: {shape}',
            "      zero_data: true }",
            "  } ]",
        ]
    return "\n".join([*lines, "}", ""])


def _tensor(name: str, dtype: str, shape: str, more: str = "") -> str:
    return f"{{ name: {json.dumps(name)} data_type: {_TYPES[dtype]} dims: {shape}{more} }}"
