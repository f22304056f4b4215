"""Several targets: each target of every series is a series of the panel by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.panel import Panel

TARGET = "(target)"
"""The static column that says which target a series of the panel is of."""
BETWEEN = " · "
"""Stands between the names of series and target."""


def pair_name(series: str, target: str) -> str:
    """Return the name of one target of a series.

    >>> pair_name("shop 1", "sales"), pair_name("", "sales")
    ('shop 1 · sales', 'sales')
    """
    return f"{series}{BETWEEN}{target}" if series else target


def by_target(panel: Panel, config: ForecastConfig) -> Panel:
    """Return the panel with a series for each target of each series, if there are several targets.

    All targets are columns beside, so that the past of each can be read when one is forecast.
    """
    names, count = config.targets, len(config.targets)
    if count == 1:
        return panel
    lengths = np.repeat(np.diff(panel.starts), count)
    starts = np.append(0, np.cumsum(lengths))
    begins = np.repeat(panel.starts[:-1], count)
    rows = np.arange(starts[-1]) + np.repeat(begins - starts[:-1], lengths)
    which = np.repeat(np.tile(np.arange(count), len(panel.series)), lengths)
    numbers = {names[0]: panel.target, **panel.numbers}
    values = np.stack([numbers[name] for name in names])
    series = [pair_name(of, name) for of in panel.series for name in names]
    long = replace(panel, numbers=numbers).taken(rows, starts, series)
    return replace(
        long,
        target=values[which, rows],
        codes={**long.codes, TARGET: which},
        values={**long.values, TARGET: names},
        static=(*long.static, TARGET),
    )


def target_places(panel: Panel) -> Integers:
    """Return `(S,)` which of several targets each series of the panel is of, 0 of one alone."""
    if TARGET not in panel.codes:
        return np.zeros(len(panel.series), np.int64)
    return panel.codes[TARGET][panel.starts[:-1]]


def told_apart(panel: Panel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names `(S,)` of the series as the table has them, and of their targets.

    The latter are empty where there is one target.
    """
    if TARGET not in panel.codes:
        return panel.series, ()
    targets = tuple(panel.values[TARGET][place] for place in target_places(panel))
    pairs = zip(panel.series, targets, strict=True)
    return tuple(name[: -len(of)].removesuffix(BETWEEN) for name, of in pairs), targets
