"""Labels of one example only are named by every task that classifies, without a warning."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tasks.classify.conftest import bumps, ts_text
from tests.tasks.text_classify.conftest import questions, table

from gated.data.single_labels import single_labels
from gated.errors import DataError
from gated.tasks.classify.config import SequenceConfig
from gated.tasks.classify.learner import ClassLearner
from gated.tasks.learner import Learner
from gated.tasks.text_classify import TextClassifier, TextClassifyConfig
from gated.training.options import TrainingOptions


def of_texts(directory: Path, labels: list[str]) -> tuple[Learner, Path]:
    path = directory / "texts.csv"
    texts = [text for text, _ in questions(len(labels))]
    path.write_text(table(list(zip(texts, labels, strict=True))))
    return TextClassifier(TextClassifyConfig(hidden=4, embedding=4), TrainingOptions(steps=2)), path


def of_sequences(directory: Path, labels: list[str]) -> tuple[Learner, Path]:
    path = directory / "bumps.ts"
    path.write_text(ts_text(bumps(len(labels), 0)[0], labels, "@classLabel true"))
    return ClassLearner(SequenceConfig(hidden=4, test=0.5), TrainingOptions(steps=2)), path


@pytest.mark.parametrize("task", [of_texts, of_sequences])
def test_where_no_label_comes_twice_nothing_can_be_shown(task, tmp_path: Path) -> None:
    learner, path = task(tmp_path, [f"label{place}" for place in range(30)])
    with pytest.raises(DataError, match=r"Each of the 30 labels in .* has a single example, .*"):
        learner.fit(path)


@pytest.mark.parametrize("task", [of_texts, of_sequences])
def test_more_labels_than_half_of_the_examples(task, tmp_path: Path) -> None:
    # Of which scikit-learn asks whether they are numbers, with a warning: here an error.
    labels = [f"label{place}" for place in range(36)] + ["a", "b"] * 12
    learner, path = task(tmp_path, labels)
    learner.fit(path).score()
    (found,) = [of for of in learner.findings if of.kind == "single"]
    assert (found.count, found.example) == (36, "label0")


def test_a_test_of_its_own_makes_single_labels_possible() -> None:
    (found,) = single_labels("abc", "list.csv", own_test=True)
    assert found.count == 3
    assert single_labels("aabb", "list.csv", own_test=False) == ()
    with pytest.raises(DataError, match="2 labels in x"):
        single_labels("ab", "x", own_test=False)
