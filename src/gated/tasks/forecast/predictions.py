"""Forecasts, and paths drawn from them, as tables."""

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
        given[config.target_column] = pl.Series(of.tolist(), dtype=pl.String)
    if len(series):
        given[config.time] = time_column(grid, times.ravel(), config.time)
    else:  # the type of the column depends on the times: those of any step
        given[config.time] = time_column(grid, grid.following(0, 1), config.time)[:0]
    quantiles = {
        f"q{100 * quantile:g}": pl.Series(forecast[..., place].ravel(), dtype=pl.Float64)
        for place, quantile in enumerate(config.quantiles)
    }
    return prediction_table(given, quantiles)  # a row is of no row of the input


def time_column(grid: Grid, times: Integers, name: str) -> pl.Series:
    """Return `times` of a grid as a column: counts, dates, or times in the table's zone."""
    if grid.clock.unit == "count":
        return pl.Series(name, times)
    if grid.local:
        stamps = pl.Series(name, times).cast(pl.Datetime("us"))
        return stamps.cast(pl.Date) if grid.dates(times) else stamps
    return pl.Series(name, times).cast(pl.Datetime("us", grid.clock.zone))


def paths_table(
    config: ForecastConfig,
    grid: Grid,
    series: Sequence[str],
    times: Integers,
    paths: Floats,
    targets: Sequence[str] = (),
) -> pl.DataFrame:
    """Return a row for each series, path and step ahead.

    The columns are series (where there are several), `target` (where there are several), time,
    `path`, counted from 0, and `value`.

    Args:
        config: names of the columns.
        grid: the steps of the table.
        series: `(S,)` names.
        times: `(S, horizon)`, as the grid counts them.
        paths: `(S, count, horizon)`.
        targets: `(S,)` what is forecast, where there are several targets.
    """
    _, count, horizon = paths.shape
    given: dict[str, pl.Series] = {}
    rows = np.repeat(np.arange(len(series)), count * horizon)
    if config.series is not None:
        given[config.series] = pl.Series(list(series), dtype=pl.String).gather(rows)
    if len(config.targets) > 1:
        given[config.target_column] = pl.Series(list(targets), dtype=pl.String).gather(rows)
    every = np.repeat(times[:, None], count, axis=1)
    given[config.time] = time_column(grid, every.ravel(), config.time)
    number = np.broadcast_to(np.arange(count)[:, None], paths.shape)
    predicted = {
        "path": pl.Series(number.ravel(), dtype=pl.Int64),
        "value": pl.Series(paths.ravel(), dtype=pl.Float64),
    }
    return prediction_table(given, predicted)
