"""Commands on a finished or interrupted run, of whatever task.

What each does for a task stands in `gated.cli.<task>`, in the function of the command's name.
"""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from gated.cli.output import print_json, stdout_console
from gated.cli.run_directory import FILE_NAME, check_free, read_run
from gated.errors import ConfigurationError, ModelFileError, require
from gated.explain import explain as look_into
from gated.report.explain import write_explanation
from gated.report.page import figures_of, is_file_name
from gated.tasks import task_names
from gated.training.model_files import load_description


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
    _of_task(asked.task, "resume")(run, asked, json=json)


def predict(
    run: Path,
    data: Path,
    *,
    out: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Predict with a trained network: forecasts of a table, labels of sequences or clips.

    Parameters
    ----------
    run
        Directory of a trained run.
    data
        What to predict for, in the form that the run was trained on. For a forecast, the history;
        covariates known ahead stand in rows of the future, with an empty target.
    out
        New CSV file for the predictions; by default they are printed.
    skip_bad
        Leave out rows that cannot be used, and list them, where otherwise the first is an error.
    json
        Print the predictions as one JSON document.
    """
    if out is not None and out.exists():
        raise ConfigurationError(f"--out: {out} exists already; give a new file.")
    command = _of_task(task_of(run), "predict")
    command(run, data, out=out, json=json, **_skipping(command, skip_bad))


def evaluate(
    run: Path,
    data: Path,
    target: Path | None = None,
    *,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Score a trained network on data that it was not trained on.

    Parameters
    ----------
    run
        Directory of a trained run.
    data
        Data of the form that the run was trained on; for a forecaster, a table that reaches beyond
        the training data.
    target
        For a translator, where pairs are in two files: the translations of `data`, line by line.
    skip_bad
        Leave out rows that cannot be used, and list them, where otherwise the first is an error.
    json
        Print the scores as one JSON document.
    """
    command = _of_task(task_of(run), "evaluate")
    second = _second_file(command, target)
    command(run, data, json=json, **second, **_skipping(command, skip_bad))


def explain(
    run: Path,
    data: Path,
    *,
    out: Path,
    layer: tuple[int, ...] = (),
    sequence: int = 0,
    steps: tuple[int, int] | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Draw what a trained network's gates and memory do on some data, and say what ails it.

    Parameters
    ----------
    run
        Directory of a trained run.
    data
        Data of the form that the run was trained on.
    out
        New file that ends in .html, with its pictures in a directory beside it; or a new directory.
    layer
        Layers to look into, counted from 0, directions apart; by default the first four.
    sequence
        Which sequence to draw, of those chosen from the data; negative counts from the last.
    steps
        First and last step to draw; by default the last 120.
    skip_bad
        Leave out rows that cannot be used, and list them, where otherwise the first is an error.
    json
        Print what was found as one JSON document.
    """
    require("matplotlib", extra="explain")
    if is_file_name(out):
        if out.exists():
            raise ConfigurationError(f"--out: {out} exists already; give a new file.")
        check_free(figures_of(out))
    else:
        check_free(out)
    command = _of_task(task_of(run), "explain")
    probe = command(run, data, **_skipping(command, skip_bad))
    explanation = look_into(probe, layer or None)
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


def task_of(run: Path) -> str:
    """Return the task of a run, or of a model that was saved from Python.

    Raises:
        ModelFileError: `run` holds neither, or a damaged one.
    """
    return (
        read_run(run).task if (run / FILE_NAME).exists() else load_description(run).get("task", "")
    )


def _skipping(command: Any, skip_bad: bool) -> dict[str, bool]:
    """Return what tells a task's `command` to leave bad rows out, if that is asked for."""
    if skip_bad and "skip_bad" not in signature(command).parameters:
        raise ConfigurationError(
            "--skip-bad is for lists of recordings, clips, sequences and texts; what this run "
            "reads has no rows that could be left out."
        )
    return {"skip_bad": True} if skip_bad else {}


def _second_file(command: Any, target: Path | None) -> dict[str, Path]:
    """Return what tells a task's `command` of a second file, if there is one."""
    if target is not None and "target" not in signature(command).parameters:
        raise ConfigurationError(
            "--target is for translations in two files; what this run reads is in one."
        )
    return {"target": target} if target else {}


def _of_task(task: str, command: str) -> Any:
    """Return what `command` does for `task`."""
    if task not in task_names():
        raise ModelFileError(
            f"This run is of the task {task!r}, which this version of gated does not know; it "
            f"knows {', '.join(task_names())}. Install a newer gated to use the run."
        )
    function = getattr(import_module(f"gated.cli.{task}"), command, None)
    if function is None:
        raise ConfigurationError(
            f"There is no `gated {command}` for a run of the task {task!r}; see `gated --help`."
        )
    return function
