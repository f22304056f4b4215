"""Explained of any cell, one of the library or one's own: what its equations say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

import gated
from gated.cells import PerStep, PerUnit, cell, exp, library, linear, sigmoid, tanh
from gated.cells.affine import memory
from gated.cells.cell import Cell
from gated.errors import CellError, ConfigurationError
from gated.explain import diagnose, effect, entries, flow, ledger, trace

T, B, I, H = 9, 3, 4, 6  # noqa: E741
LENGTHS = [9, 4, 7]
LIBRARY = {
    name: of for name, of in vars(library).items() if isinstance(of, Cell) and not of.per_step
}


@cell(gates={"f": "forget_gate", "g": "g"})
def decaying(x: Any, h: Any, c: Any, *, p: PerUnit, elapsed: PerStep) -> Any:
    """A gate that sees the memory, which time wears out."""
    f = sigmoid(x.f + h.f + p.f * c)
    c = f * exp(-elapsed) * c + (1 - f) * tanh(x.g + linear(f * h).g)
    return tanh(c), c


def layer_of(of: Cell, **options: Any) -> gated.nn.Recurrent:
    torch.manual_seed(0)
    return gated.nn.Recurrent(of, I, H, dtype=torch.float64, **options).eval()


@pytest.mark.parametrize("name", LIBRARY)
def test_a_trace_is_what_the_equations_give(name: str) -> None:
    """Native values against torch's step by step, and what each gate's function is applied to."""
    layer = layer_of(LIBRARY[name], bidirectional=True)
    x = torch.randn(T, B, I, dtype=torch.float64)
    found = trace(layer, x, lengths=LENGTHS).layers
    layer.backend = "torch"
    _, _, gates = layer(x, lengths=LENGTHS, return_gates=True)
    for traced, wanted in zip(found, gates, strict=True):
        assert list(traced.values) == list(LIBRARY[name].named)
        for gate, value in traced.values.items():
            assert_agree(value, wanted[gate], gate)
        for gate, place in LIBRARY[name].gates.items():
            if LIBRARY[name].tape[place].operation == "tanh":
                assert_agree(np.tanh(traced.pre_activation(gate)), wanted[gate], gate)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_ledger_adds_up_to_the_state_or_is_refused(name: str) -> None:
    of = LIBRARY[name]
    layer, x = layer_of(of), torch.randn(T, B, I, dtype=torch.float64)
    traced = trace(layer, x, lengths=LENGTHS).layers[0]
    try:
        state = of.state_names[memory(of).state]
    except CellError:
        with pytest.raises(ConfigurationError, match=f"no state of {of.name} is a sum over the"):
            list(entries(traced))
        return
    for sequence, length in enumerate(LENGTHS):
        *_, last = entries(traced, sequence=sequence)
        assert last.step == length - 1
        assert_agree(
            last.written.sum(axis=0) + last.initial,
            traced.values[state][length - 1, sequence],
            state,
        )


def test_a_cell_of_ones_own_is_explained_like_any_other() -> None:
    layer = layer_of(decaying)
    x = torch.randn(T, B, I, dtype=torch.float64)
    elapsed = torch.rand(T, B, dtype=torch.float64)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x, elapsed=elapsed)[0]

    model = Model()
    traced = trace(model, x).layers[0]
    assert (traced.kind, traced.keeping_gate) == ("decaying", None)
    f, g, c = (traced.values[name] for name in ("forget_gate", "g", "cell"))
    before = np.concatenate([np.zeros_like(c[:1]), c[:-1]])
    worn = np.exp(-elapsed.numpy())[..., None]
    assert_agree(c, f * worn * before + (1 - f) * g, "cell")
    found = ledger(model, x, unit=2, step=5, sequence=1)
    kept = np.cumprod((f * worn)[5:0:-1, 1, 2])[::-1]
    assert_agree(found.kept, np.append(kept, 1.0), "kept")
    assert_agree(found.written, found.kept * ((1 - f) * g)[:6, 1, 2], "written")
    assert found.state == pytest.approx(found.written.sum(), abs=1e-12)
    assert found.hidden == pytest.approx(np.tanh(c[5, 1, 2]), abs=1e-12)

    held = effect(model, x, gate="forget_gate", value=0.0, step=3)
    changed = held.changed.layers[0].values
    assert_agree(
        changed["cell"][3], changed["g"][3], "with the gate shut the memory is what is written"
    )
    assert held.difference[:3].abs().max() < 1e-12
    assert held.difference[3:].abs().min() > 0

    followed = flow(model, x, lambda output: output[-1].square().sum())
    assert len(followed.layers[0].hidden) == T
    assert followed.layers[0].cell is not None
    assert isinstance(diagnose(model, [x], lambda output: output[-1].square().sum()), list)


@pytest.mark.parametrize("name", ["gru", "mgu", "lem", "slstm", "mogrifier", "janet"])
def test_gradients_of_states_are_those_of_autograd(name: str) -> None:
    layer, x = layer_of(LIBRARY[name]), torch.randn(T, B, I, dtype=torch.float64)
    found = flow(layer, x, lambda output: output[0][-1].square().sum(), samples=0).layers[0]
    layer.backend = "torch"
    states = [torch.zeros(1, B, H, dtype=torch.float64) for _ in LIBRARY[name].states]
    norms = []
    for t in range(T):  # the gradient of the states after step t, from a run that begins there
        after = states
        if t:
            _, hx = layer(x[:t], states if len(states) > 1 else states[0])
            after = [hx] if len(states) == 1 else list(hx)
        leaves = [state.detach().requires_grad_() for state in after]
        output, _ = layer(x[t:], tuple(leaves) if len(leaves) > 1 else leaves[0])
        grads = torch.autograd.grad(output[-1].square().sum(), leaves, allow_unused=True)
        norms.append(float(grads[0].norm()))
    assert_agree(found.hidden[:-1], np.array(norms[1:]), "hidden", relative=1e-6)


@cell
def mixing(x: Any, h: Any) -> Any:
    """A state that keeps half of itself, and half of its neighbours."""
    return 0.5 * h + 0.5 * (x.n + h.n)


@cell
def growing(x: Any, h: Any) -> Any:
    """A state times itself."""
    return h * h + sigmoid(x.n + h.n)


@pytest.mark.parametrize("of", [mixing, growing])
def test_a_state_that_is_no_sum_over_its_own_past_has_no_ledger(of: Cell) -> None:
    traced = trace(layer_of(of), torch.randn(T, B, I, dtype=torch.float64)).layers[0]
    with pytest.raises(ConfigurationError, match="hidden mixes its past between units, or mult"):
        list(entries(traced))


@cell
def named_otherwise(x: Any, h: Any) -> Any:
    """A gate that is the output under another name."""
    return tanh(x.n + h.n)


def test_what_the_model_does_with_its_output_does_not_reach_the_trace() -> None:
    found = trace(layer_of(named_otherwise), torch.randn(T, B, I, dtype=torch.float64))
    kept = {name: value.copy() for name, value in found.layers[0].values.items()}
    found.output[0].zero_()
    assert set(kept) == {"n", "hidden"}
    for name, value in kept.items():
        assert_agree(found.layers[0].values[name], value, name, relative=0)


def test_heads_are_looked_into() -> None:
    layer = gated.nn.Recurrent(library.lstm, 3, 6, heads=2)
    x = torch.randn(5, 2, 3)
    traced = gated.explain.trace(layer, x).layers[0]
    gate = traced.forget_gate
    assert_agree(gate, 1 / (1 + np.exp(-traced.pre_activation("forget_gate"))), "f", absolute=1e-6)
    found = gated.explain.ledger(layer, x, unit=4, step=3)
    assert abs(found.written.sum() + found.initial - found.state) < 1e-6
    span = gated.explain.flow(layer, x, lambda output: output[0].sum()).layers[0]
    assert span.jacobian is not None
    assert span.jacobian[1] > 0


def test_an_output_that_is_a_product_of_the_states_has_their_jacobians() -> None:
    layer = gated.nn.Recurrent(library.scrn, 3, 6)
    x = torch.randn(7, 2, 3)
    (found,) = flow(layer, x, lambda output: output[0][-1].sum()).layers
    assert found.jacobian is not None
    assert (found.jacobian > 0).all()
