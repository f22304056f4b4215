"""The judge of all tasks: whether a network is better than the best baseline, beyond chance.

It compares values of the same examples, paired, for the network and each baseline. Examples that
are not independent form a cluster (windows that begin at the same time, segments of one clip);
clusters are independent of each other.

- The difference of the means has a t interval. Its standard error is the jackknife's, from the
  difference with each cluster left out in turn (for clusters, CV3 of MacKinnon, Nielsen and Webb
  2023). Its degrees of freedom are the effective number of clusters (`Compared.effective`) less 1.
- Differences are often skewed: many small and a few large. The interval is widened to that of Hall
  (1992), which corrects for the skewness; since a small sample underestimates the skewness, 1.5
  times the estimate is used.
- A difference counts only if Fisher's randomisation test, which draws the sign of each cluster's
  difference at random, finds one as large in at most 2.5 % of cases on its side. It is exact for
  distributions with heavy tails too; where examples are only right or wrong, it is McNemar's test.
- The best of several baselines was chosen on the same test data, so it looks better than it is.
  For the outcome `worse` the level is therefore divided by the number of baselines (Bonferroni).
- Below 10 clusters the outcome is `too few`.
- Where the difference is the same in every cluster, its standard error is 0 and says nothing.
  Values that have bounds, such as right and wrong, are then given the interval in which as many
  clusters as chance may have hidden differ as much as they can (the "rule of three"); others have
  no interval, and the randomisation test alone decides.

`benchmarks/judging.py` measures how often the judge is wrong.
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
"""Clusters that a verdict needs: the tails of fewer differences cannot be estimated."""
LEVEL = 0.95
"""Confidence level of the intervals."""
SKEWNESS_FACTOR = 1.5
"""The estimated skewness of the clusters is multiplied by this: small samples show too little."""
SIGNS = 9999
"""Random draws of signs in the randomisation test, where not all combinations can be tried."""
MOST_SIGNED = 500
"""The randomisation test is skipped with more differing clusters: the interval suffices then."""


@dataclass(frozen=True)
class Compared:
    """The difference of two methods, over G clusters."""

    difference: float
    """The first method's figure minus the second's."""
    without: Floats
    """(G,), the difference with each cluster left out."""
    signed: Floats
    """(G,), the contribution of each cluster to the difference."""
    shares: Floats
    """(G,), the share of the examples that are in each cluster."""

    @property
    def effective(self) -> float:
        """Effective number of clusters: G where all have the same size, else less."""
        return 1 / float((self.shares**2).sum())

    @property
    def parts(self) -> Floats:
        """(G,), by how much each cluster moves the difference, times G - 1."""
        return (len(self.without) - 1) * (self.difference - self.without)

    @property
    def error(self) -> float:
        """The jackknife's standard error of the difference; 0 where it is only rounding."""
        count = len(self.without)
        error = float(np.sqrt((self.parts**2).sum() / (count * (count - 1))))
        return 0.0 if error < 1e-12 * abs(self.difference) else error


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
        values: from method to (N,) values, the loss or other measure of each example; the network
            comes first. A method with a value that is not finite is not compared.
        measure: what the values are.
        scope: what the examples are.
        sizes: (N,), such as the words of each example; the figure of a method is the sum of its
            values divided by the sum of the sizes. 1 each by default.
        clusters: (N,), labels; examples with the same label are not independent. By default all
            examples are independent.
        networks: from how many networks this one was chosen by these values.

    Raises:
        ValueError: there is no example.
    """
    arrays = {name: np.asarray(of, np.float64) for name, of in values.items()}
    count = len(next(iter(arrays.values())))
    if not count:
        raise ValueError("There is no example to judge by; give at least one value of each method.")
    weights = np.ones(count) if sizes is None else np.asarray(sizes, np.float64)
    groups = grouped(count, clusters)
    sums = {name: np.bincount(groups, of).astype(np.float64) for name, of in arrays.items()}
    size = np.bincount(groups, weights).astype(np.float64)
    means = {name: float(of.sum() / weights.sum()) for name, of in arrays.items()}

    def compared(network: str, baseline: str) -> Compared:
        return compared_sums(sums[network] - sums[baseline], size)

    return decide(means, compared, measure, scope, examples=count, networks=networks)


def compared_sums(gaps: Floats, sizes: Floats) -> Compared:
    """Compare two means.

    Args:
        gaps: (G,), the sum of the differences of each cluster's examples.
        sizes: (G,), the size of each cluster.
    """
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
    """Judge by any figure, a mean or not, that can be computed with each cluster left out.

    Args:
        figures: from method to its figure over all examples, the network first.
        compared: function from the names of network and baseline to their `Compared`.
        measure: what the figures are.
        scope: what the examples are.
        examples: number of examples.
        networks: from how many networks this one was chosen by these figures.
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
    comparison = measure.against(ours, figures[best])
    over = scope.over(examples, clusters)
    loss = Compared(
        sign * found.difference, sign * found.without, sign * found.signed, found.shares
    )
    outcome, low, high = _outcome(loss, len(others), networks, measure.largest)
    if outcome == "too few":
        head = head_of(outcome, network, best, scope.independent)
        weighty = "" if clusters < FEWEST else " of equal weight"
        sentence = f"{head}: {comparison}, {over}; it takes {FEWEST}{weighty}."
    else:
        if sign < 0:
            low, high = -high, -low
        comparison = f"{comparison} ({measure.interval(low, high, LEVEL, clusters)})"
        sentence = f"{head_of(outcome, network, best, scope.unit)}: {comparison}, {over}."
    return replace(
        alone, outcome=outcome, baseline=best, figure=comparison, theirs=figures[best],
        difference=found.difference, low=low, high=high, clusters=clusters, sentence=sentence,
    )  # fmt: skip


def _outcome(
    loss: Compared, baselines: int, networks: int, largest: float
) -> tuple[Outcome, float, float]:
    """Return the outcome for a difference of losses, and its interval (low, high).

    The difference is below 0 where the network is better; that of one example is at most `largest`.
    """
    if loss.effective < FEWEST - 1e-9:
        return "too few", -np.inf, np.inf
    tail = (1 - LEVEL) / 2
    if loss.error == 0 and largest == np.inf:
        better = loss.difference < 0 and not _by_signs(loss.signed, tail / networks, "less")
        worse = loss.difference > 0 and not _by_signs(loss.signed, tail / baselines, "greater")
        return "better" if better else "worse" if worse else "undecided", -np.inf, np.inf
    low = _end(loss, tail / baselines, "low", largest)
    high = _end(loss, tail / networks, "high", largest)
    if high < 0:
        high = 0.0 if _by_signs(loss.signed, tail / networks, "less") else high
    if low > 0:
        low = 0.0 if _by_signs(loss.signed, tail / baselines, "greater") else low
    outcome: Outcome = "better" if high < 0 else "worse" if low > 0 else "undecided"
    # Values that differ by at most `largest` have means that do, too.
    return outcome, max(low, -largest), min(high, largest)


def _end(loss: Compared, tail: float, end: Literal["low", "high"], largest: float) -> float:
    """Return an end of the interval; the true difference is beyond it with probability `tail`."""
    stats = require("scipy.stats", extra="train")
    count, sign = len(loss.without), 1 if end == "low" else -1
    if loss.error == 0:
        missed = 1 - float(tail ** (1 / loss.effective))
        return (1 - missed) * loss.difference - sign * missed * largest
    parts = loss.parts
    usual = sign * float(stats.t.ppf(1 - tail, loss.effective - 1))
    slope = SKEWNESS_FACTOR * float(stats.skew(parts, bias=False)) / np.sqrt(count)
    corrected = usual
    if abs(slope) > 1e-9:
        corrected = 3 / slope * (np.cbrt(1 + slope * (usual - slope / 6)) - 1)
    furthest = max(usual, corrected) if sign > 0 else min(usual, corrected)
    return float(loss.difference - loss.error * furthest)


def _by_signs(signed: Floats, tail: float, side: Literal["less", "greater"]) -> bool:
    """Whether random signs give as large a sum in more than a share `tail` of the cases."""
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
