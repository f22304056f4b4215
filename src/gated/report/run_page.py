"""The report of a training: sections that every task has, around those of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gated.configuration import Configuration
from gated.data.findings import Finding
from gated.report.drawing import style
from gated.report.findings import cleaning_section
from gated.report.page import Page, Section, Table, write_page
from gated.report.training import reproduction_section, training_section
from gated.training.history import History
from gated.training.options import TrainingOptions


class Trained(Protocol):
    """What this page reads of a trained learner."""

    config: Any
    training: TrainingOptions
    history: History
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a task adds to the page."""

    title: str
    sections: Sequence[Section]
    """Scores, pictures and examples; they come before the section on training."""
    techniques: Mapping[str, str]
    """Techniques of regularisation and the like inside the network, with their settings."""
    fact: str
    """The network in a line, for the foot of the page."""
    cleaned: str = ""
    """A sentence on what else was done to the data."""


class TaskPage(Protocol):
    """The module `page` of a task."""

    def body(self, learner: Any, evaluation: Any) -> Body:
        """Return the task's sections about a trained network and its scores."""

    def score_table(self, evaluation: Any) -> Table:
        """Return a table with a row for each method."""


def write_run_page(
    directory: Path, task: TaskPage, learner: Trained, evaluation: Any, *, command: str
) -> Path:
    """Write `report.html` and `figures/*.png` into `directory` and return the page's path."""
    config: Configuration = learner.config
    with style():
        body = task.body(learner, evaluation)
        sections = [
            *body.sections,
            training_section(learner.history, learner.training, body.techniques),
        ]
    sections += [
        cleaning_section(learner.findings, body.cleaned),
        reproduction_section(command, config, learner.training),
    ]
    page = Page(
        title=body.title,
        verdict=str(evaluation.verdict),
        good=evaluation.verdict.better,
        sections=sections,
        facts=[body.fact],
    )
    return write_page(directory, page)
