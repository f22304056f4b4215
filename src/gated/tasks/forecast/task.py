"""Training batches, loss and validation of forecasting."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.network import Batch, ForecastNetwork, pinball
from gated.tasks.forecast.preparation import Prepared
from gated.tasks.forecast.windows import (
    gather,
    shuffled,
    training_origins,
    validation_origins,
)
from gated.training.task import Loss, Shard, Task

MOST_VALIDATED = 1024
"""Validation windows, evenly chosen where there are more: enough to tell weights apart."""
CHUNK = 512
"""Windows that pass through the network at once where no gradient is needed."""


class ForecastTask(Task[Batch]):
    """Trains on windows of a prepared panel with the pinball loss."""

    network: ForecastNetwork
    unit = "pinball loss, scaled", 1.0

    def __init__(self, network: ForecastNetwork, prepared: Prepared, seed: int) -> None:
        config = prepared.preprocessing.config
        self.network = network
        self.prepared = prepared
        self.seed = seed
        self.quantiles = torch.tensor(config.quantiles)
        self.origins = training_origins(prepared)
        self.held_out = thinned(validation_origins(prepared), MOST_VALIDATED)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Training steps in an epoch."""
        return -(-len(self.origins) // batch_size)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return the next windows of the epoch's permutation; each shard gets every `count`-th."""
        chosen = shuffled(len(self.origins), step, batch_size, self.seed)
        return Batch.of(gather(self.prepared, self.origins[chosen[shard.index :: shard.count]]))

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Pinball loss of the observed steps, averaged over the quantiles."""
        quantiles = self.quantiles.to(batch.target)
        loss = pinball(quantiles, network(batch), batch.target) * batch.weight
        return Loss(loss.sum(), batch.weight.sum())

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Pinball loss of the scaled target, and the median's MAE in the unit of the target."""
        if not len(self.held_out):
            return {}
        device = next(network.parameters()).device
        batches = [
            Batch(*(tensor.to(device) for tensor in Batch.of(gather(self.prepared, origins))))
            for origins in chunks(self.held_out)
        ]
        forecasts = [network(batch) for batch in batches]
        target, weight = (
            torch.cat([getattr(batch, name) for batch in batches], dim=1)
            for name in ("target", "weight")
        )
        forecast = torch.cat(forecasts, dim=1)
        median = forecast[..., self.quantiles.tolist().index(0.5)]

        def mean(loss: Tensor) -> float:
            return float((loss * weight).sum() / weight.sum())

        quantiles = self.quantiles.to(forecast)
        deviation = torch.from_numpy(self.prepared.deviation(self.held_out))
        return {
            "loss": mean(pinball(quantiles, forecast, target)),
            "MAE": mean((median - target).abs() * deviation.to(forecast)),
        }

    def fingerprint(self) -> str:
        """Add the configuration: quantiles and splits show nowhere else."""
        return super().fingerprint() + repr(self.prepared.preprocessing.config)


def chunks(origins: Integers) -> list[Integers]:
    """Split `origins` `(N,)` into pieces whose windows fit into memory."""
    return [origins[begin : begin + CHUNK] for begin in range(0, len(origins), CHUNK)]


def thinned(origins: Integers, most: int) -> Integers:
    """Return every k-th of `origins`, so that at most `most` remain.

    >>> import numpy as np
    >>> thinned(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    return origins[:: max(1, -(-len(origins) // most))]
