"""ETS, Theta and MSTL, fitted to one series, by statsforecast."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gated.errors import require
from gated.tasks.forecast.calibration import Floats

FEWEST = 4
"""Observed values below which nothing is fitted."""
WHOLE_SEASONS = 2
"""Cycles of a season that a series needs for it to be fitted."""


def statistical_forecast(
    name: str, values: Floats, seasons: Sequence[int], horizon: int, quantiles: Sequence[float]
) -> Floats:
    """Fit one of `MODELS` to a series, and forecast from its end.

    Gaps are filled on a line between their neighbours; what precedes the first value is left out.

    Args:
        name: of the model.
        values: `(T,)`, NaN where one is missing.
        seasons: their steps, the usual one first; those that `T` does not hold twice are left out.
        horizon: steps to forecast.
        quantiles: what to forecast, the median among them.

    Returns:
        `(horizon, Q)`; NaN where there are too few values, or the model cannot be fitted to them.

    Raises:
        MissingExtraError: statsforecast is not installed.
    """
    require("statsforecast", extra="statistics")
    nothing = np.full((horizon, len(quantiles)), np.nan)
    seen = np.flatnonzero(~np.isnan(values))
    if len(seen) < FEWEST:
        return nothing
    whole = np.interp(np.arange(seen[0], len(values)), seen, values[seen])
    fitting = [of for of in seasons if len(whole) >= WHOLE_SEASONS * of]
    # 80 for both of 0.1 and 0.9: a level is what lies between a lower and an upper quantile.
    levels = [round(100 * abs(2 * of - 1), 6) for of in quantiles]
    asked: Any = sorted({of for of in levels if of})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = MODELS[name](fitting).forecast(y=whole, h=horizon, level=asked or None)
    except Exception:  # whatever a model does not like about a series
        return nothing
    columns = [
        found["mean"] if not level else found[f"{'lo' if of < 0.5 else 'hi'}-{level}"]
        for of, level in zip(quantiles, levels, strict=True)
    ]
    forecast = np.stack(columns, axis=-1).astype(np.float64)
    return forecast if np.isfinite(forecast).all() else nothing


def _ets(seasons: Sequence[int]) -> Any:
    from statsforecast.models import AutoETS

    return AutoETS(season_length=next(iter(seasons), 1))


def _theta(seasons: Sequence[int]) -> Any:
    from statsforecast.models import AutoTheta

    return AutoTheta(season_length=next(iter(seasons), 1))


def _mstl(seasons: Sequence[int]) -> Any:
    from statsforecast.models import MSTL, AutoETS

    return MSTL(season_length=list(seasons)) if seasons else AutoETS(model="ZZN")


MODELS: dict[str, Callable[[Sequence[int]], Any]] = {"ets": _ets, "theta": _theta, "mstl": _mstl}
"""Makers of a model, from the seasons that the series holds twice."""
