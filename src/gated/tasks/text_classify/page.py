"""The report of a text classifier: how often it is right, and where it is surest and wrong."""

from __future__ import annotations

import numpy as np

from gated.report.labels import confusion_table, score_table
from gated.report.page import Section, Table, Text
from gated.report.run_page import Body
from gated.scoring.label_scores import Evaluation
from gated.tasks.text_classify.classifier import TextClassifier

SHOWN = 8
"""Texts that are shown."""
LETTERS = 160
"""Of each."""


def body(classifier: TextClassifier, evaluation: Evaluation) -> Body:
    """Describe how often it is right, with some texts."""
    config, parts = classifier.config, classifier.parts
    source = classifier.training.init_from
    begun = f" It began with the weights of {source}." if source else ""
    return Body(
        title=f"Texts: {', '.join(classifier.labels)}",
        sections=[
            Section(
                "Scores",
                [
                    Text(
                        f"Trained on {len(parts.training):,} texts, scored on "
                        f"{len(parts.test):,} others.{begun} The linear method is a logistic "
                        "regression of which words, pairs of words and 1 to 4 letters occur. The "
                        "interval counts texts of the same wording as alike as they are."
                    ),
                    score_table(evaluation),
                    Text("How often each label was told (columns) where another is true (rows):"),
                    confusion_table(evaluation),
                ],
            ),
            Section(
                "Texts",
                [
                    Text(
                        "Test texts that were drawn by the seed, and those it was surest of and "
                        "yet wrong."
                    ),
                    told_texts(classifier),
                ],
            ),
        ],
        techniques={"dropout": f"{config.dropout:g}"},
        fact=f"{config.cell.upper()}, {config.layers} layer(s) of {config.hidden} units, "
        f"{classifier.parameters:,} values; reads {config.unit}s",
    )


def told_texts(classifier: TextClassifier) -> Table:
    """Test texts, what was told of them and how surely."""
    part = classifier.parts.test
    told = classifier.predict_proba(part.texts)
    best, surely = told.argmax(1), told.max(1)
    random = np.random.default_rng(classifier.training.seed)
    drawn = random.permutation(len(part))[:SHOWN]
    wrong = np.flatnonzero(best != part.truth)
    surest = wrong[np.argsort(-surely[wrong], kind="stable")][:SHOWN]
    rows = [
        (
            classifier.labels[part.truth[place]],
            classifier.labels[best[place]],
            f"{surely[place]:.0%}",
            _short(part.texts[place]),
        )
        for place in dict.fromkeys([*drawn.tolist(), *surest.tolist()])
    ]
    return Table(("is", "told", "surely", "text"), rows, prose=True)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
