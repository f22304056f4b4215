"""The network: recurrent layers pooled over time, convolutions beside them, and a linear map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import gated.nn
from gated.live.program import Writer
from gated.nn import programs
from gated.nn.pooling import attention_over_time, max_over_time, mean_over_time
from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.classify.convolutions import ConvolutionalBranch

LAYERS = {"rnn": gated.nn.RNN, "gru": gated.nn.GRU, "lstm": gated.nn.LSTM}


class Batch(NamedTuple):
    """Sequences of several lengths, and their targets."""

    steps: Tensor
    """(T, B, I), inputs; those beyond a sequence's length are padding."""
    lengths: Tensor
    """(B,), steps of each sequence."""
    targets: Tensor
    """(B,), indices of the classes, or standardised numbers."""
    weights: Tensor
    """(B,), weight of each sequence in the loss."""


class SequenceNetwork(nn.Module):
    """Maps each sequence to the logits of the classes, or to a number.

    Args:
        config: options of the network.
        inputs: I, input features of each step.
        outputs: number of classes, or 1 for a regression.
    """

    def __init__(self, config: ClassifyConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.recurrent = LAYERS[config.cell](
            inputs,
            config.hidden,
            config.layers,
            bidirectional=not config.one_way,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        states = config.hidden * (1 if config.one_way else 2)
        self.energy = nn.Linear(states, 1) if config.pooling == "attention" else None
        self.patch, filters = config.patch or 1, config.filters or 0
        self.branch = ConvolutionalBranch(inputs // self.patch, filters) if filters else None
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(states + filters, outputs)

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Map inputs (T, B, I) and lengths (B,) to outputs (B, outputs)."""
        states, last = self.recurrent(steps, lengths=lengths)
        found = [self._pooled(states, last, lengths)]
        if self.branch is not None:
            found.append(self.branch(*self._singly(steps, lengths)))
        answers: Tensor = self.head(self.dropout(torch.cat(found, dim=-1)))
        return answers

    def _singly(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, I / patch, T · patch), and which of these steps are no padding."""
        single = steps.reshape(*steps.shape[:2], self.patch, -1).transpose(1, 2).flatten(0, 1)
        places = torch.arange(len(single), device=steps.device)
        there = places < self.patch * lengths.to(steps.device)[:, None]
        return single.permute(1, 2, 0) * there[:, None], there

    def _pooled(
        self, states: Tensor, last: Tensor | tuple[Tensor, Tensor], lengths: Tensor
    ) -> Tensor:
        """(T, B, S) to (B, S): steps beyond a sequence's length take no part."""
        if self.pooling == "last":
            hidden = last if isinstance(last, Tensor) else last[0]
            ends = 2 if self.recurrent.bidirectional else 1
            return torch.cat(tuple(hidden[-ends:]), dim=-1)
        if self.pooling == "max":
            return max_over_time(states, lengths)
        if self.energy is not None:
            return attention_over_time(states, self.energy(states), lengths)
        return mean_over_time(states, lengths)

    def write(self, writer: Writer, steps: str) -> str:
        """Write the network as layers of a program that read `steps`; return the answers' name."""
        states = writer.add("recurrent", steps, **programs.recurrent(self.recurrent, "recurrent."))
        found = [self._write_pooling(writer, states)]
        if self.branch is not None:
            singly = writer.add("unpatch", steps, steps=self.patch) if self.patch > 1 else steps
            found.append(self.branch.write(writer, singly, "branch."))
        joined = writer.add("concatenate", *found) if len(found) > 1 else found[0]
        return writer.add("linear", joined, name="head", weight="head.weight", bias="head.bias")

    def _write_pooling(self, writer: Writer, states: str) -> str:
        if self.energy is not None:
            names = {"weight": "energy.weight", "bias": "energy.bias"}
            energy = writer.add("linear", states, name="energy", **names)
            return writer.add("attention", states, energy)
        if self.pooling == "last":
            return writer.add("last", states, directions=1 + self.recurrent.bidirectional)
        return writer.add(self.pooling, states)

    def depth_groups(self) -> Sequence[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        pooling = [] if self.energy is None else list(self.energy.parameters())
        branch = [] if self.branch is None else [("branch", list(self.branch.parameters()))]
        return [
            ("recurrent", list(self.recurrent.parameters())),
            *branch,
            ("head", [*pooling, *self.head.parameters()]),
        ]


def summed_loss(answers: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of classes, or squared error of numbers, weighted and summed."""
    if batch.targets.dtype.is_floating_point:
        each = functional.mse_loss(answers[:, 0], batch.targets, reduction="none")
    else:
        each = functional.cross_entropy(answers, batch.targets, reduction="none")
    return (each * batch.weights).sum()
