"""Layers by Triton kernels against torch's operations, with every gradient.

Without a GPU the kernels run in Triton's interpreter (see tests/conftest.py); on one, the same
tests run there with TRITON_INTERPRET=0.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.comparison import assert_agree
from tests.per_step import per_step_of

import gated
from gated.cells import (
    Cell,
    PerStep,
    PerUnit,
    Scalar,
    absolute,
    cell,
    equal,
    exp,
    library,
    linear,
    log,
    maximum,
    mean,
    minimum,
    norm,
    relu,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    total,
    where,
)
from gated.errors import ConfigurationError
from gated.nn import triton_layers, triton_loops
from gated.nn.backends import chosen_backend

INTERPRETED = os.environ["TRITON_INTERPRET"] == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
    pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="needs a GPU"),
    # NumPy, which the interpreter computes with, warns of rows that have ended.
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
]


@cell
def timed(x, h, m, *, elapsed: PerStep, tau: PerUnit, gain: Scalar, rate=0.5):
    """Two states, an input for each step, parameters of both kinds, and an output apart."""
    faded = m * exp(-softplus(tau) * elapsed)
    m = rate * faded + (1 - rate) * tanh(x.a + h.a + m.a)
    h = sigmoid(x.b + h.b) * relu(m) + gain * elapsed
    return h - mean(h) + linear(h), h, m


@cell
def every_function(x, h):
    """All that the language has."""
    a, b = x.a + h.a, x.b + h.b
    n = norm(a) * sqrt(absolute(b) + 1) + log(1 + exp(minimum(a, b)))
    n = where(a < b, n, maximum(a, 0.5 * b)) / (1 + total(sigmoid(b)) ** 2)
    return tanh(n - h.n) + 0 * equal(a, b) + 0.1 * (b >= a)


LIBRARY = [of for of in vars(library).values() if isinstance(of, Cell)]


def layer_of(of: Cell, dtype: torch.dtype = torch.float64, **options: Any) -> gated.nn.Recurrent:
    return gated.nn.Recurrent(of, 3, 5, dtype=dtype, device=DEVICE, **options)


def random(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, device=DEVICE)


def results(layer: Any, backend: str, x: torch.Tensor, hx: Any = None, **given: Any) -> list[Any]:
    """Output, final states, gates and every gradient."""
    layer.backend = backend
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    output, final, *rest = layer(x, hx, **given)
    states = final if isinstance(final, tuple) else (final,)
    values = [value for layers in rest for gates in layers for value in gates.values()]
    loss = (output**2).sum() + sum((state * state.cos()).sum() for state in (*states, *values))
    starts = hx if isinstance(hx, tuple) else () if hx is None else (hx,)
    others = [of for of in given.values() if isinstance(of, torch.Tensor) and of.requires_grad]
    wanted = [x, *layer.parameters(), *starts, *others]
    return [output, *states, *values, *torch.autograd.grad(loss, wanted, materialize_grads=True)]


def assert_same(layer: Any, x: torch.Tensor, hx: Any = None, **given: Any) -> None:
    found, wanted = (results(layer, name, x, hx, **given) for name in ("triton", "torch"))
    tight = {"relative": 1e-8, "absolute": 1e-9} if x.dtype == torch.float64 else {}
    assert_agree(found, wanted, layer.cell.name, **tight)


@pytest.mark.parametrize("of", LIBRARY, ids=lambda of: of.name)
def test_every_cell_of_the_library(of: Cell) -> None:
    given = per_step_of(of, 2, 2, inputs=3, units=5, device=DEVICE, requires_grad=True)
    assert_same(layer_of(of), random(2, 2, 3), lengths=[1, 2], **given)


@pytest.mark.parametrize("of", [library.lstm, timed, every_function], ids=lambda of: of.name)
def test_layers_that_read_both_ways_from_given_states(
    of: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_loops, "LONGEST_BLOCK", 4)  # of five units: two blocks
    layer = layer_of(of, num_layers=2, bidirectional=True)
    hx = tuple(random(4, 3, 5).requires_grad_() for _ in of.states)
    given: dict[str, Any] = {name: random(3, 3).abs().requires_grad_() for name in of.per_step}
    assert_same(layer, random(3, 3, 3), hx if len(hx) > 1 else hx[0], lengths=[3, 0, 2], **given)


OPTIONS: dict[str, dict[str, Any]] = {
    "layer_norm": {"layer_norm": True},
    "no biases": {"layer_norm": True, "bias": False},
    "projected": {"proj_size": 2},
    "zoneout": {"zoneout": (0.3, 0.4)},
    "dropped": {"recurrent_dropout": 0.4, "weight_drop": 0.3},
    "everything": {"layer_norm": True, "zoneout": (0.3, 0.4), "recurrent_dropout": 0.4},
    "recompute": {"recompute": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options(options: dict[str, Any]) -> None:
    layer = layer_of(library.lstm, torch.float32, **options)
    x = random(3, 2, 3, dtype=torch.float32)
    assert_same(layer, x, lengths=[2, 3])
    if "zoneout" in options:
        assert_same(layer.eval(), x)


def test_resets_and_heads() -> None:
    resets = torch.tensor([[0, 1], [1, 0], [0, 0]], device=DEVICE)
    layer = gated.nn.Recurrent(library.gru, 3, 6, heads=2, bidirectional=True, device=DEVICE)
    assert_same(layer, random(3, 2, 3, dtype=torch.float32), resets=resets)


@pytest.mark.parametrize("of", [library.gru, library.lstm, timed], ids=lambda of: of.name)
def test_losses_that_read_gates(of: Cell) -> None:
    given = {name: random(3, 2).abs() for name in of.per_step}
    layer = layer_of(of, bidirectional=True)
    assert_same(layer, random(3, 2, 3), return_gates=True, lengths=[1, 3], **given)


def test_layers_with_the_names_of_torch() -> None:
    layer = gated.nn.LSTM(3, 5, layer_norm=True, peepholes=True, device=DEVICE)
    layer.cell = library.lstm_peephole
    assert_same(layer, random(2, 2, 3, dtype=torch.float32))


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (1, 1)], ids=str)
def test_no_steps_and_no_sequences(shape: tuple[int, int]) -> None:
    assert_same(layer_of(library.janet), random(*shape, 3), random(1, shape[1], 5).requires_grad_())


def test_padding_is_not_read() -> None:
    layer = layer_of(library.gru_reset_before, bidirectional=True)
    x, lengths = random(3, 2, 3), [1, 3]
    wanted = results(layer, "triton", x, lengths=lengths)
    x[1:, 0] = torch.nan
    assert_agree(results(layer, "triton", x, lengths=lengths), wanted, "padding", relative=0)


def test_nan_stays_in_its_sequence() -> None:
    layer = layer_of(every_function, backend="triton")
    x = random(2, 2, 3)
    x[0, 0, 0] = torch.nan
    output = layer(x)[0]
    assert output[:, 0].isnan().all()
    assert output[:, 1].isfinite().all()


def test_half_precision_computes_in_float32() -> None:
    layer = layer_of(library.lstm, torch.float16)
    x = random(3, 2, 3, dtype=torch.float16)
    output = results(layer, "triton", x)[0]
    assert output.dtype == torch.float16
    wanted = results(layer.float(), "torch", x.float())[0]
    assert_agree(output.float(), wanted, "output", relative=4e-3, absolute=4e-3)


def test_tanh_has_its_digits_near_zero() -> None:
    layer = gated.nn.Recurrent(library.rnn_tanh, 1, 1, bias=False, backend="triton", device=DEVICE)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.fill_(0)
    x = torch.tensor([-1e-6, 1e-3, -0.09, 0.1, 0.11, 1.0, -5.0, 100.0], device=DEVICE)
    output = layer(x.view(1, -1, 1))[0]
    assert_agree(output.view(-1), x.tanh(), "tanh", relative=1e-6, absolute=0)


def test_kernels_compile_for_a_gpu() -> None:
    """By Triton's own compiler, which allows less than its interpreter."""
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    code = [sys.executable, "-c", COMPILES]
    done = subprocess.run(code, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["*fp32", "step1", "*bf16", "step0", "*fp64", "step0", "step1"]


COMPILES = """
import triton
from triton import language
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gated.cells import library, options
from gated.nn.triton_loops import steps_of

for cell, which, pointer in (
    (library.slstm, "training", "*fp32"),
    (options.layer_norm(library.gru), "backward", "*bf16"),
    (options.resets(library.rnn_tanh), "backward", "*fp64"),
):
    steps = steps_of(cell, which)
    print(pointer)
    for kernel in filter(None, steps.kernels.of_stage):
        types = dict.fromkeys(kernel.arrays, pointer) | {"running": "*u8"}
        constants = {"H": 30, "I": 20, "P": 30, "BLOCK": 32}
        constants["DTYPE"] = language.float64 if pointer == "*fp64" else language.float32
        types |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(steps.functions[kernel.name], types, constants)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
        assert ".target sm_90" in made.asm["ptx"]
        print(kernel.name)
"""


class Graph:
    """What CUDA does: the same launches once more, on the same memory."""

    def __init__(self, every_step: Callable[[], None]) -> None:
        self.replay = every_step


@pytest.mark.parametrize("of", [library.gru_reset_before, timed], ids=lambda of: of.name)
def test_loops_that_last_take_what_each_call_brings(
    of: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    if INTERPRETED:
        captured = []
        monkeypatch.setattr(triton_loops, "_captured", lambda of: captured.append(of) or Graph(of))
        monkeypatch.setattr(
            triton_loops, "_key", lambda steps, given: (steps.cell, steps.which, given.reverse)
        )
    triton_loops.loops_by_key.clear()
    layer = layer_of(of, bidirectional=True)
    calls = []
    for lengths in ([2, 1], [1, 2], [2, 2], [1, 1]):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(0.9)
        given: dict[str, Any] = {name: random(2, 2).abs() for name in of.per_step}
        given["lengths"] = lengths
        x = random(2, 2, 3)
        calls.append([results(layer, name, x, **given) for name in ("triton", "torch")])
    for found, wanted in calls:  # after all: nobody's results were overwritten
        assert_agree(found, wanted, of.name, relative=1e-8, absolute=1e-9)
    loops = list(triton_loops.loops_by_key.values())
    assert len(loops) == 4  # two directions, forward and back
    assert all(loop.graph is not None for loop in loops)
    if INTERPRETED:
        assert len(captured) == 4


@pytest.mark.skipif(not INTERPRETED, reason="needs a machine that has no graphs")
def test_without_graphs_steps_are_launched_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_loops, "_key", lambda steps, given: steps.which)
    triton_loops.loops_by_key.clear()
    layer, inputs = layer_of(library.rnn_tanh), [random(1, 2, 3) for _ in range(4)]
    layer.requires_grad_(False).backend = "triton"
    with pytest.warns(UserWarning, match="without a graph: .*CUDAGraph") as said:
        found = [layer(x)[0] for x in inputs]
    assert len(said) == 1
    layer.backend = "torch"
    assert_agree(found, [layer(x)[0] for x in inputs], "outputs")
    triton_loops.loops_by_key.clear()


def test_loops_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_loops, "LOOPS", 2)
    monkeypatch.setattr(triton_loops, "_key", lambda steps, given: (steps.which, len(given.x)))
    triton_loops.loops_by_key.clear()
    layer = layer_of(library.rnn_tanh, backend="triton")
    with torch.no_grad():
        for T in (1, 2, 3):
            layer(random(T, 1, 3))
    assert list(triton_loops.loops_by_key) == [("inference", 2), ("inference", 3)]
    triton_loops.loops_by_key.clear()


def test_second_derivatives_are_refused() -> None:
    layer = layer_of(library.gru, backend="triton")
    x = random(1, 1, 3).requires_grad_()
    with pytest.raises(ConfigurationError, match="which only backend='torch' has"):
        torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)


def test_who_computes_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    x: Any = SimpleNamespace(device=torch.device("cuda"))  # which the machine may not have

    def chosen(of: Cell, seen: bool = False, **options: Any) -> str:
        layer = gated.nn.Recurrent(of, 3, 5, **options)
        weights = layer._weights()[0][0]
        return chosen_backend(None, layer._cell_for({}), x, weights, layer.variant, seen)

    assert chosen(library.lstm) == "torch"  # cuDNN
    assert chosen(library.lstm, seen=True) == "triton"
    assert chosen(library.lstm, layer_norm=True) == "triton"
    assert chosen(library.lstm, zoneout=0.1) == "triton"
    assert chosen(library.lstm, dtype=torch.complex64) == "torch"
    assert chosen(library.janet) == "triton"
    monkeypatch.setattr(triton_layers, "is_there", lambda: False)
    assert chosen(library.janet) == "torch"


def test_on_the_cpu_only_the_interpreter_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    layer = gated.nn.Recurrent(library.janet, 3, 5, backend="triton")
    with pytest.raises(ConfigurationError, match=r"triton computes on a GPU.*choose backend='nat"):
        layer(torch.zeros(1, 1, 3))
