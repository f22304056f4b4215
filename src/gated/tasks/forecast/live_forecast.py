"""What a live forecaster forecasts: arrays, rows of Python's types, or a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError, require
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Grid, Integers
from gated.tasks.forecast.panel import Floats

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class LiveForecast:
    """Forecasts of `S` series, `horizon` steps ahead, by `Q` quantiles."""

    config: ForecastConfig
    grid: Grid
    series: tuple[str, ...]
    """`(S,)` names."""
    targets: tuple[str, ...]
    """`(S,)` what is forecast, where there are several targets; else empty."""
    times_on_grid: Integers
    """`(S, horizon)`, as `grid` counts them."""
    values: Floats
    """`(S, horizon, Q)`, in the unit of the target."""

    @property
    def quantiles(self) -> tuple[float, ...]:
        """`(Q,)`, ascending."""
        return self.config.quantiles

    @property
    def median(self) -> Floats:
        """`(S, horizon)`."""
        middle: Floats = self.values[..., self.quantiles.index(0.5)]
        return middle

    @property
    def times(self) -> NDArray[np.int64] | NDArray[np.datetime64]:
        """`(S, horizon)` counts or `datetime64`: local of days and longer steps, else UTC."""
        return self.grid.stamps(self.times_on_grid)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each series and step, as values by the names of the columns.

        The columns are series (where there are several), `target` (where there are several: the
        name of one), time, and one for each quantile, named `q10`, `q50`, ….
        """
        config, horizon = self.config, self.times_on_grid.shape[1]
        names = [f"q{100 * quantile:g}" for quantile in self.quantiles]
        times = self.grid.values(self.times_on_grid.ravel())
        found = []
        values = self.values.reshape(-1, len(names)).tolist()
        for place, (time, of) in enumerate(zip(times, values, strict=True)):
            row: dict[str, Any] = {}
            if config.series is not None:
                row[config.series] = self.series[place // horizon]
            if self.targets:
                row[config.target_column] = self.targets[place // horizon]
            found.append({**row, config.time: time, **dict(zip(names, of, strict=True))})
        return found

    def table(self) -> pl.DataFrame:
        """Return the same rows as a polars table, as `Forecaster.predict` does.

        Raises:
            MissingExtraError: polars is not installed.
        """
        require("polars", extra="train")
        from gated.tasks.forecast.predictions import forecast_table

        of = self.series, self.times_on_grid, self.values, self.targets
        return forecast_table(self.config, self.grid, *of)


def observed_ahead(target: str) -> DataError:
    """Return the error for values of a target where only what is known ahead is asked for."""
    return DataError(f"future holds values of '{target}': what was observed is given to update.")
