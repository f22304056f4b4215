"""How often a network tells the right label, beside other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """Of one method, over `n` things to label."""

    right: int
    n: int
    balanced: float
    """Mean over the labels of the share that was told right."""
    loss: float | None
    """Cross-entropy in nats: of the true label's probability. None of a method that tells none."""

    @property
    def accuracy(self) -> float:
        """Share that was told right."""
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """In which the true accuracy lies with 95 %, were they independent (Wilson 1927).

        >>> low, high = Score(right=8, n=10, balanced=0.8, loss=0.5).interval
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
        """
        z, n, p = 1.959964, self.n, self.accuracy
        middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    def to_dict(self) -> dict[str, float | None]:
        """All figures, for JSON."""
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
    """What was told of the test part."""

    labels: tuple[str, ...]
    scores: Mapping[str, Score]
    """By method, the network first."""
    confusion: Integers
    """(C, C): how often the network told the label of the column where that of the row is true."""
    unit: str
    """What was told of: segments, frames, sequences."""

    higher_is_better = frozenset({"accuracy", "balanced accuracy"})

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method, the network and what decides first."""
        return {
            name: {"accuracy": of.accuracy, "balanced accuracy": of.balanced}
            | ({} if of.loss is None else {"cross-entropy": of.loss})
            for name, of in self.scores.items()
        }

    @property
    def verdict(self) -> str:
        """Whether the network, which comes first, beats the best of the others."""
        (name, ours), *others = self.scores.items()
        best, theirs = max(others, key=lambda item: item[1].accuracy)
        n = ours.n
        gain = ours.accuracy - theirs.accuracy
        # Both were asked the same; their difference is no surer than the less sure of the two.
        spread = 1.96 * sqrt(max(ours.accuracy * (1 - ours.accuracy), 0.25 / n) / n)
        if gain > spread:
            told = f"beats {best}"
        elif gain < -spread:
            told = f"does NOT beat {best}"
        else:
            told = f"does not clearly beat {best}"
        return (
            f"{name} {told}: {ours.accuracy:.1%} right against {theirs.accuracy:.1%}, over {n} "
            f"{self.unit}."
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "verdict": self.verdict,
            "labels": list(self.labels),
            "unit": self.unit,
            "n": next(iter(self.scores.values())).n,
            "scores": {name: score.to_dict() for name, score in self.scores.items()},
            "confusion": self.confusion.tolist(),
        }


def score_of(told: Floats | Integers, truth: Integers) -> Score:
    """Score what was told, (N, C) probabilities or (N,) labels, against (N,) true labels."""
    labels = told.argmax(1) if told.ndim == 2 else told
    right = labels == truth
    loss = None
    if told.ndim == 2:
        of_truth = told[np.arange(len(truth)), truth]
        loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    return Score(
        right=int(right.sum()),
        n=len(truth),
        balanced=float(np.mean([right[truth == label].mean() for label in np.unique(truth)])),
        loss=loss,
    )


def confusion_of(probabilities: Floats, truth: Integers, labels: Sequence[str]) -> Integers:
    """Count `(C, C)`: what was told, in columns, where the label of the row is true."""
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (truth, probabilities.argmax(1)), 1)
    return counts
