"""Training batches, loss and validation of text classification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gated.scoring.label_scores import Floats, Integers
from gated.tasks.text_classify.network import Batch, TextNetwork
from gated.texts.text import Codes
from gated.training.bucketing import BucketedTask, LengthBuckets, computed
from gated.training.task import Loss, Shard

Scores = NDArray[np.float32]
AT_ONCE = 128
"""Texts that pass through the network at once where no gradient is needed."""


class TextTask(BucketedTask[Batch]):
    """Trains on whole texts, in batches of similar length."""

    network: TextNetwork
    unit = "cross-entropy", 1.0

    def __init__(
        self,
        network: TextNetwork,
        texts: Sequence[Codes],
        targets: Integers,
        weights: Floats,
        held_out: tuple[Sequence[Codes], Integers],
        seed: int,
        scores: tuple[Scores, Scores],
    ) -> None:
        """Take training texts, their labels, (C,) what each label weighs, and those held out.

        With the `scores` (N, C) of both by the linear part, to which the network's are added.
        """
        self.network, self.texts, self.targets = network, texts, targets
        self.scores, self.held_scores = scores
        self.weights = torch.from_numpy(weights.astype(np.float32))
        self.held_out = held_out
        self.buckets = LengthBuckets(np.array([len(text) for text in texts]), seed)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return the texts of the step."""
        rows = self.buckets.batch(step, batch_size)[shard.index :: shard.count]
        return batch_of([self.texts[row] for row in rows], self.targets[rows], self.scores[rows])

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy."""
        weights = self.weights.to(batch.targets.device)
        logits = network(batch.codes, batch.lengths) + batch.scores
        total = functional.cross_entropy(logits, batch.targets, weights, reduction="sum")
        return Loss(total, weights[batch.targets].sum())

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-entropy and accuracy on the validation texts."""
        texts, targets = self.held_out
        if not len(texts):
            return {}
        logits, truth = logits_of(network, texts), torch.from_numpy(targets)
        logits = logits + torch.from_numpy(self.held_scores)
        weights = self.weights.to(logits)
        return {
            "loss": float(functional.cross_entropy(logits, truth, weights)),
            "accuracy": float((logits.argmax(-1) == truth).double().mean()),
        }


def batch_of(texts: Sequence[Codes], targets: Integers, scores: Scores) -> Batch:
    """Pad texts to the length of the longest."""
    codes = [torch.from_numpy(text.astype(np.int64)) for text in texts]
    lengths = torch.tensor([len(text) for text in texts])
    return Batch(
        nn.utils.rnn.pad_sequence(codes),
        lengths,
        torch.from_numpy(targets),
        torch.from_numpy(scores),
    )


@torch.no_grad()
def logits_of(network: nn.Module, texts: Sequence[Codes]) -> Tensor:
    """Return the logits (N, C) of texts, computed in batches of similar length."""
    device = next(network.parameters()).device

    def logits(rows: Integers) -> Tensor:
        nothing = np.zeros(len(rows), np.int64), np.zeros((len(rows), 0), np.float32)
        batch = batch_of([texts[row] for row in rows], *nothing)
        written: Tensor = network(batch.codes.to(device), batch.lengths.to(device)).cpu()
        return written

    return computed([len(text) for text in texts], AT_ONCE, logits)
