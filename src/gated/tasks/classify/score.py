"""How far a told number is from the true one, beside other methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gated.tasks.classify.sequences import Floats


@dataclass(frozen=True)
class NumberScore:
    """Of one method."""

    mae: float
    """Mean absolute error."""
    rmse: float
    """Root of the mean squared error."""
    r2: float
    """Share of the variance that is told; NaN where all true numbers are the same."""

    def to_dict(self) -> dict[str, float]:
        """All figures, for JSON."""
        return {"mae": self.mae, "rmse": self.rmse, "r2": self.r2}


@dataclass(frozen=True, kw_only=True)
class NumberEvaluation:
    """What was told of the test part."""

    scores: Mapping[str, NumberScore]
    """By method, the network first."""
    truth: Floats
    """(N,)"""
    told: Floats
    """(N,), by the network."""

    higher_is_better = frozenset({"R²"})

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method, the network and what decides first."""
        return {
            name: {"MAE": of.mae, "RMSE": of.rmse, "R²": of.r2} for name, of in self.scores.items()
        }

    @property
    def verdict(self) -> str:
        """Whether the network beats the best of the others."""
        (name, ours), *others = self.scores.items()
        best, theirs = min(others, key=lambda item: item[1].mae)
        won = "beats" if ours.mae < theirs.mae else "does NOT beat"
        return (
            f"{name} {won} {best}: MAE {ours.mae:.4g} against {theirs.mae:.4g}, over "
            f"{len(self.truth)} sequences."
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "verdict": self.verdict,
            "n": len(self.truth),
            "scores": {name: score.to_dict() for name, score in self.scores.items()},
        }


def number_score(told: Floats, truth: Floats) -> NumberScore:
    """Score `(N,)` numbers against the true ones.

    >>> number_score(np.array([1.0, 3.0]), np.array([1.0, 5.0]))
    NumberScore(mae=1.0, rmse=1.4142135623730951, r2=0.5)
    """
    errors, spread = told - truth, float(((truth - truth.mean()) ** 2).sum())
    squares = float((errors**2).sum())
    return NumberScore(
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt(squares / len(truth))),
        r2=1 - squares / spread if spread else float("nan"),
    )
