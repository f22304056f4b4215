"""Training batches, loss and validation of translation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from gated.tasks.translate.batches import Batch, Codes
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.network import TranslateNetwork, smoothed_loss
from gated.training.bucketing import BucketedTask, LengthBuckets
from gated.training.task import Loss, Shard

Encoded = tuple[Codes, Codes]
"""A sentence and its translation in subwords."""
VALIDATED_AT_ONCE = 64


class TranslateTask(BucketedTask[Batch]):
    """Trains on pairs of sentences, with the cross-entropy of smoothed labels."""

    network: TranslateNetwork
    unit = "cross-entropy of a subword", 1.0

    def __init__(
        self,
        network: TranslateNetwork,
        training: Sequence[Encoded],
        validation: Sequence[Encoded],
        config: TranslateConfig,
        seed: int,
        score: Callable[[], dict[str, float]] = dict,
    ) -> None:
        """Take encoded pairs, and a `score` of the network's translations for the validations."""
        self.network, self.config, self.score = network, config, score
        self.training = training
        self.validation = sorted(validation, key=lambda pair: -len(pair[1]))
        # The decoder's steps cost the most: so by length of the target, then of the source.
        sources, targets = (np.array([len(pair[side]) for pair in training]) for side in (0, 1))
        self.buckets = LengthBuckets(targets * (sources.max() + 1) + sources, seed)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return pairs of similar length; each shard gets every `count`-th."""
        chosen = self.buckets.batch(step, batch_size)[shard.index :: shard.count]
        return batch_of([self.training[place] for place in chosen])

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy of the target's subwords."""
        total = smoothed_loss(network(batch), batch.wanted, self.config.label_smoothing)
        return Loss(total, torch.tensor(len(batch.wanted), device=total.device))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-entropy per subword, in nats, without smoothing; BLEU and chrF of translations."""
        if not self.validation:
            return {}
        device = next(network.parameters()).device
        total, count = 0.0, 0
        for start in range(0, len(self.validation), VALIDATED_AT_ONCE):
            batch = batch_of(self.validation[start : start + VALIDATED_AT_ONCE])
            batch = Batch(*(tensor.to(device) for tensor in batch))
            total += float(smoothed_loss(network(batch), batch.wanted, 0.0))
            count += len(batch.wanted)
        return {"loss": total / count, **self.score()}

    def fingerprint(self) -> str:
        """Add the configuration, which the weights do not show."""
        return f"{super().fingerprint()} {self.config}"


def batch_of(pairs: Sequence[Encoded]) -> Batch:
    """Make a batch of pairs."""
    sources, targets = zip(*pairs, strict=True)
    return Batch.of(sources, targets)
