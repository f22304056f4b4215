"""Training of the forecaster that needs none.

    python -m gated.tasks.forecast.pretrained.training DIRECTORY

On synthetic series alone, drawn anew for each step from its number and the seed, so that a run that
was killed goes on to the same weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from gated.files import write_atomically
from gated.tasks.forecast.pretrained.inputs import FARTHEST, QUANTILES, Inputs, inputs_of
from gated.tasks.forecast.pretrained.network import PretrainedNetwork
from gated.tasks.forecast.pretrained.smoothing import smoothed
from gated.tasks.forecast.pretrained.synthetic import draw
from gated.tasks.forecast.pretrained.zero_shot import WEIGHTS
from gated.training.checkpoint import FILE_NAME
from gated.training.loop import train
from gated.training.options import TrainingOptions
from gated.training.task import Loss, Shard, Task

HISTORY, HORIZON = 352, 48
"""The longest history drawn, and the steps forecast."""


@dataclass
class Examples:
    """Histories with what came after them."""

    inputs: Inputs
    target: Tensor
    """`(horizon, B)`, relative as the inputs are."""


class PretrainingTask(Task[Examples]):
    """Forecasts synthetic series, by the pinball loss."""

    network: PretrainedNetwork
    unit = "pinball loss, in naive errors", 1.0

    def __init__(self, network: PretrainedNetwork, seed: int, held_out: int = 2048) -> None:
        self.network = network
        self.seed = seed
        self.quantiles = torch.tensor(QUANTILES)
        self.held_out = [
            self._examples(np.random.default_rng((seed, 1, k)), 256) for k in range(held_out // 256)
        ]

    def steps_per_epoch(self, batch_size: int) -> int:
        """As no series is drawn twice, 1,000 by definition."""
        return 1000

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Examples:
        """Draw the series of a step."""
        random = np.random.default_rng((self.seed, 0, step, shard.index))
        return self._examples(random, batch_size // shard.count)

    def _examples(self, random: np.random.Generator, count: int) -> Examples:
        longest = int(random.choice([48, 96, 192, HISTORY], p=[0.2, 0.2, 0.25, 0.35]))
        drawn = count + count // 8  # some of which do not move
        series, seasons = draw(random, drawn, longest + HORIZON)
        history, future = series[:, :longest].copy(), series[:, longest:]
        shortest = 8 if longest < 96 else longest // 3
        length = np.where(
            random.random(drawn) < 0.4, longest, random.integers(shortest, longest + 1, drawn)
        )
        history[np.arange(longest) < (longest - length)[:, None]] = np.nan
        moves = np.nanmax(history, 1) - np.nanmin(history, 1) > 1e-9
        chosen = np.flatnonzero(moves)[:count]
        history, future, seasons = history[chosen], future[chosen], seasons[chosen].copy()
        # Seasons are not always known, and what is taken for one is none at times.
        unknown = random.random(len(chosen)) < 0.06
        seasons[unknown] = 1
        wrong = random.random(len(chosen)) < 0.06
        seasons[wrong, 0] = random.choice([4, 7, 12, 24], int(wrong.sum()))
        seasons[wrong, 1] = 1
        known = smoothed(history, seasons, HORIZON)
        target = np.where(known.in_logs[:, None], np.log(np.maximum(future, 1e-300)), future)
        # What has become nothing, or less, where logarithms were taken: as far as it can be.
        target = (target - known.center[:, None]) / known.scale[:, None]
        target = np.clip(target, -FARTHEST, FARTHEST)
        return Examples(
            inputs_of(known, seasons), torch.from_numpy(target.T.astype(np.float32).copy())
        )

    def loss(self, network: nn.Module, batch: Examples) -> Loss:
        """Pinball loss, averaged over the quantiles."""
        return self._loss(network(batch.inputs), batch.target)

    def _loss(self, forecast: Tensor, target: Tensor) -> Loss:
        error = target[..., None] - forecast
        quantiles = self.quantiles.to(error)
        loss = torch.maximum(quantiles * error, (quantiles - 1) * error).mean(-1)
        return Loss(loss.sum(), torch.tensor(float(target.numel())))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The loss on series held out."""
        losses = [self._loss(network(part.inputs), part.target) for part in self.held_out]
        return {"loss": float(sum(of.total for of in losses) / sum(of.weight for of in losses))}


def main() -> None:
    """Train, or go on with a training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="for checkpoints and the weights")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--threads", type=int)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    task = PretrainingTask(PretrainedNetwork(chosen.hidden), seed=0)
    options = TrainingOptions(
        steps=chosen.steps,
        batch_size=192,
        learning_rate=3e-3,
        warmup=0.05,
        validate_every=250,
        checkpoint_every=250,
        threads=chosen.threads,
    )
    chosen.directory.mkdir(parents=True, exist_ok=True)
    has_begun = (chosen.directory / FILE_NAME).exists()
    train(task, options, directory=chosen.directory, resume=has_begun, progress=Printed())
    write_weights(task.network, chosen.directory / WEIGHTS.name)


def write_weights(network: PretrainedNetwork, path: Path) -> None:
    """Write the weights as the package has them, in half precision."""
    weights = {name: of.half().contiguous() for name, of in network.state_dict().items()}
    write_atomically(path, save(weights))


class Printed:
    """Prints validations."""

    def step(self, **of: object) -> None:
        """Say nothing."""

    def validation(self, *, step: int, scores: Mapping[str, float], best: bool) -> None:
        """Print the loss."""
        print(step, round(scores["loss"], 4), flush=True)


if __name__ == "__main__":
    main()
