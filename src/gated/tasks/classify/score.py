"""Errors of predicted numbers, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gated.scoring.judge import judge
from gated.scoring.verdict import Measure, Scope, Verdict, flattered
from gated.tasks.classify.sequences import Floats

MAE = Measure("MAE {}", relative=True)
SEQUENCES = Scope("sequences")


@dataclass(frozen=True)
class NumberScore:
    """Errors of the predictions of one method."""

    mae: float
    """Mean absolute error."""
    rmse: float
    """Root of the mean squared error."""
    r2: float
    """Share of the variance that is explained; NaN where all expected numbers are the same."""


@dataclass(frozen=True, kw_only=True)
class NumberEvaluation:
    """Predictions of the test part, and their scores."""

    scores: Mapping[str, NumberScore]
    """Scores by method, the network first."""
    truth: Floats
    """(N,), the expected numbers."""
    predicted: Floats
    """(N,), the network's predictions."""

    errors: Mapping[str, Floats]
    """(N,), absolute errors, by method."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Baselines that were not compared, and why."""
    known: int = 0
    """How many of the scored sequences were also trained on."""

    higher_is_better = frozenset({"R²"})

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method: the network first, and of each method the deciding score first."""
        return {
            name: {"MAE": of.mae, "RMSE": of.rmse, "R²": of.r2} for name, of in self.scores.items()
        }

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the network beats the best baseline."""
        found = judge(self.errors, MAE, SEQUENCES).without(self.left_out)
        return found.adding(flattered(self.known))

    @property
    def facts(self) -> dict[str, Any]:
        """All but the verdict, for JSON."""
        return {
            "n": len(self.truth),
            "scores": dict(self.scores),
        }


def number_score(predicted: Floats, truth: Floats) -> NumberScore:
    """Score `(N,)` predicted numbers against the expected ones.

    >>> number_score(np.array([1.0, 3.0]), np.array([1.0, 5.0]))
    NumberScore(mae=1.0, rmse=1.4142135623730951, r2=0.5)
    """
    errors, spread = predicted - truth, float(((truth - truth.mean()) ** 2).sum())
    squares = float((errors**2).sum())
    return NumberScore(
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt(squares / len(truth))),
        r2=1 - squares / spread if spread else float("nan"),
    )
