"""Time and memory of predictions for many series: `python -m benchmarks.scale`.

A forecaster is trained for a moment; `gated predict` forecasts 1, 10 and 100 thousand series of 200
steps from a Parquet file, each in a process of its own. With `--page` the table of
docs/en/many_series.md is filled.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.machine import described
from benchmarks.page import fill, machine_line
from gated.cli.app import run as command
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.training.options import TrainingOptions

STEPS, HORIZON = 200, 14
BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
PAGES = [Path(f"docs/{language}/many_series.md") for language in ("en", "zh")]


def series(count: int) -> pl.DataFrame:
    """Return `count` daily series of `STEPS` days with a week in them, seeded."""
    random = np.random.default_rng(count)
    week = random.normal(size=(count, 7))[:, np.arange(STEPS) % 7]
    values = 50 + 5 * week + np.cumsum(random.normal(size=(count, STEPS)), 1)
    days = pl.date_range(
        pl.date(2024, 1, 1), pl.date(2024, 1, 1) + pl.duration(days=STEPS - 1), eager=True
    )
    return pl.DataFrame(
        {
            "item": np.repeat([f"item {s:06}" for s in range(count)], STEPS),
            "day": pl.concat([days] * count),
            "sales": values.ravel().round(2),
        }
    )


def main() -> None:
    """Measure, and fill the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thousands", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--page", action="store_true", help="fill the tables of the pages")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(*chosen.one)
        return
    rows = []
    with tempfile.TemporaryDirectory() as place:
        run, table = Path(place) / "run", Path(place) / "table.parquet"
        config = ForecastConfig(time="day", target="sales", series="item", horizon=HORIZON)
        Forecaster(config, TrainingOptions(steps=20)).fit(series(200)).save(run)
        for thousand in chosen.thousands:
            some = series(1000)
            pl.concat(
                some.with_columns(item=pl.col("item") + f" of {k}") for k in range(thousand)
            ).write_parquet(table)
            out = Path(place) / f"{thousand}.csv"
            this = [sys.executable, "-m", "benchmarks.scale", "--one"]
            found = subprocess.run([*this, run, table, out], check=True, capture_output=True)
            seconds, memory = map(float, found.stdout.split())
            rows.append((thousand, seconds, memory))
            print(f"{thousand},000 series: {seconds:.0f} s, {memory:,.0f} MiB", flush=True)
    if chosen.page:
        lines = [machine_line(described(None)), ""]
        lines += ["| series of 200 steps | seconds | memory at most, MiB |", "| --: | --: | --: |"]
        lines += [f"| {1000 * t:,} | {s:.0f} | {m:,.0f} |" for t, s, m in rows]
        for page in PAGES:
            fill(page, BEGIN, END, lines)


def one(run: str, table: str, out: str) -> None:
    """Predict, and print seconds and MiB at most: of this process."""
    begin = time.perf_counter()
    if command(["predict", run, table, "--out", out]):
        raise SystemExit(1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.perf_counter() - begin, memory)


if __name__ == "__main__":
    main()
