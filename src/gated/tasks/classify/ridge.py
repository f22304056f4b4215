"""Ridge regression whose penalty is chosen by leaving examples out, in closed form.

Shapes: N examples, F features, O targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gated.scoring.judge import grouped
from gated.tasks.classify.sequences import Floats, Values

PENALTIES = tuple(float(of) for of in np.logspace(-6, 2, 17))
"""Candidates, as multiples of what an example's features are long on average, squared."""


@dataclass(frozen=True)
class Ridge:
    """A linear map, and what it predicts for examples that it was not fitted on."""

    weights: Floats
    """(F, O)."""
    offset: Floats
    """(O,)."""
    left_out: Floats
    """(N, O), the prediction for each example by the map that is fitted on all others, or on all of
    other clusters."""
    penalty: Floats
    """(O,), of each target."""
    error: float
    """Squared errors of `left_out`, the mean over the examples, summed over the targets."""

    def predicted(self, features: Floats) -> Floats:
        """Map features (N, F) to (N, O)."""
        numbers: Floats = features @ self.weights + self.offset
        return numbers


def ridge(
    features: Floats,
    targets: Floats,
    weights: Floats,
    penalties: Sequence[float] = PENALTIES,
    groups: Sequence[slice] = (slice(None),),
    clusters: Values | None = None,
) -> Ridge:
    """Fit a ridge regression with the penalty that predicts left-out examples best.

    Features are standardised; the offset is not penalised.

    Args:
        features: (N, F).
        targets: (N, O).
        weights: (N,), how much each example counts.
        penalties: candidates, see `PENALTIES`.
        groups: targets that have their penalty together; by default all.
        clusters: (N,), equal for examples that are left out together; by default, and where they
            are all of one cluster, so that nothing would be left, each alone.
    """
    weights = weights / weights.sum()
    mean, centre = weights @ features, weights @ targets
    scale = np.sqrt(weights @ (features - mean) ** 2)
    scale = np.where(scale > 1e-9, scale, np.inf) * np.sqrt(features.shape[1])
    root = np.sqrt(weights)[:, None]
    x, y = root * (features - mean) / scale, root * (targets - centre)
    left, values, right = _decomposed(x)
    found = left.T @ y
    numbers = grouped(len(x), clusters)
    together = [np.flatnonzero(numbers == of) for of in range(numbers.max() + 1)]
    alone = len(together) in (1, len(x))

    def fitted(penalty: float, group: slice) -> Ridge:
        shrunk = values / (values**2 + penalty / len(x))
        apart = y[:, group] - left @ ((shrunk * values)[:, None] * found[:, group])
        if alone:
            share = (left**2) @ (shrunk * values) + weights
            apart = apart / np.maximum(1 - share, 1e-9)[:, None]
        for rows in () if alone else together:
            share = (left[rows] * (shrunk * values)) @ left[rows].T + root[rows] * root[rows].T
            apart[rows] = np.linalg.solve((1 + 1e-9) * np.eye(len(rows)) - share, apart[rows])
        slopes = right @ (shrunk[:, None] * found[:, group]) / scale[:, None]
        left_out = targets[:, group] - apart / np.maximum(root, 1e-12)
        offset, each = centre[group] - mean @ slopes, np.full(apart.shape[1], penalty)
        return Ridge(slopes, offset, left_out, each, float((apart**2).sum()))

    best = [
        min((fitted(penalty, group) for penalty in penalties), key=lambda of: of.error)
        for group in groups
    ]

    def joined(name: str) -> Floats:
        return np.concatenate([getattr(of, name) for of in best], axis=-1)

    error = sum(of.error for of in best)
    return Ridge(joined("weights"), joined("offset"), joined("left_out"), joined("penalty"), error)


def expected_outputs(targets: Values, outputs: int) -> Floats:
    """(N, O): 1 for the class of an example, (N,), and -1 for others; or its numbers, (N, O)."""
    if targets.dtype.kind == "f":
        return targets.astype(np.float64)
    return np.where(targets[:, None] == np.arange(outputs), 1.0, -1.0)


def _decomposed(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the singular value decomposition (N, R), (R,), (F, R), by the smaller Gram matrix."""
    wide = x.shape[1] > x.shape[0]
    squares, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = squares > 1e-12 * max(float(squares[-1]), 1e-300)
    values, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    other = (x.T if wide else x) @ vectors / values
    return (vectors, values, other) if wide else (other, values, vectors)
