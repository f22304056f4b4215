"""The machine that a benchmark ran on, and what it could do."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from importlib.metadata import version
from itertools import chain
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


def bandwidth(size: int) -> float:
    """Bytes a second that one thread reads of so many bytes, again and again."""
    core = native.extension()
    array, best = np.ones(size // 4, np.float32), 0.0
    rounds = max(1, 80_000_000 // size)
    for _ in range(20):
        begin = time.perf_counter()
        core.read_through(array, rounds)
        best = max(best, array.nbytes * rounds / (time.perf_counter() - begin))
    return best


NARROW = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"),
}
"""The instructions for products of narrow numbers, as Linux names them."""


def narrow_instructions() -> dict[str, list[str]]:
    """Which of `NARROW` this processor has; none where the system does not say."""
    information = Path("/proc/cpuinfo")
    words = set(information.read_text().split()) if information.exists() else set()
    return {of: [name for name in names if name in words] for of, names in NARROW.items()}


def described(threads: int | None) -> dict[str, Any]:
    """What a result needs beside it to mean anything."""
    threads = threads or native.threads()
    peers = ("torch", "onnxruntime", "openvino", "jax")
    return {
        "processor": processor(),
        "instruction_set": native.instruction_set(),
        "for_narrow_numbers": " ".join(chain(*narrow_instructions().values())) or "none",
        "threads": threads,
        "peak_gflops": round(peak(threads) / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **{peer: version(peer) for peer in peers if importlib.util.find_spec(peer)},
        "load": os.getloadavg()[0],
    }
