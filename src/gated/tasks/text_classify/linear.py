"""The linear part of a text classifier: labels scored by which words and letters a text holds.

The network corrects these scores. While it trains, each text is scored by a linear model that was
fitted without it (out-of-fold), so that the network sees mistakes as they are on new texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gated.core.text_features import View, letters_in, scores, words_in
from gated.data.split_by_text import bare
from gated.errors import require
from gated.live.program import Writer
from gated.live.reading import BETWEEN
from gated.scoring.label_scores import Floats, Integers

STRENGTHS = (0.3, 1.0, 3.0)
"""Candidates of C, the inverse of the weight penalty; the first where nothing is held out."""
SCALES = np.geomspace(0.25, 16, 25)
"""Candidates of what turns margins into logits."""
FOLDS = 4
FEWEST_TEXTS = 2
"""Texts in which a word, or a run of letters, has to occur."""
MOST_CHARACTERS = 10_000_000
"""Of the training texts, that it learns from at most."""
MOST_WEIGHTS = 60_000_000
"""Features times labels, at most; what is rarest is left out."""
Weights = NDArray[np.float32]


class LinearText:
    """Scores labels by TF-IDF of words, pairs and triples, and of 1 to 5 letters.

    The letters are with case and the ends of the text; the scores are those of support vector
    machines, one for each label, times a scale at which they are logits.

    Args:
        words: features of words, the first rows of `weights`.
        letters: features of letters, the rest.
        idf: (F,), the inverse document frequency of each feature.
        weights: (F, C).
        bias: (C,).

    Raises:
        ValueError: the sizes do not fit together, or a feature is there twice.
    """

    def __init__(
        self,
        words: Sequence[str],
        letters: Sequence[str],
        idf: Weights,
        weights: Weights,
        bias: Weights,
    ) -> None:
        count = len(words) + len(letters)
        if idf.shape != (count,) or weights.shape != (count, *bias.shape) or bias.ndim != 1:
            raise ValueError(
                f"{count} features with frequencies {idf.shape}, weights {weights.shape} and "
                f"bias {bias.shape}"
            )
        self.words, self.letters = list(words), list(letters)
        self.idf, self.weights, self.bias = idf, weights, bias
        if any(len(set(of)) < len(of) for of in (words, letters)):
            raise ValueError("a feature is there twice")
        self._views = [
            View(words_in, words, idf[: len(words)]),
            View(letters_in, letters, idf[len(words) :]),
        ]

    def __len__(self) -> int:
        """Return F, the number of features."""
        return len(self.idf)

    def scores(self, texts: Sequence[str]) -> Weights:
        """Return (N, C), the logits of each label for each text."""
        found = [scores(self._views, self.weights, self.bias, text) for text in texts]
        return np.stack(found) if found else np.zeros((0, len(self.bias)), np.float32)

    def write(self, writer: Writer, file: str) -> str:
        """Write this as a layer of a program that reads a text; return its name.

        `file` is what the names of its arrays begin with.
        """
        names = {"features": "features", "idf": "idf", "weight": "weights", "bias": "bias"}
        arrays = {option: f"{file}{name}" for option, name in names.items()}
        return writer.add("word_scores", writer.input, words=len(self.words), **arrays)

    def to_bytes(self) -> bytes:
        """Return the content of a file for `from_bytes`."""
        safetensors = require("safetensors.numpy", extra="train")
        names = BETWEEN.join((*self.words, *self.letters)).encode()
        saved: bytes = safetensors.save(
            {
                "features": np.frombuffer(names, np.uint8),
                "words": np.array(len(self.words)),
                "idf": self.idf,
                "weights": self.weights.astype(np.float16),
                "bias": self.bias,
            }
        )
        return saved

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` returned.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit together.
        """
        safetensors = require("safetensors.numpy", extra="train")
        arrays = safetensors.load(data)
        names = arrays["features"].tobytes().decode()
        features, count = names.split(BETWEEN) if names else [], int(arrays["words"])
        weights = arrays["weights"].astype(np.float32)
        if not (np.isfinite(weights).all() and len(set(features[:count])) == count):
            raise ValueError("the weights or the features of the linear part are no such ones")
        return cls(features[:count], features[count:], arrays["idf"], weights, arrays["bias"])


class Fitted(NamedTuple):
    """A linear model, and what it would have said of its own training texts."""

    model: LinearText
    unseen: Weights
    """(N, C), the logits of each training text by a model that was fitted without it."""


def fit_linear(
    training: tuple[Sequence[str], Integers],
    validation: tuple[Sequence[str], Integers],
    importance: Floats,
    seed: int,
) -> Fitted:
    """Fit the linear model.

    Args:
        training: texts and the index of the label of each.
        validation: those that choose the weight penalty; none may be there.
        importance: (C,), what each label weighs.
        seed: of which texts are left out together.
    """
    texts, targets = training
    every = max(1, -(-sum(map(len, texts)) // MOST_CHARACTERS))
    some = np.arange(0, len(texts), every)
    learnt, labels = targets[some], len(importance)
    views = [view.set_params(max_features=max(1, MOST_WEIGHTS // labels // 2)) for view in _views()]
    kept, known = [], []
    for view in views:
        with _quiet():
            try:
                known.append(view.fit_transform([_clean(texts[row]) for row in some.tolist()]))
            except ValueError:  # no feature occurs in enough of the texts
                continue
        kept.append(view)
    words, letters = (
        view.get_feature_names_out().tolist() if view in kept else list[str]() for view in views
    )
    idf = np.concatenate([np.zeros(0), *(view.idf_ for view in kept)]).astype(np.float32)
    nothing = np.zeros((len(idf), labels), np.float32), np.zeros(labels, np.float32)
    if not known:
        model = LinearText(words, letters, idf, *nothing)
        return Fitted(model, model.scores(texts))
    features = _side_by_side(known)

    def separated(rows: Integers, strength: float) -> tuple[Weights, Weights]:
        return _separators(features[rows], learnt[rows], strength, importance)

    everything = np.arange(len(some))
    held, truth = validation
    best, strength, most = None, STRENGTHS[0], -1.0
    for candidate in STRENGTHS if len(held) else STRENGTHS[:1]:
        model = LinearText(words, letters, idf, *separated(everything, candidate))
        right = float((model.scores(held).argmax(1) == truth).mean()) if len(held) else 0.0
        if right > most:
            best, strength, most = model, candidate, right
    assert best is not None  # noqa: S101 - the first is better than none
    unseen = best.scores(texts)
    fold = _folds([texts[row] for row in some.tolist()], learnt, seed)
    for left_out in range(FOLDS):
        weights, bias = separated(np.flatnonzero(fold != left_out), strength)
        out = fold == left_out
        unseen[some[out]] = features[out] @ weights + bias
    scale = _scale(unseen[some], learnt, importance)
    weights = (best.weights * scale).astype(np.float16).astype(np.float32)
    model = LinearText(words, letters, idf, weights, best.bias * scale)
    return Fitted(model, unseen * scale)


def _views() -> tuple[Any, Any]:
    """Return what counts words, and what counts letters, neither fitted."""
    text = require("sklearn.feature_extraction.text", extra="text")
    shared = {"min_df": FEWEST_TEXTS, "sublinear_tf": True, "dtype": np.float32}
    words, letters = (text.TfidfVectorizer(analyzer=of, **shared) for of in (words_in, letters_in))
    return words, letters


def _clean(text: str) -> str:
    """Leave out what stands between features in the file."""
    return text.replace(BETWEEN, " ")


def _side_by_side(features: Sequence[Any]) -> Any:
    return require("scipy.sparse", extra="train").hstack(features, "csr")


def _separators(
    features: Any, targets: Integers, strength: float, importance: Floats
) -> tuple[Weights, Weights]:
    """Return (F, C) and (C,): of each label the plane between its texts and all others.

    A label without texts is no text's: its score is -1, as the others' is where they are not.
    """
    there = np.unique(targets)
    weights = np.zeros((features.shape[1], len(importance)), np.float32)
    bias = np.full(len(importance), -1.0, np.float32)
    if len(there) < 2:
        bias[there] = 1
        return weights, bias
    svm = require("sklearn.svm", extra="text")
    weighing = dict(enumerate(importance.tolist()))
    machine = svm.LinearSVC(
        C=strength, dual=True, tol=1e-2, max_iter=100, class_weight=weighing, random_state=0
    )
    with _quiet():
        machine.fit(features, targets)
    planes, intercepts = machine.coef_, machine.intercept_
    if len(there) == 2:  # one plane between them
        planes, intercepts = np.concatenate([-planes, planes]), np.append(-intercepts, intercepts)
    weights[:, there], bias[there] = planes.T, intercepts
    return weights, bias


def _folds(texts: Sequence[str], targets: Integers, seed: int) -> Integers:
    """Return (N,), in which fold each text is left out.

    Texts of the same letters are left out together, and labels are spread evenly.
    """
    _, first, group = np.unique(
        np.array([bare(text) for text in texts]), return_index=True, return_inverse=True
    )
    drawn = np.random.default_rng(seed).random(len(first))
    order = np.lexsort((drawn, targets[first]))
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[group]


def _scale(scores: Weights, targets: Integers, importance: Floats) -> float:
    """Return what to multiply scores by, so that their softmax is the likeliest."""
    rows, weighs = np.arange(len(targets)), importance[targets]
    below = (scores - scores[rows, targets][:, None]).astype(np.float64)

    def loss(scale: float) -> float:
        highest = below.max(1, keepdims=True)
        sums = np.exp(scale * (below - highest)).sum(1)
        return float((weighs * (scale * highest[:, 0] + np.log(sums))).sum())

    return float(min(SCALES, key=loss))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence that a solver stopped before its last digits, and that there are many labels."""
    exceptions = require("sklearn.exceptions", extra="text")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield
