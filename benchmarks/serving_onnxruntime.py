"""The server of `gated serve` with onnxruntime behind it, in place of our runtime.

The model is exported, with its states as inputs and outputs; all else is the same code:
`python -m benchmarks.serving_onnxruntime RUN --streams 1000`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from gated.cli.listening import address, listen
from gated.live import Model, Stream, load
from gated.live.emit_onnx import AFTER, source
from gated.live.layer import State
from gated.serve.bounds import Bounds
from gated.serve.live.server import MORE, StreamBounds, create_server


class InOnnxruntime(Model):
    """A model whose steps onnxruntime computes, those of many streams in one run.

    Args:
        model: of one prediction for a sequence.
        threads: of onnxruntime.
    """

    def __init__(self, model: Model, threads: int) -> None:
        super().__init__(model.program, model._arrays, model.task)
        found = source(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            found.data, options, providers=["CPUExecutionProvider"]
        )
        self.kept = found.states
        self.results = ["prediction", *(of.name + AFTER for of in found.states)]

    def begin(self, sequences: int) -> list[State]:
        return [tuple(np.zeros((sequences, *of.shape), of.dtype) for of in self.kept)]

    def push(self, streams: Sequence[Stream], xs: Sequence[Any]) -> list[Any]:
        given = {"x": np.array(xs, np.float32)[:, None]}
        for place, state in enumerate(self.kept):
            given[state.name] = np.concatenate([of.states[0][place] for of in streams])
        predictions, *after = self.session.run(self.results, given)
        for row, stream in enumerate(streams):
            stream.states = [tuple(of[row : row + 1].copy() for of in after)]
            stream.steps += 1
        return list(predictions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--wait", type=float, default=0, help="milliseconds")
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime")
    options = parser.parse_args()
    server = create_server(
        InOnnxruntime(load(options.run), options.threads),
        options.run / "onnxruntime.sqlite",
        Bounds(rate=1e6, connections=options.streams + MORE),
        StreamBounds(most=options.streams, wait=options.wait / 1_000, rate=1e6),
    )
    with listen("127.0.0.1", 0) as listener:
        print(address(listener), flush=True)
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
