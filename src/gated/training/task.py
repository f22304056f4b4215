"""The interface that a task implements so that the one training loop can train it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from torch import Tensor, nn, uint8

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Shard:
    """Which part of a global batch a process takes: rows `index`, `index + count`, … ."""

    index: int
    count: int


class Loss(NamedTuple):
    """A loss as a sum, and the weight by which the sum is divided.

    As sum and weight are apart, the mean over a batch is the same however the batch is divided
    among processes or accumulated parts.
    """

    total: Tensor
    """Scalar, the sum of the loss over everything that counts."""
    weight: Tensor
    """Scalar, the number of targets, tokens or sequences that count."""


Carried = Mapping[str, Tensor]
"""States that pass from a step to the next, by name."""


class Task(ABC, Generic[Batch]):
    """A network, its batches, its loss and its validation score."""

    network: nn.Module
    unit: tuple[str, float] = ("loss", 1.0)
    """The name of the training loss in reports, and what the loss is multiplied by to get it: where
    possible in the unit of the result."""
    anew: Sequence[str] = ()
    """Prefixes of the names of parameters that `init_from` does not load."""

    @abstractmethod
    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of steps in which each training example is seen once."""

    @abstractmethod
    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return the part `shard` of the global batch of `step`, counted from 0.

        A pure function of its arguments and the task's seed: that is what lets a killed run
        resume to the same weights, and two processes see what one would have seen.

        Tensors, or tuples, mappings or (not frozen) dataclasses of them; the loop moves them to
        the device.
        """

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Run `network` (the task's own, wrapped for precision and devices) on `batch`.

        Call `network(...)` itself, not its methods, and use every trained parameter: DDP needs both
        to average gradients over processes. Randomness comes from torch, which the loop seeds.
        """

    def loss_from(self, network: nn.Module, batch: Batch, carried: Carried) -> tuple[Loss, Carried]:
        """Compute the loss of a batch that continues the batch of the step before.

        Truncated backpropagation through time (Williams and Peng 1990): a task whose sequences are
        longer than its batches overrides this in place of `loss`, begins with the states in
        `carried`, empty at the first step, and returns the states for the next step. The loop
        detaches them from the graph, keeps those of each shard, and writes them into checkpoints;
        the batch says which rows start from initial states.
        """
        return self.loss(network, batch), carried

    @abstractmethod
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out training data; `"loss"`, where smaller is better, chooses the weights.

        The first of the others, by the name that tables have for it, is shown while training.

        An empty dictionary: nothing is held out, and the last weights are the result. The loop
        has set evaluation mode and switched gradients off.
        """

    def depth_groups(self) -> Sequence[tuple[str, Sequence[nn.Parameter]]]:
        """Parameters by depth, nearest the input first, for unfreezing and learning rates by depth.

        By default those of the network's own `depth_groups`, or all in one group.
        """
        own: Any = getattr(self.network, "depth_groups", None)
        return list(own()) if own else [("network", list(self.network.parameters()))]

    def fingerprint(self) -> str:
        """Digest of network and data: a run resumes only if it is the same.

        By default of the network as it prints, its parameters' names and shapes, and the first
        batch's tensors. Add what these do not show.
        """
        digest = hashlib.sha256(repr(self.network).encode())
        for name, parameter in self.network.named_parameters():
            digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
        for tensor in _tensors(self.training_batch(0, 64, Shard(0, 1))):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(uint8).numpy().data)
        return digest.hexdigest()


def _tensors(batch: Any) -> Iterator[Tensor]:
    """Yield the tensors of a nested batch."""
    if isinstance(batch, Tensor):
        yield batch
    elif is_dataclass(batch):
        yield from _tensors([getattr(batch, field.name) for field in fields(batch)])
    elif isinstance(batch, Mapping):
        yield from _tensors(list(batch.values()))
    elif isinstance(batch, (tuple, list)):
        for part in batch:
            yield from _tensors(part)
