"""The network that reads a text: an embedding and recurrent layers, whatever is then said of it.

Regularised as Merity, Keskar and Socher (2018) do.

Shapes: T steps, B streams, V codes, E features of an embedding, H units.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import gated.nn
from gated.nn import VariationalDropout
from gated.texts.config import ReaderConfig

STATES = ("hidden", "cell")
LAYERS = {"rnn": gated.nn.RNN, "gru": gated.nn.GRU, "lstm": gated.nn.LSTM}


class Read(NamedTuple):
    """What was made of a stretch."""

    output: Tensor
    """(T, B, S), of the last layer."""
    dropped: Tensor
    """The same, as dropout leaves it."""
    states: dict[str, Tensor]
    """After the last step, or the one asked for."""


class Reader(nn.Module):
    """Reads codes: an embedding and recurrent layers.

    Args:
        config: what it is made of.
        codes: V.
    """

    def __init__(self, config: ReaderConfig, codes: int) -> None:
        super().__init__()
        E, H = config.embedding, config.hidden
        sizes = [E, *[H] * (config.layers - 1), E if config.tied else H]
        # A forget gate that begins open (Jozefowicz, Zaremba and Sutskever 2015).
        begin = {"forget_bias": 1.0} if config.cell == "lstm" else {}
        self.embedding_dropout = config.embedding_dropout
        self.embedding = nn.Embedding(codes, E)
        if config.tied:  # the scores begin small; what is read alone learns sooner from 1 each
            nn.init.normal_(self.embedding.weight, std=E**-0.5)
        self.layers = nn.ModuleList(
            LAYERS[config.cell](read, units, weight_drop=config.weight_drop, **begin)
            for read, units in pairwise(sizes)
        )
        self.dropout = VariationalDropout(config.dropout)
        self.output_size = sizes[-1]
        """S, units of the last layer."""

    def read(
        self,
        codes: Tensor,
        states: Mapping[str, Tensor] | None = None,
        lengths: Tensor | None = None,
        carried: Tensor | None = None,
    ) -> Read:
        """Read `codes` (T, B) on from `states`; there are none at the start.

        With `lengths` (B,), the steps of each stream; the others are padding. The states that are
        returned are those after the steps `carried` (B,), by default the last.
        """
        states = states or {}
        weight = self.embedding.weight
        if self.training and self.embedding_dropout:
            weight = weight * functional.dropout(
                weight.new_ones(len(weight), 1), self.embedding_dropout
            )
        output = dropped = self.dropout(functional.embedding(codes, weight))
        after: dict[str, Tensor] = {}
        for place, layer in enumerate(self.layers):
            if carried is None:
                output, last = layer(dropped, _before(states, place), lengths=lengths)
                kept = last if isinstance(last, tuple) else (last,)
            else:
                output, _, (every,) = layer(
                    dropped, _before(states, place), lengths=lengths, return_gates=True
                )
                at = carried, torch.arange(len(carried), device=carried.device)
                kept = tuple(every[name][at][None] for name in STATES if name in every)
            dropped = self.dropout(output)
            after |= {f"{place}.{name}": of for name, of in zip("hc", kept, strict=False)}
        return Read(output, dropped, after)

    def depth_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first; above all, those of a subclass."""
        layers = [(f"layer{k}", list(of.parameters())) for k, of in enumerate(self.layers)]
        return [("embedding", list(self.embedding.parameters())), *layers]


def _before(states: Mapping[str, Tensor], place: int) -> Tensor | tuple[Tensor, Tensor] | None:
    """The states of a layer as it takes them."""
    hidden, cell = states.get(f"{place}.h"), states.get(f"{place}.c")
    if hidden is None or cell is None:
        return hidden
    return hidden, cell
