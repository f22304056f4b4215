"""What torch.compile makes of layers: one operator for each module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn

import gated
from gated.errors import DataError
from gated.nn import compiled


class Stack(nn.Module):
    """Six bidirectional layers."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList([kind(6, 3, bidirectional=True) for _ in range(6)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)[0]
        return x


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_six_bidirectional_layers_are_six_nodes(name: str) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    model, x = Stack(getattr(gated.nn, name)), torch.randn(4, 2, 6)
    assert_agree(torch.compile(model, fullgraph=True, backend=backend)(x), model(x), name)
    (graph,) = graphs
    called = [node for node in graph.graph.nodes if node.op == "call_function"]
    assert [str(node.target) for node in called if "gated" in str(node.target)] == (
        ["gated.run_layers"] * 6
    )
    assert len(called) <= 6 * (1 + (3 if name == "LSTM" else 2))  # and what takes its results


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (gated.nn.RNN, {"bias": False}),
        (gated.nn.GRU, {"num_layers": 2, "bidirectional": True, "reset_after": False}),
        (gated.nn.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
        (gated.nn.LSTM, {"batch_first": True, "coupled": True}),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_gradients(kind: Any, options: dict[str, Any], given: bool) -> None:
    layer = kind(3, 5, **options).double()
    x = torch.randn(4, 2, 3, dtype=torch.double, requires_grad=True)
    B = x.shape[0 if layer.batch_first else 1]
    rows, P = layer.num_layers * (1 + layer.bidirectional), layer.proj_size or 5
    states = [torch.randn(rows, B, width, dtype=torch.double) for width in (P, 5)]
    for state in states:
        state.requires_grad_()
    hx: Any = tuple(states) if kind is gated.nn.LSTM else states[0]
    used = [x, *layer.parameters()] + (states[: len(hx) if kind is gated.nn.LSTM else 1] * given)

    def results(run: Any) -> list[torch.Tensor]:
        output, final = run(x, hx) if given else run(x)
        last = final if isinstance(final, tuple) else (final,)
        loss = sum((of * of.detach().cos()).sum() for of in (output, *last))
        return [output.detach(), *torch.autograd.grad(loss, used)]

    torch._dynamo.reset()
    made = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_agree(results(made), results(layer), kind.__name__)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)  # read where it lies
        assert_agree(made(x)[0], layer(x)[0], "another weight")
    for parameter in layer.parameters():
        parameter.data = parameter.data * 0.5
    assert_agree(results(made), results(layer), "weights elsewhere")


@pytest.mark.parametrize(
    "options",
    [
        {"zoneout": 1.0},
        {"recurrent_dropout": 1.0},
        {"weight_drop": 1.0},
        {"layer_norm": True},
        {"num_layers": 2, "dropout": 1.0},
    ],
    ids=lambda options: str(*list(options)[-1:]),
)
def test_options_are_there_when_compiled(options: dict[str, Any]) -> None:
    """Of a probability of 1 nothing is by chance."""
    layer, x = gated.nn.LSTM(3, 5, **options), torch.randn(4, 2, 3)
    plain = gated.nn.LSTM(3, 5, layer.num_layers)
    plain.load_state_dict(layer.state_dict(), strict=False)
    torch._dynamo.reset()
    made = torch.compile(layer, fullgraph=True, backend="eager")
    assert_agree(made(x)[0], layer(x)[0], "options")
    lengths = torch.tensor([4, 2])
    assert (made(x)[0] - plain(x)[0]).abs().max() > 1e-3
    assert_agree(made(x, lengths=lengths)[0], layer(x, lengths=lengths)[0], "lengths")


def test_what_is_known_of_layers_goes_with_them() -> None:
    layer = gated.nn.GRU(3, 5)
    before = len(compiled._known)
    torch._dynamo.reset()
    torch.compile(layer, fullgraph=True, backend="eager")(torch.randn(4, 2, 3))
    assert len(compiled._known) == before + 1
    torch._dynamo.reset()
    del layer
    assert len(compiled._known) == before


def test_what_does_not_fit_is_an_error_of_the_compiled_call() -> None:
    layer = torch.compile(gated.nn.GRU(3, 5), fullgraph=True, backend="eager")
    with pytest.raises(RuntimeError, match="input must have 3 features"):
        layer(torch.randn(4, 2, 7))
    with pytest.raises(RuntimeError, match="hx must have the shapes"):
        layer(torch.randn(4, 2, 3), torch.randn(1, 3, 5))


@pytest.mark.parametrize(
    "lengths", [[4, 2], (0, 4), torch.tensor([1, 3]), np.array([2, 4], np.int32)], ids=str
)
@pytest.mark.parametrize("options", [{}, {"layer_norm": True}], ids=["plain", "layer_norm"])
def test_lengths(lengths: Any, options: dict[str, Any]) -> None:
    layer = gated.nn.GRU(3, 5, 2, bidirectional=True, batch_first=True, **options)
    x = torch.randn(2, 4, 3, requires_grad=True)

    def results(run: Any) -> list[torch.Tensor]:
        output, final = run(x, lengths=lengths)
        loss = (output * output.detach().cos()).sum() + final.square().sum()
        return [output.detach(), *torch.autograd.grad(loss, [x, *layer.parameters()])]

    torch._dynamo.reset()
    made = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_agree(results(made), results(layer), "lengths")


@pytest.mark.parametrize("lengths", [[4.5, 2], [4, 2, 1], [5, 2], torch.tensor([4, -1])], ids=str)
@pytest.mark.parametrize("options", [{}, {"layer_norm": True}], ids=["plain", "layer_norm"])
def test_lengths_that_do_not_fit(lengths: Any, options: dict[str, Any]) -> None:
    layer = gated.nn.GRU(3, 5, **options)
    torch._dynamo.reset()
    made = torch.compile(layer, fullgraph=True, backend="eager")
    with pytest.raises(DataError, match="lengths must be"):
        made(torch.randn(4, 2, 3), lengths=lengths)
