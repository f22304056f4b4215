"""The machine that a benchmark ran on, and what it could do."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

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


def described(threads: int) -> dict[str, object]:
    """What a result needs beside it to mean anything."""
    return {
        "processor": processor(),
        "instruction_set": native.instruction_set(),
        "threads": threads,
        "peak_gflops": round(peak(threads) / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load": os.getloadavg()[0],
    }
