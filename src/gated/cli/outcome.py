"""What a training came to, told in the same way for every task."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl
from rich.console import Console

from gated.cli.output import print_json, stdout_console
from gated.cli.training_bar import told, training_summary
from gated.data.findings import Finding
from gated.data.manifest import LEFT_OUT
from gated.training.history import History
from gated.training.model_files import write_atomically


class Scored(Protocol):
    """The scores of a task."""

    def to_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""


class Configured(Protocol):
    """A trained model, whose configuration says whether bad rows are left out."""

    config: Any


Scores = TypeVar("Scores", bound=Scored)
Reader = TypeVar("Reader", bound=Configured)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What there is to tell beside the scores."""

    run: Path
    report: Path
    parameters: int
    history: History
    findings: Sequence[Finding]


def tell_left_out(findings: Sequence[Finding]) -> None:
    """List, on standard error, the rows that were left out."""
    console = Console(stderr=True, soft_wrap=True)
    for finding in findings:
        if finding.kind == LEFT_OUT:
            console.print(f"· {finding}", style="dim", markup=False, highlight=False)


def lenient(model: Reader, skip_bad: bool) -> Reader:
    """Let a trained model leave out rows that cannot be used, if that is asked for."""
    if skip_bad:
        model.config = replace(model.config, skip_bad=True)
    return model


def give_table(table: pl.DataFrame, out: Path | None, *, json: bool) -> None:
    """Write what was predicted into a new file, or print it."""
    if out is not None:
        write_atomically(out, table.write_csv().encode())
    elif json:
        print_json(table.to_dicts())
    else:
        sys.stdout.write(table.write_csv(float_precision=4))


def tell(
    outcome: Outcome, scores: Scores, print_scores: Callable[[Scores], None], *, json: bool
) -> None:
    """Print scores and outcome, for people or as one JSON document."""
    if json:
        print_json(
            scores.to_dict()
            | {
                "run": str(outcome.run),
                "report": str(outcome.report),
                "parameters": outcome.parameters,
                "training": training_summary(outcome.history),
                "findings": [finding.to_dict() for finding in outcome.findings],
            }
        )
        return
    console = stdout_console()
    for finding in outcome.findings:
        console.print(f"· {finding}", style="dim", markup=False)
    print_scores(scores)
    console.print(f"Trained {outcome.parameters:,} parameters: {told(outcome.history)}.")
    console.print(f"Report: {outcome.report}", markup=False)
