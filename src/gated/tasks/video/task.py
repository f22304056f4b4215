"""Training batches, loss and validation of video classification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gated.tasks.video.config import VideoConfig
from gated.tasks.video.network import Batch, VideoNetwork, answers, cross_entropy
from gated.tasks.video.spans import Span
from gated.tasks.video.windows import as_tensors, batches, collate, cropped, margins
from gated.training.bucketing import BucketedTask, LengthBuckets
from gated.training.task import Loss, Shard


class VideoTask(BucketedTask[Batch]):
    """Trains on windows at random places of spans, with the cross-entropy."""

    network: VideoNetwork
    unit = "cross-entropy", 1.0

    def __init__(
        self,
        network: VideoNetwork,
        config: VideoConfig,
        training: Sequence[Span],
        validation: Sequence[Span],
        seed: int,
        *,
        most: int | None = None,
    ) -> None:
        """Take the spans; `most` frames make a window, by default the configuration's."""
        self.network, self.config, self.seed = network, config, seed
        self.training, self.validation = training, validation
        self.most = most or config.frames
        self.buckets = LengthBuckets(
            np.array([min(len(span), self.most) for span in training]), seed
        )

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return windows of the spans of the step, randomly cropped and mirrored."""
        windows = []
        for place, index in enumerate(self.buckets.batch(step, batch_size)):
            if place % shard.count == shard.index:
                random = np.random.default_rng((self.seed, step, place))
                windows.append(self._drawn(self.training[index], random))
        return collate(windows)

    def _drawn(self, span: Span, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        first = int(random.integers(max(0, len(span) - self.most) + 1))
        pixels, labels = span.window(first, self.most)
        down, across = margins(self.config)
        top, left = random.integers(2 * down + 1), random.integers(2 * across + 1)
        pixels = cropped(pixels, self.config, int(top), int(left))
        if self.config.flip and random.random() < 0.5:
            pixels = pixels[:, :, ::-1]
        return as_tensors(pixels, labels)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy of the label of each window, or of each frame that has one."""
        total, weight = cross_entropy(network(batch), batch, per_frame=self.config.per == "frame")
        return Loss(total, weight)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-entropy and accuracy over all windows of the validation spans."""
        per_frame, totals = self.config.per == "frame", torch.zeros(3)
        device = next(network.parameters()).device
        for batch in batches(self.validation, self.config, self.most):
            batch = Batch(*(tensor.to(device) for tensor in batch))
            logits = network(batch)
            total, weight = cross_entropy(logits, batch, per_frame=per_frame)
            if per_frame:
                right = logits.argmax(-1) == batch.labels
            else:
                right = answers(logits, batch.lengths).argmax(-1) == batch.labels[0]
            totals += torch.tensor([float(total), float(weight), float(right.sum())])
        if not totals[1]:
            return {}
        return {
            "loss": float(totals[0] / totals[1]),
            "accuracy": float(totals[2] / totals[1]),
        }
