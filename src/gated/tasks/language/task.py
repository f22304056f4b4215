"""A language model as the training loop sees it: truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.tasks.language.config import LanguageConfig
from gated.tasks.language.network import LanguageNetwork, nats, penalty
from gated.tasks.language.text import Codes
from gated.training.task import Carried, Loss, Shard, Task

CONTEXT = 128
"""Codes that a stream reads before what it says counts."""
STREAMS = 32
"""Streams in a validation."""
SPREAD = 5.0
"""Standard deviation of the length of a stretch (Merity et al. 2018)."""
HALF = 0.05
"""How often a stretch is half as long."""


class Stretch(NamedTuple):
    """Codes of some streams, and those that come after each."""

    codes: Tensor
    """(T, B)"""
    following: Tensor
    """(T, B)"""
    anew: Tensor
    """Scalar: whether the streams begin here."""


class LanguageTask(Task[Stretch]):
    """The text as parallel streams, read stretch by stretch, over and over."""

    network: LanguageNetwork

    def __init__(
        self,
        network: LanguageNetwork,
        config: LanguageConfig,
        training: Codes,
        validation: Codes,
        seed: int,
    ) -> None:
        self.network, self.config, self.seed = network, config, seed
        self.training, self.validation = training, validation
        self._stretches: dict[int, list[tuple[int, int]]] = {}

    def steps_per_epoch(self, batch_size: int) -> int:
        """Stretches of the usual length in a stream."""
        return max(1, self._length(batch_size) // self.config.window)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Stretch:
        """Return the next stretch of each stream."""
        length = self._length(batch_size)
        first, steps = self._stretch(step, batch_size)
        rows = np.arange(shard.index, batch_size, shard.count) * length + first
        places = rows + np.arange(steps + 1)[:, None]
        codes = torch.from_numpy(self.training[places].astype(np.int64))
        return Stretch(codes[:-1], codes[1:], torch.tensor(first == 0))

    def loss(self, network: nn.Module, batch: Stretch) -> Loss:
        """Cross-entropy of a stretch that begins anew."""
        return self.loss_from(network, batch, {})[0]

    def loss_from(
        self, network: nn.Module, batch: Stretch, carried: Carried
    ) -> tuple[Loss, Carried]:
        """Cross-entropy of a stretch after the one before it, and the penalties."""
        written = network(batch.codes, {} if batch.anew else carried)
        total = functional.cross_entropy(
            written.logits.flatten(0, 1), batch.following.flatten(), reduction="sum"
        )
        count = torch.tensor(float(batch.following.numel()))
        if self.config.activation or self.config.change:
            total = total + count * penalty(written, self.config.activation, self.config.change)
        return Loss(total, count), written.states

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-entropy of the validation part, and as bits."""
        if len(self.validation) < 2:
            return {}
        codes = torch.from_numpy(self.validation.astype(np.int64))
        loss = float(nats(network, codes, CONTEXT, STREAMS, self.config.window).mean())
        return {"loss": loss, "bits": loss / float(np.log(2))}

    def depth_groups(self) -> Sequence[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        return self.network.depth_groups()

    def _length(self, batch_size: int) -> int:
        return (len(self.training) - 1) // batch_size

    def _stretch(self, step: int, batch_size: int) -> tuple[int, int]:
        """Return where in the streams a step begins, and how long it is.

        Made in order from the seed, and kept, so that it is a function of the step.
        """
        made = self._stretches.setdefault(batch_size, [])
        length, window = self._length(batch_size), self.config.window
        while len(made) <= step:
            first = sum(made[-1]) if made and sum(made[-1]) < length else 0
            steps = window
            if not self.config.fixed_window:
                random = np.random.default_rng((self.seed, len(made)))
                usual = window // 2 if random.random() < HALF else window
                steps = max(1, round(random.normal(usual, min(SPREAD, window / 8))))
            # What would be left over is too little for a stretch of its own.
            left = length - first
            made.append((first, left if left < 1.5 * steps else steps))
        return made[step]
