"""Filling gaps from past values only, reporting outliers, leaving out constant columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.data.findings import Finding
from gated.errors import DataError
from gated.tasks.forecast.calendar_features import repeats_the_time
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.targets import TARGET

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTLYING = 8.0
"""Robust standard deviations from the median beyond which a value is reported."""
MOST_CATEGORIES = 64
"""Different texts above which a column is a name or a remark, and no category."""
MASKED = 0.01
"""Share of missing values above which an input marks which values are observed."""


def last_observed(observed: Mask, starts: Integers) -> Integers:
    """Return for each row `(…, N)` the last row of its series, up to itself, that is observed.

    -1 before the first observation. All imputation uses this: it takes past values only.
    """
    rows = np.where(observed, np.arange(observed.shape[-1]), -1)
    first = np.repeat(starts[:-1], np.diff(starts))
    latest = np.maximum.accumulate(rows, axis=-1) if rows.size else rows
    return np.where(latest >= first, latest, -1)


def carry_forward(values: Floats, starts: Integers, before: Floats) -> Floats:
    """Fill missing `values` `(…, N)` with the last observed one of the series.

    Before the first observation of series `s` the value is `before[..., s]`.
    """
    observed = ~np.isnan(values)
    if observed.all():
        return values.copy()
    rows = last_observed(observed, starts)
    earlier = np.repeat(before, np.diff(starts), axis=-1)
    return np.where(rows >= 0, np.take_along_axis(values, rows, axis=-1), earlier)


@dataclass(frozen=True)
class Columns:
    """The covariates that are used, by kind and in order."""

    known_numbers: tuple[str, ...]
    past_numbers: tuple[str, ...]
    known_texts: tuple[str, ...]
    past_texts: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def choose_columns(panel: Panel, training: Mask, config: ForecastConfig) -> Columns:
    """Leave out the columns from which nothing can be learned in the rows `training` `(N,)`.

    Raises:
        DataError: a text column that was asked for has too many different texts.
    """
    findings: list[Finding] = []
    kept: list[str] = []
    named = {*config.known, *config.static, *(config.past or ()), *config.targets}
    reasons = {
        name: _useless_number(panel, name, training, name in named) for name in panel.numbers
    }
    reasons |= {name: _useless_text(panel, name, training, name in named) for name in panel.codes}
    for name, reason in reasons.items():
        if reason is None:
            kept.append(name)
        elif name != TARGET:
            kind, what = reason
            findings.append(Finding(kind=kind, column=name, count=1, what=what, action="left out"))
    ahead = (*config.known, *panel.static)
    order = [name for name in ahead if name in kept]
    order += [name for name in kept if name not in ahead]
    known = set(ahead)
    return Columns(
        tuple(name for name in order if name in panel.numbers and name in known),
        tuple(name for name in order if name in panel.numbers and name not in known),
        tuple(name for name in order if name in panel.codes and name in known),
        tuple(name for name in order if name in panel.codes and name not in known),
        tuple(findings),
    )


def _useless_number(panel: Panel, name: str, training: Mask, named: bool) -> tuple[str, str] | None:
    """Why a number column is left out, or None."""
    values = panel.numbers[name][training]
    observed = values[~np.isnan(values)]
    if not len(observed):
        return "all-missing", "no value in the training part"
    # A constant with holes is a flag: its being there is what it says.
    if np.ptp(observed) == 0 and len(observed) > (1 - MASKED) * len(values):
        return "constant", f"always {observed[0]:g} in the training part"
    if not named and repeats_the_time(panel.grid, panel.times[training], values):
        return "repeats-time", "repeats a part of the time"
    return None


def _useless_text(panel: Panel, name: str, training: Mask, named: bool) -> tuple[str, str] | None:
    """Why a text column is left out, or None."""
    codes = panel.codes[name]
    seen = np.unique(codes[training & (codes >= 0)])
    if not len(seen):
        return "all-missing", "no value in the training part"
    if len(seen) == 1 and np.mean(codes[training] < 0) < MASKED:
        value = panel.values[name][seen[0]]
        return "constant", f"always '{value}' in the training part"
    pairs = np.unique((panel.series_of * len(panel.values[name]) + codes)[training & (codes >= 0)])
    if len(panel.series) > 1 and len(pairs) == len(seen) == len(panel.series):
        return "redundant", "another name of the series"
    # What holds for a series is learned as the series are, of which there may be any number.
    if len(seen) > MOST_CATEGORIES and name not in panel.static:
        what = f"{len(seen):,} different texts, too many for categories"
        if named:
            raise DataError(
                f"column '{name}' has {len(seen):,} different texts; at most {MOST_CATEGORIES} "
                "make categories. Group them, or leave the column out."
            )
        return "too-many-texts", what
    return None


def outliers(panel: Panel, column: str, training: Mask) -> Finding | None:
    """Return a finding of the values far from those of the training part, each series by itself.

    Far is `OUTLYING` robust standard deviations: 1.4826 times the median distance from the median
    (Hampel 1974). Nothing is changed.
    """
    values = panel.numbers.get(column, panel.target)
    far = np.zeros(len(values), np.bool_)
    for begin, end in zip(panel.starts[:-1], panel.starts[1:], strict=True):
        own = values[begin:end]
        sample = own[training[begin:end] & ~np.isnan(own)]
        if len(sample):
            median = np.median(sample)
            deviation = 1.4826 * np.median(np.abs(sample - median))
            if deviation > 0:
                far[begin:end] = np.abs(own - median) > OUTLYING * deviation
    if not far.any():
        return None
    return panel.finding(
        "outlier",
        far,
        column=column,
        what=f"values more than {OUTLYING:g} robust deviations from the median of their series",
        action="left alone",
    )
