"""The network that reads a text: an embedding and recurrent layers.

It is regularised as by Merity, Keskar and Socher (2018).

Shapes: T steps, B streams, V codes, E features of an embedding, H units, S units of the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.cells.named import cell_named
from gated.live.program import Writer
from gated.nn import VariationalDropout, programs
from gated.nn.named import layers_named
from gated.texts.config import ReaderConfig


class Read(NamedTuple):
    """The results of reading T steps."""

    output: Tensor
    """(T, B, S), of the last layer."""
    dropped: Tensor
    """The same after dropout."""
    states: dict[str, Tensor]
    """The states after the last step, or after the steps `carried`, by name."""


class Reader(nn.Module):
    """An embedding and recurrent layers.

    Args:
        config: its options.
        codes: V, the size of the vocabulary.
    """

    def __init__(self, config: ReaderConfig, codes: int) -> None:
        super().__init__()
        E, H = config.embedding, config.hidden
        sizes = [E, *[H] * (config.layers - 1), E if config.tied else H]
        self.embedding_dropout = config.embedding_dropout
        self.embedding = nn.Embedding(codes, E)
        if config.tied:  # so that logits are small at first; PyTorch's default of 1 suits inputs
            nn.init.normal_(self.embedding.weight, std=E**-0.5)
        self.layers = nn.ModuleList(
            layers_named(config.cell, read, units, weight_drop=config.weight_drop, open_gates=True)
            for read, units in pairwise(sizes)
        )
        self.dropout = VariationalDropout(config.dropout)
        cell = cell_named(config.cell)
        self.states = {
            of.name: name for of, name in zip(cell.states, cell.state_names, strict=True)
        }
        """The states of a layer, as the definition names them, and their full names."""
        self.output_size = sizes[-1]
        """S, units of the last layer."""

    def read(
        self,
        codes: Tensor,
        states: Mapping[str, Tensor] | None = None,
        lengths: Tensor | None = None,
        carried: Tensor | None = None,
    ) -> Read:
        """Read codes.

        Args:
            codes: (T, B).
            states: the initial states, by name as in `Read.states`; zeros by default.
            lengths: (B,), the number of real steps of each stream; T by default.
            carried: (B,), the step of each stream after which states are returned; by default the
                last.
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
                output, last = layer(dropped, self._before(states, place), lengths=lengths)
                kept = last if isinstance(last, tuple) else (last,)
            else:
                output, _, (every,) = layer(
                    dropped, self._before(states, place), lengths=lengths, return_gates=True
                )
                at = carried, torch.arange(len(carried), device=carried.device)
                kept = tuple(every[name][at][None] for name in self.states.values())
            dropped = self.dropout(output)
            after |= {f"{place}.{name}": of for name, of in zip(self.states, kept, strict=True)}
        return Read(output, dropped, after)

    def write_reading(self, writer: Writer, codes: str) -> str:
        """Write the embedding and the layers as those of a program; return the last one's name."""
        steps = writer.add("embedding", codes, weight="embedding.weight")
        for place, layer in enumerate(self.layers):
            options = programs.recurrent(layer, f"layers.{place}.")  # type: ignore[arg-type]
            steps = writer.add("recurrent", steps, **options)
        return steps

    def _before(
        self, states: Mapping[str, Tensor], place: int
    ) -> Tensor | tuple[Tensor, ...] | None:
        """Return the states of a layer in the form that the layer takes."""
        names = [f"{place}.{name}" for name in self.states]
        if not states.keys() >= set(names):
            return None
        return states[names[0]] if len(names) == 1 else tuple(states[name] for name in names)

    def depth_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Return parameters by depth, nearest the input first; subclasses add theirs at the end."""
        layers = [(f"layer{k}", list(of.parameters())) for k, of in enumerate(self.layers)]
        return [("embedding", list(self.embedding.parameters())), *layers]
