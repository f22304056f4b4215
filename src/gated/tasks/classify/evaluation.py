"""Scores of a learner beside the baselines, on sequences that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gated.phases import phase
from gated.scoring.label_scores import Evaluation, confusion_of, score_of
from gated.scoring.verdict import NOT_WANTED
from gated.tasks.classify.baselines import LINEAR, NEAREST, linear, nearest
from gated.tasks.classify.score import SEQUENCES, NumberEvaluation
from gated.tasks.classify.sequences import Floats, Sequences, Values, key_of
from gated.tasks.classify.targets import Numbers

if TYPE_CHECKING:
    from gated.tasks.classify.learner import ClassLearner, NumberLearner


def evaluate_classes(
    learner: ClassLearner, known: Sequences | None, tested: Sequences
) -> Evaluation:
    """Score a classifier on `tested`, beside baselines fitted on `known`, if that is given.

    Raises:
        DataError: a label is not in the training data.
    """
    truth = learner.targets.learnt(tested.values)
    probabilities = learner.probabilities(tested.arrays)
    predicted: dict[str, np.ndarray] = {learner.name: probabilities}
    others, left_out = _baselines(learner, known, tested, classes=True)
    predicted |= others
    predicted["most frequent class"] = np.tile(learner.targets.frequencies, (len(truth), 1))
    labels, clusters = learner.targets.names, _clusters(tested)
    return Evaluation(
        labels=labels,
        scores={name: score_of(of, truth, clusters) for name, of in predicted.items()},
        confusion=confusion_of(probabilities, truth, labels),
        scope=SEQUENCES,
        left_out=left_out,
        known=learner.seen.count(map(key_of, tested.arrays)),
    )


def evaluate_numbers(
    learner: NumberLearner, known: Sequences | None, tested: Sequences
) -> NumberEvaluation:
    """Score a regressor on `tested`, beside baselines fitted on `known`, if that is given."""
    targets = learner.targets
    predicted: dict[str, Floats] = {learner.name: learner.numbers(tested.arrays)}
    others, left_out = _baselines(learner, known, tested, classes=False)
    predicted |= others
    predicted["mean"] = np.tile(targets.mean, (len(tested), 1))
    return NumberEvaluation(
        targets=targets.names,
        scales=targets.scales,
        truth=targets.numbers(tested.values),
        predicted=predicted,
        left_out=left_out,
        clusters=_clusters(tested),
        known=learner.seen.count(map(key_of, tested.arrays)),
    )


def _clusters(tested: Sequences) -> Values | None:
    """(N,), equal for sequences that belong together; None where each stands alone."""
    return tested.clusters if len(tested.clusters) else None


def _baselines(
    learner: ClassLearner | NumberLearner,
    known: Sequences | None,
    tested: Sequences,
    *,
    classes: bool,
) -> tuple[dict[str, Values], dict[str, str]]:
    """Return what the baselines predict, and why others do not."""
    if known is None:
        return {}, {}
    if learner.training.no_baseline:
        return {}, dict.fromkeys((NEAREST, LINEAR), NOT_WANTED)
    of = learner.targets
    targets = of.numbers(known.values) if isinstance(of, Numbers) else of.learnt(known.values)
    read, found, left_out = learner.preprocessing, {}, {}
    with phase(f"Baseline: {NEAREST}"):
        near = nearest(read, known.arrays, targets, tested.arrays)
    if near is None:
        left_out[NEAREST] = (
            f"{len(tested):,} × {len(known):,} sequences of these lengths take too long"
        )
    else:
        found[NEAREST] = near
    with phase(f"Baseline: {LINEAR}"):
        found[LINEAR] = linear(
            read,
            known.arrays,
            targets,
            tested.arrays,
            classes=classes,
            clusters=_clusters(known),
        )
    return found, left_out
