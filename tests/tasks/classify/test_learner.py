"""Classifier and regressor from Python, and as scikit-learn has them."""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator
from tests.comparison import assert_agree
from tests.tasks.classify.conftest import bumps

from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.tasks.classify import ClassifyConfig, SequenceClassifier, SequenceRegressor, baselines
from gated.tasks.classify.baselines import linear, nearest
from gated.tasks.classify.learner import ClassLearner
from gated.tasks.classify.network import SequenceEnsemble, SequenceNetwork
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.score import NumberEvaluation
from gated.tasks.classify.split import held_out_rows
from gated.tasks.classify.targets import Classes
from gated.tasks.classify.task import SequenceTask, answers_of
from gated.tasks.comparison import compare
from gated.training.options import TrainingOptions
from gated.training.task import Shard

QUICK = TrainingOptions(steps=80, batch_size=16, learning_rate=0.01, threads=1)
ANY_LENGTH = "sequences of other lengths than those of training are welcome"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_scikit_learn_finds_what_it_expects(kind) -> None:
    # Some hundred trainings: what they learn is tested elsewhere, so a few steps do.
    training = TrainingOptions(steps=10, learning_rate=0.02, threads=1)
    learner = kind(hidden=8, dropout=0.0, filters=0, members=1, training=training)
    known = dict.fromkeys(["check_n_features_in", "check_n_features_in_after_fitting"], ANY_LENGTH)
    if kind is SequenceClassifier:
        known["check_classifiers_train"] = ANY_LENGTH
    known["check_methods_subset_invariance"] = "float32 rounds with the size of a batch"
    known["check_sample_weight_equivalence_on_dense_data"] = "what weighs 2 is drawn as once"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(learner, expected_failed_checks=known, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 45


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_what_stands_beyond_a_length_does_not_count(pooling) -> None:
    torch.manual_seed(0)
    network = SequenceNetwork(ClassifyConfig(hidden=8, pooling=pooling), 3, 2).eval()
    steps, lengths = torch.randn(9, 4, 3), torch.tensor([9, 2, 5, 1])
    with torch.no_grad():
        together = network(steps, lengths)
        for b, length in enumerate(lengths.tolist()):
            alone = network(steps[:length, b : b + 1], lengths[b : b + 1])
            assert_agree(alone[0].numpy(), together[b].numpy(), f"sequence {b}")


def test_missing_values_are_the_last_known_ones_and_told() -> None:
    arrays = [np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, 5.0], [4.0, 3.0]])]
    read = Preprocessing.fit(arrays, patch=1)
    assert read.mean.tolist() == [3.0, 3.0]
    assert read.masked
    first, second = (1, np.sqrt(8 / 3))
    expected = np.array([[0, -2 / second], [-first, -2 / second], [-first, 2 / second], [first, 0]])
    found = read.read(arrays[0])
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-6)
    assert found[:, 2:].tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]


def test_patches_join_steps_and_the_last_is_filled() -> None:
    array = np.arange(5.0)[:, None]
    read = Preprocessing(np.zeros(1), np.ones(1), masked=False, patch=2)
    assert read.read(array).tolist() == [[0, 1], [2, 3], [4, 4]]
    assert read.inputs == 2


def test_a_constant_channel_is_not_blown_up() -> None:
    read = Preprocessing.fit([np.full((4, 1), 1e9) + np.array([[0, 1e-4, 0, 0]]).T], patch=1)
    assert np.abs(read.scaled(np.full((3, 1), 1e9))).max() <= 1


def test_the_same_share_of_each_class_is_held_back() -> None:
    values = np.array(["a"] * 20 + ["b"] * 8 + ["c"])
    held = values[held_out_rows(values, 0.25, 3, stratified=True)]
    assert {label: int((held == label).sum()) for label in "abc"} == {"a": 5, "b": 2, "c": 0}
    assert len(held_out_rows(values, 0.25, 3, stratified=False)) == 7


def test_a_batch_is_its_step_and_cut_by_processes() -> None:
    arrays, labels = bumps(12, seed=0)
    read, codes = Preprocessing.fit(arrays, 1), (labels == "late").astype(np.int64)
    config = ClassifyConfig(noise=0.1, warp=0.2, cut=0.3)
    task = SequenceTask(
        SequenceEnsemble(config, 2, 2, 20),
        config,
        read,
        arrays,
        codes,
        np.ones(12),
        ([], codes[:0]),
        4,
    )
    whole, again = (task.training_batch(1, 8, Shard(0, 1)) for _ in range(2))
    assert torch.equal(whole.steps, again.steps)
    part = task.training_batch(1, 8, Shard(1, 2))
    assert torch.equal(whole.targets[1::2], part.targets)
    assert torch.equal(whole.steps[: len(part.steps), 1], part.steps[:, 0])


@pytest.mark.parametrize("missing", [False, True])
def test_what_is_cut_is_missing_in_training(missing) -> None:
    arrays = [np.arange(1.0, 21)[:, None] * [1, -1] + place for place in range(6)]
    if missing:
        arrays[0][0, 1] = np.nan
    read, config = Preprocessing.fit(arrays, 1), ClassifyConfig(cut=0.5)
    network, codes = SequenceEnsemble(config, read.inputs, 2, 20), np.arange(6) % 2
    task = SequenceTask(network, config, read, arrays, codes, np.ones(6), ([], codes[:0]), 4)
    lengths, begins = set(), set()
    for step in range(40):
        batch = task.training_batch(step, 6, Shard(0, 1))
        assert batch.lengths.tolist() == [20] * 6
        assert sorted(batch.targets.tolist()) == [0, 0, 0, 1, 1, 1]
        for place, row in enumerate(task.buckets.batch(step, 6)):
            found = batch.steps[:, place].numpy()
            cut = np.flatnonzero((found != read.read(arrays[row])).any(1))
            if not len(cut):
                continue
            begin, end = cut[0], cut[-1] + 1
            expected = arrays[row].copy()
            expected[begin:end] = np.nan
            np.testing.assert_array_equal(found, read.read(expected))
            lengths.add(end - begin)
            begins.add(begin)
    assert lengths <= set(range(1, 11))
    assert len(lengths) >= 9
    assert begins >= set(range(18))


def test_answers_come_in_the_order_of_the_sequences() -> None:
    arrays, _ = bumps(7, seed=2)
    read = Preprocessing.fit(arrays, 1)
    torch.manual_seed(0)
    network = SequenceNetwork(ClassifyConfig(hidden=4), 2, 2).eval()
    whole = answers_of(network, read, arrays).numpy()
    for k, array in enumerate(arrays):
        assert_agree(answers_of(network, read, [array]).numpy()[0], whole[k], f"sequence {k}")


@pytest.fixture(scope="module")
def fitted() -> SequenceClassifier:
    arrays, labels = bumps(40, seed=0)
    return SequenceClassifier(hidden=16, training=QUICK).fit(arrays, labels)


def test_early_and_late_are_told_apart(fitted) -> None:
    arrays, labels = bumps(30, seed=1)
    assert fitted.score(arrays, labels) == 1
    assert fitted.predict_proba(arrays).shape == (30, 2)
    assert fitted.classes_.tolist() == ["early", "late"]


def test_a_saved_classifier_tells_the_same(fitted, tmp_path: Path) -> None:
    arrays, _ = bumps(5, seed=3)
    fitted.save(tmp_path / "model")
    again = SequenceClassifier.load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(arrays), fitted.predict_proba(arrays))
    assert again.get_params() == fitted.get_params() | {
        "patch": 1,
        "filters": 24,
        "filter_pool": 1,
        "kernel_features": 9996,
        "members": 1,
    }
    with pytest.raises(ModelFileError, match="of the task 'classify', not of 'regress'"):
        SequenceRegressor.load(tmp_path / "model")
    with pytest.raises(NotFittedError):
        SequenceClassifier().save(tmp_path / "none")


def test_a_number_is_told() -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(int(random.integers(5, 12)), 1)) for _ in range(80)]
    means = np.array([100 + 30 * array.mean() for array in arrays])
    training = TrainingOptions(steps=150, batch_size=16, learning_rate=0.01, threads=1)
    learner = SequenceRegressor(hidden=16, dropout=0.0, training=training)
    assert learner.fit(arrays[:60], means[:60]).score(arrays[60:], means[60:]) > 0.9


def test_options_can_be_searched() -> None:
    arrays, labels = bumps(16, seed=5)
    cube = np.stack([array[:12] for array in arrays])
    learner = SequenceClassifier(training=TrainingOptions(steps=2, threads=1))
    search = GridSearchCV(learner, {"hidden": [4, 8], "pooling": ["last", "max"]}, cv=2)
    assert len(search.fit(cube, labels).cv_results_["params"]) == 4


def test_options_of_the_training_can_be_searched() -> None:
    arrays, labels = bumps(16, seed=5)
    cube = np.stack([array[:12] for array in arrays])
    learner = SequenceClassifier(hidden=4, training=TrainingOptions(steps=2, threads=1))
    search = GridSearchCV(learner, {"training__steps": [1, 3], "training__seed": [7]}, cv=2)
    best = search.fit(cube, labels).best_estimator_
    assert best.history_.steps == search.best_params_["training__steps"] in (1, 3)
    assert (best.training.seed, best.training.threads) == (7, 1)
    assert learner.training.steps == 2
    assert clone(learner).get_params() == learner.get_params()
    assert SequenceClassifier().set_params(training__steps=5).options.batch_size == 16
    with pytest.raises(ValueError, match="Invalid parameter training__stpes"):
        learner.set_params(training__stpes=3)
    with pytest.raises(ConfigurationError, match="steps is 0"):
        learner.set_params(training__steps=0)


def test_rare_classes_can_weigh_more() -> None:
    labels = np.array(["a", "a", "a", "b"])
    classes = Classes.of(labels)
    codes = classes.learnt(labels)
    weights = classes.weights(codes, balance=True)
    assert codes.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 2])


def test_labels_that_are_numbers_stand_in_their_order() -> None:
    labels = np.array(["10", "9", "2", "10"])
    classes = Classes.of(labels)
    assert classes.names == ("2", "9", "10")
    assert classes.frequencies.tolist() == [0.25, 0.25, 0.5]
    assert classes.learnt(labels).tolist() == [2, 1, 0, 2]
    assert Classes.of(np.array(["b 10", "b 9"])).names == ("b 10", "b 9")


def test_the_baselines_tell_what_they_should() -> None:
    arrays, labels = bumps(24, seed=0)
    read, others = Preprocessing.fit(arrays, 1), bumps(10, seed=1)
    assert nearest(read, arrays, labels, arrays).tolist() == labels.tolist()
    assert nearest(read, arrays * 10_000, labels, others[0] * 10_000) is None
    told = linear(read, arrays, labels, others[0], classes=True)
    assert (told == others[1]).mean() >= 0.8
    numbers = np.array([array.mean() for array in arrays])
    found = linear(read, arrays, numbers, arrays, classes=False)
    np.testing.assert_allclose(found, numbers, atol=0.02)
    both = linear(read, arrays, np.stack([numbers, labels == "late"], 1), arrays, classes=False)
    np.testing.assert_allclose(both[:, 0], found, rtol=1e-9)
    assert nearest(read, arrays, both, arrays).tolist() == both.tolist()


def test_without_any_shift_the_nearest_is_that_by_distance(monkeypatch) -> None:
    random = np.random.default_rng(0)
    known, asked = random.normal(size=(20, 30, 2)), random.normal(size=(15, 30, 2))
    read = Preprocessing.fit(known, 1)
    apart = (known[:, None] - asked) / read.deviation
    closest = (apart**2).sum((2, 3)).argmin(0)
    monkeypatch.setattr(baselines, "MOST_CELLS", 0)
    assert nearest(read, known, np.arange(20), asked) is None
    found = nearest(read, known, np.arange(20), asked, window=0.0)
    assert found is not None
    assert found.tolist() == closest.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["a", "a"], "one class, .*'a'"), (["a"], "2 sequences, and 1 labels"), (None, "y is None")],
)
def test_labels_that_teach_nothing_are_refused(labels, message) -> None:
    with pytest.raises(DataError, match=message):
        SequenceClassifier().fit([np.zeros(3), np.ones(3)], labels)


def test_options_that_cannot_be_meant_are_refused(fitted) -> None:
    with pytest.raises(ConfigurationError, match="hidden is 0"):
        SequenceClassifier(hidden=0).fit([[1.0], [2.0]], ["a", "b"])
    with pytest.raises(ConfigurationError, match=r"pooling must be one of last, mean, .*'sum'"):
        SequenceClassifier(pooling="sum").fit([[1.0], [2.0]], ["a", "b"])
    with pytest.raises(ConfigurationError, match="cell: 'elman' is no cell of the library"):
        SequenceClassifier(cell="elman").fit([[1.0], [2.0]], ["a", "b"])
    with pytest.raises(DataError, match="Sequence 0 has 1 channels; the others, 2"):
        fitted.predict([[1.0, 2.0]])
    with pytest.raises(DataError, match="'never' was not trained on; known are early, late"):
        fitted.learner_.targets.learnt(np.array(["never"]))
    with pytest.raises(DataError, match="not a number"):
        SequenceRegressor().fit([[1.0], [2.0]], ["a", "b"])


def test_numbers_are_judged_by_their_absolute_errors() -> None:
    truth = np.arange(30.0)[:, None]
    gains = np.tile([0.5, 1.5], 15)[:, None]
    errors = {"LSTM": np.ones((30, 1)), "linear": 1 + gains, "mean": np.full((30, 1), 9.0)}
    predicted = {name: truth + of for name, of in errors.items()}
    found = NumberEvaluation(scales=np.ones(1), truth=truth, predicted=predicted)
    assert found.verdict.better
    assert found.verdict.difference == -1
    assert str(found.verdict).startswith(
        "LSTM beats the best baseline (linear): MAE 1.00 against 2.00, 50 % less (95% interval of"
    )
    predicted = {"LSTM": truth + gains, "linear": truth + gains[::-1] - 0.01}
    same = NumberEvaluation(scales=np.ones(1), truth=truth, predicted=predicted)
    assert same.verdict.outcome == "undecided"


def test_a_run_goes_on_where_another_ended(tmp_path: Path) -> None:
    arrays, labels = bumps(40, 0)
    # Statistics of the branch would follow the louder sequences, whatever the rate.
    alone = {"kernel_features": 0}
    first = SequenceClassifier(cell="gru", hidden=8, filters=0, **alone, training=QUICK)
    first.fit(arrays, labels)
    first.save(tmp_path)
    training = TrainingOptions(steps=1, learning_rate=1e-9, threads=1, init_from=tmp_path)
    louder = [10 * array for array in arrays]
    second = SequenceClassifier(**alone, training=training).fit(louder, labels)
    assert second.learner_.config.cell == "gru"
    expected = first.predict_proba(arrays)
    np.testing.assert_allclose(second.predict_proba(arrays), expected, atol=1e-5)
    with pytest.raises(ConfigurationError, match="hidden is 9, and 8 in"):
        SequenceClassifier(hidden=9, training=training).fit(arrays, labels)
    with pytest.raises(DataError, match="reads 2 channels, and these data have 1"):
        SequenceClassifier(**alone, training=training).fit([of[:, :1] for of in arrays], labels)
    other = SequenceClassifier(**alone, training=training).fit(arrays, np.char.add("a ", labels))
    assert other.history_.transfer.absent == ("members.0.head.bias", "members.0.head.weight")
    number = SequenceRegressor(**alone, training=training).fit(arrays, labels == "late")
    assert number.history_.transfer.absent == ("members.0.head.bias", "members.0.head.weight")
    number.save(tmp_path)
    again = SequenceRegressor(**alone, training=training).fit(arrays, 100.0 * (labels == "late"))
    np.testing.assert_allclose(again.predict(arrays), number.predict(arrays), atol=1e-5)


def test_a_comparison_that_begins_with_weights_has_their_cell(tmp_path: Path, ts_files) -> None:
    arrays, labels = bumps(40, 0)
    SequenceClassifier(cell="gru", hidden=8, training=QUICK).fit(arrays, labels).save(tmp_path)
    training = TrainingOptions(steps=1, threads=1, init_from=tmp_path)
    with pytest.raises(ConfigurationError, match=r"'lstm' is not one of gru \(the cell of"):
        compare(ClassLearner, ts_files[0], training=training, cells=("lstm",))
    found = compare(ClassLearner, ts_files[0], training=training, seeds=(0,))
    assert [row.cell for row in found.rows] == ["gru"]


def test_weights_of_sequences(tmp_path: Path) -> None:
    arrays, labels = bumps(24, 0)
    training = TrainingOptions(steps=8, batch_size=8, threads=1)

    def fitted(kind=SequenceClassifier, values=labels, weights=None, some=slice(None)):
        learner = kind(hidden=4, kernel_features=84, training=training)
        return learner.fit(arrays[some], values[some], weights)

    zeros = np.where(np.arange(24) < 20, 1.0, 0.0)
    found = fitted(weights=zeros).predict_proba(arrays)
    np.testing.assert_array_equal(found, fitted(some=slice(20)).predict_proba(arrays))
    np.testing.assert_array_equal(
        fitted(weights=np.full(24, 3.0)).predict_proba(arrays), fitted().predict_proba(arrays)
    )
    late = np.where(labels == "late", 50.0, 1.0)
    assert (
        fitted(weights=late).predict_proba(arrays)[:, 1].mean()
        > fitted().predict_proba(arrays)[:, 1].mean() + 0.02
    )
    numbers = np.where(labels == "late", 1.0, 0.0)
    of = partial(fitted, SequenceRegressor, numbers)
    assert of(weights=late).predict(arrays).mean() > of().predict(arrays).mean() + 0.01
    for wrong, what in (
        (np.ones(3), r"shape \(3,\): give 24 numbers"),
        (np.full(24, -1.0), "zero or more"),
        (np.zeros(24), "one above zero"),
        (np.full(24, np.nan), "zero or more"),
    ):
        with pytest.raises(DataError, match=what):
            fitted(weights=wrong)
