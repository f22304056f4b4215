"""Tests of sequences that belong together: of one person, or cut from one recording."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.preprocessing import StandardScaler

from gated.errors import ConfigurationError, DataError
from gated.tasks.classify import SequenceClassifier, SequenceRegressor, SequenceTraining, evaluation
from gated.tasks.classify import clusters as of_clusters
from gated.tasks.classify.baselines import features_of, linear
from gated.tasks.classify.clusters import clustered, overlapping, shared_with
from gated.tasks.classify.config import SequenceConfig
from gated.tasks.classify.learner import NumberLearner
from gated.tasks.classify.mixture import Weighing, folds_of
from gated.tasks.classify.parts import read_parts
from gated.tasks.classify.preprocessing import Preprocessing
from gated.tasks.classify.ridge import PENALTIES, ridge
from gated.tasks.classify.sequences import Sequences
from gated.tasks.classify.split import held_out_rows
from gated.tasks.classify.table import read_sequences

PEOPLE = np.repeat(np.arange(20), 5)


def sequences(arrays, **more):
    names = [f"s{place}" for place in range(len(arrays))]
    return Sequences(list(arrays), np.arange(len(arrays)) % 2, names, **more)


def windows(count, steps=40, stride=10, seed=0):
    """Sequences cut from one recording, which overlap."""
    recording = np.random.default_rng(seed).normal(size=(stride * count + steps, 2))
    return [recording[stride * place : stride * place + steps] for place in range(count)]


@pytest.mark.parametrize("stratified", [False, True])
def test_whole_clusters_are_held_back(stratified):
    labels = np.random.default_rng(1).permutation(np.arange(100) % 4)
    held = held_out_rows(labels, 0.25, 3, stratified=stratified, clusters=PEOPLE)
    assert 20 <= len(held) <= 30
    assert not np.isin(PEOPLE[held], np.delete(PEOPLE, held)).any()
    if stratified:
        assert (np.bincount(labels[held]) >= 4).all()


def test_a_class_of_one_cluster_is_not_held_back():
    labels = np.array(["a"] * 6 + ["b"] * 6)
    clusters = np.array([0] * 6 + [1, 1, 2, 2, 3, 3])
    held = held_out_rows(labels, 0.34, 0, stratified=True, clusters=clusters)
    assert set(labels[held]) == {"b"}
    assert len(held) == 2


def test_a_cluster_with_all_of_a_class_is_not_held_back():
    labels = np.array(["a"] * 2 + ["b"] * 20)
    held = held_out_rows(labels, 0.5, 0, stratified=True, clusters=np.repeat([0, 1], [12, 10]))
    assert held.tolist() == list(range(12, 22))


def test_clusters_of_one_are_as_without():
    labels = np.random.default_rng(2).integers(3, size=50)
    for stratified in (False, True):
        alone = held_out_rows(labels, 0.3, 5, stratified=stratified)
        same = held_out_rows(labels, 0.3, 5, stratified=stratified, clusters=np.arange(50))
        np.testing.assert_array_equal(alone, same)
    np.testing.assert_array_equal(folds_of(labels, 4, 1), folds_of(labels, 4, 1, np.arange(50)))


def test_a_network_does_not_learn_from_a_part_of_a_cluster():
    labels = np.random.default_rng(3).integers(3, size=100)
    folds = folds_of(labels, 4, 0, PEOPLE)
    assert all(len(set(folds[of == PEOPLE])) == 1 for of in range(20))
    assert np.bincount(folds, minlength=4).tolist() == [25, 25, 25, 25]
    assert (folds_of(labels, 4, 0, np.zeros(100)) == -1).all()  # one cluster: all learn from it


def test_the_regression_is_fitted_without_the_cluster():
    random = np.random.default_rng(4)
    x, weights = random.normal(size=(30, 4)), random.uniform(0.5, 2, 30)
    y = x @ random.normal(size=(4, 2)) + random.normal(size=(30, 2))
    clusters = np.arange(30) % 7
    found = ridge(x, y, weights, penalties=[0.3], clusters=clusters)
    w = weights / weights.sum()
    mean = w @ x
    scale = np.sqrt(w @ (x - mean) ** 2) * 2  # of all examples, and of four features
    for of in range(7):
        rest = clusters != of
        v = weights[rest] / weights.sum()
        z, root = (x - mean) / scale, np.sqrt(v)[:, None]
        design = np.c_[root, root * z[rest]]
        penalty = np.diag([0, *[0.3 / 30] * 4])
        slopes = np.linalg.solve(design.T @ design + penalty, design.T @ (root * y[rest]))
        expected = np.c_[np.ones((~rest).sum()), z[~rest]] @ slopes
        np.testing.assert_allclose(found.left_out[~rest], expected, atol=1e-7)


def test_a_penalty_is_not_chosen_by_near_copies():
    random = np.random.default_rng(5)
    x = np.repeat(random.normal(size=(12, 30)), 6, 0) + random.normal(0, 0.01, (72, 30))
    y, clusters = np.repeat(random.normal(size=(12, 1)), 6, 0), np.repeat(np.arange(12), 6)
    alone, together = ridge(x, y, np.ones(72)), ridge(x, y, np.ones(72), clusters=clusters)
    assert alone.error < 0.01 < 0.5 < together.error
    assert together.penalty[0] > 100 * alone.penalty[0]


def test_of_a_single_cluster_each_example_is_left_out():
    random = np.random.default_rng(6)
    x, y = random.normal(size=(30, 20)), random.normal(size=(30, 1))
    alone, together = ridge(x, y, np.ones(30)), ridge(x, y, np.ones(30), clusters=np.zeros(30))
    np.testing.assert_array_equal(alone.weights, together.weights)


def people_with_near_copies():
    """Three walks of each of twelve people, and the person of each: (N, 20, 3), (N,)."""
    random = np.random.default_rng(7)
    walks = np.repeat(random.normal(size=(12, 20, 3)).cumsum(1), 3, 0)
    return list(walks + random.normal(0, 0.02, walks.shape)), np.repeat(np.arange(12), 3)


@pytest.mark.parametrize("classes", [True, False])
def test_the_penalty_of_the_linear_baseline_is_chosen_by_whole_clusters(classes):
    """Against scikit-learn's ridge regression, fitted without each cluster."""
    arrays, people = people_with_near_copies()
    random = np.random.default_rng(8)
    values = np.arange(12) % 3 if classes else random.normal(size=(12, 2))
    values, asked = values[people], list(random.normal(size=(40, 20, 3)).cumsum(1))
    read = Preprocessing.fit(arrays, 1)
    scaler = StandardScaler().fit(np.stack([features_of(read.scaled(of)) for of in arrays]))
    x, new = (
        scaler.transform(np.stack([features_of(read.scaled(of)) for of in part]))
        for part in (arrays, asked)
    )
    y = np.eye(3)[values] * 2 - 1 if classes else values

    def chosen_by(groups):
        """Predict with the penalties that predict left-out groups best."""
        models = [Ridge(alpha=of * x.shape[1]) for of in PENALTIES]
        apart = [cross_val_predict(of, x, y, cv=LeaveOneGroupOut(), groups=groups) for of in models]
        errors = np.array([((of - y) ** 2).sum(0) for of in apart])
        if classes:
            return models[errors.sum(1).argmin()].fit(x, y).predict(new).argmax(1)
        best = [models[of] for of in errors.argmin(0)]
        return np.stack([of.fit(x, y[:, k]).predict(new) for k, of in enumerate(best)], 1)

    together = linear(read, arrays, values, asked, classes=classes, clusters=people)
    np.testing.assert_allclose(together, chosen_by(people), atol=1e-6)
    alone = linear(read, arrays, values, asked, classes=classes)
    np.testing.assert_allclose(alone, chosen_by(np.arange(36)), atol=1e-6)
    assert np.abs(alone - together).max() > 0.1, "the two choose alike here: no test"


def test_the_score_has_the_linear_baseline_of_whole_clusters(monkeypatch):
    monkeypatch.setattr(evaluation, "nearest", lambda *_: None)
    arrays, people = people_with_near_copies()
    values = np.random.default_rng(9).normal(size=12)[people]
    learner = SequenceRegressor(
        hidden=4, filters=0, kernel_features=0, training=SequenceTraining(steps=2)
    )
    learner = learner.fit(arrays, values, groups=people).learner_
    known = learner.parts.training
    asked = sequences(np.random.default_rng(10).normal(size=(40, 20, 3)).cumsum(1))
    found = evaluation.evaluate_numbers(learner, known, asked).predicted["linear"]
    numbers = learner.targets.numbers(known.values)
    expected = linear(
        learner.preprocessing, known.arrays, numbers, asked.arrays, classes=False, clusters=people
    )
    np.testing.assert_array_equal(found, expected)


def test_a_part_that_is_better_in_one_cluster_is_not_clearly_better():
    targets = np.zeros((40, 1))
    first, second = np.full((40, 1), 0.5), np.full((40, 1), 0.5)
    second[:10] = 0.0
    alone = Weighing(targets, np.ones(40))
    together = replace(alone, clusters=np.repeat(np.arange(4), 10))
    assert alone.share(first, second) > 0
    assert together.share(first, second) == 0
    assert together.take(np.arange(20)).clusters.tolist() == [0] * 10 + [1] * 10


def test_sequences_that_overlap():
    cut = [*windows(3), *windows(4, seed=1), *windows(2, stride=29, seed=2)]
    assert overlapping(cut).tolist() == [0] * 3 + [1] * 4 + [2, 3], "11 of 40 steps are too few"
    with_gaps = [np.where(np.arange(len(of))[:, None] % 9 == 4, np.nan, of) for of in windows(1)]
    assert overlapping([*with_gaps, with_gaps[0][5:]]).tolist() == [0, 0]
    of_other_bits = np.where(np.isnan(with_gaps[0]), -np.nan, with_gaps[0])
    assert overlapping([*with_gaps, of_other_bits[5:]]).tolist() == [0, 0]
    zeros = windows(1)[0] * (np.arange(40)[:, None] % 3 > 0)
    assert overlapping([np.abs(zeros), np.where(zeros == 0, -0.0, np.abs(zeros))]).tolist() == [
        0,
        0,
    ]


@pytest.mark.parametrize("kind", ["silence", "switches", "walks", "tokens"])
def test_what_is_equal_by_chance_does_not_overlap(kind):
    random = np.random.default_rng(6)
    arrays = {
        "silence": [np.r_[np.zeros(50), random.normal(size=10)][:, None] for _ in range(30)],
        "switches": [np.repeat([0.0, 1.0], [of, 60 - of])[:, None] for of in range(15, 45)],
        "walks": list(random.choice([-1, 0, 1], size=(30, 200, 1)).cumsum(1)),
        "tokens": list(random.integers(10, size=(30, 20, 1))),
    }[kind]
    assert len(set(overlapping([np.asarray(of, float) for of in arrays]))) == 30


def test_groups_that_overlap_are_found_and_kept_together():
    read, found = clustered(sequences([of for seed in range(9) for of in windows(3, seed=seed)]))
    assert read.clusters.tolist() == np.repeat(np.arange(9), 3).tolist()
    assert found[0].count == 27
    assert "9 groups (group names others)" in str(found[0])


def test_one_long_chain_is_said():
    read, found = clustered(sequences(windows(30)))
    assert not len(read.clusters)
    assert "too few groups to leave one out: scores may flatter" in str(found[0])
    assert clustered(sequences(windows(8, stride=50)))[1] == ()


def test_groups_that_are_given_are_taken():
    given = sequences(windows(30), clusters=np.arange(30) // 3)
    assert clustered(given) == (given, ())


def test_test_data_that_overlap_the_training_are_said():
    cut = windows(6)
    found = shared_with(sequences(cut[:3]), sequences([cut[3], *windows(2, seed=4)]))
    assert [of.count for of in found] == [1]
    assert "s0" in str(found[0])
    assert not shared_with(sequences(cut[:3]), sequences(windows(3, seed=4)))
    known = sequences(windows(2, seed=5), clusters=np.array(["ann", "bob"]))
    tested = sequences(windows(2, seed=6), clusters=np.array(["bob", "cy"]))
    assert "groups that are also trained on (1, first: s0)" in str(shared_with(known, tested)[0])


def table(people=12, days=4, steps=12):
    random = np.random.default_rng(7)
    rows = people * days * steps
    person = np.repeat(np.arange(people), days * steps)
    return pl.DataFrame(
        {
            "day": np.arange(rows) // steps,
            "person": [f"p{of}" for of in person],
            "load": (person + np.arange(rows) // steps % 3).astype(float),
            "x": random.normal(size=rows) + person,
        }
    )


def options(**more):
    return SequenceConfig(series="day", label="load", group="person", **more)


def test_a_column_names_the_groups(tmp_path):
    table().write_csv(tmp_path / "days.csv")
    parts = read_parts(tmp_path / "days.csv", options(), 0, stratified=False)
    assert parts.training.columns == ("x",)
    assert not set(parts.training.clusters) & set(parts.test.clusters)
    assert len(parts.test) == 12
    assert len(set(parts.test.clusters)) == 3


def test_a_day_of_two_people_is_refused(tmp_path):
    mixed = table().with_columns(
        person=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("p9")).otherwise("person")
    )
    mixed.write_csv(tmp_path / "days.csv")
    with pytest.raises(DataError, match="has the labels p0, p9 in the column 'person'"):
        read_parts(tmp_path / "days.csv", options(), 0, stratified=False)
    table().drop("person").write_csv(tmp_path / "days.csv")
    with pytest.raises(DataError, match="person"):
        read_parts(tmp_path / "days.csv", options(), 0, stratified=False)


def test_a_file_without_columns_has_no_groups(tmp_path):
    (tmp_path / "waves.ts").write_text("@data\n1,2,3:a\n")
    (tmp_path / "waves.tsv").write_text("1\t0.1\t0.2\n2\t0.3\t0.4\n")
    for name in ("waves.ts", "waves.tsv"):
        with pytest.raises(ConfigurationError, match=f"group.*person.*{name} has none"):
            read_sequences(tmp_path / name, SequenceConfig(group="person"), labelled=True)


def test_what_is_predicted_for_needs_no_group(tmp_path):
    mixed = table(people=2).drop("load")
    mixed = mixed.with_columns(person=pl.when(pl.int_range(pl.len()) % 2 == 1).then("person"))
    mixed.write_csv(tmp_path / "new.csv")
    read = read_sequences(tmp_path / "new.csv", options(), labelled=False)
    assert len(read) == 8
    assert read.columns == ("x",)


def test_too_few_groups_are_said(tmp_path):
    table(people=1).write_csv(tmp_path / "days.csv")
    with pytest.raises(DataError, match=r"too few sequences \(4, in 1 groups\)"):
        read_parts(tmp_path / "days.csv", options(), 0, stratified=False)


def test_people_count_as_one_for_the_judge(tmp_path):
    table().write_csv(tmp_path / "days.csv")
    learner = NumberLearner(
        options(hidden=4, filters=0, kernel_features=0, patch=6),
        SequenceTraining(steps=2, no_baseline=True),
    )
    score = learner.fit(tmp_path / "days.csv").score()
    assert "over 12 sequences in 3 groups" in score.verdict.sentence
    assert "person" not in learner.columns
    table().drop("person", "load").write_csv(tmp_path / "new.csv")
    predicted = learner.predict(tmp_path / "new.csv")
    assert len(predicted) == 48


def test_groups_in_python():
    arrays = [np.random.default_rng(place).normal(size=(9, 1)) for place in range(40)]
    labels, groups = np.arange(40) // 2 % 2, np.arange(40) // 4
    model = SequenceClassifier(
        hidden=4, filters=0, kernel_features=84, training=SequenceTraining(steps=2)
    )
    learner = model.fit(arrays, labels, groups=[f"p{of}" for of in groups]).learner_
    folds = learner.folds
    assert all(len(set(folds[groups == of])) == 1 for of in range(10))
    assert folds.max() == 3
    with pytest.raises(DataError, match=r"groups has the shape \(3,\): give 40 labels"):
        model.fit(arrays, labels, groups=[1, 2, 3])


def test_of_very_many_stretches_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = [of for seed in range(10) for of in windows(3, steps=400, stride=100, seed=seed)]
    monkeypatch.setattr(of_clusters, "MOST_STRETCHES", 1000)
    assert overlapping(cut).tolist() == np.repeat(np.arange(10), 3).tolist()
    monkeypatch.setattr(of_clusters, "MOST_STRETCHES", 1)
    assert len(set(overlapping(cut).tolist())) == 30, "hardly any is left"


def test_a_few_large_groups_are_not_kept_together():
    half = [*windows(15), *(of for seed in range(1, 16) for of in windows(1, seed=seed))]
    assert not len(clustered(sequences(half))[0].clusters), "one has half of the sequences"
    few = [of for seed in range(7) for of in windows(3, seed=seed)]
    assert not len(clustered(sequences(few))[0].clusters), "seven groups leave too few"


def test_new_data_are_judged_by_their_groups(tmp_path):
    table().write_csv(tmp_path / "days.csv")
    config = options(hidden=4, filters=0, kernel_features=0, patch=6)
    learner = NumberLearner(config, SequenceTraining(steps=2)).fit(tmp_path / "days.csv")
    evaluated = learner.evaluate(tmp_path / "days.csv")
    assert "over 48 sequences in 12 groups" in evaluated.verdict.sentence
    table().drop("person").write_csv(tmp_path / "nobody.csv")
    with pytest.raises(DataError, match="has no column 'person'"):
        learner.evaluate(tmp_path / "nobody.csv")


def test_the_validation_part_is_of_whole_groups():
    arrays = [np.random.default_rng(place).normal(size=(9, 1)) for place in range(40)]
    groups = np.arange(40) // 4
    model = SequenceClassifier(
        hidden=4, filters=0, kernel_features=0, validation=0.25, training=SequenceTraining(steps=2)
    )
    parts = model.fit(arrays, np.arange(40) // 2 % 2, groups=groups).learner_.parts
    assert len(parts.validation) >= 8
    assert not set(parts.validation.clusters.tolist()) & set(parts.training.clusters.tolist())
