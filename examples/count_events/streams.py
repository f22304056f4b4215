"""Makes streams of noise with pulses: those of two steps or more are events, spikes are not."""

import sys

import numpy as np
import polars as pl


def made(number: int, seed: int = 0) -> pl.DataFrame:
    """Return a row for each step: stream, value, and count, the events so far."""
    random, tables = np.random.default_rng(seed), []
    for place in range(number):
        steps = int(random.integers(20, 41))
        values, begins, step = random.normal(0, 0.2, steps).round(4), np.zeros(steps, int), 0
        while (step := step + int(random.integers(2, 8))) < steps - 3:
            lasts = int(random.integers(1, 4))
            values[step : step + lasts] += 1
            begins[step + 1] = lasts > 1  # known from its second step on
            step += lasts
        columns = {"value": values, "count": begins.cumsum()}
        tables.append(pl.DataFrame({"stream": [f"stream {place}"] * steps} | columns))
    return pl.concat(tables)


if __name__ == "__main__":
    made(300).write_csv(sys.argv[1])
