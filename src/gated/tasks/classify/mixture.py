"""How the parts of an answer are weighed, by sequences that they were not fitted on.

Shapes: N sequences, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gated.scoring.judge import grouped
from gated.tasks.classify.network import losses
from gated.tasks.classify.sequences import Floats, Values
from gated.tasks.classify.split import in_turn

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Candidates of the second part's share."""
FACTORS = tuple(float(of) for of in np.geomspace(0.1, 30, 26))
"""Candidates of what the outputs of a part are multiplied by, to be logits."""
DOUBT = 0.5
"""By how many sequences' whole error, 1, a part has to be better than another to be preferred."""


@dataclass(frozen=True)
class Weighing:
    """The targets of N sequences, and how much each counts."""

    targets: Values
    """(N,), indices of classes, or (N, O), standardised numbers."""
    weights: Floats
    """(N,)."""
    clusters: Values | None = None
    """(N,), equal for sequences that belong together; by default each stands alone."""

    def factor(self, answers: Floats) -> float:
        """Return what outputs (N, O) are to be multiplied by to be logits; 1 for numbers.

        A class counts as slightly uncertain (Platt 1999), so that no output is to be infinite.
        """
        if self.targets.dtype.kind == "f":
            return 1.0
        expected = torch.from_numpy(self.targets)
        doubt = 1 / (len(expected) + 2)

        def error(factor: float) -> float:
            given = torch.from_numpy(factor * answers)
            others = -torch.log_softmax(given, -1).mean(-1)
            return self._mean(((1 - doubt) * losses(given, expected) + doubt * others).numpy())

        return min(FACTORS, key=error)

    def share(self, first: Floats, second: Floats, shares: Sequence[float] = SHARES) -> float:
        """Return how much the second of two parts (N, O) counts.

        The least that is not clearly worse than the best: by no more than the standard error of
        the difference (Breiman et al. 1984) and what `DOUBT` of a sequence makes.
        """
        errors = {of: self._errors((1 - of) * first + of * second) for of in sorted(shares)}
        best = errors[min(errors, key=lambda of: self._mean(errors[of]))]
        weights = self.weights / self.weights.sum()
        together = grouped(len(best), self.clusters)

        def is_clearly_worse(each: Floats) -> bool:
            worse = self._mean(each - best)
            parts = np.bincount(together, weights * (each - best - worse))
            return worse > float(np.sqrt((parts**2).sum())) + DOUBT / len(parts)

        return next(of for of, each in errors.items() if not is_clearly_worse(each))

    def _errors(self, answers: Floats) -> Floats:
        """Squared errors of (N, O) outputs, of the probabilities where they are logits (Brier)."""
        if self.targets.dtype.kind == "f":
            numbers: Floats = ((answers - self.targets) ** 2).mean(-1)
            return numbers
        apart = torch.softmax(torch.from_numpy(answers), -1).numpy()
        apart[np.arange(len(apart)), self.targets] -= 1
        squares: Floats = (apart**2).sum(-1)
        return squares

    def _mean(self, errors: Floats) -> float:
        return float(self.weights @ errors / self.weights.sum())

    def take(self, rows: Values) -> Weighing:
        """Return those of some of the sequences."""
        clusters = None if self.clusters is None else self.clusters[rows]
        return Weighing(self.targets[rows], self.weights[rows], clusters)

    def of(self, group: slice) -> Weighing:
        """Return those of some of the targets; all are classes', or each has its numbers."""
        return Weighing(self.targets[..., group], self.weights, self.clusters)


def folds_of(targets: Values, count: int, seed: int, clusters: Values | None = None) -> Values:
    """Return (N,): the network that does not learn from a sequence, 0 to `count` - 1, or -1.

    Every class is spread over all, in whole clusters, (N,), where these are given; all learn from
    classes of fewer than `count` sequences or clusters, and from all where there are few.

    >>> np.unique(folds_of(np.array([0] * 8 + [1] * 9 + [2]), 4, seed=0), return_counts=True)[1]
    array([1, 5, 4, 4, 4])
    """
    random = np.random.default_rng((seed, 3))
    folds = np.full(len(targets), -1)
    classes = np.unique(targets) if targets.dtype.kind != "f" else [None]
    place = 0
    for of in classes:
        rows = random.permutation(np.flatnonzero(targets == of) if of is not None else len(targets))
        together = list(in_turn(rows, clusters))
        if len(together) < count:
            continue
        for some in together:
            if (folds[some] < 0).all():  # else it came with another class
                folds[some] = place % count
                place += 1
    return folds
