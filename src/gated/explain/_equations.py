"""All layers of a module by the equations, for whoever has to take part in every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gated.core.layout import Array, Weights
from gated.core.variants import Regularisation, Zoneout
from gated.nn.arguments import check_input, checked_lengths, initial_states
from gated.nn.backends import Result


class Way(NamedTuple):
    """One layer in one direction, and what it takes."""

    place: int
    """Among the layers and directions of its module, in PyTorch's order."""
    reverse: bool
    x: Tensor
    """(T, B, I)"""
    weights: Weights[Tensor]
    initial: Sequence[Tensor]
    """The states before the first step, (B, P) and, of an LSTM, (B, H)."""


class Ran(NamedTuple):
    """What one layer in one direction makes of its sequences."""

    output: Tensor
    """(T, B, P)"""
    final: Sequence[Tensor]
    gates: dict[str, Tensor]


class RunWay(Protocol):
    """How one layer in one direction is run."""

    def __call__(self, way: Way, lengths: Tensor | None, /) -> Ran:
        """Run it."""


def by_equations(module: Any, x: Tensor, hx: Any, lengths: Any, run_way: RunWay) -> Result:
    """What a module of `gated.nn` does with x (T, B, I), each layer and direction run by `run_way`.

    Raises:
        DataError: what is given does not fit the module.
    """
    weights = module._weights()
    ways, B = len(weights[0]), x.shape[1]
    check_input(x, weights[0][0].weight_ih)
    rows = len(weights) * ways
    shapes = (rows, B, module.proj_size or module.hidden_size), (rows, B, module.hidden_size)
    states = initial_states(module._cell, x, hx, shapes)
    real = None if lengths is None else checked_lengths(lengths, len(x), B)
    gates, finals = [], []
    for layer, of_layer in enumerate(weights):
        outputs = []
        for direction, of_way in enumerate(of_layer):
            place = layer * ways + direction
            start = [state[place] for state in states]
            ran = run_way(Way(place, direction == 1, x, of_way, start), real)
            outputs.append(ran.output)
            finals.append(ran.final)
            gates.append(ran.gates)
        x = torch.cat(outputs, dim=-1)
    final = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
    return Result(x, final, gates)


def as_arrays(weights: Weights[Tensor]) -> Weights[Array]:
    """The same weights, in the same memory."""
    arrays: Any = (None if w is None else w.detach().numpy() for w in weights)
    return Weights(*arrays)


def regularisation_of(module: Any) -> Regularisation:
    """Zoneout as it is in evaluation mode; there is nothing else then."""
    hidden, cell = module.variant.zoneout_hidden, module.variant.zoneout_cell
    return Regularisation(zoneout=Zoneout(hidden, cell, None) if hidden or cell else None)
