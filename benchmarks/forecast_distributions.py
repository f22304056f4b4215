"""Quantiles, Student t and negative binomial on the same windows, and totals by sample paths.

    python -m benchmarks.forecast_distributions intermittent delays  # rows of the forecast bench

Pinball loss and coverage are those of `gated fit`. A total is the sum over a window's horizon: its
80 % interval is taken from paths, and from paths of the same steps drawn independently.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from benchmarks.forecast_rows import Floats, Row, rows
from benchmarks.machine import processor
from gated.errors import DataError
from gated.tasks.forecast import Forecaster
from gated.tasks.forecast.distributions import DISTRIBUTIONS
from gated.training.options import TrainingOptions

PATHS = 200
"""Paths from each window."""
HEADER = "row | distribution | MAE | pinball | covers | totals covered | drawn independently | s"


def covered(paths: Floats, totals: Floats) -> float:
    """Return the share of `totals` `(N,)` in the 80 % interval of those of paths `(N, P, H)`."""
    low, high = np.quantile(paths.sum(axis=-1), [0.1, 0.9], axis=1)
    seen = ~np.isnan(totals)
    return float(np.mean((low <= totals)[seen] & (totals <= high)[seen]))


def line(row: Row, distribution: str) -> str:
    """Fit a row with one distribution, and return its scores."""
    begin = time.process_time()
    config = replace(row.config, distribution=distribution)
    try:
        forecaster = Forecaster(config, TrainingOptions(threads=1)).fit(row.table())
    except DataError as error:
        return f"{row.name} | {distribution} | {error}"
    seconds = time.process_time() - begin
    scores = forecaster.score().overall[forecaster.name]
    test, (dependence, steps) = forecaster.parts.test, (forecaster.dependence, row.horizon)
    ahead = test.origins[:, None] + np.arange(1, steps + 1)
    totals = test.prepared.panel.target[ahead].sum(axis=1)
    shares = []
    for correlation in (dependence.correlation, np.eye(steps)):
        forecaster.dependence = replace(dependence, correlation=correlation)
        shares.append(covered(forecaster.paths_from(test, PATHS), totals))
    figures = [f"{scores[name]:.4g}" for name in ("mae", "pinball")]
    figures += [f"{100 * share:.0f} %" for share in (scores["coverage"], *shares)]
    return " | ".join([row.name, distribution, *figures, f"{seconds:.0f}"])


if __name__ == "__main__":
    print(f"{processor()}, {PATHS} paths\n{HEADER}")
    for row in rows():
        if row.name in sys.argv[1:]:
            for distribution in DISTRIBUTIONS:
                print(line(row, distribution), flush=True)
