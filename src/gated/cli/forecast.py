"""`gated backtest`."""

from __future__ import annotations

from pathlib import Path

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
