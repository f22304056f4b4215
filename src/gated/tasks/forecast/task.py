"""Training batches, loss and validation of forecasting."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from gated.tasks.forecast.distributions import DISTRIBUTIONS
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.network import Batch, Ensemble, ForecastNetwork
from gated.tasks.forecast.windows import (
    chunks,
    gather,
    member_of,
    shuffled,
    training_origins,
    validation_origins,
)
from gated.training.task import Loss, Shard, Task

MOST_VALIDATED = 1024
"""Validation windows, evenly chosen where there are more: enough to tell weights apart."""


class ForecastTask(Task[Batch]):
    """Trains on windows of a prepared panel, with the loss of the network's distribution."""

    network: ForecastNetwork | Ensemble

    def __init__(self, network: ForecastNetwork | Ensemble, prepared: Prepared, seed: int) -> None:
        config = prepared.preprocessing.config
        self.network = network
        self.prepared = prepared
        self.seed = seed
        logs = prepared.preprocessing.target.floor is not None
        self.distribution = DISTRIBUTIONS[config.distribution](config.quantiles, logs=logs)
        self.unit = self.distribution.measure, 1.0
        self.members = range(config.members or 1)
        self.origins = [training_origins(prepared, member) for member in self.members]
        stride = None if len(self.members) == 1 else 1
        self.held_out = thinned(validation_origins(prepared, stride), MOST_VALIDATED)
        self.pieces = prepared.pieces
        self.piece_origins: list[Integers] = []
        if self.pieces is not None:
            found = [training_origins(self.pieces, member) for member in self.members]
            self.piece_origins = found if all(map(len, found)) else []
            held_out = validation_origins(self.pieces, stride=1, settled=False)
            self.held_out_pieces = thinned(held_out, MOST_VALIDATED)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Training steps in an epoch."""
        return -(-max(len(of) for of in self.origins) // batch_size)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return the next windows of the epoch's permutation; each shard gets every `count`-th.

        Of several networks each gets a batch of its own, half as large.
        """
        if len(self.members) > 1:
            batch_size = max(batch_size // 2, shard.count)
        if self.pieces is None or not self.piece_origins:
            return self._drawn(self.prepared, self.origins, step, batch_size, shard)
        batch = self._drawn(self.prepared, self.origins, step, batch_size, shard)
        unseen = self._drawn(self.pieces, self.piece_origins, step, batch_size, shard)
        return batch.joined(unseen)

    def _drawn(
        self,
        prepared: Prepared,
        origins: list[Integers],
        step: int,
        batch_size: int,
        shard: Shard,
    ) -> Batch:
        """A batch of some of the `origins` of each network."""
        chosen = [
            of[shuffled(len(of), step, batch_size, self.seed + m)[shard.index :: shard.count]]
            for m, of in enumerate(origins)
        ]
        member = np.repeat(np.array(self.members), [len(of) for of in chosen])
        return Batch.of(gather(prepared, np.concatenate(chosen)), member)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """The loss of the observed steps."""
        loss = self.distribution.losses(network(batch), batch)
        return Loss(loss.sum(), batch.weight.sum())

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The loss of the scaled target, and the median's MAE in the unit of a single target."""
        if not len(self.held_out):
            return {}
        device = next(network.parameters()).device
        batches = [
            Batch(*(tensor.to(device) for tensor in held_out_batch(self.prepared, origins)))
            for origins in chunks(self.held_out)
        ]
        outputs = [network(batch) for batch in batches]
        middle, pairs = (
            self.distribution.levels.index(0.5),
            list(zip(outputs, batches, strict=True)),
        )
        quantiles = [self.distribution.quantiles(*pair) for pair in pairs]
        median = torch.cat([of[..., middle] for of in quantiles], dim=1)
        target, weight = (
            torch.cat([getattr(batch, name) for batch in batches], dim=1)
            for name in ("target", "weight")
        )
        forecast, truth = (
            self.prepared.unscaled(of.T.double().cpu().numpy(), self.held_out)
            for of in (median, target)
        )
        total = float(weight.sum())
        loss = sum(float(self.distribution.losses(*pair).sum()) for pair in pairs)
        error = np.abs(forecast - truth) * weight.T.cpu().numpy()
        scores = {"loss": loss / total, "MAE": float(error.sum()) / total}
        if self.pieces is not None and len(self.held_out_pieces):
            unseen = [
                Batch(*(tensor.to(device) for tensor in held_out_batch(self.pieces, origins)))
                for origins in chunks(self.held_out_pieces)
            ]
            lost = [self.distribution.losses(network(of), of).sum() for of in unseen]
            counts = sum(float(of.weight.sum()) for of in unseen)
            scores["loss"] = (scores["loss"] + float(sum(lost)) / counts) / 2
        if len(self.prepared.preprocessing.config.targets) > 1:
            del scores["MAE"]  # of several units
        return scores

    def fingerprint(self) -> str:
        """Add the configuration: quantiles and splits show nowhere else."""
        return super().fingerprint() + repr(self.prepared.preprocessing.config)


def windows_batch(prepared: Prepared, origins: Integers) -> Batch:
    """Return windows, each forecast by the mean of all networks."""
    return Batch.of(gather(prepared, origins))


def held_out_batch(prepared: Prepared, origins: Integers) -> Batch:
    """Return windows of validation, each for the network that was trained without it."""
    return Batch.of(gather(prepared, origins), member_of(prepared, origins))


def thinned(origins: Integers, most: int) -> Integers:
    """Return every k-th of `origins`, so that at most `most` remain.

    >>> import numpy as np
    >>> thinned(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    return origins[:: max(1, -(-len(origins) // most))]
