"""Scores of a learner beside the baselines, on sequences that it does not know."""

from __future__ import annotations

import numpy as np

from gated.scoring.label_scores import Evaluation, confusion_of, score_of
from gated.tasks.classify.baselines import LINEAR, NEAREST, linear, nearest
from gated.tasks.classify.learner import SequenceClassifier, SequenceLearner, SequenceRegressor
from gated.tasks.classify.score import NumberEvaluation, number_score
from gated.tasks.classify.sequences import Floats, Sequences

Result = Evaluation | NumberEvaluation


def evaluate_classes(
    learner: SequenceClassifier, known: Sequences | None, asked: Sequences
) -> Evaluation:
    """Score a classifier on `asked`, beside baselines that learn from `known`, where it is given.

    Raises:
        DataError: a label was not trained on.
    """
    truth = learner.targets_of(asked.values)
    probabilities = learner.predict_proba(asked.arrays)
    told: dict[str, np.ndarray] = {learner.cell.upper(): probabilities}
    if known is not None:
        codes, read = learner.targets_of(known.values), learner.preprocessing_
        found = nearest(read, known.arrays, codes, asked.arrays)
        if found is not None:
            told[NEAREST] = found
        told[LINEAR] = linear(read, known.arrays, codes, asked.arrays, classes=True)
    told["most frequent class"] = np.tile(learner.frequencies_, (len(truth), 1))
    labels = tuple(str(label) for label in learner.classes_)
    return Evaluation(
        labels=labels,
        scores={name: score_of(of, truth) for name, of in told.items()},
        confusion=confusion_of(probabilities, truth, labels),
        unit="sequences",
    )


def evaluate_numbers(
    learner: SequenceRegressor, known: Sequences | None, asked: Sequences
) -> NumberEvaluation:
    """Score a regressor on `asked`, beside baselines that learn from `known`, where it is given."""
    truth = learner.numbers_of(asked.values)
    told: dict[str, Floats] = {learner.cell.upper(): learner.predict(asked.arrays)}
    if known is not None:
        numbers, read = learner.numbers_of(known.values), learner.preprocessing_
        found = nearest(read, known.arrays, numbers, asked.arrays)
        if found is not None:
            told[NEAREST] = found
        told[LINEAR] = linear(read, known.arrays, numbers, asked.arrays, classes=False)
    told["mean"] = np.full(len(truth), learner.target_mean_)
    return NumberEvaluation(
        scores={name: number_score(of, truth) for name, of in told.items()},
        truth=truth,
        told=told[learner.cell.upper()],
    )


def evaluate_learner(learner: SequenceLearner, known: Sequences | None, asked: Sequences) -> Result:
    """Score a learner of either kind."""
    if isinstance(learner, SequenceClassifier):
        return evaluate_classes(learner, known, asked)
    assert isinstance(learner, SequenceRegressor)  # noqa: S101 - there are two kinds
    return evaluate_numbers(learner, known, asked)
