"""Commands on a finished or interrupted run."""

from __future__ import annotations

import sys
from pathlib import Path

from gated.cli.forecast import print_scores, train_and_report
from gated.cli.output import print_json
from gated.cli.run_directory import read_run
from gated.errors import ConfigurationError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.training.model_files import write_atomically


def resume(run: Path, *, json: bool = False) -> None:
    """Go on with an interrupted training, to the same weights as if it had never stopped.

    Parameters
    ----------
    run
        Directory of the run.
    json
        Print the result as one JSON document.
    """
    asked = read_run(run)
    forecaster = Forecaster(ForecastConfig.from_dict(asked.config), asked.training)
    train_and_report(forecaster.prepare(asked.data), run, json=json, resume=True)


def predict(run: Path, data: Path, *, out: Path | None = None, json: bool = False) -> None:
    """Forecast what follows the data.

    Parameters
    ----------
    run
        Directory of a trained run.
    data
        History to forecast from; covariates known ahead stand in rows of the future, with an empty
        target.
    out
        New CSV file for the forecast; by default it is printed.
    json
        Print the forecast as one JSON document.
    """
    if out is not None and out.exists():
        raise ConfigurationError(f"--out: {out} exists already; give a new file.")
    forecast = Forecaster.load(run).predict(data)
    if out is not None:
        write_atomically(out, forecast.write_csv().encode())
    elif json:
        print_json(forecast.to_dicts())
    else:
        sys.stdout.write(forecast.write_csv())


def evaluate(run: Path, data: Path, *, json: bool = False) -> None:
    """Score forecasts of what came after the training data, beside the baselines.

    Parameters
    ----------
    run
        Directory of a trained run.
    data
        Table that reaches beyond the training data.
    json
        Print the scores as one JSON document.
    """
    evaluation = Forecaster.load(run).score(data)
    print_json(evaluation.to_dict()) if json else print_scores(evaluation)


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
        Directory of a trained run.
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
    evaluation = Forecaster.load(run).backtest(data, start=start, end=end, stride=stride)
    print_json(evaluation.to_dict()) if json else print_scores(evaluation)
