"""Layers of one's own cells: native against torch's operations, with every gradient."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.comparison import assert_agree
from tests.per_step import per_step_of

import gated
from gated.cells import (
    Cell,
    PerStep,
    PerStepFeature,
    PerStepUnit,
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
from gated.core import native
from gated.errors import CellError, ConfigurationError, DataError


@cell
def peephole_lstm(x, h, c, *, p: PerUnit):  # Gers and Schmidhuber 2000
    i = sigmoid(x.i + h.i + p.i * c)
    f = sigmoid(x.f + h.f + p.f * c)
    c = f * c + i * tanh(x.g + h.g)
    o = sigmoid(x.o + h.o + p.o * c)
    return o * tanh(c), c


@cell
def gru_as_published(x, h):  # Cho et al. 2014
    z, r = sigmoid(x.z + h.z), sigmoid(x.r + h.r)
    return z * h + (1 - z) * tanh(x.n + linear(r * h).n)


@cell
def timed(x, h, m, *, elapsed: PerStep, tau: PerUnit, gain: Scalar, rate=0.5):
    """Two states, an input for each step, parameters of both kinds, and an output apart."""
    faded = m * exp(-softplus(tau) * elapsed)
    m = rate * faded + (1 - rate) * tanh(x.a + h.a + m.a)
    h = sigmoid(x.b + h.b) * relu(m) + gain * elapsed
    return h - mean(h) + linear(h), h, m


@cell
def mogrifier(x, h, c):  # Melis, Kočiský and Blunsom 2020, two rounds
    x2 = 2 * sigmoid(linear(h, like=x, name="q")) * x
    h2 = 2 * sigmoid(linear(x2, name="r")) * h
    s, v = linear(h2), linear(x2)
    i, f = sigmoid(v.i + s.i), sigmoid(v.f + s.f)
    c = f * c + i * tanh(v.g + s.g)
    return sigmoid(v.o + s.o) * tanh(c), c


@cell
def every_function(x, h):
    """All that the language has, where it is smooth."""
    a, b = x.a + h.a, x.b + h.b
    n = norm(a) * sqrt(absolute(b) + 1) + log(1 + exp(minimum(a, b)))
    n = where(a < b, n, maximum(a, 0.5 * b)) / (1 + total(sigmoid(b)) ** 2)
    return tanh(n - h.n) + 0 * equal(a, b) + 0.1 * (b >= a)


@cell
def masked(x, h, c, *, mask: PerStepFeature, noise: PerStepUnit, age: PerStep):
    """Inputs for each step of every width, alone and in products."""
    seen = mask * x + (1 - mask) * linear(h, like=x)
    c = sigmoid(linear(seen).f + h.f + linear(noise, name="shaken")) * c + age * noise
    return tanh(linear(mask, name="mask") + c + mean(mask)), c + 0 * mean(noise * noise)


CELLS = [peephole_lstm, gru_as_published, timed, mogrifier, every_function, masked]


def layer_of(of: Cell, **options: Any) -> gated.nn.Recurrent:
    torch.manual_seed(0)
    return gated.nn.Recurrent(of, 5, 13, dtype=torch.float64, **options)


def results(layer: gated.nn.Recurrent, backend: str, x: torch.Tensor, **given: Any) -> list[Any]:
    """Output, final states and every gradient."""
    layer.backend = backend
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    output, final = layer(x, **given)
    states = final if isinstance(final, tuple) else (final,)
    loss = (output**2).sum() + sum((state * state.cos()).sum() for state in states)
    per_step = [of for of in given.values() if isinstance(of, torch.Tensor) and of.requires_grad]
    gradients = torch.autograd.grad(loss, [x, *layer.parameters(), *per_step])
    return [output, *states, *gradients]


def inputs_of(of: Cell, T: int, B: int) -> dict[str, torch.Tensor]:
    return per_step_of(of, T, B, inputs=5, units=13, requires_grad=True)


@pytest.mark.parametrize("of", CELLS, ids=lambda of: of.name)
@pytest.mark.parametrize("sizes", [(4, 3), (1, 1), (70, 9)], ids=str)
def test_native_is_torch(of: Cell, sizes: tuple[int, int]) -> None:
    layer = layer_of(of, num_layers=1 if of is masked else 2, bidirectional=True)
    x = torch.randn(*sizes, 5, dtype=torch.float64)
    given: dict[str, Any] = inputs_of(of, *sizes)
    given["lengths"] = torch.arange(sizes[1]) % (sizes[0] + 1)
    native, torchs = (results(layer, name, x, **given) for name in ("native", "torch"))
    assert_agree(native, torchs, "results", relative=1e-8, absolute=1e-8)


OPTIONS: dict[str, dict[str, Any]] = {
    "layer_norm": {"layer_norm": True},
    "projected": {"proj_size": 6},
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "weight_drop": {"weight_drop": 0.3},
    "zoneout": {"zoneout": (0.2, 0.3)},
    "recompute": {"recompute": True},
    "no bias": {"bias": False},
    "resets": {},
}


@pytest.mark.parametrize(
    "names",
    [*((n,) for n in OPTIONS), *itertools.combinations(OPTIONS, 2), tuple(OPTIONS)],
    ids=str,
)
def test_options_combine(names: tuple[str, ...]) -> None:
    options: dict[str, Any] = {}
    for name in names:
        options |= OPTIONS[name]
    layer = layer_of(peephole_lstm, bidirectional=True, **options)
    x = torch.randn(6, 4, 5, dtype=torch.float64)
    given: dict[str, Any] = {"lengths": [6, 3, 0, 5]}
    if "resets" in names:
        given["resets"] = torch.rand(6, 4, dtype=torch.float64).round()
    native, torchs = (results(layer, name, x, **given) for name in ("native", "torch"))
    assert_agree(native, torchs, "results", relative=1e-8, absolute=1e-8)


def test_a_reset_is_the_start_of_another_sequence() -> None:
    layer = layer_of(gru_as_published, bidirectional=True)
    x = torch.randn(7, 1, 5, dtype=torch.float64)
    resets = torch.zeros(7, 1)
    resets[4] = 1
    whole, _ = layer(x, resets=resets)
    first, second = layer(x[:4])[0], layer(x[4:])[0]
    assert_agree(whole, torch.cat([first, second]), "output")


def test_heads_do_not_meet() -> None:
    layer = gated.nn.Recurrent(gru_as_published, 3, 8, heads=4, dtype=torch.float64)
    assert layer.weight_hh_l0.shape == (24, 2)
    h = torch.zeros(1, 1, 8, dtype=torch.float64).requires_grad_()
    output, _ = layer(torch.randn(1, 1, 3, dtype=torch.float64), h)
    (reach,) = torch.autograd.grad(output[0, 0, 0], h)
    assert (reach[0, 0, 2:] == 0).all()


def test_parameters_are_called_and_ordered_as_the_definition_names_them() -> None:
    layer = gated.nn.Recurrent(peephole_lstm, 3, 4)
    shapes = {name: tuple(of.shape) for name, of in layer.state_dict().items()}
    assert shapes == {
        "weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,), "bias_hh_l0": (16,),
        "p_l0": (3, 4),
    }  # fmt: skip
    with torch.no_grad():
        layer.weight_ih_l0[8:12] = 7.0  # g is the third that is named
        layer.bias_ih_l0[12:16] = 30.0
    (_, _, gates) = layer(torch.ones(1, 1, 3), return_gates=True)
    assert (gates[0]["g"] == 1).all()
    assert (gates[0]["o"] == 1).all()


def test_the_gated_lstm_is_torchs() -> None:
    ours = gated.nn.Recurrent(library.lstm, 5, 6, num_layers=2, bidirectional=True)
    theirs = torch.nn.LSTM(5, 6, num_layers=2, bidirectional=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 3, 5)
    assert_agree(ours(x)[0], theirs(x)[0], "output", relative=1e-5, absolute=1e-6)


def test_second_derivatives_are_torchs() -> None:
    layer = layer_of(gru_as_published, backend="torch")
    x = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))


def test_a_stream_takes_the_same_steps() -> None:
    layer = gated.nn.Recurrent(mogrifier, 5, 13)
    x = torch.randn(6, 1, 5)
    steps = layer.stream().steps(x[:, 0].numpy())
    assert_agree(torch.from_numpy(steps), layer(x)[0][:, 0], "steps", relative=1e-5, absolute=1e-6)


def refused(match: str, definition: Any) -> None:
    with pytest.raises(CellError, match=match) as told:
        cell(definition)
    assert f"{__file__}, line" in str(told.value)


def test_a_definition_that_cannot_be_is_refused_with_its_line() -> None:
    refused("decides an `if`", lambda x, h: h if h > 0 else x.n)
    refused(r"must return its 2 states \(h, c\).* got 1", lambda x, h, c: tanh(x.n + c))
    refused("got 4 values", lambda x, h, c: (h, h, c, c))
    refused("another library", lambda x, h: __import__("math").tanh(h))
    refused("torch's tanh is not known", lambda x, h: torch.tanh(h))
    refused("values of one width, got one as wide as the hidden", lambda x, h: h + x)
    refused(r"linear\(value\)\.n", lambda x, h: (h + 1).n)
    refused("got NoneType", lambda x, h: None)
    refused("returns a value as wide as the input features", lambda x, h: x)

    def two_ways(x, h, *, p: PerUnit):
        return p * h + p.i * h

    refused("used by itself and as p.i", two_ways)
    with pytest.raises(CellError, match=r"ff was not declared.* did you mean f\?"):
        cell(gates={"f": "forget_gate"})(lambda x, h: sigmoid(x.f + h.ff))


def test_what_the_layer_cannot_take_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"decorator gated\.cells\.cell, got str"):
        gated.nn.Recurrent("lstm", 3, 4)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="heads must divide hidden_size 4, got 3"):
        gated.nn.Recurrent(gru_as_published, 3, 4, heads=3)
    with pytest.raises(CellError, match="no constant gamma: it has rate"):
        gated.nn.Recurrent(timed, 3, 4, gamma=1.0)
    layer = gated.nn.Recurrent(timed, 3, 4)
    with pytest.raises(DataError, match="takes for each step: elapsed; got nothing"):
        layer(torch.zeros(2, 1, 3))
    with pytest.raises(
        DataError, match=r"elapsed must have the steps and .* \(2, 1\), got \(1, 2\)"
    ):
        layer(torch.zeros(2, 1, 3), elapsed=torch.zeros(1, 2))
    with pytest.raises(DataError, match=r"hx must be the states \(hidden, m\), got 1"):
        layer(torch.zeros(2, 1, 3), torch.zeros(1, 1, 4), elapsed=torch.zeros(2, 1))


@cell
def told_twice(x: Any, h: Any, c: Any) -> Any:
    """A gate that is a state, and an output that is none."""
    f = sigmoid(x.f + h.f)
    h = tanh(x.n + h.n)
    c = f * c + (1 - f) * h
    return f * tanh(c), h, c


@cell
def named_otherwise(x: Any, h: Any) -> Any:
    """A gate that is the output under another name."""
    return tanh(x.n + h.n)


@pytest.mark.parametrize("of", [told_twice, named_otherwise])
def test_a_loss_may_read_one_value_under_each_of_its_names(of: Cell) -> None:
    torch.manual_seed(0)
    layer = gated.nn.Recurrent(of, 3, 5, bidirectional=True, dtype=torch.float64)
    x = torch.randn(6, 3, 3, dtype=torch.float64, requires_grad=True)
    found = {}
    for backend in ("torch", "native", "reference"):
        layer.backend = backend  # type: ignore[assignment]
        output, _, gates = layer(x, lengths=[6, 2, 4], return_gates=True)
        loss = output.square().sum() + sum(v.sin().sum() for one in gates for v in one.values())
        values = [one[name] for one in gates for name in sorted(of.named)]
        grads = torch.autograd.grad(loss, [x, *layer.parameters()])
        found[backend] = [output, *values, *grads]
    assert torch.equal(gates[0]["n"], gates[0]["hidden"])
    assert_agree(found["native"], found["torch"], "native", relative=1e-9, absolute=1e-12)
    assert_agree(found["reference"], found["torch"], "reference", relative=1e-9, absolute=1e-12)


@cell
def worn(x: Any, h: Any, c: Any, *, p: PerUnit, age: PerStep, scale: Scalar) -> Any:
    """All that a cell may take, in one."""
    f = sigmoid(x.f + h.f + p.f * c)
    c = f * exp(-age) * c + (1 - f) * tanh(x.g + linear(f * h).g)
    return scale * tanh(c), c


def test_the_reference_has_every_gradient_of_ones_own_cell() -> None:
    torch.manual_seed(0)
    layer = gated.nn.Recurrent(worn, 3, 5, bidirectional=True, dtype=torch.float64)
    x = torch.randn(6, 3, 3, dtype=torch.float64, requires_grad=True)
    age = torch.rand(6, 3, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True) for _ in "hc"]
    found = {}
    for backend in ("torch", "native", "reference"):
        layer.backend = backend  # type: ignore[assignment]
        output, (_, c) = layer(x, tuple(states), age=age, lengths=[6, 2, 4])
        loss = output.sin().sum() + c.square().sum()
        found[backend] = torch.autograd.grad(loss, [x, age, *states, *layer.parameters()])
    assert all(grad.abs().max() > 0 for grad in found["torch"])
    assert_agree(found["native"], found["torch"], "native", relative=1e-9, absolute=1e-12)
    assert_agree(found["reference"], found["torch"], "reference", relative=1e-9, absolute=1e-12)


def test_inputs_for_each_step_of_any_width() -> None:
    """Batch-first, unbatched and the reference are the same; a wrong width is refused."""
    layer = layer_of(masked)
    x, given = torch.randn(6, 2, 5, dtype=torch.float64), inputs_of(masked, 6, 2)
    native = results(layer, "native", x, **given)
    assert_agree(results(layer, "reference", x, **given), native, "reference", absolute=1e-10)
    other = layer_of(masked, batch_first=True)
    turned = {name: of.transpose(0, 1) for name, of in given.items()}
    assert_agree(other(x.transpose(0, 1), **turned)[0].transpose(0, 1), native[0], "batch first")
    one = {name: of[:, 1] for name, of in given.items()}
    assert_agree(layer(x[:, 1], **one)[0], native[0][:, 1], "unbatched", absolute=1e-10)
    with pytest.raises(DataError, match=r"mask .*and 5 features, \(6, 2, 5\), got \(6, 2\)"):
        layer(x, **{**given, "mask": given["age"]})
    with pytest.raises(DataError, match=r"noise .*and 13 features"):
        layer(x, **{**given, "noise": given["mask"]})
    with pytest.raises(ConfigurationError, match="mask is as wide as the input of the first layer"):
        layer_of(masked, num_layers=2)
    with pytest.raises(ConfigurationError, match="takes mask, noise, age for each step"):
        layer.float().stream()


def test_inputs_of_steps_are_interpreted_by_every_instruction_set() -> None:
    layer, x = layer_of(masked, bidirectional=True), torch.randn(5, 3, 5, dtype=torch.float64)
    given: dict[str, Any] = {**inputs_of(masked, 5, 3), "lengths": [5, 0, 3]}
    torchs = results(layer, "torch", x, **given)
    core = native.extension()
    before = core.instruction_set()
    try:
        for name in core.instruction_sets():
            core.set_instruction_set(name)
            assert_agree(results(layer, "native", x, **given), torchs, name, absolute=1e-9)
    finally:
        core.set_instruction_set(before)


@pytest.mark.parametrize(
    ("of", "zoneout"),
    [
        (library.slstm, (0.0, 0.2, 0.3, 0.4)),
        (library.slstm, 0.1),
        (library.tau_gru, (0.1, 0.5)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_any_state_can_be_zoned_out(of: Cell, zoneout: Any, training: bool) -> None:
    layer = layer_of(of, zoneout=zoneout).train(training)
    x = torch.randn(6, 4, 5, dtype=torch.float64)
    native, torchs, reference = (
        results(layer, name, x, lengths=[6, 3, 0, 5]) for name in ("native", "torch", "reference")
    )
    assert_agree(native, torchs, "torch", relative=1e-8, absolute=1e-8)
    assert_agree(native, reference, "reference", relative=1e-8, absolute=1e-8)


def test_a_state_that_is_zoned_out_for_good_stays_and_no_other() -> None:
    layer = layer_of(library.slstm, zoneout=(0.0, 0.0, 1.0, 0.0))
    states = tuple(torch.full((1, 2, 13), 0.5, dtype=torch.float64) for _ in range(4))
    _, after = layer(torch.randn(3, 2, 5, dtype=torch.float64), states)
    assert [bool((of == 0.5).all()) for of in after] == [False, False, True, False]
    with pytest.raises(ConfigurationError, match=r"one for each state \(hidden, cell, n, m\), got"):
        layer_of(library.slstm, zoneout=(0.1, 0.2))
    with pytest.raises(ConfigurationError, match=r"zoneout is a probability, 0 to 1, got 1\.5"):
        layer_of(library.slstm, zoneout=(0.1, 0.2, 0.1, 1.5))
