"""Shared libraries and WebAssembly: what is built predicts what the runtime does."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.live.programs import causal, model, random
from tests.live.test_c import needs_a_compiler

from gated.cli.app import run
from gated.errors import ProgramError
from gated.live import building
from gated.live.building import compiler, shared_library, web_assembly
from gated.live.model import Model, write
from gated.live.program import Writer

NAME = f"libnet{ {'darwin': '.dylib', 'win32': '.dll'}.get(sys.platform, '.so') }"


def of_codes() -> Model:
    writer = Writer("codes", 5)
    rows = writer.add("embedding", writer.input, weight="e.weight")
    shares = writer.add("softmax", writer.add("linear", rows, weight="h.weight"))
    arrays = random(1, e__weight=(5, 3), h__weight=(4, 3))
    return model(writer.program("probabilities", shares, labels=["a", '"', "\n", "é"]), arrays)


@needs_a_compiler
def test_a_shared_library_is_called_from_python(tmp_path: Path, capsys) -> None:
    values, arrays = causal()
    of = model(values, arrays)
    write(tmp_path / "run", values, arrays)
    out = tmp_path / NAME
    command = ["export", str(tmp_path / "run"), "--to", "lib", "--out", str(out)]
    assert run(command) == 0
    assert "Self-test: 8 predictions, off by at most" in " ".join(capsys.readouterr().out.split())
    assert "net_push" in (tmp_path / "net.h").read_text()
    library = ctypes.CDLL(str(out))
    state = ctypes.create_string_buffer(library.net_state_size())
    library.net_begin(state)
    features, outputs = of.program.input.form.features, of.program.output.form.features
    numbers = ctypes.POINTER(ctypes.c_float)
    found = np.zeros(outputs, np.float32)
    stream = of.stream()
    for x in np.random.default_rng(0).normal(size=(9, features)).astype(np.float32):
        given = library.net_push(state, x.ctypes.data_as(numbers), found.ctypes.data_as(numbers))
        expected = stream.push(x)
        assert bool(given) == (expected is not None)
        if expected is not None:
            assert np.allclose(found, expected, rtol=0, atol=1e-4)
    assert run(command) == 2
    assert "exists already" in capsys.readouterr().err


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_where_there_is_no_compiler_it_says_what_to_install(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "run", *causal())
    without(monkeypatch)
    for to, name in (("lib", NAME), ("wasm", "net.wasm")):
        assert (
            run(["export", str(tmp_path / "run"), "--to", to, "--out", str(tmp_path / name)]) == 2
        )
        assert "pip install ziglang" in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / name).exists()


def test_the_package_ziglang_compiles_where_the_system_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "ziglang" or None)
    assert compiler() == compiler(wasm=True) == [sys.executable, "-m", "ziglang", "cc"]


@needs_a_compiler
def test_nothing_is_built_of_what_fails_its_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gated.live.emit_c.CLOSE", -1.0)
    with pytest.raises(ProgramError, match="failed with status 1, so nothing was written: 24 pred"):
        shared_library(of_codes(), "net")


@needs_a_compiler
def test_what_a_compiler_says_is_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "FLAGS", ("-not-an-option",))
    with pytest.raises(ProgramError, match="not-an-option"):
        shared_library(of_codes(), "net")


USE = """\
import { readFile } from "node:fs/promises";
import { labels, load } from "./net.mjs";
const bytes = await readFile("net.wasm"), network = await load(bytes);
const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
const streams = Array.from({ length: 500 }, () => network.stream());
const first = [...streams[0].push(3)], last = [...streams.at(-1).push(3)];
streams[0].close();
let closed = "";
try { streams[0].push(3); } catch (error) { closed = error.message; }
const again = network.stream();
console.log(JSON.stringify({ imports, labels, first, last, again: [...again.push(3)], closed }));
"""


@pytest.mark.skipif(
    not (importlib.util.find_spec("ziglang") or shutil.which("zig")) or not shutil.which("node"),
    reason="no ziglang, or no node",
)
def test_web_assembly_runs_in_node(tmp_path: Path) -> None:
    of = of_codes()
    assert web_assembly(model(*causal()), "net")[2].startswith("8 predictions, off by at")
    data, script, found = web_assembly(of, "net")
    assert found.startswith("24 predictions, off by at most")
    (tmp_path / "net.wasm").write_bytes(data)
    (tmp_path / "net.mjs").write_text(script)
    (tmp_path / "use.mjs").write_text(USE)
    done = subprocess.run(
        ["node", "use.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    told = json.loads(done.stdout)
    assert told["labels"] == list(of.labels)
    assert told["imports"] == []
    assert told["closed"] == "this stream is closed"
    for name in ("first", "last", "again"):
        assert np.allclose(told[name], of.stream().push(3), rtol=0, atol=1e-6)
