"""The report of a text classifier: accuracy, and its most confident mistakes."""

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
    """Describe the accuracy, with examples."""
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
                    Text("How often each label was predicted (columns) for each true one (rows):"),
                    confusion_table(evaluation),
                ],
            ),
            Section(
                "Texts",
                [
                    Text(
                        "Test texts drawn by the seed, and wrong predictions with the highest "
                        "probability."
                    ),
                    shown_texts(classifier),
                ],
            ),
        ],
        techniques={"dropout": f"{config.dropout:g}"} | _linear_part(classifier),
        fact=f"{config.cell.upper()}, {config.layers} layer(s) of {config.hidden} units, "
        f"{classifier.parameters:,} parameters; reads {config.unit}s",
    )


def _linear_part(classifier: TextClassifier) -> dict[str, str]:
    """Say what the linear part reads, and by how much the network corrects it."""
    if classifier.linear is None:
        return {}
    return {
        "linear part": f"{len(classifier.linear):,} words and runs of letters; the network's "
        f"corrections of its scores count by {classifier.trust:.0%}, as the validation part says"
    }


def shown_texts(classifier: TextClassifier) -> Table:
    """Test texts, the expected and the predicted label, and its probability."""
    part = classifier.parts.test
    probabilities = classifier.predict_proba(part.texts)
    best, highest = probabilities.argmax(1), probabilities.max(1)
    random = np.random.default_rng(classifier.training.seed)
    drawn = random.permutation(len(part))[:SHOWN]
    wrong = np.flatnonzero(best != part.truth)
    most_probable = wrong[np.argsort(-highest[wrong], kind="stable")][:SHOWN]
    rows = [
        (
            classifier.labels[part.truth[place]],
            classifier.labels[best[place]],
            f"{highest[place]:.0%}",
            _short(part.texts[place]),
        )
        for place in dict.fromkeys([*drawn.tolist(), *most_probable.tolist()])
    ]
    return Table(("expected", "predicted", "probability", "text"), rows, prose=True)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
