"""Fixed kernels, the ridge regression that reads them, and how much it counts."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from tests.tasks.classify.conftest import bumps

from gated.core.sequence_features import summaries
from gated.tasks.classify import SequenceClassifier, SequenceRegressor, SequenceTraining
from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.classify.fixed_features import FixedFeatures
from gated.tasks.classify.kernel_features import KernelFeatures, Layout
from gated.tasks.classify.mixture import Weighing, folds_of
from gated.tasks.classify.network import SequenceEnsemble
from gated.tasks.classify.ridge import ridge
from gated.tasks.classify.task import SequenceTask, batch_of

FEATURES = 420
LENGTHS = (40, 9, 23, 1, 64)


def sequences(channels: int = 3, lengths: tuple[int, ...] = LENGTHS) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(of, channels)).astype(np.float32) for of in lengths]


def kernels(channels: int = 3) -> KernelFeatures:
    layout = Layout.of(max(LENGTHS), FEATURES)
    return KernelFeatures(channels, layout).fit(sequences(channels), seed=4)


def by_hand(of: KernelFeatures, sequence: np.ndarray) -> list[float]:
    """The definition, step by step: shares in the order of the dilations and thresholds."""
    shares, place = [], 0
    unit = of.kernels.unit
    rounded = np.round(sequence / unit) * unit
    for number, (dilation, each) in enumerate(
        zip(of.layout.dilations, of.layout.thresholds, strict=True)
    ):
        thresholds = of.thresholds[place : place + 84 * each].reshape(84, each).numpy()
        place += 84 * each
        found = np.zeros((84, each))
        for kernel, twos in enumerate(combinations(range(9), 3)):
            read = rounded[:, of.reads[number, kernel].bool().numpy()].sum(1)
            values, whole = [], []
            for step in range(len(read)):
                at = [step + dilation * (k - 4) for k in range(9)]
                there = [0 <= k < len(read) for k in at]
                weights = [2.0 if k in twos else -1.0 for k in range(9)]
                values.append(
                    sum(w * read[k] for w, k, t in zip(weights, at, there, strict=True) if t)
                )
                whole.append(all(there))
            of_inside = (number + kernel) % 2 == 1 and any(whole)
            counted = np.array(values)[np.array(whole) if of_inside else slice(None)]
            found[kernel] = (counted[:, None] > thresholds[kernel]).mean(0)
        shares += found.T.flatten().tolist()
    return shares


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_the_definition(channels) -> None:
    of = kernels(channels)
    assert len(of.layout.dilations) > 1
    for sequence in sequences(channels):
        found = of.of_each([sequence])[0]
        np.testing.assert_allclose(found, by_hand(of, sequence), atol=1e-6)


def test_features_do_not_depend_on_the_batch() -> None:
    """Not in a bit, also where a channel stands still and each threshold is a tie."""
    known = sequences()
    known[0][10:30] = 0.37
    of = FixedFeatures(3, max(LENGTHS), FEATURES, 2)
    of.kernels.fit(known, seed=4)
    steps = torch.zeros(len(known), 3, max(LENGTHS) + 50)
    there = torch.zeros(len(known), max(LENGTHS) + 50, dtype=torch.bool)
    for row, sequence in enumerate(known):
        steps[row, :, : len(sequence)] = torch.from_numpy(sequence.T)
        there[row, : len(sequence)] = True
    together = of.features(steps, there)
    for row, sequence in enumerate(known):
        alone = torch.from_numpy(sequence.T.copy())[None]
        found = of.features(alone, torch.ones(1, len(sequence), dtype=torch.bool))
        assert torch.equal(found[0], together[row])
        np.testing.assert_array_equal(
            found[0, : of.kernels.count], of.kernels.of_each([sequence])[0]
        )


def test_thresholds_are_spread_over_what_kernels_find() -> None:
    random = np.random.default_rng(1)
    known = [random.normal(size=(200, 1)).astype(np.float32) for _ in range(16)]
    of = KernelFeatures(1, Layout.of(200, 2520)).fit(known, seed=0)
    shares = of.of_each(known).mean(0)
    quarters = np.histogram(shares, bins=4, range=(0, 1))[0] / of.count
    np.testing.assert_allclose(quarters, 0.25, atol=0.05)


def test_kernels_read_some_of_many_channels() -> None:
    of = KernelFeatures(40, Layout.of(64, FEATURES)).fit(sequences(40), seed=4)
    counts = of.reads.sum(-1)
    assert (int(counts.min()), int(counts.max())) == (1, 9)
    assert of.reads.sum((0, 1)).bool().all()


def test_summaries_say_what_they_are_called() -> None:
    known = sequences(2, (8, 5, 1))
    found = np.stack([summaries(of) for of in known])
    for row, of in enumerate(known):
        assert found[row, 0] == pytest.approx(np.log(len(of)), abs=1e-6)
        change = np.abs(np.diff(of, axis=0)).mean(0) if len(of) > 1 else np.zeros(2)
        expected = [of.std(0), of.min(0), of.max(0), of[0], of[-1], change]
        np.testing.assert_allclose(found[row, 9:], np.concatenate(expected), atol=1e-6)
    stretches = known[0].reshape(4, 2, 2).mean(1)
    np.testing.assert_allclose(found[0, 1:9], stretches.flatten(), atol=1e-6)
    np.testing.assert_allclose(found[2, 1:9], np.tile(known[2][0], 4), atol=1e-6)


@pytest.mark.parametrize("shape", [(12, 30), (30, 5)])
def test_a_left_out_example_is_predicted_by_the_others(shape) -> None:
    """Against scikit-learn's ridge regression, fitted without each example."""
    random = np.random.default_rng(2)
    x, weights = random.normal(size=shape), random.uniform(0.5, 2, shape[0])
    x[:, 0] = 7.0  # a feature that says nothing
    targets = random.normal(size=(shape[0], 2))
    found = ridge(x, targets, weights, penalties=(0.3,))
    share = weights / weights.sum()
    scale = np.sqrt(share @ (x - share @ x) ** 2) * np.sqrt(shape[1])
    scale[0] = np.inf
    scaled = x / scale
    # The library's penalty is of the weighted sum of squares.
    penalty = 0.3 / shape[0] * weights.sum()

    def model(rows: np.ndarray) -> Ridge:
        return Ridge(alpha=penalty).fit(scaled[rows], targets[rows], sample_weight=weights[rows])

    rows = np.arange(shape[0])
    whole = model(rows)
    np.testing.assert_allclose(x @ found.weights + found.offset, whole.predict(scaled), atol=1e-8)
    for row in rows:
        alone = model(np.delete(rows, row)).predict(scaled[[row]])[0]
        np.testing.assert_allclose(found.left_out[row], alone, atol=1e-8)


def test_the_penalty_is_that_of_the_best_predictions() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(40, 20))
    noise = ridge(x, random.normal(size=(40, 1)), np.ones(40))
    line = ridge(x, x[:, :1] + 2, np.ones(40))
    assert line.penalty < 1e-3 < 1 < noise.penalty
    assert line.error < 1e-3


def test_a_part_counts_as_far_as_it_is_better() -> None:
    random = np.random.default_rng(4)
    targets = random.integers(0, 2, 60)
    right, noise = np.eye(2)[targets] * 4, random.normal(size=(60, 2))
    of = Weighing(targets, np.ones(60))
    assert of.share(noise, right) >= 0.75
    assert of.share(right, noise) == 0
    assert of.share(right, right) == 0  # no better
    assert of.factor(right) > 1 > of.factor(noise)
    numbers = Weighing(targets.astype(np.float32), np.ones(60))
    assert numbers.factor(right) == 1
    both = (
        targets[:, None] + random.normal(size=(60, 1)),
        targets[:, None] + random.normal(size=(60, 1)),
    )
    assert numbers.share(*both) in (0.25, 0.5, 0.75)


def test_folds_hold_every_class_and_keep_rare_ones_in_training() -> None:
    targets = np.repeat([0, 1, 2], [9, 16, 3])
    folds = folds_of(targets, 4, seed=1)
    assert np.bincount(folds[targets == 1], minlength=4).tolist() == [4] * 4
    assert set(folds[targets == 0]) == {0, 1, 2, 3}
    assert set(folds[targets == 2]) == {-1}
    numbers = folds_of(np.linspace(0, 1, 10).astype(np.float32), 4, seed=1)
    assert sorted(np.bincount(numbers)) == [2, 2, 3, 3]


def test_a_network_learns_nothing_from_its_fold() -> None:
    torch.manual_seed(0)
    config = ClassifyConfig(hidden=4, filters=4, patch=1, members=2, kernel_features=0)
    network = SequenceEnsemble(config, 2, 2, longest=20)
    arrays, labels = bumps(6, seed=0)
    read = [of.astype(np.float32) for of in arrays]
    folds = np.array([0, 0, 1, -1, 1, 0])
    batch = batch_of(read, (labels == "late").astype(int), np.ones(6), folds)
    answers = network(batch.steps, batch.lengths, batch.folds)
    assert (answers == 0).all(-1).tolist() == [
        [fold == member for fold in folds.tolist()] for member in range(2)
    ]
    member = network.first.eval()
    network.eval()
    answers = network(batch.steps, batch.lengths, batch.folds)
    alone = member(batch.steps, batch.lengths)
    torch.testing.assert_close(answers[0, 2:5], alone[2:5])
    task = SequenceTask.__new__(SequenceTask)
    loss = task.loss(network, batch)
    each = torch.nn.functional.cross_entropy(
        answers.flatten(0, 1), batch.targets.repeat(2), reduction="none"
    ).view(2, 6)
    kept = torch.from_numpy(folds) != torch.arange(2)[:, None]
    torch.testing.assert_close(loss.total, each[kept].sum())
    assert float(loss.weight) == 7
    # A batch of which a member learns nothing leaves no parameter without a gradient.
    none = batch._replace(folds=torch.zeros(6, dtype=torch.long))
    task.loss(network, none).total.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert not network.first.head.weight.grad.any()


def waves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise around waves of two lengths, which begin anywhere: (N, 60) and (N,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    place = np.arange(60) + random.uniform(0, 60, (count, 1))
    return np.sin(place / (2 + labels[:, None])) + random.normal(0, 0.3, (count, 60)), labels


def test_fixed_features_answer_where_the_network_has_learnt_nothing(tmp_path: Path) -> None:
    training = SequenceTraining(steps=1, learning_rate=1e-9, threads=1)
    network = SequenceClassifier(hidden=4, filters=0, kernel_features=0, training=training)
    learner = SequenceClassifier(hidden=4, filters=0, training=training).fit(*waves(40, 0))
    assert network.fit(*waves(40, 0)).score(*waves(60, 1)) < 0.8
    assert learner.score(*waves(60, 1)) > 0.95
    assert float(learner.network_.trust) < 1
    assert "fixed features" in learner.learner_.chosen
    learner.save(tmp_path)
    again = SequenceClassifier.load(tmp_path)
    x = waves(5, 2)[0]
    np.testing.assert_array_equal(again.predict_proba(x), learner.predict_proba(x))
    alone = np.concatenate([learner.predict_proba(row[None]) for row in x])
    np.testing.assert_allclose(alone, learner.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("members", [1, 3])
def test_what_is_answered_is_the_mixture(members) -> None:
    training = SequenceTraining(steps=20, threads=1)
    x, labels = waves(24, 3)
    learner = SequenceRegressor(hidden=4, members=members, kernel_features=420, training=training)
    learner.fit(x, labels)
    assert len(learner.network_.members) == members
    answers = {}
    for trust in (0.0, 0.25, 1.0):
        learner.network_.trust.fill_(trust)
        answers[trust] = learner.predict(x)
    mixed = 0.75 * answers[0.0] + 0.25 * answers[1.0]
    np.testing.assert_allclose(answers[0.25], mixed, atol=1e-5)


def test_a_network_that_has_learnt_nothing_says_so() -> None:
    x, labels = waves(24, 0)
    training = SequenceTraining(steps=3, learning_rate=1e-9, threads=1)
    learner = SequenceClassifier(hidden=4, training=training).fit(x, labels)
    (finding,) = (of for of in learner.learner_.findings if of.kind == "nothing learnt")
    assert "entropy of the labels is 0.693" in str(finding)


@pytest.mark.parametrize(
    ("strange", "labels"),
    [
        ([[1.0], [2.0], [1.5], [0.0]], "abab"),
        (np.zeros((6, 30)), "aabbab"),
        ([np.array([[0, np.nan], [np.nan, np.nan]])] * 3 + [np.ones((50, 2))] * 3, "aabbba"),
    ],
)
def test_strange_sequences_have_finite_answers(strange, labels) -> None:
    training = SequenceTraining(steps=2, threads=1)
    learner = SequenceClassifier(hidden=4, training=training).fit(strange, list(labels))
    assert np.isfinite(learner.predict_proba(strange)).all()


def test_steps_and_channels_that_look_swapped_are_noticed() -> None:
    x, labels = waves(8, 0)
    learner = SequenceClassifier(hidden=4, training=SequenceTraining(steps=1, threads=1))
    with pytest.warns(UserWarning, match=r"one step, of 60 channels.*transpose\(0, 2, 1\)"):
        learner.fit(x[:, None], labels)
