"""The network: recurrent layers pooled over time, convolutions beside them, and a linear map.

Several of them may be averaged, and fixed features be read beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.live.program import Writer
from gated.nn import programs
from gated.nn.named import layers_named
from gated.nn.pooling import (
    attention_over_time,
    last_over_time,
    max_over_time,
    mean_over_time,
)
from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.classify.convolutions import ConvolutionalBranch
from gated.tasks.classify.fixed_features import FixedFeatures


class Batch(NamedTuple):
    """Sequences of several lengths, and their targets."""

    steps: Tensor
    """(T, B, I), inputs; those beyond a sequence's length are padding."""
    lengths: Tensor
    """(B,), steps of each sequence."""
    targets: Tensor
    """(B,), indices of the classes, or (B, O), standardised numbers."""
    weights: Tensor
    """(B,), weight of each sequence in the loss."""
    folds: Tensor
    """(B,), the member that does not learn from a sequence; -1 where all do."""


class SequenceNetwork(nn.Module):
    """Maps each sequence to the logits of the classes, or to numbers.

    Args:
        config: options of the network.
        inputs: I, input features of each step.
        outputs: number of classes, or of targets of a regression.
    """

    def __init__(self, config: ClassifyConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.recurrent = layers_named(
            config.cell,
            inputs,
            config.hidden,
            config.layers,
            bidirectional=not config.one_way,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        states = config.hidden * (1 if config.one_way else 2)
        self.energy = nn.Linear(states, 1) if config.pooling == "attention" else None
        self.patch, filters = config.patch or 1, config.filters or 0
        self.branch = None
        if filters:
            self.branch = ConvolutionalBranch(
                inputs // self.patch, filters, config.filter_pool or 1
            )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(states + filters, outputs)

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Map inputs (T, B, I) and lengths (B,) to outputs (B, outputs)."""
        found = [self._pooled(self.recurrent(steps, lengths=lengths)[0], lengths)]
        if self.branch is not None:
            found.append(self.branch(*single_steps(steps, lengths, self.patch)))
        answers: Tensor = self.head(self.dropout(torch.cat(found, dim=-1)))
        return answers

    def _pooled(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(T, B, S) to (B, S): steps beyond a sequence's length take no part."""
        if self.pooling == "last":
            return last_over_time(states, lengths, self.recurrent.bidirectional)
        if self.pooling == "max":
            return max_over_time(states, lengths)
        if self.energy is not None:
            return attention_over_time(states, self.energy(states), lengths)
        return mean_over_time(states, lengths)

    def write(self, writer: Writer, steps: str, weights: str) -> str:
        """Write the network as layers of a program that read `steps`; return the answers' name.

        The names of its weights begin with `weights`.
        """
        begins = f"{weights}recurrent."
        states = writer.add("recurrent", steps, **programs.recurrent(self.recurrent, begins))
        found = [self._write_pooling(writer, states, weights)]
        if self.branch is not None:
            singly = writer.add("unpatch", steps, steps=self.patch) if self.patch > 1 else steps
            found.append(self.branch.write(writer, singly, f"{weights}branch."))
        joined = writer.add("concatenate", *found) if len(found) > 1 else found[0]
        names = {"weight": f"{weights}head.weight", "bias": f"{weights}head.bias"}
        return writer.add("linear", joined, name="head", **names)

    def _write_pooling(self, writer: Writer, states: str, weights: str) -> str:
        if self.energy is not None:
            names = {"weight": f"{weights}energy.weight", "bias": f"{weights}energy.bias"}
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


class SequenceEnsemble(nn.Module):
    """The mean of networks that began from different weights, mixed with fixed features.

    Args:
        config: options of the networks.
        inputs: I, input features of each step.
        outputs: number of classes, or of targets of a regression.
        longest: steps of the longest training sequence.
    """

    trust: Tensor
    """Share of the networks in the answer; the fixed features have the rest."""
    sharpness: Tensor
    """By what the networks' outputs are multiplied."""

    def __init__(self, config: ClassifyConfig, inputs: int, outputs: int, longest: int) -> None:
        super().__init__()
        self.outputs, self.patch = outputs, config.patch or 1
        self.members = nn.ModuleList(
            SequenceNetwork(config, inputs, outputs) for _ in range(config.members or 1)
        )
        self.register_buffer("trust", torch.ones(()))
        self.register_buffer("sharpness", torch.ones(()))
        self.fixed = None
        if config.kernel_features:
            longest = -(-longest // self.patch) * self.patch
            self.fixed = FixedFeatures(
                inputs // self.patch, longest, config.kernel_features, outputs
            )

    @property
    def first(self) -> SequenceNetwork:
        """The first of the networks: what can be looked into."""
        return cast(SequenceNetwork, self.members[0])

    def forward(self, steps: Tensor, lengths: Tensor, folds: Tensor | None = None) -> Tensor:
        """Map inputs (T, B, I) and lengths (B,) to outputs (B, outputs).

        In training, with `folds` (B,), to (members, B, outputs) of the networks alone: each reads
        what it learns from, and has 0 for the others.
        """
        if folds is not None:
            return torch.stack(
                [
                    self._of_member(steps, lengths, folds != place, member)
                    for place, member in enumerate(self.members)
                ]
            )
        trust = float(self.trust)
        answers = torch.zeros(len(lengths), self.outputs, device=steps.device)
        if self.fixed is not None and trust < 1:
            answers = (1 - trust) * self.fixed(*single_steps(steps, lengths, self.patch))
        if trust > 0:
            answers = answers + trust * self.sharpness * self.of_networks(steps, lengths)
        return answers

    def hold_at_zero(self, outputs: Sequence[int]) -> None:
        """Make outputs 0 for any input; their weights stay so where every target is 0."""
        with torch.no_grad():
            for member in self.members:
                head = cast(SequenceNetwork, member).head
                head.weight[list(outputs)] = head.bias[list(outputs)] = 0

    def of_networks(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean of the networks' outputs, (B, outputs)."""
        return torch.stack([member(steps, lengths) for member in self.members]).mean(0)

    def write(self, writer: Writer, steps: str) -> str:
        """Write this as layers of a program that read `steps`; return the answers' name."""
        trust, parts = float(self.trust), dict[str, float]()
        if self.fixed is not None and trust < 1:
            singly = writer.add("unpatch", steps, steps=self.patch) if self.patch > 1 else steps
            parts[self.fixed.write(writer, singly, "fixed.")] = 1 - trust
        if trust > 0:
            factor = trust * float(self.sharpness) / len(self.members)
            for place, member in enumerate(self.members):
                network = cast(SequenceNetwork, member)
                parts[network.write(writer, steps, f"members.{place}.")] = factor
        if list(parts.values()) == [1.0]:
            return next(iter(parts))
        return writer.add("add", *parts, name="answers", factors=list(parts.values()))

    def _of_member(
        self, steps: Tensor, lengths: Tensor, learnt: Tensor, member: nn.Module
    ) -> Tensor:
        if not learnt.any():  # its weights weigh 0; each needs a gradient
            learnt = torch.ones_like(learnt)
        rows = learnt.nonzero()[:, 0]
        there = lengths[rows.to(lengths.device)]
        found: Tensor = member(steps[: int(there.max()), rows], there)
        empty = torch.zeros(len(learnt), self.outputs, dtype=found.dtype, device=found.device)
        return empty.index_copy(0, rows, found)

    def depth_groups(self) -> Sequence[tuple[str, Sequence[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        groups: dict[str, list[nn.Parameter]] = {}
        for member in self.members:
            for name, parameters in cast(SequenceNetwork, member).depth_groups():
                groups.setdefault(name, []).extend(parameters)
        return list(groups.items())


def single_steps(steps: Tensor, lengths: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Return (B, I / patch, T · patch), and which of these steps are no padding."""
    single = steps.reshape(*steps.shape[:2], patch, -1).transpose(1, 2).flatten(0, 1)
    places = torch.arange(len(single), device=steps.device)
    there = places < patch * lengths.to(steps.device)[:, None]
    return single.permute(1, 2, 0) * there[:, None], there


def summed_loss(answers: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of classes, or squared error of numbers, weighted and summed."""
    return losses(answers, batch.targets).mul(batch.weights).sum()


def losses(answers: Tensor, targets: Tensor) -> Tensor:
    """(B,), cross-entropy of classes, or squared error of numbers, the mean over the targets."""
    if targets.dtype.is_floating_point:
        return functional.mse_loss(answers, targets, reduction="none").mean(-1)
    return functional.cross_entropy(answers, targets, reduction="none")
