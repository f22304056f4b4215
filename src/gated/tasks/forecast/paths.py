"""Sample paths: what may come, step by step, so that sums over the horizon can be asked about.

A step's values have the distribution of its forecast. That a value that came out high is followed
by high ones is a matter of the forecast's errors, and is learned from those of the validation part
(as in the Schaake shuffle: Clark, Gangopadhyay, Hay, Rajagopalan and Wilby 2004). Of few windows no
correlation of each step with each other one can be learned. It is drawn towards that of the errors
of exponential smoothing, which three numbers describe: of the error of one step a share `gain`
stays, and fades by `fade` a step (Hyndman, Koehler, Ord and Snyder 2008, chapter 6); a share
`common` of the variance is the same error in all steps, as of a level that was not well known. With
a gain of 0 the rest is independent, with 1 and no fading it is a random walk.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gated.configuration import demand_numbers
from gated.errors import DataError, require
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared

Floats = NDArray[np.float64]

GAINS = (-0.4, -0.2, 0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
FADES = (0.0, 0.4, 0.6, 0.75, 0.85, 0.92, 0.97, 1.0)
COMMON = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85)
"""Candidates."""
HALFWAY = 20
"""Independent windows with which half of a correlation is the one observed."""
PRIOR = 5
"""Windows that the mean spread of all steps counts for, beside those of a step."""
FARTHEST = 3.0
"""Errors count as no larger, in normal deviations."""
MOST_STEPS = 64
"""Steps of the horizon, evenly chosen, by which gain, fade and share are chosen."""
ALONE = 0.01
"""Share of each step's error that is its own, so that no correlation is singular."""
LOWEST = 1e-9
"""Level below which nothing is drawn."""
DIGITS = 4
"""Of a correlation."""


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """How the errors of a forecast's steps go together."""

    correlation: Floats
    """`(horizon, horizon)` of the errors' normal scores."""
    whole: bool
    """Whether the target has only whole numbers, so that paths have them too."""

    @classmethod
    def of(
        cls, scores: Floats, windows: float, *, whole: bool, series: Integers | None = None
    ) -> Self:
        """Learn it from errors.

        Args:
            scores: `(N, horizon)` in normal deviations, NaN where nothing was observed.
            windows: how many of the `N` windows are independent.
            whole: see the class.
            series: `(N,)`, which series a window is of: each counts alike, however wide its
                intervals are for its errors. By default all are of one.
        """
        scores = np.clip(scores, -FARTHEST, FARTHEST)
        seen = np.where(np.isnan(scores), 0.0, scores)
        if series is not None and len(series):
            power = np.bincount(series, (seen**2).mean(axis=1)) / np.maximum(np.bincount(series), 1)
            seen /= np.sqrt(np.where(power > 0, power, 1))[series, None]
        pairs = (~np.isnan(scores)).astype(np.float64)
        moments = seen.T @ seen / np.maximum(pairs.T @ pairs, 1)
        spread = np.diag(moments)
        if not spread.any():
            return cls(correlation=np.eye(len(spread)), whole=whole)
        observed = _scaled(moments, spread)
        np.fill_diagonal(observed, 1.0)
        usual = _scaled(moments, (windows * spread + PRIOR * spread.mean()) / (windows + PRIOR))
        share = windows / (windows + HALFWAY)
        mixed = share * np.clip(observed, -1, 1) + (1 - share) * _likeliest(usual, windows)
        correlation = np.round((1 - ALONE) * mixed, DIGITS)
        np.fill_diagonal(correlation, 1.0)
        return cls(correlation=_positive(correlation), whole=whole)

    def check(self, horizon: int) -> None:
        """Refuse numbers that do not fit, as after damage; raises `DataError`."""
        demand_numbers("A correlation of errors", self.correlation.ravel(), count=horizon**2)
        try:
            if self.correlation.shape != (horizon, horizon):
                raise np.linalg.LinAlgError
            self._factor()
        except np.linalg.LinAlgError:
            raise DataError(
                f"The correlations of errors are none of {horizon} steps with each other."
            ) from None

    def uniforms(self, count: int, generator: np.random.Generator) -> Floats:
        """Draw `(count, horizon)` levels: each step evenly from 0 to 1, dependent as the errors.

        Of each step every `count`-th part of the levels has one (Stein 1987), so that few paths
        have the spread that many have.
        """
        special = require("scipy.special", extra="train")
        normal = generator.standard_normal((count, len(self.correlation)))
        levels: Floats = special.ndtr(normal @ self._factor().T)
        ranks = levels.argsort(axis=0).argsort(axis=0)
        even = np.clip((ranks + count * levels % 1) / count, LOWEST, 1 - LOWEST)
        return np.asarray(even, np.float64)

    def _factor(self) -> Floats:
        return np.asarray(np.linalg.cholesky(self.correlation), np.float64)


def generators(seed: int, names: Sequence[str], begins: Sequence[int]) -> list[np.random.Generator]:
    """Return random numbers for windows, by series and time: not by which others there are."""
    return [
        np.random.default_rng([seed, zlib.crc32(name.encode()), begin % 2**32])
        for name, begin in zip(names, begins, strict=True)
    ]


def normal_scores(error: Floats, distances: Floats, levels: Sequence[float]) -> Floats:
    """Return errors `(…)` in normal deviations, by the outermost distances of `(…, Q)`.

    >>> distances = np.array([[2.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    >>> normal_scores(np.array([-2.0, 2.0]), distances, (0.1, 0.5, 0.9)).round(2)
    array([-1.28,  2.56])
    """
    special = require("scipy.special", extra="train")
    sides = [(0, levels[0]), (-1, levels[-1])]
    units = [
        distances[..., place] / np.abs(special.ndtri(level)) for place, level in sides
        if level != 0.5
    ]  # fmt: skip
    unit = np.where(error < 0, units[0], units[-1]) if units else np.ones_like(error)
    with np.errstate(over="ignore"):
        scores: Floats = error / np.maximum(unit, np.finfo(np.float64).tiny)
    return scores


def smoothing_scores(prepared: Prepared, origins: Integers) -> Floats:
    """Return errors of smoothing `(N, horizon)` after rows `origins` `(N,)`, in typical ones."""
    error = prepared.scaled(prepared.truth(origins).T, origins) - prepared.smoothly(origins)
    scores: Floats = (error / prepared.remainder(origins)).T
    return scores


def error_correlation(gain: float, fade: float, steps: Integers, common: float = 0) -> Floats:
    """Return `(H, H)`, how the errors of smoothing some `steps` `(H,)` ahead go together.

    >>> error_correlation(1.0, 1.0, np.array([1, 4])).round(2)  # of a random walk
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    last = int(steps.max())
    weights = np.concatenate([[1.0], gain * fade ** np.arange(last - 1)])
    # The error h steps ahead is the sum of weights[h - j] times what is new at step j.
    back = steps[:, None] - np.arange(1, last + 1)
    parts = np.where(back >= 0, weights[np.maximum(back, 0)], 0.0)
    moments = parts @ parts.T
    return common + (1 - common) * _scaled(moments, np.diag(moments))


def _likeliest(moments: Floats, windows: float) -> Floats:
    """The correlation `(H, H)` of the three numbers that `moments` `(H, H)` are likeliest by.

    Each of these has to be worth it, as in the criterion of Schwarz (1978).
    """
    horizon = len(moments)
    some = np.unique(np.linspace(0, horizon - 1, min(horizon, MOST_STEPS)).astype(np.int64))
    part = moments[np.ix_(some, some)]

    windows = max(windows, 1.0)

    def surprise(of: tuple[float, float, float]) -> float:
        gain, fade, common = of
        used = (gain != 0) + (gain != 0 and 0 < fade < 1) + (common != 0)
        # The likelihood of a normal distribution whose scale is the best for it.
        correlation = (1 - ALONE) * error_correlation(gain, fade, some + 1, common)
        np.fill_diagonal(correlation, 1.0)
        _, determinant = np.linalg.slogdet(correlation)
        ratio = float(np.trace(np.linalg.solve(correlation, part)))
        fit = float(determinant) + len(some) * math.log(max(ratio, 1e-12))
        return windows * fit + used * math.log(windows * len(some))

    gain, fade, common = min(product(GAINS, FADES, COMMON), key=surprise)
    return error_correlation(gain, fade, np.arange(1, horizon + 1), common)


def _scaled(moments: Floats, variances: Floats) -> Floats:
    """`moments` `(H, H)` divided by the deviations; 0 where nothing varies."""
    deviations = np.sqrt(np.where(variances > 0, variances, np.inf))
    scaled: Floats = moments / np.outer(deviations, deviations)
    return scaled


def _positive(correlation: Floats) -> Floats:
    """Draw a matrix, of pairs that were not observed together, towards independence if need be."""
    lowest = np.linalg.eigvalsh(correlation)[0]
    if lowest >= ALONE / 2:
        return correlation
    share = (ALONE - lowest) / (1 - lowest)
    drawn: Floats = np.round((1 - share) * correlation, DIGITS)
    np.fill_diagonal(drawn, 1.0)
    return drawn
