"""Products of pairs of bfloat16: every way that the processor has, compiled for each width."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gated.core import native

ROOT = Path(__file__).parents[2]
AVX2 = ("-mavx2", "-mfma")
AVX512 = ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "registers", "options"),
    [("baseline", 16, 16, ()), ("avx2", 32, 16, AVX2), ("avx512", 64, 32, AVX512)],
)
def test_pairs_are_multiplied_within_their_bound_in_every_way(
    tmp_path: Path, name: str, width: int, registers: int, options: tuple[str, ...]
) -> None:
    if sys.platform != "linux" or (compiler := shutil.which("c++")) is None:
        pytest.skip("needs Linux and a C++ compiler")
    if name not in native.instruction_sets():
        pytest.skip(f"this processor has no {name}")
    program = tmp_path / "pairs"
    sources = [ROOT / "tests/native/pairs.cpp", ROOT / "native/processor.cpp"]
    target = {"GATED_TARGET": name, "GATED_VECTOR_BYTES": width, "GATED_REGISTERS": registers}
    options = (*options, *(f"-D{key}={value}" for key, value in target.items()))
    given = ["-std=c++20", "-O2", "-Wno-psabi", f"-I{ROOT / 'native'}", *options]
    subprocess.run([compiler, *given, *sources, "-o", program], check=True)
    said = subprocess.run([program], capture_output=True, text=True, check=False)
    ways = said.stdout.splitlines()
    assert ways[0] == "portable: 0 wrong"
    assert all(way.endswith(": 0 wrong") for way in ways), ways
    assert said.returncode == 0
