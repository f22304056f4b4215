"""What a classifier of texts predicts without torch is what it predicts with it."""

from pathlib import Path

import numpy as np
import pytest
from tests.comparison import assert_agree
from tests.tasks.text_classify.conftest import questions

import gated
from gated.errors import ModelFileError
from gated.tasks.text_classify.classifier import TextClassifier
from gated.tasks.text_classify.config import TextClassifyConfig, TextClassifyTraining


@pytest.mark.parametrize(("unit", "layers"), [("character", 1), ("byte", 2)])
def test_the_program_labels_texts(unit, layers: int, asked: Path, tmp_path: Path) -> None:
    config = TextClassifyConfig(
        unit=unit, layers=layers, hidden=24, embedding=8, vocabulary=300, longest=25, linear=False
    )
    training = TextClassifyTraining(steps=3, batch_size=4, threads=1)
    learner = TextClassifier(config, training).fit(asked)
    learner.save(tmp_path / "run")
    model = gated.load(tmp_path / "run")
    texts = [text for text, _ in questions(300, 4)]
    assert max(map(len, texts)) > 25  # so that some are cut
    found = model(texts)
    assert_agree(found, learner.predict_proba(texts), "probabilities", absolute=1e-6)
    assert model.labels == learner.labels
    np.testing.assert_array_equal(model(texts[7]), found[7])
    np.testing.assert_array_equal(model.stream().push_many(texts[0][:25])[-1], found[0])


def test_a_linear_part_is_no_program(asked: Path, tmp_path: Path) -> None:
    training = TextClassifyTraining(steps=1, batch_size=4, threads=1)
    TextClassifier(TextClassifyConfig(hidden=4, embedding=4), training).fit(asked).save(tmp_path)
    with pytest.raises(ModelFileError, match="its linear part reads words and letters"):
        gated.load(tmp_path)
