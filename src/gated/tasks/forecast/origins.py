"""Which rows of a panel can be the last known step of a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.split import Split

Mask = NDArray[np.bool_]


def short_series(panel: Panel, config: ForecastConfig, split: Split | None) -> Mask:
    """Return `(S,)` which series have no whole window, before the test part if there is one.

    Their windows are padded: what a history lacks is masked.
    """
    steps = np.diff(panel.starts)
    if split is not None:
        steps = np.add.reduceat(panel.ticks < split.test, panel.starts[:-1], dtype=np.int64)
    return steps < (config.history or 1) + config.horizon


def has_history(panel: Panel, config: ForecastConfig, split: Split | None) -> Mask:
    """Return `(N,)` whether a whole history ends at each row, or, of short series, any."""
    series_of = panel.series_of
    behind = np.arange(panel.starts[-1]) - panel.starts[series_of]
    total = np.append(0, np.cumsum(~np.isnan(panel.target)))
    some = total[1:] > total[panel.starts[series_of]]
    short = short_series(panel, config, split)[series_of]
    return (behind >= (config.history or 1) - 1) | (short & some)


def has_horizon(panel: Panel, config: ForecastConfig, end: int) -> Mask:
    """Return `(N,)` whether the horizon after each row lies in its series and before tick `end`."""
    left = np.repeat(panel.starts[1:], np.diff(panel.starts)) - 1 - np.arange(panel.starts[-1])
    return (left >= config.horizon) & (panel.ticks + config.horizon < end)


def has_truth(panel: Panel, config: ForecastConfig) -> Mask:
    """Return `(N,)` whether the target is observed somewhere in the horizon after each row."""
    count = len(panel.target)
    total = np.append(0, np.cumsum(~np.isnan(panel.target)))
    after = np.arange(1, count + 1)
    seen: Mask = total[np.minimum(after + config.horizon, count)] > total[after]
    return seen


def training_rows(
    panel: Panel, config: ForecastConfig, split: Split, member: int | None = None
) -> Integers:
    """Return every row whose whole horizon lies before the test part and outside validation.

    Rows without an observed target in the horizon are left out. With several networks, validation
    is for each of them something else: of `member` its own part is left out, by default none is.
    """
    fits = has_history(panel, config, split) & has_horizon(panel, config, split.test)
    members = config.members or 1
    if member is None:
        left_out = split.validation if members == 1 else ()
    else:
        left_out = split.validation[member::members]
    for begin, end in left_out:
        fits &= (panel.ticks + config.horizon < begin) | (panel.ticks + 1 >= end)
    return np.flatnonzero(fits & has_truth(panel, config))
