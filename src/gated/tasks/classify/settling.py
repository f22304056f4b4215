"""What is fitted after the training: the readers of fixed features, and what each part counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from gated.data.findings import Finding
from gated.errors import option
from gated.phases import phase
from gated.tasks.classify.fixed_features import FixedFeatures
from gated.tasks.classify.mixture import Weighing
from gated.tasks.classify.network import single_steps
from gated.tasks.classify.ridge import Ridge, expected_outputs, ridge
from gated.tasks.classify.sequences import Floats, Values
from gated.tasks.classify.task import answers_of
from gated.training.history import History

if TYPE_CHECKING:
    from gated.tasks.classify.learner import SequenceLearner

UNKNOWN_TRUST = 0.5
"""Share of the networks where no sequence can say how good they are."""

NOTHING = 0.95
"""Share of the loss without any input that a network which has learnt something is below."""


def nothing_learnt(history: History, guess: float, of: str) -> tuple[Finding, ...]:
    """Return a finding where the training loss ended at that of a guess without any input.

    Args:
        history: of the training.
        guess: the loss of such a guess; 0 where it is right.
        of: what that is, in words.
    """
    last = history.loss[-max(1, len(history.loss) // 10) :]
    if not guess or np.mean(last) < NOTHING * guess:
        return ()
    return (
        Finding(
            kind="nothing learnt",
            count=1,
            what=f"the network has learnt nothing from the sequences: its training loss ended at "
            f"{np.mean(last):.3g}, where {of} is {guess:.3g}",
            action=f"try {option('steps', 4 * len(history.loss))}, a "
            f"{option('learning_rate')} some times lower or higher, another {option('patch')}, "
            "or more sequences",
        ),
    )


def settle(learner: SequenceLearner[Any], folds: Values) -> None:
    """Fit what reads the fixed features, and choose how much the networks count beside it.

    Ridge regressions on both kinds of features are judged by what each predicts for a sequence, or
    cluster of them, that is left out; the networks by the sequences that they have not learnt from.

    Args:
        learner: after its training.
        folds: (N,), which network has not learnt from a training sequence.
    """
    network, read = learner.network, learner.preprocessing
    fixed = cast(FixedFeatures, network.fixed)
    training, held = learner.parts.training, learner.parts.validation
    known = training.and_also(held)
    targets = learner.targets.learnt(known.values)
    weights = learner.weights_of(known)
    clusters = known.clusters if len(known.clusters) else None
    weighing = Weighing(targets, weights, clusters)
    with phase("Fixed features"):
        arrays = [read.read(array) for array in training.arrays]
        single = [array.reshape(len(array) * network.patch, -1) for array in arrays]
        fixed.kernels.fit(single, learner.seed)

        def features(steps: Tensor, lengths: Tensor) -> Tensor:
            return fixed.features(*single_steps(steps, lengths, network.patch))

        found = answers_of(network, read, known.arrays, features).double().numpy()
        kinds = np.split(found, [fixed.kernels.count], axis=1)
        expected = expected_outputs(targets, network.outputs)
        groups = learner.targets.groups
        ridges = [
            ridge(kind, expected, weights, groups=groups, clusters=clusters) for kind in kinds
        ]
    factors = [weighing.factor(of.left_out) for of in ridges]
    left_out = [factor * of.left_out for factor, of in zip(factors, ridges, strict=True)]
    share = np.zeros(network.outputs)
    for group in groups:
        first, second = (of[:, group] for of in left_out)
        share[group] = weighing.of(group).share(first, second)
    shares = [(1 - share) * factors[0], share * factors[1]]
    _write(fixed, ridges, shares)
    rows, answers = _unseen(learner, folds)
    if not len(rows):
        network.trust.fill_(UNKNOWN_TRUST)
        return
    judged = weighing.take(rows)
    sharpness = judged.factor(answers)
    together = (1 - share) * left_out[0][rows] + share * left_out[1][rows]
    network.sharpness.fill_(sharpness)
    network.trust.fill_(judged.share(together, sharpness * answers))


def _write(fixed: FixedFeatures, ridges: list[Ridge], shares: list[Floats]) -> None:
    weights = np.concatenate([of.weights * share for of, share in zip(ridges, shares, strict=True)])
    offset = np.sum([of.offset * share for of, share in zip(ridges, shares, strict=True)], axis=0)
    fixed.weight.copy_(torch.from_numpy(weights.T))
    fixed.bias.copy_(torch.from_numpy(offset))


def _unseen(learner: SequenceLearner[Any], folds: Values) -> tuple[Values, Floats]:
    """Return sequences that a network has not learnt from, and its outputs for them.

    They are places among the training sequences, followed by those of the validation part.
    """
    network, read, parts = learner.network, learner.preprocessing, learner.parts
    if len(parts.validation):
        answers = answers_of(network, read, parts.validation.arrays, network.of_networks)
        return len(folds) + np.arange(len(answers)), answers.double().numpy()
    rows, found = [], []
    for place, member in enumerate(network.members):
        unseen = np.flatnonzero(folds == place)
        if len(unseen):
            arrays = [parts.training.arrays[row] for row in unseen]
            rows.append(unseen)
            found.append(answers_of(network, read, arrays, member).double().numpy())
    if not rows:
        return np.zeros(0, np.int64), np.zeros((0, network.outputs))
    return np.concatenate(rows), np.concatenate(found)
