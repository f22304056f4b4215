"""What is particular to counting events: the network, its loss, its score, and seven hooks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

import gated.nn
from gated.configuration import Configuration
from gated.errors import DataError
from gated.explain import Probe
from gated.scoring.judge import judge
from gated.scoring.verdict import Measure, Scope, Verdict
from gated.tasks.learner import Learner, Parts
from gated.training.bucketing import LengthBuckets
from gated.training.options import TrainingOptions
from gated.training.task import Loss, Shard, Task

Streams = list[pl.DataFrame]
"""A table each with a row for each step: stream, value and, where it is known, count."""


@dataclass(frozen=True, kw_only=True)
class CountTraining(TrainingOptions):
    """How to train: as for every task, but faster."""

    learning_rate: float = 2e-2


@dataclass(frozen=True, kw_only=True)
class CountConfig(Configuration):
    """The network, and the validation sequences."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """Recurrent cell."""
    hidden: int = 16
    """H, units of the one layer."""
    validation: float = 0.1
    """Share of the streams that chooses the best weights."""
    test: float = 0.2
    """Share of the streams that is held back for the score."""


class CountNetwork(nn.Module):
    """A recurrent layer, and how much is added to the count after each step."""

    def __init__(self, config: CountConfig) -> None:
        super().__init__()
        self.recurrent = getattr(gated.nn, config.cell.upper())(1, config.hidden)
        self.head = nn.Linear(config.hidden, 1)

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(T, B, 1) to (T, B), the events so far."""
        states, _ = self.recurrent(values, lengths=lengths)
        return nn.functional.softplus(self.head(states)[..., 0]).cumsum(0)


class CountTask(Task[tuple[Tensor, Tensor]]):
    """Whole streams, and the absolute error of the count after each step."""

    unit = "MAE", 1.0

    def __init__(self, network: CountNetwork, parts: Parts[Streams], seed: int) -> None:
        self.network, self.parts = network, parts
        self.buckets = LengthBuckets(np.array([len(of) for of in parts.training]), seed)

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.buckets.steps_per_epoch(batch_size)

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> tuple[Tensor, Tensor]:
        rows = self.buckets.batch(step, batch_size)[shard.index :: shard.count]
        return batch_of([self.parts.training[row] for row in rows])

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Loss:
        values, counts = batch
        known = ~counts.isnan()
        return Loss((network(values) - counts)[known].abs().sum(), known.sum())

    def validate(self, network: nn.Module) -> dict[str, float]:
        total, weight = self.loss(network, batch_of(self.parts.validation))
        return {"loss": float(total / weight)}


def batch_of(streams: Streams) -> tuple[Tensor, Tensor]:
    """Return values, (T, B, 1), and counts, (T, B), which are NaN where they are not known."""
    values, counts = (
        [torch.from_numpy(of[name].cast(pl.Float32).to_numpy().copy()) for of in streams]
        for name in ("value", "count")
    )
    pad = nn.utils.rnn.pad_sequence
    return pad(values)[..., None], pad(counts, padding_value=torch.nan)


@dataclass(frozen=True)
class CountScore:
    """How far counts are from the true ones."""

    errors: dict[str, np.ndarray]
    """(N,), the mean absolute error of each stream, by method, the network first."""
    higher_is_better = frozenset[str]()

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        return {name: {"MAE": float(of.mean())} for name, of in self.errors.items()}

    @cached_property
    def verdict(self) -> Verdict:
        return judge(self.errors, Measure("MAE {}", relative=True), Scope("streams"))

    @property
    def facts(self) -> dict[str, Any]:
        return {"scores": self.figures}


class EventCounter(Learner[CountConfig, Streams, CountScore]):
    """Learns to count events in a stream."""

    task = "count_events"
    config_type, training_type = CountConfig, CountTraining
    learned = ("rate",)
    does = "count events in streams"
    data = "CSV file with a row for each step: stream, value and, but to predict, the count so far."
    made_of = "streams"

    network: CountNetwork
    rate: float
    """Events a step in the training part, for a baseline."""

    def split(self, source: Any, bad: Any) -> Parts[Streams]:
        streams = self.read(source, "score", bad)
        order = np.random.default_rng(self.seed).permutation(len(streams))
        shares = np.cumsum([self.config.test, self.config.validation])
        parts = np.split(order, (shares * len(streams)).round().astype(int))
        test, validation, training = ([streams[k] for k in part] for part in parts)
        if not (validation and training):
            raise DataError(f"{source} leaves too few streams to train on; give more.")
        self.rate = sum(of["count"][-1] for of in training) / sum(map(len, training))
        return Parts(training, validation, test)

    def read(self, source: Any, purpose: Any, bad: Any) -> Streams:
        table = pl.read_csv(source)
        if purpose != "score":
            table = table.with_columns(count=pl.lit(None, pl.Float32))
        if missing := {"stream", "value", "count"} - set(table.columns):
            raise DataError(f"{source} has no column {min(missing)!r}; it has {table.columns}.")
        return table.partition_by("stream", maintain_order=True)

    def new_network(self) -> CountNetwork:
        return CountNetwork(self.config)

    def new_task(self) -> CountTask:
        return CountTask(self.network, self.parts, self.seed)

    def scored(self, data: Streams, known: Parts[Streams] | None) -> CountScore:
        methods = {
            self.name: self.counts(data),
            "mean rate": [self.rate * np.arange(1, len(of) + 1) for of in data],
        }
        errors: dict[str, list[float]] = {name: [] for name in methods}
        for name, counts in methods.items():
            for table, predicted in zip(data, counts, strict=True):
                errors[name].append(np.abs(predicted - table["count"].to_numpy()).mean())
        return CountScore({name: np.array(of) for name, of in errors.items()})

    def predicted(self, data: Streams) -> pl.DataFrame:
        pairs = zip(data, self.counts(data), strict=True)
        return pl.concat(of.with_columns(count=pl.Series(counts)) for of, counts in pairs)

    def probed(self, data: Streams) -> Probe:
        shown, names = data[:16], [of["stream"][0] for of in data[:16]]
        batches = [(batch_of(shown)[0], torch.tensor([len(of) for of in shown]))]
        return Probe(title=self.does, model=self.network, batches=batches, sequences=names)

    @torch.no_grad()
    def counts(self, data: Streams) -> list[np.ndarray]:
        """Return (T,) predicted counts of each stream."""
        found = self.network(batch_of(data)[0]).numpy()
        return [found[: len(of), row] for row, of in enumerate(data)]
