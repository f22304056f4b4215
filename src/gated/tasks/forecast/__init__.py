"""Forecasting: from a table of time series to forecasts with intervals and a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gated.tasks.forecast.config import ForecastConfig
    from gated.tasks.forecast.forecaster import Forecaster

__all__ = ["ForecastConfig", "Forecaster"]


def __getattr__(name: str) -> Any:
    """Import what learns when it is first used: what runs a forecaster needs no torch."""
    if name == "ForecastConfig":
        from gated.tasks.forecast.config import ForecastConfig

        return ForecastConfig
    if name == "Forecaster":
        from gated.errors import require

        require("torch", extra="train")
        from gated.tasks.forecast.forecaster import Forecaster

        return Forecaster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
