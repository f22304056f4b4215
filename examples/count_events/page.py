"""The report: its table of scores, and what stands around it."""

import numpy as np

from count_events.learner import CountScore, EventCounter
from gated.report.page import Section, Table, Text
from gated.report.run_page import Body


def score_table(evaluation: CountScore) -> Table:
    """A row for each method."""
    rows = [(name, f"{of['MAE']:.3g}") for name, of in evaluation.figures.items()]
    best = int(np.argmin([of["MAE"] for of in evaluation.figures.values()]))
    return Table(("", "MAE"), rows, [best])


def body(learner: EventCounter, evaluation: CountScore) -> Body:
    """Say how far the counts are from the true ones."""
    trained = Text(f"Trained on {len(learner.parts.training):,} streams, scored on others.")
    return Body(
        title="Counting events",
        sections=[Section("Scores", [trained, score_table(evaluation)])],
        techniques={},
        fact=f"{learner.name} of {learner.config.hidden} units, {learner.parameters:,} parameters",
    )
