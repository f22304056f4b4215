"""`gated fit forecast` and `gated compare forecast`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gated.cli.outcome import Outcome, tell
from gated.cli.output import print_json, print_table, stdout_console, to_json
from gated.cli.run_directory import Run, begun, check_free
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import require
from gated.explain import Probe
from gated.tasks.forecast.comparison_page import comparison_table, write_comparison_report
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import TASK, Forecaster
from gated.tasks.forecast.page import score_table, write_forecast_report
from gated.tasks.forecast.score import Evaluation
from gated.training.model_files import write_atomically
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process

ForecastFields = Annotated[ForecastConfig, Parameter(name="*", group="Forecast")]
TrainingFields = Annotated[TrainingOptions | None, Parameter(name="*", group="Training")]


def fit(
    data: Path,
    *,
    out: Path,
    config: ForecastFields,
    training: TrainingFields = None,
    json: bool = False,
) -> None:
    """Train a forecaster on a table of time series and score it on its end, which is held back.

    Parameters
    ----------
    data
        CSV or Parquet file.
    out
        New directory for the run: model, scores, report.
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    training = training or TrainingOptions()
    if is_main_process():
        check_free(out)
    forecaster = Forecaster(config, training).prepare(data)
    with begun(out, Run(TASK, data, config.to_dict(), training)):
        train_and_report(forecaster, out, json=json, resume=False)


def train_and_report(forecaster: Forecaster, out: Path, *, json: bool, resume: bool) -> None:
    """Train a prepared forecaster in `out`, save it, score it, and say how it went."""
    label = f"{forecaster.config.cell.upper()} on {forecaster.config.target}"
    with training_bars() as bars:
        forecaster.train(directory=out, resume=resume, progress=TrainingBar(bars, label))
    if not is_main_process():
        return
    forecaster.save(out)
    write_atomically(out / "history.json", forecaster.history.to_json().encode())
    evaluation = forecaster.score()
    report = write_forecast_report(
        out,
        evaluation=evaluation,
        history=forecaster.history,
        findings=forecaster.findings,
        config=forecaster.config,
        training=forecaster.training,
        command=shlex.join(["gated", *sys.argv[1:]]),
        parameters=forecaster.parameters,
    )
    outcome = Outcome(
        run=out,
        report=report,
        parameters=forecaster.parameters,
        history=forecaster.history,
        findings=forecaster.findings,
    )
    tell(outcome, evaluation, print_scores, json=json)


def print_scores(evaluation: Evaluation) -> None:
    """Print the verdict and the table of scores."""
    stdout_console().print(f"\n{evaluation.verdict}\n", style="bold", markup=False)
    table = score_table(evaluation)
    print_table(f"Scores of {evaluation.target}", table.header, table.rows, best=0)


def compare(
    data: Path,
    *,
    out: Path,
    config: ForecastFields,
    training: TrainingFields = None,
    cells: tuple[str, ...] = ("rnn", "gru", "lstm"),
    seeds: tuple[int, ...] = (0, 1, 2),
    json: bool = False,
) -> None:
    """Train RNN, GRU and LSTM on a table of time series with one budget, and compare them.

    Parameters
    ----------
    data
        CSV or Parquet file.
    out
        New directory for the comparison: figures and report.
    cells
        Which cells: rnn, gru, lstm.
    seeds
        Each cell is trained once with each.
    json
        Print the result as one JSON document.
    """
    from gated.tasks.forecast.comparison import compare as run_comparison

    require("matplotlib", extra="explain")  # before the training, not after it
    if is_main_process():
        check_free(out)
    with training_bars() as bars:
        comparison = run_comparison(
            data,
            config,
            training,
            cells=cells,
            seeds=seeds,
            progress=lambda cell, seed: TrainingBar(bars, f"{cell.upper()}, seed {seed}"),
        )
    if not is_main_process():
        return
    report = write_comparison_report(out, comparison, command=shlex.join(["gated", *sys.argv[1:]]))
    write_atomically(out / "comparison.json", to_json(comparison.to_dict()).encode())
    if json:
        print_json(comparison.to_dict() | {"report": str(report)})
        return
    stdout_console().print(f"\n{comparison.verdict}\n", style="bold", markup=False)
    title = f"{comparison.config.target}, mean ± spread over {len(seeds)} seeds"
    table = comparison_table(comparison)
    # A column for each method: so it fits a terminal.
    header, *rows = zip(table.header, *table.rows, strict=True)
    print_table(title, header, rows)
    stdout_console().print(f"Report: {report}", markup=False)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    forecaster = Forecaster(ForecastConfig.from_dict(asked.config), asked.training)
    train_and_report(forecaster.prepare(asked.data), run, json=json, resume=True)


def predict(run: Path, data: Path, *, out: Path | None = None, json: bool = False) -> None:
    """Forecast what follows `data`; covariates known ahead stand in rows of the future."""
    forecast = Forecaster.load(run).predict(data)
    if out is not None:
        write_atomically(out, forecast.write_csv().encode())
    elif json:
        print_json(forecast.to_dicts())
    else:
        sys.stdout.write(forecast.write_csv())


def evaluate(run: Path, data: Path, *, json: bool = False) -> None:
    """Score forecasts of what came after the training data, beside the baselines."""
    evaluation = Forecaster.load(run).score(data)
    print_json(evaluation.to_dict()) if json else print_scores(evaluation)


def explain(run: Path, data: Path) -> Probe:
    """Offer a run's network to be looked into."""
    return Forecaster.load(run).probe(data)


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
    evaluation = Forecaster.load(run).backtest(data, start=start, end=end, stride=stride)
    print_json(evaluation.to_dict()) if json else print_scores(evaluation)
