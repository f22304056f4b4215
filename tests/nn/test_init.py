"""Initial values for long memories: layers remember for as long as was asked."""

from __future__ import annotations

import math

import pytest
import torch

import gated
from gated.cells import Cell, cell, library, sigmoid, tanh
from gated.errors import ConfigurationError
from gated.nn import init
from gated.nn.recurrent import Recurrent


@pytest.mark.parametrize(
    ("of", "roles"),
    [
        (library.lstm, {"f": "keeps", "i": "writes"}),
        (library.gru, {"z": "keeps"}),
        (library.janet, {"f": "keeps"}),
        (library.mgu, {"f": "replaces"}),
        (library.lem, {"b": "replaces", "a": "replaces"}),
        (library.mogrifier, {"f": "keeps", "i": "writes"}),
        (library.wmc_lstm, {"f": "keeps", "i": "writes"}),
        (library.lstm_coupled, {"f": "keeps"}),
        (library.atr, {}),
        (library.rnn_tanh, {}),
        (library.slstm, {}),
    ],
)
def test_roles_are_those_of_the_paper(of: Cell, roles: dict[str, str]) -> None:
    assert {one.gate: one.role for one in init.gate_roles(of)} == roles


@cell
def own(x, h):  # type: ignore[no-untyped-def]
    """A cell of one's own: what is kept is what is not renewed."""
    return h + sigmoid(x.renew + h.renew) * (tanh(x.n + h.n) - h)


@pytest.mark.parametrize("of", [library.lstm, library.gru, library.mgu, library.lem, own])
@pytest.mark.parametrize("backwards", [False, True])
def test_chrono_lets_units_remember_from_one_step_to_the_longest(of: Cell, backwards: bool) -> None:
    torch.manual_seed(0)
    layer = init.chrono_(Recurrent(of, 1, 200, bidirectional=backwards, dtype=torch.float64), 50)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if not name.startswith("bias"):
                parameter.zero_()
    suffix = "_l0_reverse" if backwards else "_l0"
    role = init.gate_roles(layer.cell)[0]
    place = layer.cell.matrices[0].gates.index(role.gate)
    sums = getattr(layer, "bias_ih" + suffix)[place * 200 :][:200]
    kept = torch.sigmoid(sums if role.role == "keeps" else -sums)
    lifetimes = 1 / (1 - kept)  # in steps, 1 + u
    assert lifetimes.min() >= 2
    assert lifetimes.max() <= 50
    assert lifetimes.mean().item() == pytest.approx(26, abs=3)
    # What a step keeps is what the gate says: from a state of 1 and, where c alone is kept, of c.
    states = [torch.zeros(1 + backwards, 1, 200, dtype=torch.float64) for _ in layer.cell.states]
    states[role.state] += 1
    hx = tuple(states) if len(states) > 1 else states[0]
    start = [torch.zeros_like(state) for state in states]
    from_zero = tuple(start) if len(start) > 1 else start[0]
    x = torch.zeros(1, 1, 1, dtype=torch.float64)
    ends = [layer(x, of)[1] for of in (hx, from_zero)]
    after, at_zero = (end[role.state] if isinstance(end, tuple) else end for end in ends)
    difference = (after - at_zero)[1 if backwards else 0, 0]
    torch.testing.assert_close(difference, kept)


def test_chrono_is_the_option_of_the_lstm() -> None:
    torch.manual_seed(0)
    ours = init.chrono_(Recurrent(library.lstm, 1, 4000), 100)
    theirs = gated.nn.LSTM(1, 4000, chrono_init=100)
    for of in (ours, theirs):
        i, f, *_ = of.bias_ih_l0.split(4000)
        assert torch.equal(i, -f)
        assert f.exp().mean().item() == pytest.approx(50, rel=0.05)
        assert f.max().item() == pytest.approx(math.log(99), abs=0.01)
    assert not ours.bias_hh_l0[:8000].any()
    assert not theirs.bias_hh_l0[:8000].any()


def test_forget_bias_opens_what_keeps_and_shuts_what_replaces() -> None:
    lstm = init.forget_bias_(Recurrent(library.lstm, 2, 3, num_layers=2, layer_norm=True), 2.0)
    assert (lstm.bias_ih_l1[3:6] + lstm.bias_hh_l1[3:6] == 2).all()
    mgu = init.forget_bias_(Recurrent(library.mgu, 2, 3))
    assert (mgu.bias_ih_l0[:3] + mgu.bias_hh_l0[:3] == -1).all()


@pytest.mark.parametrize(
    "options",
    [{"forget_bias": 1.0}, {"chrono_init": 20}, {"recurrent_init": "orthogonal"}],
    ids=str,
)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell"])
def test_layers_without_memory_are_made_first(kind: str, options: dict[str, float]) -> None:
    """As a saved model is read: its shapes are looked at before any layer with values was made."""
    if kind != "LSTM" and "forget_bias" in options:
        kind, options = "LSTM", {**options, "coupled": True}
    if kind == "LSTMCell" and "chrono_init" in options:
        kind = "LSTM"
    init.gate_roles.cache_clear()
    with torch.device("meta"):
        made = getattr(gated.nn, kind)(3, 4, **options)
    assert all(parameter.is_meta for parameter in made.parameters())


def test_orthogonal_is_so_for_each_gate() -> None:
    layer = init.orthogonal_(Recurrent(library.gru, 2, 5, bidirectional=True))
    for name in ("weight_hh_l0", "weight_hh_l0_reverse"):
        for gate in getattr(layer, name).split(5):
            torch.testing.assert_close(gate @ gate.T, torch.eye(5))


def test_a_matrix_stays_orthogonal_while_it_learns() -> None:
    torch.manual_seed(0)
    layer = init.stay_orthogonal_(Recurrent(library.rnn_modrelu, 2, 7, dtype=torch.float64))
    before = layer.weight_hh_l0.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.randn(5, 3, 2, dtype=torch.float64))[0].square().sum().backward()
    optimizer.step()
    after = layer.weight_hh_l0.detach()
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after @ after.T, torch.eye(7, dtype=torch.float64))


@pytest.mark.parametrize("of", [library.antisymmetric_rnn, library.gated_antisymmetric_rnn])
def test_a_matrix_stays_antisymmetric_while_it_learns(of: Cell) -> None:
    torch.manual_seed(0)
    layer = init.stay_antisymmetric_(
        Recurrent(of, 2, 7, 2, bidirectional=True, dtype=torch.float64, epsilon=0.5)
    )
    before = layer.weight_hh_l1_reverse.detach().clone()
    layer(torch.randn(5, 3, 2, dtype=torch.float64))[0].square().sum().backward()
    of_weight = layer.parametrizations.weight_hh_l1_reverse.original.grad
    torch.testing.assert_close(of_weight, -of_weight.T)  # of W - Wᵀ it is G - Gᵀ
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    after = layer.weight_hh_l1_reverse.detach()
    assert (after - before).abs().max() > 1e-3
    assert torch.equal(after, -after.T)
    with torch.no_grad():
        layer.weight_hh_l1_reverse = before  # what is assigned is what is there
    torch.testing.assert_close(layer.weight_hh_l1_reverse, before)


def test_own_weights_start_and_stay_within_their_bounds() -> None:
    layer = init.independent_(Recurrent(library.indrnn, 1, 500, num_layers=2), 10, least=0.5)
    most, least = 2**0.1, 0.5**0.1
    assert 0 <= layer.u_l0.min() < 0.05
    assert most - 0.05 < layer.u_l0.max() <= most
    assert least <= layer.u_l1.min() < least + 0.05
    with torch.no_grad():
        layer.u_l0[:2] = torch.tensor([-3.0, 3.0])
    init.bound_independent_(layer, 10)
    torch.testing.assert_close(layer.u_l0[:2], torch.tensor([-most, most]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: init.chrono_(Recurrent(library.rnn_tanh, 1, 2), 10), "rnn_tanh has no gate that"),
        (lambda: init.chrono_(Recurrent(library.gru, 1, 2), 2), "at least 3, got 2"),
        (lambda: init.chrono_(Recurrent(library.gru, 1, 2, bias=False), 9), "bias=False leaves no"),
        (lambda: init.forget_bias_(Recurrent(library.cornn, 1, 2)), "cornn has no gate that keeps"),
        (lambda: init.orthogonal_(Recurrent(library.indrnn, 1, 2)), "no square recurrent matrix"),
        (lambda: init.stay_orthogonal_(Recurrent(library.gru, 1, 2)), "take rnn_modrelu, rnn_tanh"),
        (lambda: init.stay_antisymmetric_(Recurrent(library.gru, 1, 2)), "take antisymmetric_rnn"),
        (lambda: init.independent_(Recurrent(library.gru, 1, 2), 9), "no weight u for each unit"),
    ],
)
def test_what_cannot_start_so_is_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=message):
        change()
