"""The compiled extension: its threads, its instruction sets, and what happens without it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gated.cells.compiled import COMPILED, NORMALISED, TANGENTS
from gated.cells.emit_cpp import listed_plan
from gated.cells.plans import plans
from gated.core import native, ops
from gated.core.layout import Weights
from gated.errors import ConfigurationError, MissingNativeError


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="threads must be at least 1, got 0"):
        native.set_threads(0)
    with pytest.raises(ConfigurationError, match=r"one that this processor has .*, got 'mmx'"):
        native.set_instruction_set("mmx")


def test_threads_are_what_was_set_or_what_the_process_may_use() -> None:
    native.set_threads(3)
    assert native.threads() == 3
    native.set_threads(None)
    assert 1 <= native.threads() <= len(os.sched_getaffinity(0))


def test_callers_side_by_side_get_their_own_results() -> None:
    random = np.random.default_rng(0)
    weights = Weights(*(random.random((256, n), np.float32) - 0.5 for n in (30, 64)))
    xs = [random.standard_normal((30, 8, 30), np.float32) for _ in range(12)]

    def run(x: np.ndarray) -> np.ndarray:
        return ops.forward("lstm", x, weights, threads=2).output

    alone = [run(x) for x in xs]
    with ThreadPoolExecutor(4) as callers:
        together = list(callers.map(run, xs))
    for ours, theirs in zip(alone, together, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_forked_child_builds_its_own_threads() -> None:
    """The parent's threads do not follow into the child; a pool that waits for them would hang."""
    done = run_python("""
import os, sys, warnings
import numpy as np
from gated.core import native, ops
from gated.core.layout import Weights
native.set_threads(2)
random = np.random.default_rng(0)
x = random.standard_normal((20, 16, 32), np.float32)
weights = Weights(random.random((256, 32), np.float32), random.random((256, 64), np.float32))
before = ops.forward("lstm", x, weights).output
warnings.simplefilter("ignore")
child = os.fork()
same = np.array_equal(before, ops.forward("lstm", x, weights).output)
if child == 0:
    os._exit(0 if same else 3)
print(same, os.waitpid(child, 0)[1])
""")
    assert done.stdout.split() == ["True", "0"], done.stderr


def test_torch_and_the_core_share_threads_and_a_forked_child_has_its_own() -> None:
    """With OpenMP's threads in the parent: a child that asked OpenMP for them would hang."""
    done = run_python("""
import os, warnings
import torch, gated.nn
from gated.core import native
torch.set_num_threads(2)
print(native.share_threads("libtorch_cpu.so"), native.share_threads("libnobody.so"))
layer = gated.nn.LSTM(32, 64, backend="native")
x = torch.randn(20, 16, 32)
def step():
    layer.zero_grad()
    layer(x)[0].sum().backward()
    return layer.weight_hh_l0.grad.clone()
before = step()
torch.set_num_threads(1)
alone = step()
torch.set_num_threads(2)
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    torch.set_num_threads(1)  # as data loaders do: torch's own operators would hang
    native.set_threads(2)
    kept = gated.core.ops.forward("lstm", x.numpy(), gated.core.ops.Weights(
        *(w.detach().numpy() for w in layer.parameters())), threads=2)
    os._exit(0 if torch.equal(torch.from_numpy(kept.output), layer(x)[0]) else 3)
print(torch.equal(before, alone), torch.equal(before, step()), os.waitpid(child, 0)[1])
""")
    assert done.stdout.split() == ["True", "False", "True", "True", "0"], done.stderr


def test_the_environment_chooses_the_instruction_set() -> None:
    code = "from gated.core import native; print(native.instruction_set())"
    for name in native.instruction_sets():
        assert run_python(code, GATED_ISA=name).stdout.strip() == name
    refused = run_python(code, GATED_ISA="mmx")
    assert refused.returncode != 0
    assert "ConfigurationError: GATED_ISA=mmx" in refused.stderr


def test_the_formats_say_what_computes_them() -> None:
    within = {"avx_vnni": "avx2", "dotprod": "baseline"}
    used = native.instruction_set()
    try:
        for name in native.instruction_sets():
            native.set_instruction_set(name)
            formats = native.formats()
            multiplies_pairs = name in ("avx512_bf16", "amx")
            has_vnni = multiplies_pairs or name == "avx512_vnni"
            assert formats["float32"] == ("avx512" if has_vnni else within.get(name, name))
            assert formats["bfloat16"] == (name if multiplies_pairs else "float32")
            expected = name if name in within else "whole numbers"
            assert formats["bfloat16x3"] == ("amx" if name == "amx" else formats["float32"])
            assert formats["int8"] == ("avx512_vnni" if has_vnni else expected)
    finally:
        native.set_instruction_set(used)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other ways")
def test_a_training_step_takes_no_pages_that_one_before_gave_back() -> None:
    done = run_python("""
import resource, torch, gated
layer, x = gated.nn.RNN(64, 128), torch.randn(100, 32, 64, requires_grad=True)
def pages(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        for leaf in (x, *layer.parameters()):
            leaf.grad = None
        output = layer(x)[0]
        output.backward(torch.ones_like(output))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
pages(30)
print(pages(20) / 20)
""")
    # 5 MB are 1,200 pages.
    assert float(done.stdout) < 100, done.stderr


def test_a_missing_extension_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gated._native", None)
    native.extension.cache_clear()
    with pytest.raises(MissingNativeError, match="pip install gated"):
        native.instruction_sets()
    monkeypatch.undo()
    assert "baseline" in native.instruction_sets()


def test_the_common_cells_are_compiled_whole() -> None:
    for cell in (*COMPILED, *NORMALISED, *TANGENTS):
        of = plans(cell)
        of_gates = () if cell in TANGENTS else (of.backward_of_gates,)
        for plan in (of.inference, of.training, of.backward, *of_gates):
            segments = sum(len(stage.segments) for stage in plan.stages)
            assert native.extension().Plan(*listed_plan(plan)).compiled == segments > 0, cell.name
            assert native.extension().Plan(*listed_plan(plan, compiled=False)).compiled == 0
