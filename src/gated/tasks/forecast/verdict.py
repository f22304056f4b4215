"""Whether the network beats the best baseline, in words, and whether chance could explain it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def judge(losses: dict[str, Floats], observed: Mask, starts: NDArray[Any], overlap: int = 0) -> str:
    """Compare the mean absolute error of the first method with the best of the others.

    The difference is clear where it is more than two of its standard errors, see `paired`.

    Args:
        losses: `(N, horizon)` absolute errors by method.
        observed: `(N, horizon)`, what counts.
        starts: `(N,)` time of the first step of each window.
        overlap: windows that overlap what the first method was trained on.
    """
    network, *baselines = losses
    windows = int(observed.any(axis=1).sum())
    if windows == 0:
        return "Nothing was observed in the windows forecast, so there is no score."
    over = f"over {windows:,} window{'' if windows == 1 else 's'}"
    mae = {method: float(loss[observed].mean()) for method, loss in losses.items()}
    if not baselines:
        return f"{network}: MAE {significant(mae[network])} {over}, without a baseline."
    best = min(baselines, key=lambda method: mae[method])
    difference, error = paired(losses[network] - losses[best], observed, starts)
    against = f"the best baseline ({best}): {_against(mae[network], mae[best])}, {over}"
    if difference < -2 * error:
        verdict = f"{network} beats {against}."
    elif difference > 2 * error:
        advice = "Use the baseline, or give the network more informative columns."
        verdict = f"{network} does NOT beat {against}. {advice}"
    else:
        chance = f"the difference is within chance, ±{significant(2 * error)} (two standard errors)"
        doubt = chance if windows > 1 else "one window cannot tell"
        verdict = f"{network} does NOT clearly beat {against}; {doubt}."
    if overlap:
        verdict += f" {overlap:,} of them overlap what {network} was trained on, which flatters it."
    return verdict


def paired(differences: Floats, observed: Mask, starts: NDArray[Any]) -> tuple[float, float]:
    """Return the mean of paired differences, and its standard error.

    Steps of a window err together, and so do series at the same time. The error is therefore
    clustered, once by window and once by `starts`, and the larger is returned: with clusters
    `c = 1 … C`, sums `D_c` of `n_c` differences, and their mean `d = Σ D_c / Σ n_c`, it is
    `sqrt(C / (C - 1) Σ (D_c - d n_c)²) / Σ n_c` (a ratio estimate, Cochran 1977, chapter 6;
    clusters, Liang and Zeger 1986). Infinite for a single window.

    Args:
        differences: `(N, horizon)` losses of one method minus those of another.
        observed: `(N, horizon)`, what counts.
        starts: `(N,)` time of the first step of each window.
    """
    mean = float(differences[observed].mean())
    rows = observed.any(axis=1)
    residuals = np.sum(differences - mean, axis=1, where=observed)[rows]
    clusters = (np.arange(len(residuals)), starts[rows])
    return mean, max(_clustered(residuals, labels) for labels in clusters) / observed.sum()


def _clustered(residuals: Floats, labels: NDArray[Any]) -> float:
    """Standard error of the sum of `residuals`, whose own sum is 0."""
    _, cluster = np.unique(labels, return_inverse=True)
    sums = np.bincount(cluster, residuals)
    if len(residuals) < 2:
        return math.inf
    if len(sums) < 2:
        return 0.0
    return math.sqrt(len(sums) / (len(sums) - 1) * float((sums**2).sum()))


def significant(value: float, digits: int = 3) -> str:
    """Write `value` with at least `digits` digits that say something, without an exponent.

    >>> significant(4.4149), significant(0.0012345), significant(12345.6), significant(0.0)
    ('4.41', '0.00123', '12,346', '0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}"


def _against(mae: float, baseline: float) -> str:
    """`MAE 4.41 against 6.75, 35 % less`, with digits enough to tell the two apart."""
    written = next(
        (significant(mae, digits), significant(baseline, digits))
        for digits in range(3, 9)
        if significant(mae, digits) != significant(baseline, digits) or digits == 8
    )
    text = f"MAE {written[0]} against {written[1]}"
    if baseline == 0 or mae == baseline:
        return text
    more = "less" if mae < baseline else "more"
    return f"{text}, {significant(100 * abs(mae / baseline - 1), 2)} % {more}"
