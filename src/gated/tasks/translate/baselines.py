"""The baseline: translations without a network."""

from __future__ import annotations

from collections.abc import Sequence

from gated.errors import require
from gated.tasks.translate.pairs import Pair

AT_ONCE = 256
MOST_COMPARED = 2_000_000_000
"""Pairs of a sentence and a training sentence that are compared at most: some minutes."""
COPY = "source copied"
NEAREST = "nearest training sentence"


def nearest(training: Sequence[Pair], sources: Sequence[str]) -> list[str]:
    """Return for each sentence the translation of the most similar training sentence.

    A translation memory: similarity is the cosine of character n-grams of 2 to 4 letters within
    words, weighted by TF-IDF.
    """
    text = require("sklearn.feature_extraction.text", extra="text")
    weigh = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    known = weigh.fit_transform([pair.source for pair in training]).T.tocsr()
    found: list[str] = []
    for start in range(0, len(sources), AT_ONCE):
        alike = weigh.transform(sources[start : start + AT_ONCE]) @ known
        found += [training[int(place)].target for place in alike.argmax(axis=1).A1]
    return found
