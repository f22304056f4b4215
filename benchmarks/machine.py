"""The machine that a benchmark ran on, and what it could do."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gated.core import native


def processor() -> str:
    """The name the processor gives itself."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak(threads: int) -> float:
    """Operations a second of fused multiplications and additions in registers, best of five."""
    core = native.extension()
    rounds, best = 2_000_000, 0.0
    for _ in range(5):
        begin = time.perf_counter()
        operations = core.probe(rounds, threads)
        best = max(best, operations / (time.perf_counter() - begin))
    return float(best)


def bandwidth(count: int) -> float:
    """Bytes a second that one thread reads of so many float32 numbers, again and again."""
    core = native.extension()
    array, best = np.ones(count, np.float32), 0.0
    rounds = max(1, 20_000_000 // count)
    for _ in range(20):
        begin = time.perf_counter()
        core.read_through(array, rounds)
        best = max(best, 4.0 * count * rounds / (time.perf_counter() - begin))
    return best


def described(threads: int | None) -> dict[str, Any]:
    """What a result needs beside it to mean anything."""
    threads = threads or native.threads()
    peers = ("torch", "onnxruntime", "openvino", "jax")
    return {
        "processor": processor(),
        "instruction_set": native.instruction_set(),
        "threads": threads,
        "peak_gflops": round(peak(threads) / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **{peer: version(peer) for peer in peers if importlib.util.find_spec(peer)},
        "load": os.getloadavg()[0],
    }
