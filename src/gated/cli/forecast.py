"""`gated backtest`, `gated update`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gated.cli.fit import fit_into
from gated.cli.outcome import print_scores
from gated.cli.output import print_json
from gated.cli.run_directory import trained
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.learner import document


def backtest(
    run: Path,
    data: Path,
    *,
    start: str | None = None,
    end: str | None = None,
    stride: int | None = None,
    json: bool = False,
) -> None:
    """Score forecasts of any windows; those that overlap the training data are counted.

    Parameters
    ----------
    run
        Directory of a trained forecaster.
    data
        Table to forecast in.
    start
        Time of the first step forecast; by default as early as the history allows.
    end
        Time that no forecast goes beyond; by default the end of the data.
    stride
        Steps from one forecast to the next; by default the run's own.
    json
        Print the scores as one JSON document.
    """
    forecaster = trained(Forecaster, run)
    evaluation = forecaster.backtest(data, start=start, end=end, stride=stride)
    print_json(document(evaluation)) if json else print_scores(forecaster, evaluation)


def update(
    run: Path,
    data: Path,
    *,
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    test: str | None = None,
    json: bool = False,
) -> None:
    """Train a forecaster on with new rows, for fewer steps than a new one needs.

    Its scales stay as they are, so that its weights mean what they meant; intervals and shares are
    set anew, and the test part is the end of the new table. The former run stays as it is.

    Parameters
    ----------
    run
        Directory of a trained forecaster.
    data
        The table that it was trained on, with the new rows: a run does not keep its data.
    out
        New directory for the run: model, scores, report.
    steps
        Maximum number of optimiser steps. By default a third of what a new training takes.
    minutes
        Maximum minutes of training.
    test
        What is held back for the score: a time (`28d`) or a number of steps at the end. By default
        as in the former run.
    json
        Print the result as one JSON document.
    """
    budget: dict[str, Any] = {"steps": steps, "minutes": minutes}
    budget = {name: value for name, value in budget.items() if value is not None}
    learner = Forecaster.load(run).following(run, **budget)
    if test is not None:
        learner.config = replace(learner.config, test=test)
    fit_into(out, learner, data, json=json)
