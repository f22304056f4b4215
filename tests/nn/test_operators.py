"""The registered operator: schema, gradients, fake tensors, compiling, exporting, autocast."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
import torch
from tests.comparison import assert_agree

import gated.nn
from gated.core.layout import Weights, weight_shapes
from gated.errors import ConfigurationError
from gated.nn.operators import LayerCall
from gated.nn.transforms import layer

KINDS = ["RNN", "GRU", "LSTM"]


def arguments(cell: str, *, keep: bool = True, **options: Any) -> LayerCall:
    shapes = weight_shapes(cell, 3, 5)
    weights = Weights(*(torch.randn(shape, requires_grad=True) for shape in shapes[:4]))
    states = 2 if cell == "lstm" else 1
    return LayerCall(
        cell,
        torch.randn(4, 2, 3, requires_grad=True),
        [weight for weight in weights if weight is not None],
        "weight_ih,weight_hh,bias_ih,bias_hh",
        [torch.randn(2, 5, requires_grad=True) for _ in range(states)],
        [],
        torch.tensor([4, 2]),
        keep=keep,
        **options,
    )


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_the_operator_is_what_torch_asks_of_one(cell: str) -> None:
    given = arguments(cell, hidden_mask=torch.full((2, 5), 2.0), zoneout=[0.2])
    given = given._replace(lengths=None)  # behind real rows is whatever was there
    passed = torch.library.opcheck(torch.ops.gated.layer, tuple(given))
    assert set(passed.values()) == {"SUCCESS"}


def test_with_and_without_the_dispatcher_is_the_same() -> None:
    given = arguments("lstm")
    leaves = [given.x, *given.weights, *given.initial]

    def gradients(output: torch.Tensor, final: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad((output**2).sum() + final.sum(), leaves)

    registered = given.named(torch.ops.gated.layer(*given))
    eager = layer(given)
    assert_agree(eager.output, registered.output, "output", relative=0)
    ours = gradients(eager.output, eager.final[1])
    assert_agree(ours, gradients(registered.output, registered.final[1]), "gradients", relative=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ragged", [False, True])
def test_compiling_leaves_one_graph_and_the_same_numbers(kind: str, ragged: bool) -> None:
    torch.compiler.reset()
    model = getattr(gated.nn, kind)(3, 5, num_layers=2, bidirectional=True)
    x = torch.randn(4, 2, 3)
    options = {"lengths": torch.tensor([4, 1])} if ragged else {}

    def loss(x: torch.Tensor) -> torch.Tensor:
        return (model(x, **options)[0] ** 2).sum()

    loss(x).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    compiled(x).backward()
    assert_agree([p.grad for p in model.parameters()], expected, "gradients", relative=1e-6)
    with torch.no_grad():
        assert_agree(compiled(x), loss(x), "loss", relative=1e-6)


def test_an_exported_program_runs_from_a_file() -> None:
    model = gated.nn.GRU(3, 5, batch_first=True).eval()
    x = torch.randn(2, 4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its internals
        program = torch.export.export(model, (x,))
        file = io.BytesIO()
        torch.export.save(program.run_decompositions(), file)
        file.seek(0)
        again = torch.export.load(file).module()
    assert any("gated.layer" in str(node.target) for node in program.graph.nodes)
    other = torch.randn(2, 4, 3)
    assert_agree(again(other)[0], model(other)[0], "output", relative=1e-6)


def test_under_autocast_it_returns_the_dtype_of_the_weights() -> None:
    model = gated.nn.LSTM(3, 5)
    x = torch.randn(4, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        half = torch.nn.functional.linear(x, torch.eye(3))
        assert half.dtype == torch.bfloat16
        output, _ = model(half)
        given = arguments("gru")
        direct = torch.ops.gated.layer(*given._replace(x=given.x.bfloat16()))[0]
    assert output.dtype == direct.dtype == torch.float32
    assert_agree(output, model(half.float())[0], "output", relative=0.05, absolute=2e-3)
    assert not torch.equal(output, model(half.float())[0])  # weights are rounded
    output.sum().backward()
    assert model.weight_hh_l0.grad.dtype == torch.float32


def test_gradients_flow_in_evaluation() -> None:
    model = gated.nn.LSTM(3, 5).eval()
    x = torch.randn(4, 2, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(model(x)[0].sum(), x)
    assert grad.abs().sum() > 0


def test_what_is_not_there_is_said() -> None:
    given = arguments("gru", keep=False)
    with pytest.raises(ConfigurationError, match="gradients with keep=True alone"):
        torch.ops.gated.layer(*given)[0].sum().backward()
    given = arguments("gru")
    output = torch.ops.gated.layer(*given)[0]
    with pytest.raises(ConfigurationError, match="second derivatives"):
        torch.autograd.grad(output.sum(), given.x, create_graph=True)


@pytest.mark.parametrize("backend", ["reference", "triton"])
def test_who_knows_no_transforms_says_so(backend: Any) -> None:
    model = gated.nn.GRU(3, 5, backend=backend)
    with pytest.raises(ConfigurationError, match=r"transforms of torch.func.*backend='torch'"):
        torch.func.vmap(lambda x: model(x)[0])(torch.randn(6, 4, 2, 3))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_without_memory_there_are_shapes(kind: str) -> None:
    model = getattr(gated.nn, kind)(3, 5, bidirectional=True, device="meta")
    output, _ = model(torch.empty(4, 2, 3, device="meta"))
    assert output.shape == (4, 2, 10)
    assert output.is_meta
