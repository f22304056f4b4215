"""What a cell of one's own costs: `python -m benchmarks.own_cells [ROW ...]`.

Rows: `built-in`, the interpreter against the plan that the core was built with, of equal products;
`torchrecurrent`, cells of the library against that package's layers; `torchrl`, an LSTM that begins
anew in the middle of its sequences against TorchRL's, which cuts, pads and runs them; `define`,
what it takes to define a cell. Each is a training step, A and B in turns in one process; ratios are
of medians, with the 95 % interval of the median of the turns' ratios.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.machine import processor
from gated.cells import cell, library, sigmoid, tanh
from gated.cells.plan import plans
from gated.core import ops
from gated.core.layout import Weights, weight_shapes
from gated.nn import Recurrent

TURNS = 30
RESETS = 0.03
"""The share of steps at which an episode begins."""
PEERS = {
    "mgu": "MGU", "janet": "JANET", "ligru": "LiGRU", "ugrnn": "UGRNN", "atr": "ATR", "nbrc": "NBR",
    "cfn": "CFN", "mut1": "MUT1", "star": "STAR", "fast_rnn": "FastRNN", "indrnn": "IndRNN",
}  # fmt: skip

Work = Callable[[], Any]


def in_turns(
    ours: Work, theirs: Work, clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """The seconds that each takes, turn by turn, after one that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS + 1):
        for work, of in zip((ours, theirs), times, strict=True):
            begun = clock()
            work()
            if turn:
                of.append(clock() - begun)
    return times


def told(name: str, ours: list[float], theirs: list[float]) -> float:
    """Print a row; the ratio of theirs to ours."""
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    # Order statistics about the median: binomial, 95 %.
    half = round(0.98 * len(ratios) ** 0.5)
    low, high = (
        ratios[len(ratios) // 2 - half],
        ratios[min(len(ratios) // 2 + half, len(ratios) - 1)],
    )
    middle, a, b = statistics.median(ratios), statistics.median(ours), statistics.median(theirs)
    print(
        f"{name:44} {1e3 * a:9.2f} {1e3 * b:9.2f} {middle:8.2f}   {low:.2f} to {high:.2f}",
        flush=True,
    )
    return middle


def built_in() -> None:
    """One thread, by its own clock: what is computed, whoever else is on the machine."""
    print("cell, T·B·I·H                                 built-in interpreted   ratio   95 %")
    for name, T, B, I, H in (  # noqa: E741
        ("lstm", 100, 32, 64, 128),
        ("lstm", 100, 64, 256, 256),
        ("lstm", 100, 32, 32, 32),
        ("gru", 100, 32, 64, 128),
        ("gru", 100, 32, 32, 32),
    ):
        rng = np.random.default_rng(0)
        shapes = weight_shapes(name, I, H)[:4]
        weights = Weights(*(rng.normal(0, 0.1, shape).astype("f") for shape in shapes))
        x, grad = rng.normal(size=(T, B, I)).astype("f"), rng.normal(size=(T, B, H)).astype("f")

        def step(compiled: bool, name: str = name, given: Any = (x, weights, grad)) -> None:
            x, weights, grad = given
            ran = ops.forward(name, x, weights, keep=True, compiled=compiled, threads=1)
            ops.backward(ran.kept, grad, threads=1)

        times = in_turns(lambda: step(True), lambda: step(False), time.thread_time)
        told(f"{name} {T}·{B}·{I}·{H}", *times)


def against_torchrecurrent() -> None:
    """Whole training steps at 100·32·64·128, on all threads."""
    import torchrecurrent

    print("cell                                              gated      peer    ratio   95 %")
    ratios = []
    for name, theirs in PEERS.items():
        x = torch.randn(100, 32, 64)
        ours = Recurrent(getattr(library, name), 64, 128)
        other = getattr(torchrecurrent, theirs)(64, 128)
        ratios.append(
            told(name, *in_turns(training(ours, x), training(other, x), time.perf_counter))
        )
    print(f"median of {len(ratios)} cells: {statistics.median(ratios):.1f}")


def training(layer: Any, x: torch.Tensor, **given: Any) -> Work:
    """A training step of a layer."""

    def step() -> None:
        layer.zero_grad()
        layer(x, **given)[0].square().mean().backward()

    return step


def against_torchrl() -> None:
    """B = 128, T = 128, H = 256."""
    from tensordict import TensorDict
    from torchrl.modules import LSTMModule, set_recurrent_mode

    B, T, I, H = 128, 128, 64, 256  # noqa: E741
    x, begins = torch.randn(B, T, I), torch.rand(B, T) < RESETS
    begins[:, 0] = True
    ours = Recurrent(library.lstm, I, H, batch_first=True)
    module = LSTMModule(input_size=I, hidden_size=H, in_key="x", out_key="y")
    for mine, their in zip(ours.parameters(), module.parameters(), strict=True):
        their.data.copy_(mine.data)
    zeros = torch.zeros(B, T, 1, H)
    state = {"recurrent_state_h": zeros, "recurrent_state_c": zeros}
    given = TensorDict({"x": x, "is_init": begins[..., None], **state}, [B, T])
    with torch.no_grad(), set_recurrent_mode(True):
        same = torch.allclose(module(given.clone())["y"], ours(x, resets=begins)[0], atol=1e-5)

    def theirs() -> None:
        module.zero_grad()
        with set_recurrent_mode(True):
            module(given.clone())["y"].square().mean().backward()

    print("LSTM with resets                                  gated      peer    ratio   95 %")
    told(f"128·128·256, {RESETS:.0%} (equal results: {same})",
         *in_turns(training(ours, x, resets=begins), theirs, time.perf_counter))  # fmt: skip


def define() -> None:
    """What comes before the first step."""

    def defined() -> Any:
        @cell
        def own(x: Any, h: Any, c: Any) -> Any:
            i, f, o = sigmoid(x.i + h.i), sigmoid(x.f + h.f), sigmoid(x.o + h.o)
            c = f * c + i * tanh(x.g + h.g)
            return o * tanh(c), c

        return own

    seconds = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        plans(defined())
        seconds.append(time.perf_counter() - begun)
    print(f"a cell is defined and planned in {1e3 * statistics.median(seconds):.1f} ms")


ROWS: dict[str, Callable[[], None]] = {
    "built-in": built_in,
    "torchrecurrent": against_torchrecurrent,
    "torchrl": against_torchrl,
    "define": define,
}


def chosen(names: list[str]) -> Iterator[Callable[[], None]]:
    """The rows of these names, all without one."""
    for name in names or ROWS:
        if name not in ROWS:
            raise SystemExit(f"rows are {', '.join(ROWS)}, got {name}")
        yield ROWS[name]


if __name__ == "__main__":
    load = os.getloadavg()[0]
    print(f"{processor()}, {torch.get_num_threads()} threads, load {load:.1f}; ms a step")
    for row in chosen(sys.argv[1:]):
        row()
