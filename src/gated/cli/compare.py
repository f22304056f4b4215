"""`gated compare TASK`, which gets its options from the configuration of each task."""

import shlex
import sys
from collections.abc import Callable
from inspect import Parameter as Argument
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gated.cli.fit import described, files_of
from gated.cli.outcome import tell_of_many
from gated.cli.output import to_json
from gated.cli.run_directory import claimed, source_of
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import require
from gated.files import write_atomically
from gated.tasks import LEARNERS, learner_of
from gated.tasks.comparison import cells_of
from gated.tasks.comparison import compare as run_comparison
from gated.tasks.comparison_page import comparison_table, write_comparison_report
from gated.training.processes import is_main_process


def compare(task: str) -> Callable[..., None]:
    """Return the command that trains each cell for a task with the same budget."""
    kind = learner_of(task)

    def command(data: Any = (), *, out: Path, config: Any = None, training: Any = None,
                cells: tuple[str, ...] = (), seeds: tuple[int, ...] = (0, 1, 2),
                json: bool = False) -> None:  # fmt: skip
        require("matplotlib", extra="explain")  # before the training, not after it
        files = files_of(kind, data)
        with claimed(out):
            with training_bars() as bars:
                comparison = run_comparison(
                    kind,
                    source_of(files),
                    config,
                    training,
                    cells=cells,
                    seeds=seeds,
                    progress=lambda cell, seed: TrainingBar(bars, f"{cell.upper()}, seed {seed}"),
                )
            if not is_main_process():
                return
            command_line = shlex.join(["gated", *sys.argv[1:]])
            report = write_comparison_report(out, comparison, command=command_line)
            write_atomically(out / "comparison.json", to_json(comparison.document).encode())
        table = comparison_table(comparison)
        # A column for each method: so it fits a terminal.
        header, *rows = zip(table.header, *table.rows, strict=True)
        title = f"Mean ± spread over {len(seeds)} seed{'s' * (len(seeds) != 1)}"
        tell_of_many(comparison.document, title, header, rows, report, json=json)

    known = cells_of(kind)
    options = {
        "cells": (tuple[str, ...], known, f"Which cells: {', '.join(known)}."),
        "seeds": (tuple[int, ...], (0, 1, 2), "Each cell is trained once with each."),
    }
    more = {
        name: Argument(
            name,
            Argument.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[hint, Parameter(help=text)],
        )
        for name, (hint, default, text) in options.items()
    }
    return described(command, kind, more)


def __getattr__(name: str) -> Callable[..., None]:
    """Make the command of a task when it is called: only then is the task imported."""
    if name not in LEARNERS:
        raise AttributeError(name)
    return compare(name)
