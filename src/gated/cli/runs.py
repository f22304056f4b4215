"""Commands on a trained run, of whatever task."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from gated.cli.fit import files_of
from gated.cli.outcome import give_predictions, print_scores, write_predictions
from gated.cli.output import print_json, stdout_console, tell_left_out
from gated.cli.places import check_new_file
from gated.cli.run_directory import FILE_NAME, check_free, read_run, source_of, trained
from gated.cli.training_bar import training_bars
from gated.data.bad_rows import BadRows
from gated.data.predictions import to_csv
from gated.errors import ConfigurationError, DataError, option, require
from gated.files import write_atomically
from gated.model_files import load_description
from gated.report.explain import write_explanation
from gated.report.page import figures_of, is_file_name
from gated.tasks import learner_of
from gated.tasks.learner import Learner, document
from gated.tasks.partition import is_large, series_in_parts

PRETRAINED = "pretrained"
"""In place of a run: the network that comes with the package."""


def predict(
    run: Path,
    *data: Path,
    out: Path | None = None,
    time: str | None = None,
    target: str | None = None,
    series: str | None = None,
    horizon: int | None = None,
    season: int | None = None,
    paths: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Predict with a trained network: forecasts of a table, labels of sequences, texts or clips.

    Parameters
    ----------
    run
        Directory of a trained run; or `pretrained`, for a forecast by the network that comes with
        the package and needs no training.
    data
        What to predict for, in the form that the run was trained on. For a forecast, the history;
        covariates known ahead are given in rows of the future, with an empty target.
    out
        New CSV file for the predictions; by default they are printed.
    time
        With `pretrained`: column of time stamps, by default the only one that holds times.
    target
        With `pretrained`: column to forecast, by default the only other one of numbers.
    series
        With `pretrained`: column that names the series, by default the only one of texts.
    horizon
        With `pretrained`: steps to forecast, by default a season.
    season
        With `pretrained`: steps after which the pattern repeats, by default found from the table.
    paths
        Of a forecast, in place of quantiles, so many paths of each series: whole courses of what
        may come, from which sums over the steps can be formed.
    seed
        Of the random numbers of paths.
    skip_bad
        Go on after rows that cannot be used, which are errors otherwise: they are listed, and in
        the output they have the reason in place of a prediction. If no row can be used, the command
        fails after it has written the output.
    json
        Print the predictions as one JSON document.
    """
    if out is not None:
        check_new_file(out)
    asked = {"time": time, "target": target, "series": series, "horizon": horizon, "season": season}
    if str(run) == PRETRAINED and not run.exists():
        if paths is not None:
            raise ConfigurationError(
                f"{option('paths')}: paths are drawn by what a trained forecaster has learned of "
                f"its errors; `{PRETRAINED}` has quantiles alone."
            )
        _predict_untrained(list(data), asked, out, skip_bad=skip_bad, json=json)
        return
    for name, value in asked.items():
        if value is not None:
            raise ConfigurationError(
                f"{option(name)} goes with `{PRETRAINED}` alone: {run} was trained with its own."
            )
    learner = loaded(run, skip_bad=skip_bad)
    source = source_of(files_of(type(learner), list(data)))
    if paths is not None and not hasattr(learner, "sample_paths"):
        raise ConfigurationError(f"{option('paths')}: a run of {learner.task!r} has no paths.")
    foretell = learner.predict if paths is None else partial(_paths, learner, paths, seed)
    named = getattr(learner.config, "series", None)
    if out is not None and named is not None and isinstance(source, Path) and is_large(source):
        _predict_in_parts(learner, foretell, source, named, out)
        return
    table = foretell(source)
    tell_left_out(learner.findings)
    give_predictions(learner, table, out, json=json)


def _paths(learner: Any, count: int, seed: int, source: Any) -> pl.DataFrame:
    table: pl.DataFrame = learner.sample_paths(source, count, seed)
    return table


def _predict_in_parts(
    learner: Learner[Any, Any, Any],
    foretell: Callable[[Any], pl.DataFrame],
    path: Path,
    series: str,
    out: Path,
) -> None:
    """Predict for some series at a time, and write the predictions at once."""

    def predictions() -> Iterator[str]:
        for place, part in enumerate(series_in_parts(path, series)):
            try:
                table = to_csv(foretell(part))
            except DataError as error:
                names = part[series].unique().sort()
                about = f"'{names[0]}' to '{names[-1]}'"
                raise DataError(f"{path.name}, among the series {about}: {error}") from error
            tell_left_out(learner.findings)
            yield table if place == 0 else table.partition("\n")[2]

    write_atomically(out, (piece.encode() for piece in predictions()))


def _predict_untrained(
    data: list[Path], asked: dict[str, Any], out: Path | None, *, skip_bad: bool, json: bool
) -> None:
    """Forecast a table by the network that comes with the package."""
    from gated.tasks.forecast.forecaster import Forecaster
    from gated.tasks.forecast.pretrained.forecaster import predict_untrained

    bad = BadRows(skip=skip_bad)
    (path,) = files_of(Forecaster, data)
    table, findings = predict_untrained(path, bad=bad, **asked)
    tell_left_out([*findings, *bad.findings])
    write_predictions(table, out, json=json)


def evaluate(run: Path, *data: Path, skip_bad: bool = False, json: bool = False) -> None:
    """Score a trained network on data that it was not trained on.

    Parameters
    ----------
    run
        Directory of a trained run.
    data
        Data of the form that the run was trained on; for a forecaster, a table that reaches beyond
        the training data; for a translator, also two files, the sentences and their translations.
    skip_bad
        Leave out rows that cannot be used, and list them, where otherwise the first is an error.
    json
        Print the scores as one JSON document.
    """
    learner = loaded(run, skip_bad=skip_bad)
    evaluation = learner.evaluate(source_of(files_of(type(learner), list(data))))
    tell_left_out(learner.findings)
    print_json(document(evaluation)) if json else print_scores(learner, evaluation)


def explain(
    run: Path,
    *data: Path,
    out: Path,
    layer: tuple[int, ...] = (),
    sequence: int = 0,
    steps: tuple[int, int] | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Draw what a network's gates and memory do on some data, and list problems that are found.

    Parameters
    ----------
    run
        Directory of a trained run.
    data
        Data of the form that the run was trained on.
    out
        New file that ends in .html, with its pictures in a directory beside it; or a new directory.
    layer
        Layers to draw, counted from 0; each direction counts as a layer. By default the first four.
    sequence
        Which of the chosen sequences to draw, counted from 0; -1 is the last.
    steps
        First and last step to draw; by default the last 120.
    skip_bad
        Leave out rows that cannot be used, and list them, where otherwise the first is an error.
    json
        Print what was found as one JSON document.
    """
    require("matplotlib", extra="explain")
    if is_file_name(out):
        check_new_file(out)
        check_free(figures_of(out))
    else:
        check_free(out)
    learner = loaded(run, skip_bad=skip_bad)
    with training_bars():
        explanation = learner.explain(source_of(files_of(type(learner), list(data))), layer or None)
        tell_left_out(learner.findings)
        page = write_explanation(
            out,
            explanation,
            command=shlex.join(["gated", *sys.argv[1:]]),
            sequence=sequence,
            steps=steps,
        )
    if json:
        print_json(explanation.to_dict() | {"report": str(page)})
        return
    stdout_console().print(f"\n{explanation.verdict}\n", style="bold", markup=False)
    for finding in explanation.findings:
        stdout_console().print(f"· {finding}", markup=False)
    stdout_console().print(f"Report: {page}", markup=False)


def loaded(run: Path, *, skip_bad: bool) -> Learner[Any, Any, Any]:
    """Return the trained network of a run, which leaves out bad rows if `skip_bad` is set.

    Raises:
        ModelFileError: `run` holds no trained network, or a damaged one.
    """
    known = (run / FILE_NAME).exists()
    kind = learner_of(read_run(run).task if known else load_description(run).get("task", ""))
    learner = trained(kind, run)
    if skip_bad and not hasattr(learner.config, "skip_bad"):
        raise ConfigurationError(f"--skip-bad: the task {kind.task!r} has no rows to skip.")
    if skip_bad:
        learner.config = replace(learner.config, skip_bad=True)
    return learner
