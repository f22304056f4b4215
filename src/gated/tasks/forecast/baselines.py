"""The baselines: forecasts that need no training, with intervals from their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.windows import training_origins

Floats = NDArray[np.float64]

LONG_ENOUGH = 0.5
"""Share of the training windows that must have a season behind them for it to be tried."""
MOST_ORIGINS = 4096
"""Training windows whose errors give the intervals, drawn where there are more."""


def naive(prepared: Prepared, origins: Integers) -> Floats:
    """Forecast `(N, horizon)`: the last value observed at rows `origins` `(N,)`, repeated."""
    horizon = prepared.preprocessing.config.horizon
    return np.repeat(prepared.filled[origins, None], horizon, axis=1)


def seasonal_naive(prepared: Prepared, origins: Integers, season: int | None = None) -> Floats:
    """Forecast `(N, horizon)`: the values of the last season up to `origins` `(N,)`, repeated.

    `season` is its length in steps, by default that of the configuration.

    A missing value is replaced by the last one observed before it, and values from before the
    beginning of the series by the naive forecast.
    """
    config = prepared.preprocessing.config
    season, ahead = season or config.usual_season, np.arange(1, config.horizon + 1)
    rows = origins[:, None] + ahead - season * -(-ahead // season)
    begins = _begins(prepared, origins)
    rows = np.where(rows >= begins[:, None], rows, origins[:, None])
    forecast: Floats = prepared.filled[rows]
    return forecast


def best_season(prepared: Prepared, origins: Integers) -> int:
    """Return the season, in steps, with which the seasonal-naive forecasts from `origins` are best.

    The candidates are the first of the configured seasons, and the others if at least half of the
    origins have a whole season before them. They are compared on the origins that have the longest
    of them before them.
    """
    config = prepared.preprocessing.config
    behind = origins - _begins(prepared, origins) + 1
    usual, *others = config.seasons or (1,)
    seasons = [usual, *(of for of in others if np.mean(behind >= of) >= LONG_ENOUGH)]
    enough = origins[behind >= max(seasons)]
    if len(set(seasons)) == 1 or not len(enough):
        return usual
    truth = prepared.truth(enough)

    def error(season: int) -> float:
        forecast = seasonal_naive(prepared, enough, season)
        return float(np.nanmean(np.abs(_scaled_errors(prepared, enough, truth, forecast))))

    return min(seasons, key=error)


def seasonal_scale(prepared: Prepared) -> Floats:
    """Return `(S,)` the mean absolute change over a season before the test part, the MASE unit.

    Only observed values count; without a season it is the change over one step. NaN for a series
    that never changes, or is shorter than a season (Hyndman and Koehler 2006).

    Raises:
        DataError: the data came after fitting and have no test part.
    """
    if prepared.split is None:
        raise DataError("Data that came after fitting have no training part to scale errors by.")
    panel, season = prepared.panel, prepared.preprocessing.config.usual_season
    change = np.abs(panel.target[season:] - panel.target[:-season])
    same = panel.series_of[season:] == panel.series_of[:-season]
    counts = same & (panel.ticks[season:] < prepared.split.test) & ~np.isnan(change)
    counts &= prepared.series_of[season:] >= 0
    series, size = prepared.series_of[season:][counts], len(prepared.preprocessing.series)
    total = np.bincount(series, change[counts], size)
    scale = np.full(size, np.nan)
    np.divide(total, np.bincount(series, minlength=size), out=scale, where=total > 0)
    return scale


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Naive and, where there is a season, seasonal-naive forecasts, with intervals."""

    offsets: dict[str, Floats]
    """`(horizon, Q)` by method: what is added to the scaled point forecast (see
    `Prepared.scaled`); 0 for the median."""
    scales: Floats
    """`(S,)`, see `seasonal_scale`."""
    season: int | None = None
    """Steps of the season that was best in the training part; the configured one by default."""

    @property
    def narrowest(self) -> str:
        """Name of the method with the narrowest intervals in the training part."""
        return min(self.offsets, key=lambda name: float(np.ptp(self.offsets[name], axis=1).mean()))

    @classmethod
    def fit(cls, prepared: Prepared) -> Self:
        """Compute the quantiles of the errors in the training part.

        Raises:
            DataError: there is no training window.
        """
        origins = training_origins(prepared)
        if not len(origins):
            raise DataError("There is no training window to learn the baselines' intervals from.")
        if len(origins) > MOST_ORIGINS:
            # Every k-th might be the same hour of the day.
            origins = np.random.default_rng(0).choice(origins, MOST_ORIGINS, replace=False)
        config = prepared.preprocessing.config
        truth = prepared.truth(origins)
        season = best_season(prepared, origins)
        return cls(
            offsets={
                method: _offsets(
                    _scaled_errors(prepared, origins, truth, forecast), config.quantiles
                )
                for method, forecast in _points(prepared, origins, season).items()
            },
            scales=seasonal_scale(prepared),
            season=season,
        )

    def forecast(self, prepared: Prepared, origins: Integers) -> dict[str, Floats]:
        """Return forecasts `(N, horizon, Q)` by method, from rows `origins` `(N,)`."""
        return {
            method: self._around(prepared, origins, forecast, method)
            for method, forecast in _points(prepared, origins, self.season).items()
        }

    def forecast_by(self, method: str, prepared: Prepared, origins: Integers) -> Floats:
        """Return the forecasts `(N, horizon, Q)` of one method, from rows `origins` `(N,)`."""
        point = _points(prepared, origins, self.season)[method]
        return self._around(prepared, origins, point, method)

    def rows_of(self, method: str, config: ForecastConfig) -> Integers:
        """Return `(horizon,)` the rows that a method repeats, counted from the end: -1 the last."""
        ahead = np.arange(config.horizon)
        season = 1 if method == "naive" else self.season or config.usual_season
        return ahead % season - season

    def _around(
        self, prepared: Prepared, origins: Integers, forecast: Floats, method: str
    ) -> Floats:
        return self.around(
            method,
            forecast,
            partial(prepared.scaled, origins=origins),
            partial(prepared.unscaled, origins=origins),
        )

    def around(
        self,
        method: str,
        forecast: Floats,
        scaled_of: Callable[[Floats], Floats],
        unscaled_of: Callable[[Floats], Floats],
    ) -> Floats:
        """Return the quantiles `(N, horizon, Q)` around point forecasts `(N, horizon)`.

        Args:
            method: whose.
            forecast: the points.
            scaled_of: scales `(…, N)` values.
            unscaled_of: returns `(N, …)` scaled values to their unit.
        """
        scaled = scaled_of(forecast.T).T[..., None] + self.offsets[method]
        quantiles = unscaled_of(scaled)
        # The median is the forecast itself, also where rounding or a logarithm would move it.
        at = self.offsets[method] == 0
        return np.where(at, forecast[..., None], quantiles)


def _points(prepared: Prepared, origins: Integers, season: int | None) -> dict[str, Floats]:
    points = {"naive": naive(prepared, origins)}
    usual = prepared.preprocessing.config.usual_season
    season = season or usual
    if season > 1:
        name = "seasonal naive" if season == usual else f"seasonal naive, {season:,} steps"
        points[name] = seasonal_naive(prepared, origins, season)
    return points


def _begins(prepared: Prepared, origins: Integers) -> Integers:
    """`(N,)` the first row of each window's series."""
    starts = prepared.panel.starts
    begins: Integers = starts[np.searchsorted(starts, origins, side="right") - 1]
    return begins


def _scaled_errors(
    prepared: Prepared, origins: Integers, truth: Floats, forecast: Floats
) -> Floats:
    """Errors `(N, horizon)` of forecasts of what came to be, both scaled as the network's."""
    return (prepared.scaled(truth.T, origins) - prepared.scaled(forecast.T, origins)).T


def _offsets(errors: Floats, quantiles: tuple[float, ...]) -> Floats:
    """`(horizon, Q)` quantiles of `errors` `(N, horizon)`, on their own side of the median's 0."""
    observed = ~np.isnan(errors)
    # A step that was never observed takes the errors of all steps.
    samples = [
        errors[seen, step] if seen.any() else errors[observed]
        for step, seen in enumerate(observed.T)
    ]
    offsets = np.array([np.quantile(sample, quantiles) for sample in samples])
    side = np.sign(np.array(quantiles) - 0.5)
    clipped: Floats = side * np.maximum(side * offsets, 0)
    return clipped
