"""Training of a language model by truncated backpropagation through time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gated.tasks.language.config import LanguageConfig
from gated.tasks.language.network import LanguageNetwork, Stretch, nats, penalty
from gated.texts.text import Coded
from gated.training.streams import StretchPlan
from gated.training.task import Carried, Loss, Shard, Task

CONTEXT = 128
"""Codes that a stream reads before what it says counts."""
STREAMS = 32
"""Streams in a validation."""
MOST_MEASURED = 1_000_000
"""Codes, the first, from which is computed how many letters a code stands for on average."""


class LanguageTask(Task[Stretch]):
    """Trains on the text as parallel streams, read stretch by stretch, again and again."""

    network: LanguageNetwork

    def __init__(
        self,
        network: LanguageNetwork,
        config: LanguageConfig,
        training: Coded,
        validation: Coded,
        seed: int,
        letters: NDArray[np.int64] | None = None,
    ) -> None:
        """Take both parts of a text; `letters` (V,) says how many each code stands for, else one.

        Whatever is read at a step, what is shown is in bits for each letter.
        """
        self.network, self.config = network, config
        # How long unknown words are, the codes do not say: words are measured by the word.
        if letters is None or config.unit == "word":
            letters = np.ones(network.embedding.num_embeddings, np.int64)
        self.letters = letters
        measure = f"bits a {config.unit if config.unit in ('byte', 'word') else 'character'}"
        some = self.letters[training.codes[:MOST_MEASURED]]
        self.unit = measure, 1 / (float(np.log(2)) * (float(some.mean()) or 1.0))
        self.training, self.validation = training, validation
        self.plan = StretchPlan(
            len(training.codes) - 1,
            training.ends,
            config.window,
            config.overlap,
            fixed=config.fixed_window,
            seed=seed,
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Stretches of the length `window` in a stream."""
        return self.plan.steps_per_epoch(batch_size)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Stretch:
        """Return the next stretch of each stream."""
        own = self.plan.at(step, batch_size).rows(slice(shard.index, None, shard.count))
        return Stretch.read(self.training.codes, own)

    def loss(self, network: nn.Module, batch: Stretch) -> Loss:
        """Cross-entropy of a stretch from the initial state."""
        return self.loss_from(network, batch, {})[0]

    def loss_from(
        self, network: nn.Module, batch: Stretch, carried: Carried
    ) -> tuple[Loss, Carried]:
        """Cross-entropy of a stretch from the states of the one before it, and the penalties."""
        written = network(
            batch.codes, batch.before(carried), batch.lengths, batch.carried, batch.following
        )
        total = written.nats.sum()
        count = batch.there.sum().float()
        if self.config.activation or self.config.change:
            weights = self.config.activation, self.config.change
            total = total + count * penalty(written, batch.there, *weights)
        return Loss(total, count), written.states

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-entropy of the validation part, in nats and in bits for each character."""
        if len(self.validation.codes) < 2:
            return {}
        loss = float(nats(network, self.validation, CONTEXT, STREAMS, self.config.window).mean())
        letters = float(self.letters[self.validation.codes[1:]].mean()) or 1.0
        return {"loss": loss, self.unit[0]: loss / (float(np.log(2)) * letters)}
