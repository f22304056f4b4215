"""The native core against torch, interleaved in one run: `python -m benchmarks.lstm`.

Prints a table; `--json FILE` appends a line for each row. Medians drift from machine to machine and
with what else runs there: the ratios are what counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from benchmarks.machine import described

from gated.core import ops
from gated.core.layout import LAYOUTS, Weights


class Case(NamedTuple):
    cell: str
    train: bool
    T: int
    B: int
    I: int  # noqa: E741
    H: int
    ragged: bool = False


CASES = [
    Case("lstm", False, 100, 32, 64, 128),
    Case("lstm", True, 100, 32, 64, 128),
    Case("lstm", True, 100, 64, 256, 256),
    Case("lstm", True, 50, 64, 1024, 1024),
    Case("lstm", True, 512, 16, 128, 256),
    Case("gru", True, 100, 32, 64, 128),
    Case("gru", True, 100, 1, 8, 32),
    Case("rnn_tanh", True, 100, 32, 64, 128),
    Case("lstm", True, 100, 32, 64, 128, ragged=True),
    Case("lstm", True, 2000, 16, 32, 64, ragged=True),
]
MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN}
REST = 0.02  # seconds; idle OpenMP threads keep a core busy for some milliseconds after each call


def contenders(case: Case, threads: int) -> tuple[Callable[[], None], Callable[[], None], float]:
    """Ours and torch's, on the same numbers, and the operations that the work takes."""
    module = MODULES[case.cell](case.I, case.H)
    x = torch.randn(case.T, case.B, case.I, requires_grad=case.train)
    weights: Weights[Any] = Weights(*(p.detach().numpy() for p in module.parameters()))
    lengths = None
    if case.ragged:
        lengths = np.random.default_rng(0).integers(case.T // 2, case.T + 1, case.B)
    grad = np.ones((case.T, case.B, case.H), np.float32)

    def ours() -> None:
        result = ops.forward(
            case.cell,
            x.detach().numpy(),
            weights,
            lengths=lengths,
            keep=case.train,
            threads=threads,
        )
        if result.kept is not None:
            ops.backward(result.kept, grad, threads=threads)

    def theirs() -> None:
        with torch.set_grad_enabled(case.train):
            given: Any = x
            if lengths is not None:
                spans = torch.from_numpy(lengths)
                given = torch.nn.utils.rnn.pack_padded_sequence(x, spans, enforce_sorted=False)
            output, _ = module(given)
            if lengths is not None:
                output, _ = torch.nn.utils.rnn.pad_packed_sequence(output)
            if case.train:
                output.backward(torch.ones_like(output))

    steps = case.T * case.B if lengths is None else int(lengths.sum())
    products = len(LAYOUTS[case.cell].gates) * case.H * (case.I + case.H)
    return ours, theirs, 2.0 * steps * products * (3 if case.train else 1)


def medians(runs: tuple[Callable[[], None], ...], seconds: float) -> list[float]:
    """The median time of each, one after the other until the time is used up."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(times[0]) < 3:
        for run, taken in zip(runs, times, strict=True):
            time.sleep(REST)
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row")
    parser.add_argument("--only", default="", help="rows that contain this text")
    parser.add_argument("--json", type=Path, help="append the results to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = described(options.threads) | {"torch": torch.__version__}
    print(json.dumps(machine))
    print(f"{'work':42} {'ours ms':>9} {'torch ms':>9} {'ratio':>6} {'GFLOP/s':>8} {'of peak':>8}")
    for case in CASES:
        name = f"{case.cell} {'train' if case.train else 'infer'} {'ragged ' * case.ragged}"
        name += f"T{case.T} B{case.B} I{case.I} H{case.H}"
        if options.only not in name:
            continue
        ours, theirs, operations = contenders(case, options.threads)
        mine, torchs = medians((ours, theirs), options.seconds)
        rate = operations / mine / 1e9
        share = rate / float(str(machine["peak_gflops"]))
        print(
            f"{name:42} {mine * 1e3:9.2f} {torchs * 1e3:9.2f} {torchs / mine:6.2f} {rate:8.0f}"
            f" {share:8.0%}",
            flush=True,
        )
        if options.json:
            row = case._asdict() | {"ours_ms": mine * 1e3, "torch_ms": torchs * 1e3}
            row |= {"ratio": torchs / mine, "gflops": rate, "of_peak": share, "machine": machine}
            with options.json.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
