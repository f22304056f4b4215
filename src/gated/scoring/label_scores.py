"""Scores of predicted labels: accuracy, balanced accuracy and cross-entropy, by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import require
from gated.scoring.judge import grouped, judge
from gated.scoring.verdict import Measure, Scope, Verdict, flattered, percent

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

RIGHT = Measure("{} right", percent, higher_is_better=True, largest=1)


@dataclass(frozen=True, eq=False)
class Score:
    """Scores of one method over N examples."""

    hits: Mask
    """(N,), whether the predicted label is the expected one."""
    balanced: float
    """Balanced accuracy: the mean over the labels of the share of their examples that are right."""
    loss: float | None
    """Cross-entropy in nats; None for a method that gives no probabilities."""
    clusters: NDArray[Any] | None = None
    """(N,), labels; examples with the same label are not independent. By default all are."""

    @property
    def n(self) -> int:
        """N, the number of examples."""
        return len(self.hits)

    @property
    def accuracy(self) -> float:
        """Share of the examples whose label was predicted."""
        return float(self.hits.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy (Wilson 1927).

        With clusters, N is replaced by the effective number of independent examples (Korn and
        Graubard 1998); with a single cluster the interval is (0, 1).

        >>> low, high = Score(np.arange(10) < 8, balanced=0.8, loss=0.5).interval
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
        """
        z, n, p = 1.959964, float(self.n), self.accuracy
        if self.clusters is not None:
            groups = grouped(self.n, self.clusters)
            sums = np.bincount(groups, self.hits - p)
            count = len(sums)
            if count < 2:
                return 0.0, 1.0
            varied = count / (count - 1) * float((sums**2).sum()) / n**2
            z = float(require("scipy.stats", extra="train").t.ppf(0.975, count - 1))
            n = min(n, p * (1 - p) / varied) if varied else float(count)
        middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    @property
    def figures(self) -> dict[str, float | None]:
        """All of them, for JSON."""
        low, high = self.interval
        return {
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
            "balanced_accuracy": self.balanced,
            "loss": self.loss,
        }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of all methods on the test part."""

    labels: tuple[str, ...]
    """The C labels."""
    scores: Mapping[str, Score]
    """By method, the network first."""
    confusion: Integers
    """(C, C): how often the column's label was predicted where the row's label was expected."""
    scope: Scope
    """What the examples are: segments, frames, sequences."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Baselines that were not compared, and why."""
    known: int = 0
    """Number of test examples that were also trained on."""

    higher_is_better = frozenset({"accuracy", "balanced accuracy"})

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method and measure; the network and the deciding measure come first."""
        return {
            name: {"accuracy": of.accuracy, "balanced accuracy": of.balanced}
            | ({} if of.loss is None else {"cross-entropy": of.loss})
            for name, of in self.scores.items()
        }

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the network, which comes first, beats the best of the others."""
        clusters = next(iter(self.scores.values())).clusters
        hits = {name: score.hits for name, score in self.scores.items()}
        found = judge(hits, RIGHT, self.scope, clusters=clusters)
        return found.without(self.left_out).adding(flattered(self.known))

    @property
    def facts(self) -> dict[str, Any]:
        """All but the verdict, for JSON."""
        return {
            "labels": list(self.labels),
            "unit": self.scope.unit,
            "n": next(iter(self.scores.values())).n,
            "scores": {name: score.figures for name, score in self.scores.items()},
            "confusion": self.confusion.tolist(),
        }


def score_of(
    predicted: Floats | Integers, truth: Integers, clusters: NDArray[Any] | None = None
) -> Score:
    """Score predictions, (N, C) probabilities or (N,) labels, against (N,) expected labels.

    `clusters`, (N,), are labels of the examples that are not independent, as in `Score`.
    """
    labels = predicted.argmax(1) if predicted.ndim == 2 else predicted
    right = labels == truth
    loss = None
    if predicted.ndim == 2:
        of_truth = predicted[np.arange(len(truth)), truth]
        loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    return Score(
        hits=right,
        balanced=float(np.mean([right[truth == label].mean() for label in np.unique(truth)])),
        loss=loss,
        clusters=clusters,
    )


def confusion_of(probabilities: Floats, truth: Integers, labels: Sequence[str]) -> Integers:
    """Return the counts (C, C) of expected labels, in rows, and predicted labels, in columns.

    Args:
        probabilities: (N, C).
        truth: (N,), the expected labels.
        labels: the C names.
    """
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (truth, probabilities.argmax(1)), 1)
    return counts
