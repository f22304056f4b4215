"""Training batches, loss and validation of classification and regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.classify.network import Batch, SequenceEnsemble, losses, summed_loss
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.sequences import Floats, Values
from gated.training.bucketing import BucketedTask, LengthBuckets, computed
from gated.training.task import Loss, Shard

AT_ONCE = 256
"""Sequences that pass through the network at once where no gradient is needed."""


class SequenceTask(BucketedTask[Batch]):
    """Batches of whole sequences, augmented if that is configured."""

    network: SequenceEnsemble

    def __init__(
        self,
        network: SequenceEnsemble,
        config: ClassifyConfig,
        preprocessing: Preprocessing,
        arrays: Sequence[Floats],
        targets: Values,
        weights: Floats,
        held_out: tuple[Sequence[Floats], Values],
        seed: int,
        unit: float = 1.0,
        folds: Values | None = None,
    ) -> None:
        """Take training sequences, their targets and weights, and those that are held out.

        The network of an ensemble that `folds` (N,) name does not learn from a sequence.
        A single target that is a number is in standard deviations, of which one is `unit`.
        """
        self.unit_of_error = unit
        self.folds = np.full(len(arrays), -1) if folds is None else folds
        self.network, self.config, self.preprocessing = network, config, preprocessing
        self.arrays, self.targets, self.weights = arrays, targets, weights
        self.held_out, self.seed = held_out, seed
        classes = targets.dtype.kind == "i"
        self.unit = ("cross-entropy", 1.0) if classes else ("mean squared error", unit**2)
        self.buckets = LengthBuckets(np.array([len(array) for array in arrays]), seed)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Batch:
        """Return the sequences of the step, each warped and with noise of its own."""
        rows = self.buckets.batch(step, batch_size)[shard.index :: shard.count]
        read = [
            self._changed(self.arrays[row], np.random.default_rng((self.seed, step, int(row))))
            for row in rows
        ]
        return batch_of(read, self.targets[rows], self.weights[rows], self.folds[rows])

    def _changed(self, array: Floats, random: np.random.Generator) -> np.ndarray:
        config, read = self.config, self.preprocessing
        if config.warp:
            size, factor = 1 + config.warp * random.uniform(-1, 1, 2)
            steps = max(1, round(len(array) * size))
            places = np.linspace(0, len(array) - 1, steps).round().astype(int)
            array = read.mean + (array[places] - read.mean) * factor
        if config.cut:
            steps = round(len(array) * config.cut * random.uniform())
            begin = random.integers(len(array) - steps + 1)
            array = array.copy()
            array[begin : begin + steps] = np.nan
        scaled = read.scaled(array)
        if config.noise:
            scaled = scaled + config.noise * random.standard_normal(scaled.shape, np.float32)
        return read.read(array, scaled)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy, or squared error, of each network on what it learns from."""
        answers = network(batch.steps, batch.lengths, batch.folds)
        members = torch.arange(len(answers), device=answers.device)
        weights = batch.weights * (batch.folds != members[:, None])
        each = losses(answers.flatten(0, 1), torch.cat([batch.targets] * len(answers)))
        return Loss((each.view_as(weights) * weights).sum(), weights.sum())

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss over the held-out sequences, and the accuracy of classes or the MAE of numbers."""
        arrays, targets = self.held_out
        if not len(arrays):
            return {}
        answers = answers_of(network, self.preprocessing, arrays)
        truth = torch.from_numpy(targets)
        ones = torch.ones(len(truth))
        batch = Batch(answers, ones, truth, ones, ones)
        scores = {"loss": float(summed_loss(answers, batch) / len(truth))}
        if truth.dtype.is_floating_point:
            scores["MAE"] = self.unit_of_error * float((answers - truth).abs().mean())
        else:
            scores["accuracy"] = float((answers.argmax(-1) == truth).double().mean())
        return scores


def batch_of(
    read: Sequence[np.ndarray], targets: Values, weights: Floats, folds: Values | None = None
) -> Batch:
    """Pad sequences to the length of the longest."""
    folds = np.full(len(read), -1) if folds is None else folds
    return Batch(
        nn.utils.rnn.pad_sequence([torch.from_numpy(np.ascontiguousarray(of)) for of in read]),
        torch.tensor([len(of) for of in read]),
        torch.from_numpy(targets),
        torch.from_numpy(weights.astype(np.float32)),
        torch.from_numpy(folds),
    )


@torch.no_grad()
def answers_of(
    network: nn.Module,
    preprocessing: Preprocessing,
    arrays: Sequence[Floats],
    answer: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Return (N, outputs) for sequences, computed in batches of similar length.

    `answer` maps inputs (T, B, I) and lengths (B,) to them; by default the network does.
    """
    device = next(network.parameters()).device
    answer = answer or network

    def answers(rows: Values) -> Tensor:
        read = [preprocessing.read(arrays[row]) for row in rows]
        batch = batch_of(read, np.zeros(len(rows)), np.ones(len(rows)))
        return answer(batch.steps.to(device), batch.lengths.to(device)).cpu()

    return computed([len(array) for array in arrays], AT_ONCE, answers)
