"""Tables of label scores, for every task that predicts labels."""

from __future__ import annotations

from gated.report.page import Table
from gated.scoring.label_scores import Evaluation, Score


def score_table(evaluation: Evaluation) -> Table:
    """Return a table with a row for each method."""
    rows = []
    for name, score in evaluation.scores.items():
        low, high = score.interval
        rows.append(
            (
                name,
                f"{score.accuracy:.1%}",
                f"{low:.1%} – {high:.1%}",
                f"{score.balanced:.1%}",
                "–" if score.loss is None else f"{score.loss:.3f}",
            )
        )
    header = ("", "accuracy", "95 % interval", "balanced", "cross-entropy")
    scores = list(evaluation.scores.values())
    best = [
        max(range(len(scores)), key=lambda k: scores[k].accuracy),
        None,
        max(range(len(scores)), key=lambda k: scores[k].balanced),
        min(range(len(scores)), key=lambda k: _loss(scores[k])),
    ]
    return Table(header, rows, best)


def _loss(score: Score) -> float:
    return float("inf") if score.loss is None else score.loss


def confusion_table(evaluation: Evaluation) -> Table:
    """Return the confusion matrix: expected labels in rows, predicted labels in columns."""
    rows = [
        (label, *(str(count) for count in counts))
        for label, counts in zip(evaluation.labels, evaluation.confusion.tolist(), strict=True)
    ]
    return Table(("expected", *evaluation.labels), rows)
