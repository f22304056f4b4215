"""Gradients on their way back, beside loops, differences and products made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated.nn
from gated.cells import library
from gated.core import reference
from gated.errors import ConfigurationError, DataError
from gated.explain import Intervention, LayerFlow, flow, intervene, trace
from gated.explain._way_back import SMALL, spectral_norm

T, B, INPUTS, H = 7, 3, 4, 5


def last_output(output: Any) -> torch.Tensor:
    return output[0][-1].sum()


def linear(factor: float) -> nn.RNN:
    layer = nn.RNN(2, 2, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.eye(2))
        layer.weight_hh_l0.copy_(factor * torch.eye(2))
    return layer


@pytest.mark.parametrize(
    ("factor", "reach", "words"),
    [
        (0.5, 7, "vanishes, × 0.5 a step: after 7 less than 1% is left."),
        (1.0, 400, "is carried, × 1 a step."),
        (2.0, 400, "explodes, × 2 a step: 1.3e+120 times as large after 399 steps."),
    ],
)
def test_a_linear_network_multiplies_by_its_factor_each_step(
    factor: float, reach: int, words: str
) -> None:
    """Far beyond what float32 holds, in which the network runs."""
    layer = linear(factor)
    x = torch.zeros(400, 1, 2) if factor > 1 else torch.ones(400, 1, 2)
    x[0] = 1e-30 if factor > 1 else 1
    measured = flow(layer, x[:100], last_output)
    found = measured.layers[0]
    assert found.cell is None
    expected = np.sqrt(2) * factor ** np.arange(99, -1, -1.0)
    assert_agree(found.hidden, expected, "hidden", relative=1e-6)
    assert_agree(found.jacobian, factor ** np.arange(100.0), "jacobian")
    assert found.factor == pytest.approx(factor)
    found = flow(layer, x, last_output).layers[0]
    assert_agree(found.jacobian, factor ** np.arange(400.0), "jacobian", absolute=0)
    assert found.reach() == reach
    assert found.span() == reach
    assert found.verdict.endswith(words)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("module", [nn, gated.nn])
def test_it_is_the_gradient_of_a_loop_of_cells(module, kind: str, layers: int) -> None:
    layer = getattr(module, kind)(INPUTS, H, num_layers=layers)
    x = torch.randn(T, B, INPUTS)
    target = torch.randn(T, B, H)

    def loss(output: Any) -> torch.Tensor:
        return ((output[0] - target) ** 2).sum()

    cells = []
    for k in range(layers):
        cell = getattr(nn, f"{kind}Cell")(INPUTS if k == 0 else H, H)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        cell.load_state_dict({name: getattr(layer, f"{name}_l{k}").detach() for name in names})
        cells.append(cell)
    states: list = [None] * layers
    kept: list = [[] for _ in cells]
    outputs = []
    for t in range(T):
        below = x[t]
        for k, cell in enumerate(cells):
            after = cell(below, states[k])
            # Copies, so that what goes through c_t alone does not also count what goes by h_t.
            parts = tuple(s.clone() for s in (after if kind == "LSTM" else (after,)))
            for part in parts:
                part.retain_grad()
            kept[k].append(parts)
            states[k] = parts if kind == "LSTM" else parts[0]
            below = parts[0]
        outputs.append(below)
    value = loss((torch.stack(outputs), None))
    value.backward()
    measured = flow(layer, x, loss)
    assert measured.loss == pytest.approx(float(value.detach()), rel=1e-5)
    assert [(of.name, of.layer, of.reverse) for of in measured.layers] == [
        (kind, k, False) for k in range(layers)
    ]
    for found, of_layer in zip(measured.layers, kept, strict=True):
        expected = [float(parts[0].grad.norm()) for parts in of_layer]
        assert_agree(found.hidden, expected, "hidden", relative=1e-4)
        if kind == "LSTM":
            last = [parts[1].grad for parts in of_layer]
            expected = [0.0 if grad is None else float(grad.norm()) for grad in last]
            assert_agree(found.cell, expected, "cell", relative=1e-4)
        else:
            assert found.cell is None


class Model(nn.Module):
    """Several layers, both ways, of several lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 3)
        self.below = gated.nn.LSTM(3, 3, bidirectional=True, proj_size=2, layer_norm=True)
        self.middle = gated.nn.GRU(4, 3, reset_after=False, zoneout=0.2, dropout=0.5, num_layers=2)
        self.above = nn.LSTM(3, 2, bidirectional=True, num_layers=2, batch_first=True)

    def forward(self, words: torch.Tensor, lengths: torch.Tensor) -> Any:
        below, _ = self.below(self.embedding(words), lengths=lengths)
        middle, final = self.middle(below, lengths=lengths)
        packed = pack_padded_sequence(
            middle.transpose(0, 1), lengths, batch_first=True, enforce_sorted=False
        )
        return self.above(packed)[0].data, final


def test_it_is_how_the_loss_changes_with_each_state_of_a_whole_model() -> None:
    """Beside differences: each state of each step is held a little off, and the model run."""
    model = Model().double().train()
    words, lengths = torch.randint(0, 9, (3, 2)), torch.tensor([3, 2])

    def loss(output: Any) -> torch.Tensor:
        outputs, final = output
        weights = torch.arange(outputs.numel(), dtype=torch.float64).view(outputs.shape)
        return (weights.sin() * outputs).sum() + final.square().sum()

    measured = flow(model, words, loss, lengths=lengths)
    seen = trace(model, words, lengths=lengths).layers
    assert [of.title for of in measured.layers] == [
        "below, layer 0",
        "below, layer 0, backwards",
        "middle, layer 0",
        "middle, layer 1",
        "above, layer 0",
        "above, layer 0, backwards",
        "above, layer 1",
        "above, layer 1, backwards",
    ]
    model.eval()

    def changed(*held: Intervention) -> float:
        with intervene(model, *held), torch.no_grad():
            return float(loss(model(words, lengths)))

    step = 1e-5
    for place, (found, traced) in enumerate(zip(measured.layers, seen, strict=True)):
        for state in ("hidden", "cell") if found.kind == "lstm" else ("hidden",):
            values = traced.values[state]
            squares = np.zeros((3, 2))
            for t, b, unit in np.argwhere(np.ones_like(values)):
                if t >= lengths[b]:
                    continue
                at: Any = {"layer": place, "step": int(t), "sequence": int(b)}
                # What c_t does through h_t of its own step counts as h_t's.
                own = [
                    Intervention("hidden", value=float(value), unit=k, **at)
                    for k, value in enumerate(traced.hidden[t, b])
                    if state == "cell"
                ]
                one, other = (
                    changed(Intervention(state, value=float(v), unit=int(unit), **at), *own)
                    for v in (values[t, b, unit] + step, values[t, b, unit] - step)
                )
                squares[t, b] += ((one - other) / (2 * step)) ** 2
            expected = np.zeros(3)
            for b, length in enumerate(lengths.tolist()):
                ran = squares[:length, b]
                expected[3 - length :] += ran[::-1] if traced.reverse else ran
            assert_agree(getattr(found, state), np.sqrt(expected), state, relative=1e-6)


VARIANTS: dict[str, Any] = {
    "rnn": lambda: nn.RNN(INPUTS, H),
    "gru": lambda: nn.GRU(INPUTS, H),
    "gru before": lambda: gated.nn.GRU(INPUTS, H, reset_after=False),
    "gru normed": lambda: gated.nn.GRU(INPUTS, H, layer_norm=True),
    "lstm": lambda: nn.LSTM(INPUTS, H),
    "lstm projected": lambda: gated.nn.LSTM(INPUTS, H, proj_size=2),
    "lstm normed, zoneout": lambda: gated.nn.LSTM(INPUTS, H, layer_norm=True, zoneout=(0.1, 0.3)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_jacobian_is_the_product_of_those_of_the_steps(name: str) -> None:
    """Each step's Jacobian from autograd, column for column."""
    layer, x = VARIANTS[name]().double().eval(), torch.randn(T, 2, INPUTS, dtype=torch.float64)
    widths = [layer.proj_size or H, H][: 2 if layer.mode == "LSTM" else 1]

    def after(x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        parts = [part.view(1, 1, -1) for part in state.split(widths)]
        _, final = layer(x, tuple(parts) if len(parts) > 1 else parts[0])
        return torch.cat([part.flatten() for part in (final if len(parts) > 1 else (final,))])

    logs = []
    for b in range(2):
        state = torch.zeros(sum(widths), dtype=torch.float64)
        of_steps = []
        for t in range(T):
            step = x[t : t + 1, b : b + 1]
            columns = torch.autograd.functional.jacobian(lambda s, u=step: after(u, s), state)
            of_steps.append(columns.numpy())
            state = after(step, state).detach()
        product = np.eye(sum(widths))
        norms = [1.0]
        for matrix in of_steps[:0:-1]:
            product = product @ matrix
            norms.append(float(np.linalg.svd(product, compute_uv=False)[0]))
        logs.append(np.log(norms))
    measured = flow(layer, x, last_output, samples=2).layers[0]
    assert_agree(measured.jacobian, np.exp(np.mean(logs, axis=0)), "jacobian", relative=1e-9)
    slope = np.polyfit(np.arange(T), np.mean(logs, axis=0), 1)[0]
    assert measured.factor == pytest.approx(np.exp(slope))
    first = flow(layer, x, last_output).layers[0]
    assert_agree(first.jacobian, np.exp(logs[0]), "of the first", relative=1e-9)
    assert flow(layer, x, last_output, samples=0).layers[0].jacobian is None


@pytest.mark.parametrize("packed", [False, True])
def test_sequences_are_laid_together_at_their_last_steps(packed: bool) -> None:
    layer = gated.nn.GRU(INPUTS, H, bidirectional=True).double()
    x, lengths = torch.randn(T, B, INPUTS, dtype=torch.float64), [4, 7, 1]

    def loss(output: Any) -> torch.Tensor:
        return output[1].square().sum()

    given: Any = (
        pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False) if packed else x
    )
    together = flow(layer, given, loss, lengths=None if packed else lengths, samples=3).layers
    alone = [flow(layer, x[:n, b : b + 1], loss).layers for b, n in enumerate(lengths)]
    for way in (0, 1):
        squares, logs = np.zeros(T), np.full((B, T), np.nan)
        for b, n in enumerate(lengths):
            squares[T - n :] += alone[b][way].hidden ** 2
            jacobian = alone[b][way].jacobian
            assert jacobian is not None
            logs[b, :n] = np.log(jacobian)
        assert_agree(together[way].hidden, np.sqrt(squares), "hidden")
        assert_agree(together[way].jacobian, np.exp(np.nanmean(logs, axis=0)), "jacobian")


def test_an_open_forget_gate_reaches_further_than_a_closed_one() -> None:
    measured = []
    for bias in (-4.0, 4.0):
        torch.manual_seed(1)
        layer = gated.nn.LSTM(INPUTS, H, forget_bias=bias)
        measured.append(flow(layer, torch.randn(60, B, INPUTS), last_output).layers[0])
    assert measured[0].reach() < 10
    assert measured[1].reach() == measured[1].span() == 60
    assert measured[0].factor == pytest.approx(0.2, abs=0.15)
    assert measured[1].factor == pytest.approx(1 / (1 + np.exp(-4)), abs=0.02)


class Stack(nn.Module):
    """One layer on another, with something between."""

    def __init__(self, below: nn.Module, above: nn.Module, between: float = 1.0) -> None:
        super().__init__()
        self.above, self.below, self.between = above, below, between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.above(self.between * self.below(x)[0])[0]


def test_without_a_loss_the_jacobians_alone_are_measured() -> None:
    layer, x = gated.nn.GRU(INPUTS, H).double(), torch.randn(T, B, INPUTS, dtype=torch.float64)
    found, wanted = flow(layer, x), flow(layer, x, last_output)
    assert_agree(found.layers[0].jacobian, wanted.layers[0].jacobian, "jacobian")
    assert found.loss is None
    assert not found.layers[0].hidden.any()
    assert "from state to state the gradient " in found.verdict
    with pytest.raises(ConfigurationError, match="measures nothing"):
        flow(layer, x, samples=0)


def test_what_is_left_of_a_product_is_told() -> None:
    told = [
        flow(linear(factor), torch.rand(20, B, 2), lambda output: output[0][-1].sum()).verdict
        for factor in (0.85, 0.99, 1.4)
    ]
    assert told[0].endswith("it fades, × 0.85 a step: 5% is left after 19 steps.")
    assert told[1].endswith("it is carried, × 0.99 a step.")
    assert told[2].endswith("explodes, × 1.4 a step: 6e+02 times as large after 19 steps.")


def test_the_layer_that_cuts_the_gradient_is_named() -> None:
    x = torch.rand(50, B, 2)
    short = flow(Stack(linear(0.3), linear(0.99)), x, lambda output: output[-1].sum())
    assert short.cut is not None
    assert short.cut[0] is short.layers[0]
    assert str(short).splitlines() == [
        "below, layer 0: from state to state the gradient vanishes, × 0.3 a step: after 4 less "
        "than 1% is left.",
        "above, layer 0: the gradient spans 50 of 50 steps; from state to state it is carried, "
        "× 0.99 a step.",
        "The gradient is cut in below, layer 0: it reaches 4 steps there, 50 in the layer after "
        "it.",
    ]
    dropped = flow(Stack(linear(0.9), linear(0.9), 1e-6), x, lambda output: output.sum())
    carried = np.triu(0.9 ** np.maximum(np.arange(50) - np.arange(50)[:, None], 0))
    above = carried @ np.ones(50)
    share = 1e-6 * np.linalg.norm(carried @ above) / np.linalg.norm(above)
    words = f"below, layer 0: {share:.1e} of the gradient arrives there."
    assert dropped.verdict.endswith(words)
    assert flow(Stack(linear(0.9), linear(0.9)), x, lambda output: output.sum()).cut is None


def test_a_layer_that_is_not_used_gets_no_gradient() -> None:
    class Unused(Stack):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.below(x)
            return self.above(x)[0]

    layers = flow(
        Unused(nn.LSTM(INPUTS, H), nn.GRU(INPUTS, H)),
        torch.randn(T, B, INPUTS),
        lambda output: output.sum(),
    ).layers
    assert not layers[0].hidden.any()
    assert layers[0].reach() == 0
    assert layers[1].hidden.all()


@pytest.mark.parametrize("trained", [True, False])
def test_the_model_is_left_as_it_was(trained: bool) -> None:
    model = Stack(nn.LSTM(INPUTS, H, dropout=0.5, num_layers=2), nn.GRU(H, H).eval())
    model.requires_grad_(trained)
    classes = [type(module) for module in model.modules()]
    x = torch.randn(T, B, INPUTS)
    with torch.no_grad():
        one, two = (flow(model, x, lambda output: output.sum()).layers for _ in range(2))
    assert one[0].hidden.all()
    assert_agree([of.hidden for of in one], [of.hidden for of in two], "without dropout")
    assert [module.training for module in model.modules()] == [True, False, True]
    assert [type(module) for module in model.modules()] == classes
    assert not any({"_run", "forward"} & vars(module).keys() for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_batch_first_and_unbatched_are_the_same_flow() -> None:
    layer, other = nn.GRU(INPUTS, H), nn.GRU(INPUTS, H, batch_first=True)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, INPUTS)
    one = flow(layer, x, lambda output: output[0].sum()).layers[0]
    two = flow(other, x.transpose(0, 1), lambda output: output[0].sum()).layers[0]
    assert_agree(one.hidden, two.hidden, "hidden", relative=1e-5)
    alone = flow(layer, x[:, 1], lambda output: output[0].sum()).layers[0]
    batch = flow(layer, x[:, 1:2], lambda output: output[0].sum()).layers[0]
    assert_agree(alone.hidden, batch.hidden, "unbatched")


def test_a_run_starts_from_the_states_given() -> None:
    layer, x = nn.LSTM(INPUTS, H), torch.randn(T, B, INPUTS)
    with torch.no_grad():
        states = layer(x[:3])[1]
    whole = flow(layer, x, last_output).layers[0]
    rest = flow(layer, x[3:], last_output, initial=states).layers[0]
    assert_agree(rest.hidden, whole.hidden[3:], "hidden", relative=1e-5)
    assert_agree(rest.cell, whole.cell[3:], "cell", relative=1e-5)  # type: ignore[index]


def test_a_loss_may_read_the_gates() -> None:
    """Gradients of gates: a penalty on the forget gates of a layer that gives its gates."""
    layer = gated.nn.LSTM(INPUTS, H).double()
    x = torch.randn(T, B, INPUTS, dtype=torch.float64)

    class Gates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x, return_gates=True)[2][0]["forget_gate"]

    found = flow(Gates(), x, lambda gate: gate[-1].sum()).layers[0]
    W = layer.weight_hh_l0[H : 2 * H].detach().numpy()
    gate = trace(Gates(), x).layers[0].forget_gate[-1]
    expected = (gate * (1 - gate)) @ W  # ∂f_T/∂h_{T-1}
    assert found.hidden[-2] == pytest.approx(float(np.linalg.norm(expected)))
    assert found.hidden[-1] == 0


def test_the_norm_by_iteration_is_that_by_singular_values() -> None:
    generator = np.random.default_rng(0)
    size = SMALL + 44
    for matrix in (generator.standard_normal((size, size)), np.diag(np.linspace(0, 3, size))):
        norm, vector = spectral_norm(matrix, np.ones(size))
        exact = np.linalg.norm(matrix, 2)
        assert exact * (1 - 2e-3) <= norm <= exact * (1 + 1e-12)
        again, _ = spectral_norm(matrix, vector)
        assert norm <= again <= exact * (1 + 1e-12)
    none = np.zeros((size, size))
    assert spectral_norm(none, np.ones(size))[0] == 0
    none[3, 5] = 2
    assert spectral_norm(none, np.eye(size)[0])[0] == pytest.approx(2)


def test_a_wide_layer_has_the_jacobian_of_the_same_layer_without_its_idle_units() -> None:
    """More states than `SMALL`; the units added say nothing to the others and hold nothing."""
    narrow, wide = (nn.RNN(2, units, bias=False).double() for units in (6, SMALL + 10))
    with torch.no_grad():
        for name, weight in wide.named_parameters():
            weight.zero_()
            rows = getattr(narrow, name)
            weight[: rows.shape[0], : rows.shape[1]] = rows
    x = torch.randn(9, 1, 2, dtype=torch.float64)
    one, other = (flow(layer, x, last_output).layers[0] for layer in (narrow, wide))
    assert_agree(other.jacobian[1:], one.jacobian[1:], "jacobian", relative=1e-3)  # type: ignore[index]


def test_no_gradient_has_no_reach() -> None:
    none = LayerFlow("", "gru", 0, False, np.zeros(4))
    assert (none.reach(), none.span()) == (0, None)


def test_a_product_that_is_zero_is_said() -> None:
    found = flow(linear(0.0), torch.ones(5, 1, 2), last_output).layers[0]
    assert found.jacobian is not None
    assert found.jacobian.tolist() == [1, 0, 0, 0, 0]
    assert (found.factor, found.span()) == (0.0, 1)
    one_step = flow(linear(1.0), torch.ones(1, 1, 2), last_output)
    assert one_step.layers[0].factor is None
    assert str(one_step).startswith("No layer ran over more than one step")


def test_what_it_cannot_follow_is_refused() -> None:
    layer, x = nn.LSTM(INPUTS, H), torch.randn(T, B, INPUTS)
    with pytest.raises(DataError, match=r"one number .*got \(3, 5\)"):
        flow(layer, x, lambda output: output[0][-1])
    with pytest.raises(DataError, match=r"one number .*got \(\), which does not"):
        flow(layer, x, lambda output: output[0].detach().sum())
    with pytest.raises(DataError, match=r"one number .*got float"):
        flow(layer, x, lambda output: float(output[0].detach().sum()))
    with pytest.raises(RuntimeError, match="length to be larger than 0"):  # torch's own words
        flow(layer, x[:0], last_output)
    with pytest.raises(DataError, match="Recurrent got no step"):
        flow(gated.nn.Recurrent(library.lstm, INPUTS, H), x[:0], last_output)
    with pytest.raises(ConfigurationError, match="samples must be 0 or more, got -1"):
        flow(layer, x, last_output, samples=-1)
    with pytest.raises(ConfigurationError, match="no recurrent layer"):
        flow(nn.Linear(INPUTS, H), x, lambda output: output.sum())
    with pytest.raises(RuntimeError, match="must be equal to input_size"):
        flow(layer, x[..., :3], last_output)


def test_what_is_not_followed_is_named() -> None:
    class OwnCell(nn.GRUCell):
        pass

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.layer = OwnCell(INPUTS, H), nn.GRU(H, H)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(torch.stack([self.cell(step) for step in x]))[0]

    found = flow(Both(), torch.randn(T, B, INPUTS), lambda output: output.sum())
    assert [of.name for of in found.layers] == ["layer"]
    assert list(found.left_out) == ["cell"]
    assert "a cell of a class of its own" in found.left_out["cell"]
    assert found.left_out["cell"].endswith("OwnCell")


@pytest.mark.parametrize(("units", "threads"), [(8, {1}), (SMALL, {2})])
def test_small_products_run_on_one_thread(monkeypatch, units: int, threads: set[int]) -> None:
    """A layer of H units has 2 H in its states; beyond `SMALL` of them threads are worth it."""
    seen = set()
    found = reference.step_backward

    def step_backward(*arguments, **options):
        seen.update(blas_threads())
        return found(*arguments, **options)

    monkeypatch.setattr(reference, "step_backward", step_backward)
    with threadpool_limits(2, user_api="blas"):
        flow(torch.nn.LSTM(2, units), torch.randn(3, 1, 2), lambda output: output[0].sum())
        assert blas_threads() == {2}, "as it was before"
    assert seen == threads


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
