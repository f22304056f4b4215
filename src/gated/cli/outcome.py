"""The outcome of a training, shown in the same way for every task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from gated.cli.failures import NothingPredictedError
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.training_bar import in_words, training_summary
from gated.configuration import json_values
from gated.data.predictions import REASON, to_csv
from gated.files import write_atomically
from gated.tasks.learner import Learner, Scored, document


def page_of(learner: Learner[Any, Any, Any]) -> Any:
    """Return the module `page` of a learner's task, a `gated.report.run_page.TaskPage`."""
    return import_module(type(learner).__module__.rpartition(".")[0] + ".page")


def write_predictions(table: pl.DataFrame, out: Path | None, *, json: bool) -> None:
    """Write a table of predictions to a new file, or print it."""
    if out is not None:
        write_atomically(out, to_csv(table).encode())
    elif json:
        print_json(table.to_dicts())
    else:
        sys.stdout.write(to_csv(table))


def give_predictions(
    learner: Learner[Any, Any, Any], table: pl.DataFrame, out: Path | None, *, json: bool
) -> None:
    """Write the predictions to a new file, or print them.

    Raises:
        NothingPredictedError: raised after writing, if no row of the input could be used.
    """
    write_predictions(table, out, json=json)
    left_out = learner.left_out or []
    if left_out and len(left_out) == len(table):
        raise NothingPredictedError(
            f"None of the {len(table):,} rows could be used, so nothing is predicted; the column "
            f"{REASON!r} of the output says why. The first: {left_out[0]}"
        )


def print_scores(learner: Learner[Any, Any, Any], evaluation: Scored) -> None:
    """Print the verdict, the table of scores, and what else the task has to say."""
    console, page = stdout_console(), page_of(learner)
    console.print(f"\n{evaluation.verdict}\n", style="bold", markup=False)
    if not evaluation.verdict.examples:
        return  # a table without a figure
    table = page.score_table(evaluation)
    own = next((place for place, row in enumerate(table.rows) if row[0] == learner.name), None)
    print_table(f"Scores over {learner.counted}", table.header, table.rows, best=own)
    for note in getattr(page, "notes", lambda _: ())(evaluation):
        console.print(note, style="dim", markup=False)


def tell(
    learner: Learner[Any, Any, Any], evaluation: Scored, report: Path, *, run: Path, json: bool
) -> None:
    """Print scores and outcome, for people or as one JSON document."""
    if json:
        print_json(
            document(evaluation)
            | {
                "run": str(run),
                "report": str(report),
                "parameters": learner.parameters,
                "training": training_summary(learner.history),
                "findings": json_values(learner.findings),
            }
        )
        return
    console = stdout_console()
    for finding in learner.findings:
        console.print(f"· {finding}", style="dim", markup=False)
    print_scores(learner, evaluation)
    console.print(f"Trained {learner.parameters:,} parameters: {in_words(learner.history)}.")
    console.print(f"Report: {report}", markup=False)


def tell_of_many(
    document: dict[str, Any],
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    report: Path,
    *,
    json: bool,
) -> None:
    """Print the result of several trainings: verdict and table, or one JSON document."""
    if json:
        print_json(document | {"report": str(report)})
        return
    stdout_console().print(f"\n{document['verdict']}\n", style="bold", markup=False)
    print_table(title, header, rows)
    stdout_console().print(f"Report: {report}", markup=False)
