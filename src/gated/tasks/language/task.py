"""A language model as the training loop sees it: truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn
from torch.nn import functional

from gated.tasks.language.config import LanguageConfig
from gated.tasks.language.network import PADDING, LanguageNetwork, Stretch, nats, penalty
from gated.tasks.language.streams import Streams, Stretches
from gated.tasks.language.text import Coded
from gated.training.task import Carried, Loss, Shard, Task

CONTEXT = 128
"""Codes that a stream reads before what it says counts."""
STREAMS = 32
"""Streams in a validation."""
SPREAD = 5.0
"""Standard deviation of the length of a stretch (Merity et al. 2018)."""
HALF = 0.05
"""How often a stretch is half as long."""


class LanguageTask(Task[Stretch]):
    """The text as parallel streams, read stretch by stretch, over and over."""

    network: LanguageNetwork

    def __init__(
        self,
        network: LanguageNetwork,
        config: LanguageConfig,
        training: Coded,
        validation: Coded,
        seed: int,
    ) -> None:
        self.network, self.config, self.seed = network, config, seed
        self.training, self.validation = training, validation
        self._plans: dict[int, tuple[Streams, list[Stretches]]] = {}

    def steps_per_epoch(self, batch_size: int) -> int:
        """Stretches of the usual length in a stream."""
        inner = self.training.ends
        places = np.concatenate([[0], inner, [len(self.training.codes) - 1]])
        stretches = np.ceil(np.diff(places) / self.config.window).sum()
        return max(1, int(stretches) // batch_size)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Stretch:
        """Return the next stretch of each stream."""
        own = self._stretches(step, batch_size).rows(slice(shard.index, None, shard.count))
        return Stretch.read(self.training.codes, own)

    def loss(self, network: nn.Module, batch: Stretch) -> Loss:
        """Cross-entropy of a stretch that begins anew."""
        return self.loss_from(network, batch, {})[0]

    def loss_from(
        self, network: nn.Module, batch: Stretch, carried: Carried
    ) -> tuple[Loss, Carried]:
        """Cross-entropy of a stretch after the one before it, and the penalties."""
        written = network(batch.codes, batch.before(carried), batch.lengths)
        total = functional.cross_entropy(
            written.logits.flatten(0, 1),
            batch.following.flatten(),
            ignore_index=PADDING,
            reduction="sum",
        )
        count = batch.there.sum().float()
        if self.config.activation or self.config.change:
            weights = self.config.activation, self.config.change
            total = total + count * penalty(written, batch.there, *weights)
        return Loss(total, count), written.states

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-entropy of the validation part, and as bits."""
        if len(self.validation.codes) < 2:
            return {}
        loss = float(nats(network, self.validation, CONTEXT, STREAMS, self.config.window).mean())
        return {"loss": loss, "bits": loss / float(np.log(2))}

    def depth_groups(self) -> Sequence[tuple[str, list[nn.Parameter]]]:
        """Parameters by depth, nearest the input first."""
        return self.network.depth_groups()

    def _stretches(self, step: int, batch_size: int) -> Stretches:
        """Return where in the streams a step begins, and how long it is.

        Made in order from the seed, and kept, so that it is a function of the step.
        """
        if batch_size not in self._plans:
            length = (len(self.training.codes) - 1) // batch_size
            starts = np.arange(batch_size) * length
            self._plans[batch_size] = Streams(starts, starts + length, self.training.ends), []
        streams, made = self._plans[batch_size]
        while len(made) <= step:
            made.append(streams.advance(self._window(len(made))))
        return made[step]

    def _window(self, step: int) -> int:
        """Return how many steps the stretches of a step have."""
        window = self.config.window
        if self.config.fixed_window:
            return window
        random = np.random.default_rng((self.seed, step))
        usual = window // 2 if random.random() < HALF else window
        return max(1, round(random.normal(usual, min(SPREAD, window / 8))))
