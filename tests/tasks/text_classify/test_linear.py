"""The linear part: what it reads, says of its own texts, and by how much it is corrected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.text_classify.conftest import questions, table

from gated.errors import ModelFileError
from gated.tasks.text_classify import TextClassifier, TextClassifyConfig, TextClassifyTraining
from gated.tasks.text_classify.classifier import LINEAR, choose_trust
from gated.tasks.text_classify.linear import LinearText, fit_linear

SMALL = {"hidden": 24, "embedding": 12}
NONE = list[str](), np.zeros(0, np.int64)


def coded(rows: list[tuple[str, str]]) -> tuple[list[str], np.ndarray]:
    labels = sorted({label for _, label in rows})
    return [text for text, _ in rows], np.array([labels.index(label) for _, label in rows])


def test_what_it_says_of_its_own_texts_is_as_of_new_ones() -> None:
    random = np.random.default_rng(0)
    # Nothing can be learnt: no model can know a text that it was not fitted on.
    texts = ["".join(map(chr, random.integers(97, 123, 12))) for _ in range(200)]
    targets = random.integers(0, 2, 200)
    fitted = fit_linear((texts, targets), NONE, np.ones(2), seed=0)
    known = fitted.model.scores(texts).argmax(1) == targets
    unseen = fitted.unseen.argmax(1) == targets
    assert known.mean() > 0.9
    assert unseen.mean() < 0.65
    likely = fitted.unseen - np.logaddexp.reduce(fitted.unseen, 1, keepdims=True)
    assert -likely[np.arange(200), targets].mean() < 0.75, "the scale says how unsure it is"


def test_the_same_wording_is_left_out_together() -> None:
    random = np.random.default_rng(1)
    texts = ["".join(map(chr, random.integers(97, 123, 12))) for _ in range(80)]
    targets = random.integers(0, 2, 80)
    twice = [*texts, *(f"{text.upper()} 1." for text in texts)]
    fitted = fit_linear((twice, np.tile(targets, 2)), NONE, np.ones(2), seed=0)
    assert (fitted.unseen.argmax(1) == np.tile(targets, 2)).mean() < 0.7


def test_letters_case_and_ends_tell_labels_apart() -> None:
    rows = [
        (text.upper() if k % 2 else text, str(k % 2)) for k, (text, _) in enumerate(questions(60))
    ]
    model = fit_linear(coded(rows), NONE, np.ones(2), seed=0).model
    fresh = [text for text, _ in questions(20, seed=5)]
    assert (model.scores(fresh).argmax(1) == 0).all()
    assert (model.scores([text.upper() for text in fresh]).argmax(1) == 1).all()


def test_a_label_without_texts_and_texts_without_features() -> None:
    texts, targets = coded([row for row in questions(90) if row[1] != "sum"])
    fitted = fit_linear((texts, targets), NONE, np.ones(3), seed=0)
    assert set(fitted.model.scores(texts).argmax(1)) == {0, 1}
    bare = fit_linear((["a", "b"], np.array([0, 1])), NONE, np.ones(2), seed=0)
    assert np.isfinite(bare.model.scores(["a", "b", "c"])).all()
    assert bare.model.scores([]).shape == (0, 2)


def test_what_is_saved_scores_the_same() -> None:
    texts, targets = coded(questions(60))
    model = fit_linear((texts, targets), (texts[:9], targets[:9]), np.ones(3), seed=0).model
    again = LinearText.from_bytes(model.to_bytes())
    assert len(again) == len(model) > 100
    np.testing.assert_array_equal(again.scores(texts), model.scores(texts))
    with pytest.raises(ValueError, match="features with frequencies"):
        LinearText(model.words, model.letters[1:], model.idf, model.weights, model.bias)


@pytest.mark.parametrize(("helps", "trust"), [(1.0, 1.0), (0.0, 0.0), (-1.0, 0.0)])
def test_the_network_counts_as_far_as_it_helps(helps: float, trust: float) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 400)
    right = np.eye(3)[truth]
    linear = (random.normal(size=(400, 3)) + right).astype(np.float32)
    network = 2 * helps * right + 0.1 * random.normal(size=(400, 3))
    assert choose_trust(network, linear, truth, np.ones(3)) == trust
    assert choose_trust(network[:0], linear[:0], truth[:0], np.ones(3)) == 0.0


def test_the_network_corrects_the_linear_part_by_the_trust(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    # Nothing to be sure of, so that corrections show.
    path.write_text(table([(text, f"{k % 2}") for k, (text, _) in enumerate(questions(200))]))
    training = TextClassifyTraining(steps=3, learning_rate=0.1)
    model = TextClassifier(TextClassifyConfig(**SMALL), training).fit(path)
    assert model.linear is not None
    texts = [text for text, _ in questions(20, seed=7)]
    scores = model.linear.scores(texts)
    share = np.exp(scores - np.logaddexp.reduce(scores, 1, keepdims=True))
    model.trust = 0.0
    np.testing.assert_allclose(model.predict_proba(texts), share, atol=1e-5)
    model.trust = 1.0
    assert abs(model.predict_proba(texts) - share).max() > 1e-3
    alone = TextClassifier(TextClassifyConfig(no_linear=True, **SMALL), training).prepare(path)
    assert LINEAR not in alone.attached()


def test_a_linear_part_of_other_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(table(questions(100)))
    model = TextClassifier(TextClassifyConfig(**SMALL), TextClassifyTraining(steps=1)).fit(path)
    assert LINEAR in model.attached()
    two = fit_linear(coded([of for of in questions(40) if of[1] != "sum"]), NONE, np.ones(2), 0)
    model.linear = two.model
    model.save(tmp_path / "run")
    with pytest.raises(ModelFileError, match="scores 2 labels, and the network 3"):
        TextClassifier.load(tmp_path / "run")


def test_steps_and_subwords_grow_with_the_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(table(questions(100)))
    model = TextClassifier().prepare(path)
    assert (model.training.steps, model.config.vocabulary) == (400, 500)
    given = replace(TextClassifyConfig(vocabulary=300), **SMALL)
    chosen = TextClassifier(given, TextClassifyTraining(steps=7)).prepare(path)
    assert (chosen.training.steps, chosen.config.vocabulary) == (7, 300)
