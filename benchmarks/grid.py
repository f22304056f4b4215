"""Layers of gated.nn beside torch.nn's, from one step on: `python -m benchmarks.grid`.

RNN, GRU and LSTM; inference and training; T, B and H; one and two threads. Both have the same
weights and run in turns in one process; a row is the median of the turns' ratios, torch's time over
ours, with its 95 % interval. The last lines count the rows that are behind: those whose interval
lies wholly below 0.97.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import gated
from benchmarks.machine import processor

KINDS = ("RNN", "GRU", "LSTM")
STEPS, SEQUENCES, UNITS, THREADS = (1, 4, 16, 64), (1, 8, 64), (32, 128, 512), (1, 2)
BEHIND = 0.97


def work_of(layer: torch.nn.Module, x: torch.Tensor, train: bool) -> Callable[[], Any]:
    """What is timed: a call, or one with its gradients."""

    def infer() -> None:
        with torch.no_grad():
            layer(x)

    def learn() -> None:
        layer(x)[0].sum().backward()

    return learn if train else infer


def ratios(
    ours: Callable[[], Any], theirs: Callable[[], Any], turns: int, at_least: float = 1e-3
) -> list[float]:
    """Torch's time over ours, turn by turn; a turn takes each for so many seconds or more."""
    for work in (ours, theirs):
        work()
    begun = time.perf_counter()
    ours()
    times = max(1, int(at_least / (time.perf_counter() - begun)))

    def seconds(work: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        for _ in range(times):
            work()
        return time.perf_counter() - begun

    return [1 / (seconds(ours) / seconds(theirs)) for _ in range(turns)]


def interval(values: list[float]) -> tuple[float, float, float]:
    """The median, and the order statistics that hold it in 95 % of cases (binomial)."""
    ordered = sorted(values)
    half = round(0.98 * len(ordered) ** 0.5)
    middle = len(ordered) // 2
    return statistics.median(ordered), ordered[middle - half], ordered[middle + half]


def main() -> None:
    """Print a row for each place of the grid, and how many are behind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name holds this, such as 'T=1 '")
    parser.add_argument("--turns", type=int, default=30)
    arguments = parser.parse_args()
    print(f"{processor()}; {arguments.turns} turns")
    medians, behind = [], []
    for threads, train, kind, T, B, H in itertools.product(
        THREADS, (False, True), KINDS, STEPS, SEQUENCES, UNITS
    ):
        name = f"{kind} {'train' if train else 'infer'} T={T} B={B} H={H} threads={threads}"
        if arguments.only not in name:
            continue
        torch.set_num_threads(threads)
        theirs = getattr(torch.nn, kind)(H, H)
        ours = getattr(gated.nn, kind)(H, H)
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(T, B, H)
        works = (work_of(layer, x, train) for layer in (ours, theirs))
        median, low, high = interval(ratios(*works, arguments.turns))
        print(f"{name}: {median:.2f} ({low:.2f} to {high:.2f})", flush=True)
        medians.append(median)
        if high < BEHIND:
            behind.append(name)
    if medians:
        print(f"median {statistics.median(medians):.2f} of {len(medians)}; behind: {len(behind)}")
        print(*behind, sep="\n")


if __name__ == "__main__":
    main()
