"""Forecasting: from a table of time series to forecasts with intervals and a score."""

from gated.errors import require

require("torch", extra="train")

from gated.tasks.forecast.config import ForecastConfig  # noqa: E402
from gated.tasks.forecast.forecaster import Forecaster  # noqa: E402

__all__ = ["ForecastConfig", "Forecaster"]
