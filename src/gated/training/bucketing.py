"""Batches of sequences of similar length, so that little of a padded batch is padding."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.errors import DataError
from gated.training.task import Task

Integers = NDArray[np.int64]
Batch = TypeVar("Batch")


class LengthBuckets:
    """The batches of every epoch, each of sequences of similar length, in a random order.

    An epoch is a permutation of the sequences. It is cut into pools of `pool` batches; within a
    pool the sequences are sorted by length and cut into batches, and the batches of the epoch are
    shuffled. Which sequences are in a batch is a pure function of the
    lengths, the seed, the step and the batch size, so a killed training resumes to the same bits.
    """

    def __init__(self, lengths: NDArray[np.integer], seed: int, pool: int = 32) -> None:
        """Take `lengths`, `(N,)`, of the training sequences; a `pool` of 1 does not sort.

        Raises:
            DataError: there is no sequence.
        """
        if len(lengths) == 0:
            raise DataError("There is no sequence to train on.")
        self.lengths = np.asarray(lengths)
        self.seed, self.pool = seed, pool
        self._epoch = lru_cache(maxsize=2)(self._new_epoch)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Steps in which each sequence is seen once; the last batch may be smaller."""
        return -(-len(self.lengths) // batch_size)

    def batch(self, step: int, batch_size: int) -> Integers:
        """Return the sequences of the batch of `step`, counted from 0, longest first.

        >>> buckets = LengthBuckets(np.array([3, 9, 4, 8]), seed=0)
        >>> sorted(sorted(buckets.lengths[buckets.batch(step, 2)].tolist()) for step in (0, 1))
        [[3, 4], [8, 9]]
        """
        epoch, place = divmod(step, self.steps_per_epoch(batch_size))
        return self._epoch(epoch, batch_size)[place]

    def _new_epoch(self, epoch: int, batch_size: int) -> list[Integers]:
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self.lengths))
        size = self.pool * batch_size
        batches = [
            batch
            for start in range(0, len(order), size)
            for batch in self._cut(order[start : start + size], batch_size)
        ]
        return [batches[place] for place in random.permutation(len(batches))]

    def _cut(self, pool: Integers, batch_size: int) -> list[Integers]:
        """Sort `pool` by length and cut it into batches; the order among equals stays random."""
        longest_first = pool[np.argsort(-self.lengths[pool], kind="stable")]
        return [
            longest_first[start : start + batch_size] for start in range(0, len(pool), batch_size)
        ]


class BucketedTask(Task[Batch], ABC):
    """A task whose batches hold examples of similar length."""

    buckets: LengthBuckets

    def steps_per_epoch(self, batch_size: int) -> int:
        """Steps in which each example is seen once."""
        return self.buckets.steps_per_epoch(batch_size)


def computed(lengths: Sequence[int], most: int, compute: Callable[[Integers], Tensor]) -> Tensor:
    """Compute a row for each of (N,) examples, in batches of at most `most` of similar length.

    The rows are returned in the order of the examples.

    >>> computed([3, 1, 2], 2, lambda examples: torch.tensor(examples)).tolist()
    [0, 1, 2]
    """
    order = np.argsort(lengths, kind="stable")
    parts = [compute(order[start : start + most]) for start in range(0, len(order), most)]
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))]
