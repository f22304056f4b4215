"""Scores of a learner beside the baselines, on sequences that it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gated.scoring.label_scores import Evaluation, confusion_of, score_of
from gated.tasks.classify.baselines import LINEAR, NEAREST, linear, nearest
from gated.tasks.classify.score import NumberEvaluation, number_score
from gated.tasks.classify.sequences import Floats, Sequences

if TYPE_CHECKING:
    from gated.tasks.classify.learner import ClassLearner, NumberLearner


def evaluate_classes(
    learner: ClassLearner, known: Sequences | None, asked: Sequences
) -> Evaluation:
    """Score a classifier on `asked`, beside baselines that learn from `known`, where it is given.

    Raises:
        DataError: a label was not trained on.
    """
    truth = learner.targets.learnt(asked.values)
    probabilities = learner.probabilities(asked.arrays)
    told: dict[str, np.ndarray] = {learner.name: probabilities}
    if known is not None:
        codes, read = learner.targets.learnt(known.values), learner.preprocessing
        found = nearest(read, known.arrays, codes, asked.arrays)
        if found is not None:
            told[NEAREST] = found
        told[LINEAR] = linear(read, known.arrays, codes, asked.arrays, classes=True)
    told["most frequent class"] = np.tile(learner.targets.frequencies, (len(truth), 1))
    labels = learner.targets.names
    return Evaluation(
        labels=labels,
        scores={name: score_of(of, truth) for name, of in told.items()},
        confusion=confusion_of(probabilities, truth, labels),
        unit="sequences",
    )


def evaluate_numbers(
    learner: NumberLearner, known: Sequences | None, asked: Sequences
) -> NumberEvaluation:
    """Score a regressor on `asked`, beside baselines that learn from `known`, where it is given."""
    truth = learner.targets.numbers(asked.values)
    told: dict[str, Floats] = {learner.name: learner.numbers(asked.arrays)}
    if known is not None:
        numbers, read = learner.targets.numbers(known.values), learner.preprocessing
        found = nearest(read, known.arrays, numbers, asked.arrays)
        if found is not None:
            told[NEAREST] = found
        told[LINEAR] = linear(read, known.arrays, numbers, asked.arrays, classes=False)
    told["mean"] = np.full(len(truth), learner.targets.mean)
    return NumberEvaluation(
        scores={name: number_score(of, truth) for name, of in told.items()},
        truth=truth,
        told=told[learner.name],
    )
