"""The one judge: whether a network is better than the best baseline, or chance could explain it.

What is judged are paired values of examples, the same for network and baselines, in clusters that
are independent of each other: windows that begin at the same time, segments of one clip.

- The difference of the means, and what it would be with each cluster left out (the jackknife; for
  clusters, CV3 of MacKinnon, Nielsen and Webb 2023), give a t interval, whose degrees of freedom
  count clusters by their share of the examples.
- Differences are often lopsided: many small ones and a few large. The interval is widened to that
  of Hall (1992), which corrects for the skewness; as few examples show less skewness than there is,
  half as much again is assumed.
- A difference is called only where chance, giving each cluster's difference its sign, would come to
  as large a one in 5 % of cases at most (Fisher's randomisation test). It is exact whatever the
  tails, and for right and wrong alone it is McNemar's.
- The best of several baselines looks better than it is, for it was chosen by this test. So a
  network is called worse with that much more care (Bonferroni).
- Below 10 clusters nothing is said.

`benchmarks/judging.py` measures how often it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import require
from gated.scoring.verdict import Measure, Outcome, Scope, Verdict, head_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FEWEST = 10
"""Independent clusters below which nothing is said: their tails are not known."""
LEVEL = 0.95
LOPSIDED = 1.5
"""By how much the skewness of the clusters may be larger than it looks."""
SIGNS = 9999
"""Draws of signs, where not all can be tried."""
MOST_SIGNED = 500
"""Clusters that differ up to which signs are drawn; with more, the interval says the same."""


@dataclass(frozen=True)
class Compared:
    """The difference of two methods, and what is known of it."""

    difference: float
    without: Floats
    """(G,), the difference with each cluster left out."""
    signed: Floats
    """(G,), each cluster's part in the difference."""
    shares: Floats
    """(G,), each cluster's share of the examples."""

    @property
    def effective(self) -> float:
        """How many clusters of equal size would say as much."""
        return 1 / float((self.shares**2).sum())


def judge(
    values: Mapping[str, ArrayLike],
    measure: Measure,
    scope: Scope,
    *,
    sizes: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    networks: int = 1,
) -> Verdict:
    """Compare a network with the best of its baselines.

    Args:
        values: (N,) by method, the network first: of each example its loss, or what is measured; a
            method with a value that is not finite is not compared.
        measure: what they are.
        scope: what the examples are.
        sizes: (N,), what the sum of the values is divided by; one each by default.
        clusters: (N,) labels: examples with the same are not independent. None are, by default.
        networks: how many the network was chosen from by these values.

    Raises:
        ValueError: there is no example.
    """
    arrays = {name: np.asarray(of, np.float64) for name, of in values.items()}
    count = len(next(iter(arrays.values())))
    if not count:
        raise ValueError("There is no example to judge by.")
    weights = np.ones(count) if sizes is None else np.asarray(sizes, np.float64)
    groups = grouped(count, clusters)
    sums = {name: np.bincount(groups, of).astype(np.float64) for name, of in arrays.items()}
    size = np.bincount(groups, weights).astype(np.float64)
    means = {name: float(of.sum() / weights.sum()) for name, of in arrays.items()}

    def compared(network: str, baseline: str) -> Compared:
        return compared_sums(sums[network] - sums[baseline], size)

    return decide(means, compared, measure, scope, examples=count, networks=networks)


def compared_sums(gaps: Floats, sizes: Floats) -> Compared:
    """Compare two means from (G,) sums of differences over clusters, and the clusters' sizes."""
    rest = sizes.sum() - sizes
    left = np.divide(gaps.sum() - gaps, rest, out=np.full(len(gaps), np.nan), where=rest > 0)
    return Compared(float(gaps.sum() / sizes.sum()), left, gaps, sizes / sizes.sum())


def grouped(count: int, clusters: ArrayLike | None) -> Integers:
    """Number the clusters of `count` examples from 0.

    >>> grouped(3, ["b", "a", "b"])
    array([1, 0, 1])
    """
    if clusters is None:
        return np.arange(count)
    return np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(-1).astype(np.int64)


def decide(
    figures: Mapping[str, float],
    compared: Callable[[str, str], Compared],
    measure: Measure,
    scope: Scope,
    *,
    examples: int,
    networks: int = 1,
) -> Verdict:
    """Judge any figure of the whole, a mean or not, that is known with each cluster left out.

    Args:
        figures: by method, the network first.
        compared: from the names of network and baseline, their `Compared`.
        measure: what the figures are.
        scope: what the examples are.
        examples: how many.
        networks: how many the network was chosen from by these figures.
    """
    network, *others = figures
    others = [name for name in others if np.isfinite(figures[name])]
    ours = figures[network]
    figure = measure.figure.format(measure.write(ours, 3))
    alone = Verdict(
        outcome="undecided", network=network, baseline="", figure=figure,
        ours=ours, theirs=np.nan, difference=np.nan, low=-np.inf, high=np.inf, level=LEVEL,
        examples=examples, clusters=examples, sentence="",
    )  # fmt: skip
    sign = -1.0 if measure.higher_is_better else 1.0
    if not others or not np.isfinite(ours):
        sentence = f"{network}: {figure} {scope.over(examples, examples)}, without a baseline."
        return replace(alone, sentence=sentence)
    best = min(others, key=lambda name: sign * figures[name])
    found = compared(network, best)
    clusters = len(found.signed)
    told = measure.against(ours, figures[best])
    over = scope.over(examples, clusters)
    loss = Compared(
        sign * found.difference, sign * found.without, sign * found.signed, found.shares
    )
    outcome, low, high = _outcome(loss, len(others), networks)
    if outcome == "too few":
        head = head_of(outcome, network, best, scope.independent)
        weighty = "" if clusters < FEWEST else " of equal weight"
        sentence = f"{head}: {told}, {over}; it takes {FEWEST}{weighty}."
    else:
        if sign < 0:
            low, high = -high, -low
        told = f"{told} ({measure.interval(low, high, LEVEL)})"
        sentence = f"{head_of(outcome, network, best, scope.unit)}: {told}, {over}."
    return replace(
        alone, outcome=outcome, baseline=best, figure=told, theirs=figures[best],
        difference=found.difference, low=low, high=high, clusters=clusters, sentence=sentence,
    )  # fmt: skip


def _outcome(loss: Compared, baselines: int, networks: int) -> tuple[Outcome, float, float]:
    """Decide on a difference of losses, below 0 where the network is better; and its interval."""
    if loss.effective < FEWEST - 1e-9:
        return "too few", -np.inf, np.inf
    tail = (1 - LEVEL) / 2
    low = _end(loss, tail / baselines, "low")
    high = _end(loss, tail / networks, "high")
    if high < 0:
        high = 0.0 if _by_signs(loss.signed, tail / networks, "less") else high
    if low > 0:
        low = 0.0 if _by_signs(loss.signed, tail / baselines, "greater") else low
    outcome: Outcome = "better" if high < 0 else "worse" if low > 0 else "undecided"
    return outcome, low, high


def _end(loss: Compared, tail: float, end: Literal["low", "high"]) -> float:
    """Return an end of the interval, beyond which the true difference lies with chance `tail`."""
    stats = require("scipy.stats", extra="train")
    count = len(loss.without)
    parts = (count - 1) * (loss.difference - loss.without)
    error = np.sqrt(float((parts**2).sum()) / (count * (count - 1)))
    if error == 0:
        return loss.difference
    sign = 1 if end == "low" else -1
    usual = sign * float(stats.t.ppf(1 - tail, loss.effective - 1))
    slope = LOPSIDED * float(stats.skew(parts, bias=False)) / np.sqrt(count)
    corrected = usual
    if abs(slope) > 1e-9:
        corrected = 3 / slope * (np.cbrt(1 + slope * (usual - slope / 6)) - 1)
    furthest = max(usual, corrected) if sign > 0 else min(usual, corrected)
    return float(loss.difference - error * furthest)


def _by_signs(signed: Floats, tail: float, side: Literal["less", "greater"]) -> bool:
    """Whether signs drawn by chance come to as large a sum in more than `tail` of the cases."""
    differing = signed[signed != 0]
    if len(differing) > MOST_SIGNED:
        return False
    stats = require("scipy.stats", extra="train")
    found = stats.permutation_test(
        (differing,),
        np.sum,
        permutation_type="samples",
        alternative=side,
        n_resamples=SIGNS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue) > tail
