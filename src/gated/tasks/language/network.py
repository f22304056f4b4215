"""The network: an embedding, recurrent layers, and scores of what comes next.

Regularised as Merity, Keskar and Socher (2018) do.

Shapes: T steps, B streams, V codes, E features of an embedding, H units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import gated.nn
from gated.nn import VariationalDropout
from gated.tasks.language.config import LanguageConfig

LAYERS = {"rnn": gated.nn.RNN, "gru": gated.nn.GRU, "lstm": gated.nn.LSTM}


class Written(NamedTuple):
    """What the network says of a stretch."""

    logits: Tensor
    """(T, B, V), scores of what comes after each step."""
    states: dict[str, Tensor]
    """After the last step."""
    output: Tensor
    """(T, B, ·), of the last layer."""
    dropped: Tensor
    """The same, as dropout leaves it."""


class LanguageNetwork(nn.Module):
    """Reads codes, and says after each what comes next.

    Args:
        config: what it is made of.
        codes: V.
    """

    def __init__(self, config: LanguageConfig, codes: int) -> None:
        super().__init__()
        E, H = config.embedding, config.hidden
        sizes = [E, *[H] * (config.layers - 1), E if config.tied else H]
        # A forget gate that begins open (Jozefowicz, Zaremba and Sutskever 2015).
        begin = {"forget_bias": 1.0} if config.cell == "lstm" else {}
        self.embedding_dropout = config.embedding_dropout
        self.embedding = nn.Embedding(codes, E)
        nn.init.normal_(self.embedding.weight, std=E**-0.5)
        self.layers = nn.ModuleList(
            LAYERS[config.cell](read, units, weight_drop=config.weight_drop, **begin)
            for read, units in pairwise(sizes)
        )
        self.dropout = VariationalDropout(config.dropout)
        self.readout = nn.Linear(sizes[-1], codes)
        if config.tied:
            self.readout.weight = self.embedding.weight

    def forward(self, codes: Tensor, states: Mapping[str, Tensor] | None = None) -> Written:
        """Read `codes` (T, B) on from `states`; there are none at the start."""
        states = states or {}
        weight = self.embedding.weight
        if self.training and self.embedding_dropout:
            weight = weight * functional.dropout(
                weight.new_ones(len(weight), 1), self.embedding_dropout
            )
        output = dropped = self.dropout(functional.embedding(codes, weight))
        after: dict[str, Tensor] = {}
        for place, layer in enumerate(self.layers):
            output, last = layer(dropped, _before(states, place))
            dropped = self.dropout(output)
            kept = last if isinstance(last, tuple) else (last,)
            after |= {f"{place}.{name}": of for name, of in zip("hc", kept, strict=False)}
        return Written(self.readout(dropped), after, output, dropped)

    def depth_groups(self) -> Sequence[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        layers = [(f"layer{k}", list(of.parameters())) for k, of in enumerate(self.layers)]
        known = set(self.embedding.parameters())
        head = [of for of in self.readout.parameters() if of not in known]
        return [("embedding", list(self.embedding.parameters())), *layers, ("readout", head)]


def _before(states: Mapping[str, Tensor], place: int) -> Tensor | tuple[Tensor, Tensor] | None:
    """The states of a layer as it takes them."""
    hidden, cell = states.get(f"{place}.h"), states.get(f"{place}.c")
    if hidden is None or cell is None:
        return hidden
    return hidden, cell


def penalty(written: Written, activation: float, change: float) -> Tensor:
    """Activation regularisation and its temporal form (Merity et al. 2018, section 4.6)."""
    total = activation * written.dropped.square().mean()
    if change and len(written.output) > 1:
        total = total + change * (written.output[1:] - written.output[:-1]).square().mean()
    return total


@torch.no_grad()
def nats(network: nn.Module, codes: Tensor, context: int, streams: int, window: int) -> Tensor:
    """Return (N - 1,), how unlikely each code after the first was, in nats, states carried over.

    The text is cut into `streams` that are read side by side; each begins `context` codes early, to
    have its state, and what it says there is not counted.
    """
    count = len(codes) - 1
    length = -(-count // streams)
    starts = torch.arange(0, count, length)
    found = torch.zeros(len(starts), length)
    states: dict[str, Tensor] = {}
    for at in (*range(-context, 0, window), *range(0, length, window)):
        if at == 0:  # before the first stream there is nothing to read
            states = {name: state * (starts > 0)[:, None] for name, state in states.items()}
        steps = torch.arange(at, min(at + window, 0 if at < 0 else length))
        places = (starts + steps[:, None]).clamp(0, count - 1)
        written = network(codes[places], states)
        states = written.states
        each = functional.cross_entropy(
            written.logits.flatten(0, 1), codes[places + 1].flatten(), reduction="none"
        )
        counted = steps >= 0
        found[:, steps[counted]] = each.view(places.shape)[counted].T
    return found.flatten()[:count]
