"""What a training came to, told in the same way for every task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console

from gated.cli.output import print_json, stdout_console
from gated.cli.training_bar import told, training_summary
from gated.training.findings import Finding
from gated.training.history import History
from gated.training.manifest import LEFT_OUT


class Scored(Protocol):
    """The scores of a task."""

    def to_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""


Scores = TypeVar("Scores", bound=Scored)


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
