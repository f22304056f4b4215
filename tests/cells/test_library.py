"""The library's cells: native against torch's operations, and their derivatives against numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.comparison import assert_agree

import gated
from gated.cells import Cell, library

CELLS = {name: of for name, of in vars(library).items() if isinstance(of, Cell)}


def layer_of(name: str, units: int, **options: Any) -> gated.nn.Recurrent:
    torch.manual_seed(0)
    return gated.nn.Recurrent(CELLS[name], 3, units, dtype=torch.float64, **options)


@pytest.mark.parametrize("name", CELLS)
def test_native_is_torch(name: str) -> None:
    layer = layer_of(name, 19, num_layers=2, bidirectional=True)
    x = torch.randn(9, 4, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for backend in ("native", "torch"):
        layer.backend = backend
        output, final = layer(x, lengths=[9, 4, 1, 7])
        states = final if isinstance(final, tuple) else (final,)
        loss = (output * output.cos()).sum() + sum(state.sin().sum() for state in states)
        found.append([output, *states, *torch.autograd.grad(loss, [x, *layer.parameters()])])
    assert_agree(*found, "results", relative=1e-8, absolute=1e-8)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_differences(name: str) -> None:
    layer = layer_of(name, 2, backend="native")
    x = torch.randn(3, 1, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def output(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(layer, given, (x,))[0]

    assert torch.autograd.gradcheck(output, (x, *values))


@pytest.mark.parametrize("name", CELLS)
def test_each_is_short_and_says_its_paper(name: str) -> None:
    import inspect

    definition = CELLS[name]
    assert any(year in definition.paper for year in map(str, range(1990, 2027)))
    source = inspect.getsource(library)
    body = source[source.index(f"def {name}(") :].split("\n\n\n")[0]
    assert body.count("\n") <= 12
