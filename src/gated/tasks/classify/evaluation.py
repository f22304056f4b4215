"""Scores of a learner beside the baselines, on sequences that it does not know."""

from __future__ import annotations

import numpy as np

from gated.scoring.label_scores import Evaluation, confusion_of, score_of
from gated.scoring.verdict import NOT_WANTED
from gated.tasks.classify.baselines import LINEAR, NEAREST, linear, nearest
from gated.tasks.classify.learner import SequenceClassifier, SequenceLearner, SequenceRegressor
from gated.tasks.classify.score import SEQUENCES, NumberEvaluation, number_score
from gated.tasks.classify.sequences import Floats, Sequences, Values, key_of

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
    others, left_out = _baselines(learner, known, asked, classes=True)
    told |= others
    told["most frequent class"] = np.tile(learner.frequencies_, (len(truth), 1))
    labels = tuple(str(label) for label in learner.classes_)
    return Evaluation(
        labels=labels,
        scores={name: score_of(of, truth) for name, of in told.items()},
        confusion=confusion_of(probabilities, truth, labels),
        scope=SEQUENCES,
        left_out=left_out,
        known=learner.seen_.count(map(key_of, asked.arrays)),
    )


def evaluate_numbers(
    learner: SequenceRegressor, known: Sequences | None, asked: Sequences
) -> NumberEvaluation:
    """Score a regressor on `asked`, beside baselines that learn from `known`, where it is given."""
    truth = learner.numbers_of(asked.values)
    told: dict[str, Floats] = {learner.cell.upper(): learner.predict(asked.arrays)}
    others, left_out = _baselines(learner, known, asked, classes=False)
    told |= others
    told["mean"] = np.full(len(truth), learner.target_mean_)
    return NumberEvaluation(
        scores={name: number_score(of, truth) for name, of in told.items()},
        truth=truth,
        told=told[learner.cell.upper()],
        errors={name: np.abs(of - truth) for name, of in told.items()},
        left_out=left_out,
        known=learner.seen_.count(map(key_of, asked.arrays)),
    )


def _baselines(
    learner: SequenceLearner, known: Sequences | None, asked: Sequences, *, classes: bool
) -> tuple[dict[str, Values], dict[str, str]]:
    """Return what the baselines predict, and why others do not."""
    if known is None:
        return {}, {}
    if learner.options.no_baseline:
        return {}, dict.fromkeys((NEAREST, LINEAR), NOT_WANTED)
    if isinstance(learner, SequenceClassifier):
        targets = learner.targets_of(known.values)
    else:
        assert isinstance(learner, SequenceRegressor)  # noqa: S101 - there are two kinds
        targets = learner.numbers_of(known.values)
    read, found, left_out = learner.preprocessing_, {}, {}
    near = nearest(read, known.arrays, targets, asked.arrays)
    if near is None:
        left_out[NEAREST] = (
            f"{len(asked):,} × {len(known):,} sequences of these lengths take too long"
        )
    else:
        found[NEAREST] = near
    found[LINEAR] = linear(read, known.arrays, targets, asked.arrays, classes=classes)
    return found, left_out


def evaluate_learner(learner: SequenceLearner, known: Sequences | None, asked: Sequences) -> Result:
    """Score a learner of either kind."""
    if isinstance(learner, SequenceClassifier):
        return evaluate_classes(learner, known, asked)
    assert isinstance(learner, SequenceRegressor)  # noqa: S101 - there are two kinds
    return evaluate_numbers(learner, known, asked)
