"""Forecasting: gated beside statistics, trees and other networks, on the same windows.

    python -m benchmarks.forecast                       # whatever benchmarks/forecast.jsonl lacks
    python -m benchmarks.forecast --only weather/gated  # rows and methods whose name begins so
    python -m benchmarks.forecast --page                # tables from what is there

A result is a line of the file; after an interruption those that are there are not computed again.
What is to be computed again is taken out of the file first. Everything runs on one thread.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.forecast_methods import METHODS, Floats, Method, Problem
from benchmarks.forecast_page import write
from benchmarks.forecast_rows import Row, rows
from benchmarks.machine import processor
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.score import Evaluation, Forecasts, absolute_errors, evaluate

RESULTS = Path("benchmarks/forecast.jsonl")
SCORES = "mae", "mase", "pinball", "coverage", "width"


def scored(problem: Problem, name: str, values: Floats, origins: Integers) -> Evaluation:
    """Score forecasts `(N, horizon, Q)` of the windows from `origins` as gated does."""
    panel, steps = problem.prepared.panel, np.arange(1, problem.row.horizon + 1)
    ahead = origins[:, None] + steps
    forecasts = Forecasts(
        series=tuple(panel.series[series] for series in panel.series_of[origins]),
        times=panel.ticks[ahead],
        truth=panel.target[ahead],
        quantiles=problem.quantiles,
        methods={name: values},
        scales=problem.scales[panel.series_of[origins]],
        observed=(),
    )
    return evaluate(forecasts, problem.row.target)


def errors_by_time(evaluation: Evaluation) -> dict[str, list[float]]:
    """Sums of the errors of the windows at one time, which the judge compares, and their counts."""
    forecasts = evaluation.forecasts
    (errors,) = absolute_errors(forecasts).values()
    groups = np.unique(forecasts.times[:, 0], return_inverse=True)[1].reshape(-1)
    observed = ~np.isnan(forecasts.truth)
    scaled = observed & ~np.isnan(forecasts.scales)[:, None]
    ratio = errors / forecasts.scales[:, None]

    def sums(values: Floats, counts: Any) -> list[float]:
        found = np.bincount(groups, np.where(counts, values, 0.0).sum(axis=1))
        return [float(f"{of:.7g}") for of in found]

    ones = np.ones_like(errors)
    return {
        "absolute": sums(errors, observed),
        "values": sums(ones, observed),
        "scaled": sums(ratio, scaled),
        "scaled_values": sums(ones, scaled),
    }


def figures(evaluation: Evaluation, names: tuple[str, ...] = SCORES) -> dict[str, float | None]:
    """Scores over all windows; None for those that a method lacks."""
    (scores,) = evaluation.overall.values()
    return {name: scores[name] if np.isfinite(scores[name]) else None for name in names}


def run(row: Row, name: str, method: Method) -> dict[str, Any]:
    """Forecast the test windows of a row with a method, and the stretch before, if it may choose.

    A method that fails gives a line with its reason.
    """
    problem = Problem(row, row.table())
    line: dict[str, Any] = {"row": row.name, "method": name, "compared_by": row.compared_by}
    origins = problem.origins
    problem.fallback(origins[:1])  # prepares, which is no method's time, as imports are not
    for package in method.packages:
        importlib.import_module(package)
    begun = processor_seconds()
    try:
        values = method.forecast(problem, origins)
        seconds = processor_seconds() - begun
        evaluation, fallbacks = scored(problem, name, values, origins), problem.fallbacks
        before = None
        if method.statistical and len(problem.before):
            values = method.forecast(problem, problem.before)
            before = figures(scored(problem, name, values, problem.before), ("mae", "mase"))
    except Exception as error:  # one method on one row is not to end the others
        return line | {"refused": f"{type(error).__name__}: {error}"[:300]}
    return line | {
        **figures(evaluation),
        "seconds": round(seconds, 2),
        "windows": len(origins),
        "fallbacks": fallbacks,
        "before": before,
        **({"shift": problem.shift} if name == "naive" else {}),
        "by_time": errors_by_time(evaluation),
        "processor": processor(),
    }


def processor_seconds() -> float:
    """Processor time of this process and of those it has waited for: other load hardly counts."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def finished(path: Path) -> list[dict[str, Any]]:
    """The results that a file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Compute what is not there yet, a line for each row and method."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="those whose ROW/METHOD begins so")
    parser.add_argument("--method", help="this method alone")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="fill the docs' tables, run nothing")
    arguments = parser.parse_args()
    if arguments.page:
        write(finished(arguments.results), [row.name for row in rows()])
        return
    torch.set_num_threads(1)
    methods = dict(METHODS)
    for name, of in METHODS.items():
        if of.missing and arguments.method in (None, name):
            print(f"{name}: not installed, it needs {of.missing}", flush=True)
            del methods[name]
    for row in rows():
        for name, method in methods.items():
            wanted = f"{row.name}/{name}".startswith(tuple(arguments.only))
            wanted = wanted and arguments.method in (None, name)
            # Read anew each time: others may work on the same file.
            done = {(one["row"], one["method"]) for one in finished(arguments.results)}
            if wanted and (row.name, name) not in done:
                line = run(row, name, method)
                with arguments.results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(row.name, name, line.get("refused") or told(line), flush=True)


def told(line: dict[str, Any]) -> str:
    """A result in short."""
    keys = "mae", "mase", "coverage", "seconds", "fallbacks"
    return ", ".join(f"{key} {line[key]:.4g}" for key in keys if line[key] is not None)


if __name__ == "__main__":
    main()
