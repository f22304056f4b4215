"""Errors of predicted numbers, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gated.scoring.judge import judge
from gated.scoring.verdict import Measure, Scope, Verdict, flattered
from gated.tasks.classify.sequences import Floats, Values
from gated.tasks.classify.targets import are_constant

SEQUENCES = Scope("sequences", "in {} groups")


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
    """Predictions of the test part, and their scores.

    Scores over several targets are means of each target's score, with errors in standard deviations
    of the training part. An example is a sequence with all its targets: their errors are alike.
    """

    targets: tuple[str, ...] = ()
    """(O,), names of the targets; none where there is a single one."""
    scales: Floats
    """(O,), the unit of each target's errors in the scores over all."""
    truth: Floats
    """(N, O), the expected numbers."""
    predicted: Mapping[str, Floats]
    """(N, O), the predictions by method, the network first."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Baselines that were not compared, and why."""
    clusters: Values | None = None
    """(N,), equal for sequences that belong together; by default each stands alone."""
    known: int = 0
    """How many of the scored sequences were also trained on."""

    higher_is_better = frozenset({"R²"})

    @cached_property
    def by_target(self) -> dict[str, dict[str, NumberScore]]:
        """Scores in the unit of each target, `[target][method]`; one without a name is `""`."""
        return {
            target: {
                method: number_score(of[:, place], self.truth[:, place])
                for method, of in self.predicted.items()
            }
            for place, target in enumerate(self.targets or ("",))
        }

    @cached_property
    def scores(self) -> dict[str, NumberScore]:
        """Scores by method over all targets, the network first."""
        return {
            method: NumberScore(
                mae=float(np.mean([of.mae for of in each] / self.scales)),
                rmse=float(np.mean([of.rmse for of in each] / self.scales)),
                r2=_mean_of_known([of.r2 for of in each]),
            )
            for method in self.predicted
            for each in [[of[method] for of in self.by_target.values()]]
        }

    @property
    def error(self) -> str:
        """What the deciding score is called: errors of several targets are in deviations."""
        return "scaled MAE" if len(self.scales) > 1 else "MAE"

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method: the network first, and of each method the deciding score first."""
        return {
            method: {self.error: of.mae, self.error.replace("MAE", "RMSE"): of.rmse, "R²": of.r2}
            | {f"MAE, {target}": self.by_target[target][method].mae for target in self.targets}
            for method, of in self.scores.items()
        }

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the network beats the best baseline."""
        found = self._judged(slice(None), self.scales, self.error).without(self.left_out)
        return found.adding(flattered(self.known))

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Whether it does by each of several targets, so that all of these hold at once."""
        return {
            target: self._judged([place], np.ones(1), "MAE", networks=len(self.targets))
            for place, target in enumerate(self.targets)
        }

    def _judged(
        self, some: slice | list[int], scales: Floats, error: str, networks: int = 1
    ) -> Verdict:
        errors = {
            method: (np.abs(of[:, some] - self.truth[:, some]) / scales).mean(-1)
            for method, of in self.predicted.items()
        }
        measure = Measure(f"{error} {{}}", relative=True)
        return judge(errors, measure, SEQUENCES, clusters=self.clusters, networks=networks)

    @property
    def facts(self) -> dict[str, Any]:
        """All but the verdict, for JSON."""
        facts = {"n": len(self.truth), "scores": self.scores}
        if not self.targets:
            return facts
        return facts | {"by_target": self.by_target, "judged_by_target": self.verdicts}


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def number_score(predicted: Floats, truth: Floats) -> NumberScore:
    """Score `(N,)` predicted numbers against the expected ones.

    >>> number_score(np.array([1.0, 3.0]), np.array([1.0, 5.0]))
    NumberScore(mae=1.0, rmse=1.4142135623730951, r2=0.5)
    """
    errors, spread = predicted - truth, float(((truth - truth.mean()) ** 2).sum())
    squares, constant = float((errors**2).sum()), are_constant(truth[:, None])[0]
    return NumberScore(
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt(squares / len(truth))),
        r2=float("nan") if constant else 1 - squares / spread,
    )
