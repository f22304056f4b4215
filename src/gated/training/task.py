"""What a task must say of itself so that the one training loop can train it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from torch import Tensor, nn

Batch = TypeVar("Batch")


class Shard(NamedTuple):
    """Which part of a global batch a process takes: rows `index`, `index + count`, … ."""

    index: int
    count: int


class Loss(NamedTuple):
    """A loss as a sum and the weight it is to be divided by.

    Sum and weight apart, the mean over a batch is the same number however the batch is cut into
    processes or accumulated parts.
    """

    total: Tensor
    """Scalar, the sum of the loss over everything that counts."""
    weight: Tensor
    """Scalar, how much counted (targets, tokens, sequences)."""


class Task(ABC, Generic[Batch]):
    """A network, its batches, its loss and its validation score."""

    network: nn.Module

    @abstractmethod
    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of steps in which each training example is seen once."""

    @abstractmethod
    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return the part `shard` of the global batch of `step`, counted from 0.

        A pure function of its arguments and the task's seed: that is what lets a killed run
        resume to the same weights, and two processes see what one would have seen.
        """

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Run `network` (the task's own, perhaps wrapped for devices) on `batch`."""

    @abstractmethod
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out training data; `"loss"`, where smaller is better, chooses the weights.

        An empty dictionary: nothing is held out, and the last weights are the result.
        """

    def depth_groups(self) -> Sequence[tuple[str, Sequence[nn.Parameter]]]:
        """Parameters by depth, nearest the input first: the order of thawing and layered rates."""
        return [("network", list(self.network.parameters()))]
