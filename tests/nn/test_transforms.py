"""Transforms of torch.func, forward-mode, and second and third derivatives: as step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tests.comparison import assert_agree
from tests.per_step import per_step_of
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

import gated
from gated.cells import PerStep, PerStepUnit, PerUnit, cell, library, sigmoid, tanh
from gated.cells.tangent import tangent
from gated.core.plans import native_cell
from gated.nn import backends, members

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # torch's own use of it
TOLERANCE = 1e-9
Named = dict[str, Tensor]


@cell
def peephole(x: Any, h: Any, c: Any, *, p: PerUnit) -> Any:
    """One's own."""
    i, f = sigmoid(x.i + h.i + p.i * c), sigmoid(x.f + h.f + p.f * c)
    c = f * c + i * tanh(x.g + h.g)
    return sigmoid(x.o + h.o + p.o * c) * tanh(c), c


def layers(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind in ("RNN", "GRU", "LSTM"):
        return getattr(gated.nn, kind)(3, 4, 2, bidirectional=True, dtype=torch.float64)
    if kind == "normalised":
        options: dict[str, Any] = {"layer_norm": True, "zoneout": 0.1}
        return gated.nn.LSTM(3, 4, 2, dtype=torch.float64, **options).eval()
    if kind == "projected":
        return gated.nn.LSTM(3, 4, 2, proj_size=2, dtype=torch.float64)
    if kind == "no biases":
        return gated.nn.GRU(3, 4, 2, bias=False, dtype=torch.float64)
    of = {"own": peephole}.get(kind) or getattr(library, kind)
    return gated.nn.Recurrent(of, 3, 4, 2, bidirectional=True, dtype=torch.float64)


KINDS = ("RNN", "GRU", "LSTM", "normalised", "projected", "no biases", "own", "lem", "mogrifier",
         "slstm", "indrnn")  # fmt: skip


def numbers(*shape: int) -> Tensor:
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(1.0, count + 1, dtype=torch.float64) * 2.3).view(shape)


X, MANY = numbers(4, 2, 3), numbers(3, 4, 2, 3)
SHORT = X[:2, :1]
LENGTHS = torch.tensor([[4, 2], [1, 3], [0, 4]])


def stacked(named: Named) -> Named:
    return {name: torch.stack([w, 2 * w, w + 0.1]) for name, w in named.items()}


def moves(named: Named) -> Named:
    return {name: torch.cos(w * 7) for name, w in named.items()}


def forward_mode(module: nn.Module, named: Named) -> Any:
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(X, torch.cos(X))
        return forward_ad.unpack_dual(module(dual)[0]).tangent


def many_gradients(module: nn.Module, named: Named) -> Any:
    x = X.clone().requires_grad_()
    output, _ = module(x)
    given = numbers(3, *output.shape)
    return torch.autograd.grad(output, [x, *module.parameters()], given, is_grads_batched=True)


def jacobians(module: nn.Module, named: Named) -> Any:
    """By the elder functions."""
    return [
        torch.autograd.functional.jacobian(
            lambda x: module(x)[0], SHORT, vectorize=True, strategy=strategy
        )
        for strategy in ("forward-mode", "reverse-mode")
    ]


def many_second_gradients(module: nn.Module, named: Named) -> Any:
    x = X.clone().requires_grad_()
    weights = list(module.parameters())
    (first,) = torch.autograd.grad(module(x)[0].square().sum(), x, create_graph=True)
    given = numbers(3, *first.shape)
    return torch.autograd.grad(first, [x, *weights], given, is_grads_batched=True)


def penalty(module: nn.Module, named: Named) -> Any:
    """Gulrajani et al. 2017."""
    x = X.clone().requires_grad_()
    (first,) = torch.autograd.grad(module(x)[0].square().sum(), x, create_graph=True)
    loss = (first.norm(dim=-1) - 1).square().mean()
    return torch.autograd.grad(loss, [x, *module.parameters()])


def third(module: nn.Module, named: Named) -> Any:
    inputs = [X.clone().requires_grad_(), *module.parameters()]
    output, final = module(inputs[0])
    states = final if isinstance(final, tuple) else (final,)
    loss = (output**3).sum() + sum(state.square().sum() for state in states)
    for _ in range(2):
        found = torch.autograd.grad(loss, inputs, create_graph=True)
        loss = sum(of.square().sum() for of in found)  # type: ignore[assignment]
    return torch.autograd.grad(loss, inputs)


def loss_of_gates(module: nn.Module, named: Named, x: Tensor, **options: Any) -> Tensor:
    output, _, gates = functional_call(module, named, (x,), {"return_gates": True, **options})
    of_all = (of.sin().sum() for each in gates for of in each.values())
    return output.square().sum() + sum(of_all)  # type: ignore[no-any-return]


def weight_of(named: Named) -> str:
    return next(name for name in named if name.startswith("weight_hh") or "weight_ih" in name)


TRANSFORMS: dict[str, Callable[[Any, Any, nn.Module, Named], Any]] = {
    "grad": lambda run, loss, m, w: grad(loss)(w, X),
    "vmap": lambda run, loss, m, w: vmap(run, (None, 0))(w, MANY),
    "vmap in 1": lambda run, loss, m, w: vmap(run, (None, 1), 1)(w, MANY.movedim(0, 1)),
    "ensemble": lambda run, loss, m, w: vmap(run, (0, None))(stacked(w), X),
    "ensemble of data": lambda run, loss, m, w: vmap(run, (0, 0))(stacked(w), MANY),
    "training of an ensemble": lambda run, loss, m, w: vmap(grad(loss))(stacked(w), MANY),
    "gradients of each": lambda run, loss, m, w: vmap(grad(loss), (None, 0))(w, MANY),
    "gradient of a map": lambda run, loss, m, w: grad(
        lambda w: vmap(run, (None, 0))(w, MANY).square().sum()
    )(w),
    "penalty of a map": lambda run, loss, m, w: grad(
        lambda x: vmap(grad(loss, 1), (None, 0))(w, x).square().sum()
    )(MANY),
    "jvp": lambda run, loss, m, w: jvp(run, (w, X), (moves(w), torch.cos(X))),
    "jvp of x": lambda run, loss, m, w: jvp(lambda x: run(w, x), (X,), (torch.cos(X),)),
    "jacrev": lambda run, loss, m, w: jacrev(run, argnums=(0, 1))(w, SHORT),
    "jacfwd": lambda run, loss, m, w: jacfwd(run, argnums=1)(w, SHORT),
    "hessian": lambda run, loss, m, w: hessian(loss, argnums=1)(w, SHORT),
    "hessian of weights": lambda run, loss, m, w: hessian(
        lambda of: loss({**w, weight_of(w): of}, SHORT)
    )(w[weight_of(w)]),
    "forward over forward": lambda run, loss, m, w: jacfwd(jacfwd(loss, 1), 1)(w, SHORT),
    "jvp of an ensemble": lambda run, loss, m, w: jvp(
        lambda w, x: vmap(run, (0, None))(w, x), (stacked(w), X), (moves(stacked(w)), torch.cos(X))
    ),
    "ensemble of jvps": lambda run, loss, m, w: vmap(
        lambda w, x: jvp(run, (w, x), (moves(w), torch.cos(x)))
    )(stacked(w), MANY),
    "gradient of a jvp": lambda run, loss, m, w: grad(
        lambda w: jvp(run, (w, X), (moves(w), torch.cos(X)))[1].square().sum()
    )(w),
    "gradients of each of an ensemble": lambda run, loss, m, w: vmap(
        vmap(grad(loss), (None, 0)), (0, None)
    )(stacked(w), MANY),
    "jacobians of gradients of each": lambda run, loss, m, w: jacrev(
        lambda x: vmap(grad(loss), (None, 0))(w, x)[weight_of(w)], 0
    )(MANY[:2, :2]),
    "reverse over reverse": lambda run, loss, m, w: jacrev(jacrev(loss, 1), 1)(w, SHORT),
    "reverse over forward": lambda run, loss, m, w: jacrev(jacfwd(loss, 1), 1)(w, SHORT),
    "forward mode": lambda run, loss, m, w: forward_mode(m, w),
    "torch.autograd.functional": lambda run, loss, m, w: jacobians(m, w),
    "is_grads_batched": lambda run, loss, m, w: many_gradients(m, w),
    "is_grads_batched twice": lambda run, loss, m, w: many_second_gradients(m, w),
    "gradient penalty": lambda run, loss, m, w: penalty(m, w),
    "third derivatives": lambda run, loss, m, w: third(m, w),
    "lengths": lambda run, loss, m, w: vmap(lambda x: m(x, lengths=[4, 2])[0])(MANY),
    "lengths of each": lambda run, loss, m, w: vmap(lambda x, n: m(x, lengths=n)[0])(MANY, LENGTHS),
    "gradients with lengths": lambda run, loss, m, w: vmap(
        grad(lambda x: m(x, lengths=[4, 2])[0].square().sum())
    )(MANY),
    "gates": lambda run, loss, m, w: vmap(lambda x: m(x, return_gates=True)[2])(MANY),
    "gates of an ensemble": lambda run, loss, m, w: vmap(
        lambda w, x, n: functional_call(m, w, (x,), {"return_gates": True, "lengths": n})[2]
    )(stacked(w), MANY, LENGTHS),
    "gradients by gates": lambda run, loss, m, w: vmap(grad(partial(loss_of_gates, m)), (None, 0))(
        w, MANY
    ),
    "gradients by gates with lengths": lambda run, loss, m, w: grad(
        partial(loss_of_gates, m, lengths=[4, 2])
    )(w, X),
    "jvp by gates": lambda run, loss, m, w: jvp(
        lambda x: loss_of_gates(m, w, x), (X,), (torch.cos(X),)
    ),
    "hessian by gates": lambda run, loss, m, w: hessian(lambda x: loss_of_gates(m, w, x))(SHORT),
}
STEP_BY_STEP = ("jvp by gates", "hessian by gates")


def result(name: str, module: Any, backend: str | None) -> Any:
    module.backend = backend
    weights = {name: weight.detach() for name, weight in module.named_parameters()}

    def run(weights: Named, x: Tensor) -> Tensor:
        output: Tensor = functional_call(module, weights, (x,))[0]
        return output

    def loss(weights: Named, x: Tensor) -> Tensor:
        return run(weights, x).square().sum()

    return TRANSFORMS[name](run, loss, module, weights)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_as_step_by_step(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = layers(kind)
    expected = result(name, module, "torch")
    if name not in STEP_BY_STEP:
        monkeypatch.setattr(backends, "unrolled_layer", None)
    found = result(name, module, None)
    assert_agree(found, expected, name, relative=TOLERANCE, absolute=TOLERANCE)


OPTIONS: dict[str, dict[str, Any]] = {
    "zoneout": {"zoneout": 0.4},
    "recurrent dropout": {"recurrent_dropout": 0.4},
    "weight drop": {"weight_drop": 0.4},
    "all": {
        "zoneout": 0.2, "recurrent_dropout": 0.3, "weight_drop": 0.3, "layer_norm": True,
        "recompute": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["gradient penalty", "third derivatives", "jvp", "grad"])
@pytest.mark.parametrize("options", OPTIONS)
def test_in_training_with_options(options: str, name: str) -> None:
    module = gated.nn.GRU(3, 4, 2, dtype=torch.float64, **OPTIONS[options])
    torch.manual_seed(3)
    expected = result(name, module, "torch")
    torch.manual_seed(3)
    found = result(name, module, None)
    assert_agree(found, expected, name, relative=TOLERANCE, absolute=TOLERANCE)


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_what_is_drawn_for_members(randomness: str) -> None:
    module = gated.nn.GRU(3, 4, recurrent_dropout=0.5, dtype=torch.float64)
    torch.manual_seed(1)
    same = X.expand(6, 4, 2, 3)
    found = vmap(lambda x: module(x)[0], randomness=randomness)(same)
    assert (found[0] == found[1]).all() == (randomness == "same")
    with pytest.raises(RuntimeError, match="random"):
        vmap(lambda x: module(x)[0])(same)


@pytest.mark.parametrize("zoneout", [0.5])
def test_zoneout_draws_the_same_for_all_members_of_one_seed(zoneout: float) -> None:
    module = gated.nn.GRU(3, 4, zoneout=zoneout, dtype=torch.float64)
    found = vmap(lambda x: module(x)[0], randomness="same")(X.expand(6, 4, 2, 3))
    assert_agree(found, found[:1].expand_as(found), "members", relative=0)


def test_inputs_for_each_step_and_resets() -> None:
    module = gated.nn.Recurrent(peephole, 3, 4, dtype=torch.float64)
    resets = torch.tensor([[0.0, 0], [1, 0], [0, 1], [0, 0]], dtype=torch.float64)

    def second(backend: str | None) -> Any:
        module.backend = backend  # type: ignore[assignment]
        x, marks = X.clone().requires_grad_(), resets.clone().requires_grad_()
        first = torch.autograd.grad(
            module(x, resets=marks)[0].square().sum(), [x, marks], create_graph=True
        )
        loss = sum(of.square().sum() for of in first)
        along = jvp(
            lambda x, r: module(x, resets=r)[0], (X, resets), (torch.cos(X), torch.cos(resets))
        )
        return torch.autograd.grad(loss, [x, marks, *module.parameters()]), along

    assert_agree(second(None), second("torch"), "resets", relative=TOLERANCE, absolute=TOLERANCE)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_accelerated_layers_as_torchs(kind: str) -> None:
    torch.manual_seed(0)
    plain = getattr(nn, kind)(3, 4, 2, bidirectional=True, dtype=torch.float64)
    fast = getattr(nn, kind)(3, 4, 2, bidirectional=True, dtype=torch.float64)
    fast.load_state_dict(plain.state_dict())
    gated.accelerate(fast)
    for name in ("gradient penalty", "third derivatives", "is_grads_batched twice", "grad"):
        expected, found = result(name, plain, None), result(name, fast, None)
        assert_agree(found, expected, name, relative=TOLERANCE, absolute=TOLERANCE)
    of_each = torch.stack([plain(x)[0] for x in MANY])  # torch's own layer cannot be mapped
    assert_agree(result("vmap", fast, None), of_each, "vmap", relative=TOLERANCE)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_second_gradients_by_differences(kind: str) -> None:
    torch.manual_seed(0)
    module = getattr(gated.nn, kind)(2, 3, dtype=torch.float64)
    names = [name for name, _ in module.named_parameters()]

    def run(x: Tensor, *weights: Tensor) -> Any:
        output, final = functional_call(module, dict(zip(names, weights, strict=True)), (x,))
        return output, *(final if isinstance(final, tuple) else (final,))

    x = numbers(3, 2, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(run, (x, *module.parameters()), fast_mode=True)
    assert torch.autograd.gradcheck(
        run, (x, *module.parameters()), fast_mode=True, check_forward_ad=True
    )


def test_an_ensemble_is_trained() -> None:
    members = [gated.nn.GRU(3, 4, dtype=torch.float64) for _ in range(3)]
    weights, buffers = torch.func.stack_module_state(members)
    base = gated.nn.GRU(3, 4, device="meta")

    def loss(weights: Named, buffers: Named, x: Tensor) -> Tensor:
        output: Tensor = functional_call(base, (weights, buffers), (x,))[0].square().sum()
        return output

    vmap(loss, (0, 0, None))(weights, buffers, X).sum().backward()
    for place, member in enumerate(members):
        member(X)[0].square().sum().backward()
        for name, weight in member.named_parameters():
            assert_agree(weights[name].grad[place], weight.grad, name, relative=TOLERANCE)


def test_members_side_by_side_on_threads_have_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = gated.nn.LSTM(3, 4, 2, dtype=torch.float64)
    found = []
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    for worth in (10**18, 0):
        monkeypatch.setattr(members, "WORTH_THREADS", worth)
        found.append(
            [result(name, module, None) for name in ("ensemble", "training of an ensemble")]
        )
    torch.set_num_threads(threads)
    assert_agree(found[1], found[0], "members", relative=0)


class Runs:
    """How often the core was run, forward and back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.forward = self.back = 0
        run, back, by_rows = members.run_into, members.run_back, members.backward_by_rows

        def counted(*given: Any) -> None:
            self.forward += 1
            run(*given)

        def counted_back(function: Any) -> Any:
            def counting(*given: Any, **more: Any) -> Any:
                self.back += 1
                return function(*given, **more)

            return counting

        monkeypatch.setattr(members, "run_into", counted)
        monkeypatch.setattr(members, "run_back", counted_back(back))
        monkeypatch.setattr(members, "backward_by_rows", counted_back(by_rows))


@pytest.mark.parametrize(
    ("name", "forward", "back"),
    [
        ("jvp", 1, 0),  # values and tangents
        ("jvp of x", 1, 0),
        ("forward mode", 1, 0),
        ("vmap", 1, 0),
        ("gradients of each", 1, 1),
        ("training of an ensemble", 3, 3),  # of three
    ],
)
def test_nothing_is_computed_twice(
    name: str, forward: int, back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = gated.nn.LSTM(3, 4, dtype=torch.float64)
    runs = Runs(monkeypatch)
    result(name, module, None)
    assert (runs.forward, runs.back) == (forward, back)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "gru_reset_before", "lem", "mogrifier", "indrnn"])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_each_with_lengths_and_states(kind: str, reverse: bool) -> None:
    torch.manual_seed(0)
    if kind in ("LSTM", "GRU"):
        module = getattr(gated.nn, kind)(3, 4, bidirectional=reverse, dtype=torch.float64)
        states = 2 if kind == "LSTM" else 1
    else:
        of = getattr(library, kind)
        module = gated.nn.Recurrent(of, 3, 4, bidirectional=reverse, dtype=torch.float64)
        states = len(of.states)
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    hx = tuple(numbers(3, 1 + reverse, 2, 4) * (1 + i) for i in range(states))
    padded = MANY.clone()
    for member, spans in enumerate(LENGTHS):
        for sequence, span in enumerate(spans):
            padded[member, span:, sequence] = torch.nan  # is never read

    def loss(weights: Named, x: Tensor, lengths: Tensor, *hx: Tensor) -> Tensor:
        given = hx if len(hx) > 1 else hx[0]
        output, final = functional_call(module, weights, (x, given), {"lengths": lengths})
        last = final if isinstance(final, tuple) else (final,)
        return output.square().sum() + sum(of.sin().sum() for of in last)  # type: ignore[return-value]

    of_all = (0, *(3 + i for i in range(states)))
    of_one = grad(loss, of_all)
    found = vmap(of_one, (None, 0, 0, *(0 for _ in hx)))(weights, padded, LENGTHS, *hx)
    each = [of_one(weights, *given) for given in zip(padded, LENGTHS, *hx, strict=True)]
    for place, of in enumerate(each):
        assert_agree(
            torch.utils._pytree.tree_map(lambda many, i=place: many[i], found), of, kind,
            relative=TOLERANCE, absolute=TOLERANCE,
        )  # fmt: skip


def test_the_tangent_of_a_cell_is_a_cell() -> None:
    moving = tangent(library.lstm, frozenset({"input", "weight_ih", "weight_hh"}))
    assert [state.width for state in moving.states] == ["H"] * 4
    assert list(moving.gates) == list(library.lstm.gates)
    assert moving.output_is_hidden
    still = tangent(library.lstm, frozenset())
    assert [matrix.name for matrix in still.matrices] == [
        "weight_ih", "weight_hh", "weight_hh_again2",
    ]  # fmt: skip
    assert native_cell(tangent(moving, frozenset({"weight_hh"}))) is not None


@cell
def shaken(x: Any, h: Any, *, noise: PerStepUnit, age: PerStep) -> Any:
    """Inputs for each step, one of them as wide as the units."""
    return tanh(x.n + h.n + noise * age) * noise


@pytest.mark.parametrize(
    "layer",
    [
        gated.nn.Recurrent(library.lstm, 3, 4, heads=2, dtype=torch.float64),
        gated.nn.Recurrent(shaken, 3, 4, dtype=torch.float64),
    ],
    ids=["heads", "wide inputs for each step"],
)
def test_heads_and_inputs_for_each_step_have_every_derivative(layer: gated.nn.Recurrent) -> None:
    given = per_step_of(layer.cell, 4, 2, inputs=3, units=4)

    def loss(x: Tensor, *steps: Tensor) -> Tensor:
        return (layer(x, **dict(zip(given, steps, strict=True)))[0] ** 2).sum()

    tensors = (X, *given.values())
    found = []
    for backend in (None, "torch"):
        layer.backend = backend  # type: ignore[assignment]
        every = tuple(range(len(tensors)))
        forward = jvp(loss, tensors, tuple(of.cos() for of in tensors))
        twice = jacrev(grad(loss))(*tensors)
        found.append([*forward, *grad(loss, argnums=every)(*tensors), twice])
    assert_agree(found[0], found[1], "derivatives", absolute=1e-9)
