"""Products of narrow numbers: every way that the processor has, compiled for each width."""

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
@pytest.mark.parametrize("program", ["pairs", "int8"])
@pytest.mark.parametrize(
    ("name", "width", "registers", "options"),
    [("baseline", 16, 16, ()), ("avx2", 32, 16, AVX2), ("avx512", 64, 32, AVX512)],
)
def test_products_are_right_in_every_way(
    tmp_path: Path, program: str, name: str, width: int, registers: int, options: tuple[str, ...]
) -> None:
    """Pairs of bfloat16 within their bound, whole numbers to the bit."""
    if sys.platform != "linux" or (compiler := shutil.which("c++")) is None:
        pytest.skip("needs Linux and a C++ compiler")
    if name not in native.instruction_sets():
        pytest.skip(f"this processor has no {name}")
    built = tmp_path / program
    sources = [ROOT / f"tests/native/{program}.cpp", ROOT / "native/processor.cpp"]
    target = {"GATED_TARGET": name, "GATED_VECTOR_BYTES": width, "GATED_REGISTERS": registers}
    options = (*options, *(f"-D{key}={value}" for key, value in target.items()))
    given = ["-std=c++20", "-O2", "-Wno-psabi", f"-I{ROOT / 'native'}", *options]
    subprocess.run([compiler, *given, *sources, "-o", built], check=True)
    said = subprocess.run([built], capture_output=True, text=True, check=False)
    ways = said.stdout.splitlines()
    assert ways[0] == "portable: 0 wrong"
    assert all(": 0 wrong" in way for way in ways), ways
    assert said.returncode == 0
