"""Forecasts as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from gated.data.predictions import prediction_table
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Grid, Integers
from gated.tasks.forecast.panel import Floats


def forecast_table(
    config: ForecastConfig,
    grid: Grid,
    series: Sequence[str],
    times: Integers,
    forecast: Floats,
    targets: Sequence[str] = (),
) -> pl.DataFrame:
    """Return a row for each series and step ahead.

    The columns are series (where there are several), `target` (where there are several: the name of
    one), time, and one for each quantile, named `q10`, `q50`, ….

    Args:
        config: names of the columns, and the quantiles.
        grid: the steps of the table.
        series: `(S,)` names.
        times: `(S, horizon)`, as the grid counts them.
        forecast: `(S, horizon, Q)`
        targets: `(S,)` what is forecast, where there are several targets.
    """
    given: dict[str, pl.Series] = {}
    if config.series is not None:
        names = np.repeat(np.array(series, str), times.shape[1])
        given[config.series] = pl.Series(names.tolist(), dtype=pl.String)
    if len(config.targets) > 1:
        of = np.repeat(np.array(targets, str), times.shape[1])
        given[target_column(config)] = pl.Series(of.tolist(), dtype=pl.String)
    if len(series):
        given[config.time] = grid.to_series(times.ravel(), config.time)
    else:  # the type of the column depends on the times: those of any step
        given[config.time] = grid.to_series(grid.following(0, 1), config.time)[:0]
    quantiles = {
        f"q{100 * quantile:g}": pl.Series(forecast[..., place].ravel(), dtype=pl.Float64)
        for place, quantile in enumerate(config.quantiles)
    }
    return prediction_table(given, quantiles)  # a row is of no row of the input


def target_column(config: ForecastConfig) -> str:
    """Return the name of the column that says which of several targets a row is of."""
    name = "target"
    while name in (config.series, config.time):
        name += "_"
    return name
