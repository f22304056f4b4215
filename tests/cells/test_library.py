"""The library's cells: native against torch's operations, and against another implementation."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchrecurrent as peer
from tests.comparison import assert_agree
from tests.per_step import per_step_of
from torchrecurrent.base import DecoupledDoubleStateCellBase, DecoupledSingleStateCellBase

import gated
from gated.cells import Cell, Delayed, PerUnit, cell, library, tanh
from gated.cells.language import cell_when_asked
from gated.errors import CellError, ConfigurationError

CELLS = {name: of for name, of in vars(library).items() if isinstance(of, Cell)}
Weights = dict[str, torch.Tensor]


APART = (DecoupledSingleStateCellBase, DecoupledDoubleStateCellBase)
"""Cells of the other package that return their output apart from their states."""


def layer_of(of: Cell, H: int = 5, inputs: int = 3, **options: Any) -> gated.nn.Recurrent:
    torch.manual_seed(0)
    return gated.nn.Recurrent(of, inputs, H, dtype=torch.float64, **options)


@pytest.mark.parametrize("name", CELLS)
def test_native_is_torch(name: str) -> None:
    layer = layer_of(CELLS[name], 13)
    x = torch.randn(6, 4, 3, dtype=torch.float64, requires_grad=True)
    given = per_step_of(CELLS[name], 6, 4, inputs=3, units=13, requires_grad=True)
    results = []
    for backend in ("native", "torch"):
        layer.backend = backend  # type: ignore[assignment]
        output, _ = layer(x, lengths=[6, 2, 5, 1], **given)
        wanted = [x, *layer.parameters(), *given.values()]
        results.append([output, *torch.autograd.grad(output.sin().sum(), wanted)])
    assert_agree(*results, "results", relative=1e-8, absolute=1e-8)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_differences(name: str) -> None:
    layer = layer_of(CELLS[name], 2, backend="native")
    x = torch.randn(3, 1, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)
    steps = per_step_of(CELLS[name], 3, 1, inputs=3, units=2, requires_grad=True)

    def output(x: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        weights = dict(zip(names, tensors, strict=False))
        given = dict(zip(steps, tensors[len(names) :], strict=True))
        return torch.func.functional_call(layer, weights, (x,), given)[0]

    assert torch.autograd.gradcheck(output, (x, *values, *steps.values()))


def same(w: Weights) -> Weights:
    return w


def zeros(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.float64)


def without_bias(w: Weights) -> Weights:
    """Where a state meets no matrix, one bias says what their two say."""
    first = len(w["bias_hh"])
    bias = torch.cat([w["bias_ih"][:first] + w["bias_hh"], w["bias_ih"][first:]])
    return {"weight_ih": w["weight_ih"], "bias_ih": bias}


def with_the_last_input(w: Weights) -> Weights:
    """Products with the input of the step before are the same step's, kept for the next."""
    return {
        "weight_ih": torch.cat([w["weight_ih"], w["weight_hh"]]),
        "bias_ih": torch.cat([w["bias_ih"] + w["bias_hh"], zeros(15)]),
    }


CONSTANTS = {
    "cornn": {"dt": 0.1, "gamma": 1.0, "epsilon": 1.0},
    "unicornn": {"dt": 0.1, "alpha": 0.0},
    "sgu": {"slope": 1 / 6},
    "dsgu": {"slope": 1 / 6},
    "antisymmetric_rnn": {"epsilon": 0.3, "gamma": 0.2},
    "gated_antisymmetric_rnn": {"epsilon": 0.3, "gamma": 0.2},
    "scrn": {"alpha": 0.5},
}
"""What the other package chose where the paper leaves it open, or chose otherwise."""

PEERS: dict[str, tuple[str, dict[str, Any], Callable[[Weights], Weights]]] = {
    "mgu": ("MGUCell", {}, same),
    "janet": ("JANETCell", {}, same),
    "ligru": ("LiGRUCell", {}, same),
    "ugrnn": ("UGRNNCell", {}, same),
    "atr": ("ATRCell", {}, same),
    "nbrc": ("NBRCell", {}, same),
    "cfn": ("CFNCell", {}, same),
    "light_ru": ("LightRUCell", {}, same),
    "mut1": ("MUT1Cell", {}, same),
    "mut2": ("MUT2Cell", {}, same),
    "mut3": ("MUT3Cell", {}, same),
    "nas": ("NASCell", {}, same),
    "lstm_original": ("OriginalLSTMCell", {}, same),
    "sgrn": ("SGRNCell", {}, same),
    "star": ("STARCell", {}, same),
    "trnn": ("TRNNCell", {}, same),
    "cornn": ("coRNNCell", {}, same),
    "fast_rnn": ("FastRNNCell", {}, same),
    "miru1": ("MiRU1Cell", {}, same),
    "miru2": ("MiRU2Cell", {}, same),
    "brc": ("BRCell", {}, lambda w: without_bias(w) | {"w": w["weight_hh"].reshape(2, -1)}),
    "indrnn": (
        "IndRNNCell",
        {"nonlinearity": "relu"},
        lambda w: without_bias(w) | {"u": w["vector_u"]},
    ),
    "unicornn": (
        "UnICORNNCell",
        {},
        lambda w: {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"],
            "w": w["weight_hh"],
            "pace": w["weight_ch"],
        },
    ),
    "fast_grnn": (
        "FastGRNNCell",
        {"nonlinearity": "sigmoid"},
        lambda w: {
            **{k: w[k] for k in ("weight_ih", "weight_hh", "zeta", "nu")},
            "bias_ih": zeros(5),
            "bias_hh": zeros(5),
            "b": (w["bias_ih"] + w["bias_hh"]).reshape(2, -1),
        },
    ),
    "minimal_rnn": (
        "MinimalRNNCell",
        {},
        lambda w: {
            **{k: w[k] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
            "weight_m": w["weight_mm"],
            "bias_m": zeros(5),
        },
    ),
    "multiplicative_lstm": (
        "MultiplicativeLSTMCell",
        {},
        lambda w: {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"],
            "weight_hh": torch.cat([w["weight_hh"], w["weight_mh"]]),
            "bias_hh": torch.cat([w["bias_hh"], w["bias_mh"]]),
        },
    ),
    "ran": ("RANCell", {}, lambda w: w | {"bias_ih": torch.cat([zeros(5), w["bias_ih"]])}),
    "wmc_lstm": (
        "WMCLSTMCell",
        {},
        lambda w: {
            **{k: w[k] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
            "weight_ch": w["weight_mh"][:10],
            "bias_ch": w["bias_mh"][:10],
            "weight_m": w["weight_mh"][10:],
            "bias_m": w["bias_mh"][10:],
        },
    ),
    "sgu": ("SGUCell", {}, same),
    "dsgu": (
        "DSGUCell",
        {},
        lambda w: {
            **{k: v for k, v in w.items() if k != "weight_ho"},
            "weight_o": w["weight_ho"],
            "bias_o": zeros(5),
        },
    ),
    "residual_lstm": (
        "ResLSTMCell",
        {},
        lambda w: {
            "weight_ih": torch.cat([w["weight_ih"], w["weight_res"]]),
            "bias_ih": torch.cat([w["bias_ih"], zeros(5)]),
            "weight_hh": w["weight_hh"],
            "bias_hh": w["bias_hh"],
            "weight_p": w["weight_proj"],
            "bias_p": zeros(5),
            "peepholes": w["weight_ph"].reshape(3, -1),
        },
    ),
    "antisymmetric_rnn": (
        "AntisymmetricRNNCell",
        {"epsilon": 0.3, "gamma": 0.2},
        lambda w: w | {"weight_hh": w["weight_hh"] - w["weight_hh"].T},
    ),
    "gated_antisymmetric_rnn": (
        "GatedAntisymmetricRNNCell",
        {"epsilon": 0.3, "gamma": 0.2},
        lambda w: {
            "weight_ih": w["weight_ih"],
            "weight_hh": w["weight_hh"] - w["weight_hh"].T,
            "bias_ih": w["bias_ih"] + torch.cat([zeros(5), w["bias_hh"]]),
            "bias_hh": zeros(5),
        },
    ),
    "intersection_rnn": (
        "IntersectionRNNCell",
        {},
        lambda w: (
            w
            | {
                "weight_ih": torch.cat([w["weight_ih"], torch.eye(5, dtype=torch.float64)]),
                "bias_ih": torch.cat([w["bias_ih"], zeros(5)]),
            }
        ),
    ),
    "mc_lstm": ("MCLSTMCell", {}, same),
    "tgru": ("TGRUCell", {}, with_the_last_input),
    "tlstm": ("TLSTMCell", {}, with_the_last_input),
    "lstm_peephole": (
        "PeepholeLSTMCell",
        {},
        lambda w: {
            **{k: v for k, v in w.items() if k != "weight_ph"},
            "peepholes": w["weight_ph"].reshape(3, -1),
        },
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_outputs_and_gradients_are_the_peers(name: str) -> None:
    kind, options, ours_of = PEERS[name]
    torch.manual_seed(1)
    inputs = 5 if name == "intersection_rnn" else 3
    theirs = drawn(getattr(peer, kind)(inputs, 5, **options))
    apart = isinstance(theirs, APART)
    x = torch.randn(4, 2, inputs, dtype=torch.float64, requires_grad=True)
    state, steps = None, []
    for step in x:
        result = theirs(step) if state is None else theirs(step, state)
        steps.append(result[0] if isinstance(result, tuple) else result)
        state = result[1] if apart else result
    layer = layer_of(CELLS[name], inputs=inputs, **CONSTANTS.get(name, {}))
    weights = dict(theirs.named_parameters())
    if name == "janet":
        del weights["beta"]  # learned there, a constant in the paper
    mapped = mapped_to(layer, ours_of(weights))
    output, _ = torch.func.functional_call(layer, mapped, (x,))
    results = [
        [of, *torch.autograd.grad(of.sin().sum(), [x, *weights.values()])]
        for of in (output, torch.stack(steps))
    ]
    assert_agree(*results, "results", relative=1e-5, absolute=1e-5)


@pytest.mark.parametrize("delay", [1, 3])
def test_tau_gru_is_the_peers_at_any_delay(delay: int) -> None:
    torch.manual_seed(1)
    theirs = drawn(peer.tauGRU(3, 5, delay=delay))
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    w = dict(theirs.cells[0].named_parameters())
    at_once = [*range(5), *range(10, 20)]
    layer = layer_of(library.tau_gru, delay=delay)
    mapped = mapped_to(
        layer,
        {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"],
            "weight_hh": w["weight_hh"][at_once],
            "bias_hh": w["bias_hh"][at_once],
            "weight_dh": w["weight_hh"][5:10],
            "bias_dh": w["bias_hh"][5:10],
        },
    )
    output, states = torch.func.functional_call(layer, mapped, (x,))
    expected, final = theirs(x)
    assert len(states) == 1 + delay
    results = [
        [of, last, *torch.autograd.grad(of.sin().sum(), [x, *w.values()])]
        for of, last in ((output, states[0]), (expected, final))
    ]
    assert_agree(*results, "results", relative=1e-5, absolute=1e-5)
    # What goes through the delayed states is h of the steps before.
    for step, state in enumerate(states[1:], start=2):
        assert_agree(state[0], output[-step], "state")


@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True}, {"zoneout": 0.3}, {"recurrent_dropout": 0.3}]
)
def test_delayed_states_go_with_every_option(options: dict[str, Any]) -> None:
    x = torch.randn(9, 4, 3, dtype=torch.float64, requires_grad=True)
    resets = torch.zeros(9, 4)
    resets[4, :2] = 1
    results = []
    for backend in ("native", "torch"):
        layer = layer_of(library.tau_gru, delay=3, backend=backend, **options)
        output, final = layer(x, lengths=[9, 4, 7, 2], resets=resets)
        loss = output.sin().sum() + sum(state.cos().sum() for state in final)
        results.append([output, *final, *torch.autograd.grad(loss, [x, *layer.parameters()])])
    assert_agree(*results, "results", relative=1e-8, absolute=1e-8)


def test_a_stream_hands_delayed_states_on() -> None:
    layer = gated.nn.Recurrent(library.tau_gru, 3, 5, 2, delay=3)
    x = torch.randn(9, 1, 3)
    steps = layer.stream().steps(x[:, 0].numpy())
    assert_agree(torch.from_numpy(steps), layer(x)[0][:, 0], "steps", relative=1e-5, absolute=1e-6)


@cell
def reads_too_little(x: Any, h: Any, c: Any, *, p: PerUnit) -> Any:
    h = tanh(x.n + h.n + 0 * p)
    return h, h


def test_what_no_step_reads_has_a_gradient_of_zero() -> None:
    layer = layer_of(reads_too_little, backend="native")
    initial = tuple(torch.randn(1, 2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    output, _ = layer(torch.randn(4, 2, 3, dtype=torch.float64), initial)
    h, c, p = torch.autograd.grad(output.sum(), [*initial, layer.p_l0])
    assert h.abs().min() > 0
    assert not c.any()
    assert not p.any()


def without_a_delay(x: Any, h: Any, d: Delayed) -> Any:
    return tanh(x.n + d.n), h


def half_a_step(x: Any, h: Any, d: Delayed, *, delay: float = 0.5) -> Any:
    return tanh(x.n + d.n), h


def handed_on(x: Any, h: Any, d: Delayed, *, delay: float = 2) -> Any:
    return tanh(x.n + h.n + d.n), h


def test_what_a_delayed_state_cannot_do_is_refused() -> None:
    for definition, got in ((without_a_delay, "None"), (half_a_step, "0.5")):
        with pytest.raises(CellError, match=f"needs the constant delay, .* got {got}"):
            cell(definition)
    with pytest.raises(ConfigurationError, match="of the cell handed_on cannot be projected"):
        gated.nn.Recurrent(cell(handed_on), 3, 4, proj_size=2)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_scrn_feeds_back_its_hidden_layer_as_its_paper_does_and_the_peer_its_output(
    weight: float,
) -> None:
    torch.manual_seed(1)
    theirs = drawn(peer.SCRNCell(3, 5))
    w = dict(theirs.named_parameters())
    with torch.no_grad():
        w["weight_hh"][:5] = weight  # from what is fed back to the hidden layer
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    layer = layer_of(library.scrn, **CONSTANTS["scrn"])
    mapped = mapped_to(
        layer,
        {
            "weight_ih": w["weight_ih"],
            "bias_ih": w["bias_ih"],
            **{f"{kind}_hh": w[f"{kind}_hh"][:5] for kind in ("weight", "bias")},
            **{f"{kind}_p": w[f"{kind}_ch"][:5] for kind in ("weight", "bias")},
            **{f"{kind}_u": w[f"{kind}_hh"][5:] for kind in ("weight", "bias")},
            **{f"{kind}_v": w[f"{kind}_ch"][5:] for kind in ("weight", "bias")},
        },
    )
    output, _ = torch.func.functional_call(layer, mapped, (x,))
    state, steps = None, []
    for step in x:
        state = theirs(step) if state is None else theirs(step, state)
        steps.append(state[0])
    expected = torch.stack(steps)  # whose f of the paper's y is tanh
    assert_agree(output[0].tanh(), expected[0], "the first step")
    assert torch.allclose(output.tanh(), expected, atol=1e-8) == (weight == 0)
    if weight == 0:
        read = [of for name, of in w.items() if name not in ("alpha", "weight_hh")]
        results = [
            torch.autograd.grad(of.sin().sum(), [x, *read]) for of in (output.tanh(), expected)
        ]
        assert_agree(*results, "gradients", relative=1e-5, absolute=1e-5)


def test_no_definition_is_longer_than_twelve_lines() -> None:
    tree = ast.parse(Path(library.__file__).read_text("utf-8"))
    lines = {of.name: of for of in tree.body if isinstance(of, ast.FunctionDef)}
    assert lines.keys() == CELLS.keys()
    for name, of in lines.items():
        assert of.end_lineno is not None
        assert of.end_lineno - of.lineno < 12, name


@pytest.mark.parametrize("page", ["docs/en/cells.md", "docs/zh/cells.md"])
def test_the_page_lists_every_cell(page: str) -> None:
    rows = [row for row in Path(page).read_text("utf-8").splitlines() if row.startswith("| `")]
    assert rows == [
        f"| `{name}` | {of.paper.splitlines()[0]} | {', '.join(s.name for s in of.states)} | "
        f"{', '.join(of.gates)} |"
        for name, of in CELLS.items()
    ]


def test_every_cell_of_the_peer_is_compared() -> None:
    named = {name for name in peer.__all__ if name.endswith("Cell")}
    assert named == {kind for kind, *_ in PEERS.values()} | {"tauGRUCell", "SCRNCell", "LEMCell"}


@pytest.mark.parametrize("depth", [1, 3])
def test_rhn_is_its_papers_equations(depth: int) -> None:
    layer = layer_of(library.rhn, depth=depth)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    w, r, b, c = (parameter.detach() for parameter in layer.parameters())
    s = torch.zeros(2, 5, dtype=torch.float64)
    for step, expected in zip(x, layer(x)[0], strict=True):
        for level in range(depth):
            rows = slice(10 * level, 10 * level + 10)
            sums = s @ r[rows].T + c[rows] + (step @ w.T + b if level == 0 else 0)
            n, t = sums[:, :5].tanh(), sums[:, 5:].sigmoid()
            s = n * t + s * (1 - t)
        assert_agree(s, expected, "state")


def drawn(theirs: torch.nn.Module) -> torch.nn.Module:
    """In double precision, with weights large enough for what is not linear to show."""
    theirs = theirs.double()
    for parameter in theirs.parameters():
        if parameter.dim():
            torch.nn.init.uniform_(parameter, -0.7, 0.7)
    return theirs


def mapped_to(layer: gated.nn.Recurrent, weights: Weights) -> Weights:
    mapped = {
        f"{key}_l0": value.reshape(()) if value.numel() == 1 else value
        for key, value in weights.items()
    }
    assert mapped.keys() == dict(layer.named_parameters()).keys()
    return mapped


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_lem_reads_the_new_cell_state_as_its_paper_does_and_the_peer_the_old(weight: float) -> None:
    theirs = peer.LEMCell(3, 5).double()
    w = dict(theirs.named_parameters())
    torch.nn.init.constant_(w["weight_ch"], weight)
    x = torch.randn(1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mapped = {
        "weight_ih_l0": w["weight_ih"],
        "bias_ih_l0": w["bias_ih"],
        "weight_hh_l0": torch.cat([w["weight_hh"], w["weight_ch"]]),
        "bias_hh_l0": torch.cat([w["bias_hh"], w["bias_ch"]]),
    }
    output, _ = torch.func.functional_call(layer_of(library.lem), mapped, (x,))
    agree = torch.allclose(output[0], theirs(x[0])[0], atol=1e-8)
    assert agree == (weight == 0)


def test_gru_d_is_its_papers_equations() -> None:
    """Che et al. 2018, with a matrix for the decay of the input; means are 0."""
    layer = layer_of(library.gru_d)
    w = {name.removesuffix("_l0"): of for name, of in layer.named_parameters()}
    T, B = 7, 2
    x = torch.randn(T, B, 3, dtype=torch.float64)
    given = per_step_of(library.gru_d, T, B, inputs=3, units=5)
    given["m"] = (given["m"] < 0.6).double()
    given["delta"][:, :, 0] *= 5
    h = torch.zeros(B, 5, dtype=torch.float64)

    def of(kind: str, v: torch.Tensor, gate: int | None = None) -> torch.Tensor:
        rows = slice(None) if gate is None else slice(5 * gate, 5 * gate + 5)
        return v @ w[f"weight_{kind}"][rows].T + w[f"bias_{kind}"][rows]

    output, _ = layer(x, **given)
    for t in range(T):
        m, delta, last = (given[name][t] for name in ("m", "delta", "last"))
        decay_x = torch.exp(-of("decay_x", delta).clamp(min=0))
        decay_h = torch.exp(-of("decay_h", delta).clamp(min=0))
        seen, h = m * x[t] + (1 - m) * decay_x * last, decay_h * h
        z = torch.sigmoid(of("ih", seen, 0) + of("hh", h, 0) + of("mask_z", m))
        r = torch.sigmoid(of("ih", seen, 1) + of("hh", h, 1) + of("mask_r", m))
        n = torch.tanh(of("ih", seen, 2) + of("hh", r * h, 2) + of("mask_n", m))
        h = (1 - z) * h + z * n
        assert_agree(output[t], h, f"step {t}", absolute=1e-10)
    # What was not seen is not read.
    blank = torch.where(given["m"] == 0, torch.full_like(x, 1e3), x)
    assert_agree(layer(blank, **given)[0], output, "unseen", absolute=1e-10)


def test_a_cell_that_is_traced_when_asked_is_that_of_the_definition() -> None:
    def leaky(x: Any, h: Any, *, rate: float = 0.1) -> Any:
        return (1 - rate) * h + rate * tanh(x.n + h.n)

    later, at_once = cell_when_asked(leaky), cell(leaky)
    assert type(later) is not Cell
    assert isinstance(later, Cell)
    assert later.digest == at_once.digest
    assert type(later) is Cell
    assert vars(later).keys() == vars(at_once).keys() | {"digest"}
    assert later.with_constants(rate=0.5).digest == at_once.with_constants(rate=0.5).digest
