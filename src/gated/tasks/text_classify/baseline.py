"""The baseline: logistic regression on TF-IDF of words and letters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gated.data.single_labels import many_labels
from gated.errors import require
from gated.scoring.label_scores import Floats, Integers

WORDS = "words and letters, linear"
MOST_CHARACTERS = 20_000_000
"""Of the training texts, that it learns from at most: some minutes."""
STRENGTHS = (1.0, 10.0, 100.0)


def bag_of_words(
    training: tuple[Sequence[str], Integers],
    validation: tuple[Sequence[str], Integers],
    tested: Sequence[str],
    labels: int,
) -> Floats:
    """Return probabilities (N, C) by logistic regression on TF-IDF of words and letters.

    The features are single words and pairs, and 1 to 4 letters, which also work where no spaces
    separate words. The weight penalty is chosen on the validation texts.
    """
    text = require("sklearn.feature_extraction.text", extra="text")
    linear = require("sklearn.linear_model", extra="text")
    pipeline = require("sklearn.pipeline", extra="text")
    features = pipeline.make_union(
        text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        text.TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True),
    )
    known = features.fit_transform(training[0])
    with many_labels():
        models = [
            linear.LogisticRegression(C=strength, max_iter=500).fit(known, training[1])
            for strength in STRENGTHS
        ]
    best = models[1]
    if len(validation[0]):
        held = features.transform(validation[0])
        best = max(models, key=lambda model: model.score(held, validation[1]))
    predicted: Floats = np.zeros((len(tested), labels))
    predicted[:, best.classes_] = best.predict_proba(features.transform(tested))
    return predicted
