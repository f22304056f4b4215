"""The one door: cells beyond torch's, and what a backend cannot do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tests.comparison import assert_agree

import gated
from gated.core import native
from gated.core.layout import Weights
from gated.errors import ConfigurationError, MissingNativeError
from gated.nn import LayerCall, Variant, recurrence
from gated.nn.backends import chosen_backend


def reset_before(x: torch.Tensor, h: torch.Tensor, w: Weights[torch.Tensor]) -> torch.Tensor:
    """Cho et al. 2014, step by step, with torch's own gradients."""
    outputs = []
    for x_t in x:
        u_r, u_z, u_n = (x_t @ w.weight_ih.T + w.bias_ih).chunk(3, dim=-1)
        W_r, W_z, W_n = w.weight_hh.chunk(3)
        b_r, b_z, b_n = w.bias_hh.chunk(3)
        r = torch.sigmoid(u_r + h @ W_r.T + b_r)
        z = torch.sigmoid(u_z + h @ W_z.T + b_z)
        n = torch.tanh(u_n + (r * h) @ W_n.T + b_n)
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs)


def peephole_lstm(x: torch.Tensor, h: torch.Tensor, w: Weights[torch.Tensor]) -> torch.Tensor:
    """Gers and Schmidhuber 2000, likewise; the cell state starts at zero."""
    c = torch.zeros_like(h)
    p_i, p_f, p_o = w.peepholes
    outputs = []
    for x_t in x:
        sums = x_t @ w.weight_ih.T + w.bias_ih + h @ w.weight_hh.T + w.bias_hh
        a_i, a_f, a_c, a_o = sums.chunk(4, dim=-1)
        c_before = c
        c = torch.sigmoid(a_f + p_f * c_before) * c_before
        c = c + torch.sigmoid(a_i + p_i * c_before) * torch.tanh(a_c)
        h = torch.sigmoid(a_o + p_o * c) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize(
    ("cell", "gates", "by_torch"),
    [("gru_reset_before", 3, reset_before), ("lstm", 4, peephole_lstm)],
)
def test_cells_that_torch_has_not(cell: str, gates: int, by_torch: object) -> None:
    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    T, B, I, H = 5, 3, 4, 2  # noqa: E741
    weights = Weights(
        random(gates * H, I), random(gates * H, H), random(gates * H), random(gates * H)
    )
    if cell == "lstm":
        weights = weights._replace(peepholes=random(3, H))
    x, h = random(T, B, I), random(1, B, H)
    states = (h, torch.zeros_like(h)) if cell == "lstm" else (h,)
    leaves = [x, h, *(w for w in weights if w is not None)]

    def gradients(output: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad((output**2).sum(), leaves)

    output = recurrence(cell, x, states, [[weights]], backend="reference").output
    expected = by_torch(x, h[0], weights)
    assert_agree(output, expected, "output")
    assert_agree(gradients(output), gradients(expected), "gradients")


def test_what_a_backend_cannot_do_is_said() -> None:
    square, x, states = torch.zeros(3, 1), torch.zeros(1, 1, 1), (torch.zeros(1, 1, 1),)
    half = [[Weights(square.half(), square.half())]]
    whole = [[Weights(square.int(), square.int())]]
    with pytest.raises(ConfigurationError, match=r"float32 or float64, the weights are torch.fl"):
        recurrence("gru", x.half(), states, half, backend="reference")
    with pytest.raises(ConfigurationError, match=r"choose backend='torch'$"):
        recurrence("gru", x.int(), states, whole, backend="native")


def test_the_first_that_can_computes() -> None:
    ones = torch.ones(3, 1)
    plain, seeing = Weights(ones, ones), Weights(ones, ones, peepholes=ones)
    assert chosen_backend(None, "gru", ones, plain, Variant()) == "native"
    assert chosen_backend(None, "lstm", ones, seeing, Variant()) == "native"
    half = Weights(ones.half(), ones.half())
    assert chosen_backend(None, "gru", torch.ones(3, 3, 1).half(), half, Variant()) == "native"
    assert chosen_backend(None, "gru", torch.ones(4, 2, 1).half(), half, Variant()) == "torch"
    whole = Weights(ones.int(), ones.int())
    assert chosen_backend(None, "gru", ones.int(), whole, Variant()) == "torch"
    zones_out = Variant(zoneout=(0.1, 0.0))
    assert chosen_backend(None, "gru", ones.int(), whole, zones_out) == "torch"  # step by step


def test_without_the_extension_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingNativeError("not built")

    monkeypatch.setattr(native, "extension", missing)
    ones = torch.ones(3, 1)
    assert chosen_backend(None, "gru", ones, Weights(ones, ones), Variant()) == "torch"
    with pytest.raises(ConfigurationError, match="backend native is not built"):
        chosen_backend("native", "gru", ones, Weights(ones, ones), Variant())


def test_nothing_is_kept_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    from gated.core import reference

    kept = []
    run = reference.run

    def spy(*arguments: object, **options: object) -> reference.Forward:
        result = run(*arguments, **options)
        kept.append(result.kept)
        return result

    monkeypatch.setattr(reference, "run", spy)
    layer = torch.nn.Linear(1, 3)
    weights, x = [[Weights(layer.weight, torch.zeros(3, 1))]], torch.zeros(2, 1, 1)
    states = (torch.zeros(1, 1, 1),)
    recurrence("gru", x, states, weights, backend="reference")
    with torch.no_grad():
        recurrence("gru", x, states, weights, backend="reference")
    assert [part is None for part in kept] == [False, True]


def run_without_torch(statement: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.modules['torch'] = None; {statement}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_core_needs_no_torch_and_the_layers_say_what_to_install() -> None:
    core = run_without_torch("import gated.core.layout, gated.core.reference, gated.core.ops")
    assert core.returncode == 0, core.stderr
    layers = run_without_torch("import gated.nn")
    assert "MissingExtraError: torch is not installed" in layers.stderr
    assert "pip install 'gated[train]'" in layers.stderr


def test_layers_do_not_bring_torchs_compiler_which_takes_as_long_as_torch_to_import() -> None:
    code = """
import sys, torch, gated
theirs = torch.nn.LSTM(3, 4)
gated.accelerate(theirs)
for layer in (gated.nn.GRU(3, 4, num_layers=2), gated.nn.LSTMCell(3, 4), theirs):
    output, *_ = layer(torch.randn(2, 3))
    output.sum().backward()
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_observes_sees_each_layer_and_may_change_it_the_last_to_come_first() -> None:
    torch.manual_seed(0)
    layer, x = gated.nn.GRU(3, 4, num_layers=2, bidirectional=True), torch.randn(5, 2, 3)
    expected, seen = layer(x)[0], []

    def doubling(
        place: int, call: LayerCall, return_gates: bool, run: gated.nn.Run
    ) -> gated.nn.LayerResult:
        seen.append(("doubling", place, call.reverse, call.x.shape[2]))
        result = run(call, return_gates)
        return result._replace(output=2 * result.output) if place >= 2 else result

    def counting(
        place: int, call: LayerCall, return_gates: bool, run: gated.nn.Run
    ) -> gated.nn.LayerResult:
        seen.append(("counting", place, call.reverse, call.x.shape[2]))
        return run(call, return_gates)

    with gated.nn.observed(layer, doubling), gated.nn.observed(layer, counting):
        doubled = layer(x)[0]
    assert seen == [
        (who, place, place % 2 == 1, 3 if place < 2 else 8)
        for place in range(4)
        for who in ("counting", "doubling")
    ]
    assert_agree(doubled, 2 * expected, "output", relative=0)
    assert_agree(layer(x)[0], expected, "afterwards", relative=0)
    strange = gated.nn.observed(torch.nn.Linear(1, 1), counting)
    with pytest.raises(ConfigurationError, match="Linear cannot be observed"), strange:
        pass
