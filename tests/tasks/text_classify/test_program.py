"""What a classifier of texts predicts without torch is what it predicts with it."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from tests.tasks.text_classify.conftest import questions

import gated
from gated.errors import ConfigurationError, ModelFileError, ProgramError
from gated.live.emit_c import source
from gated.live.model import read_arrays, write
from gated.live.program import Program
from gated.tasks.text_classify.classifier import TextClassifier
from gated.tasks.text_classify.config import TextClassifyConfig, TextClassifyTraining
from gated.texts.text import points_of


@pytest.mark.parametrize(("unit", "layers"), [("character", 1), ("byte", 2)])
def test_the_program_labels_texts(unit, layers: int, asked: Path, tmp_path: Path) -> None:
    config = TextClassifyConfig(
        unit=unit, layers=layers, hidden=24, embedding=8, vocabulary=300, longest=25, no_linear=True
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


@pytest.mark.parametrize(("unit", "trust"), [("subword", 0.0), ("subword", 0.75), ("byte", 1.0)])
def test_a_default_run_has_a_program(unit, trust: float, asked: Path, tmp_path: Path) -> None:
    config = TextClassifyConfig(unit=unit, hidden=24, embedding=8, vocabulary=300, longest=25)
    training = TextClassifyTraining(steps=3, batch_size=4, threads=1)
    learner = TextClassifier(config, training).fit(asked)
    torch.nn.init.normal_(learner.network.head[4].weight)  # corrections are 0 at first
    learner.trust = trust
    learner.save(tmp_path / "run")
    model = gated.load(tmp_path / "run")
    texts = [*(text for text, _ in questions(60, 4)), "x", "ÄΩ 漢字\t\u0301 12\n\n  ok?", "\0"]
    found = model(texts)
    assert_agree(found, learner.predict_proba(texts), "probabilities", absolute=1e-6)
    assert model.labels == learner.labels
    for text, out in zip(texts, found, strict=True):
        np.testing.assert_array_equal(model(text), out)
    with pytest.raises(ConfigurationError, match=r"word_scores.* read later steps"):
        model.stream()
    with pytest.raises(ProgramError, match="which a step in C cannot"):
        source(model, "texts")
    write(tmp_path / "alone", model.program.values, read_arrays(tmp_path / "run"), model.task)
    np.testing.assert_array_equal(gated.load(tmp_path / "alone")(texts), found)
    learner.trust = trust + 1
    learner.save(tmp_path / "run")
    assert np.abs(gated.load(tmp_path / "run")(texts) - found).max() > 1e-3


def test_subwords_alone_are_read_as_texts_and_as_codes(asked: Path, tmp_path: Path) -> None:
    config = TextClassifyConfig(hidden=8, embedding=8, vocabulary=300, no_linear=True)
    learner = TextClassifier(config, TextClassifyTraining(steps=2, threads=1)).fit(asked)
    learner.save(tmp_path)
    model, texts = gated.load(tmp_path), [text for text, _ in questions(9, 4)]
    assert_agree(model(texts), learner.predict_proba(texts), "probabilities", absolute=1e-6)
    codes = learner.vocabulary.encode(points_of(texts[0], "subword"))
    np.testing.assert_array_equal(model.stream().push_many(codes)[-1], model(texts[0]))


def test_a_default_run_is_read_without_any_other_library(asked: Path, tmp_path: Path) -> None:
    config = TextClassifyConfig(hidden=8, embedding=8, vocabulary=300)
    TextClassifier(config, TextClassifyTraining(steps=2, threads=1)).fit(asked).save(tmp_path)
    code = (
        "import sys, gated\n"
        "print(gated.load('.')('what is a plus b').sum().round(6))\n"
        "extra = {'torch', 'sklearn', 'scipy', 'tokenizers', 'polars', 'msgspec'}\n"
        "print(sorted(extra & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1.0", "[]"]


def test_damaged_words_are_refused_by_name(asked: Path, tmp_path: Path) -> None:
    config = TextClassifyConfig(hidden=4, embedding=4, vocabulary=300)
    training = TextClassifyTraining(steps=1, threads=1)
    learner = TextClassifier(config, training).fit(asked)
    learner.trust = 0.5
    learner.save(tmp_path)
    arrays, values = read_arrays(tmp_path), gated.load(tmp_path).program.values
    features = arrays["linear.features"]
    words = values["layers"][0]["words"]
    merges = arrays["subwords.merges"].copy()
    merges[0, 2] = len(learner.vocabulary)
    twice = bytes(features).replace(b"\0", b"\0", 1).split(b"\0")
    twice[1] = twice[0]
    strange = {
        "'word_scores' .*names of features, each once": {"linear.features": features[:-9]},
        r"'word_scores' .*names of features, each once ": {
            "linear.features": np.frombuffer(b"\0".join(twice), np.uint8)
        },
        "'word_scores' .*no text": {"linear.features": np.full_like(features, 255)},
        "'linear.weights' as float16": {"linear.weights": arrays["linear.weights"].astype("f4")},
        "'linear.bias' as float32 of the shape": {"linear.bias": arrays["linear.bias"][:1]},
        "'encode' .*'merges' with what is not a code": {"subwords.merges": merges},
        r"'subwords.bytes' as int32 of the shape .256": {"subwords.bytes": merges[0]},
    }
    for message, changed in strange.items():
        with pytest.raises(ModelFileError, match=message.strip()):
            Program(values, arrays | changed)
    many = copy.deepcopy(values)
    many["layers"][0]["words"] = len(arrays["linear.idf"]) + 1
    with pytest.raises(ModelFileError, match="has words = "):
        Program(many, arrays)
    assert 0 < words < len(arrays["linear.idf"])
    many = copy.deepcopy(values)
    del many["layers"][1]["unit"]
    with pytest.raises(ModelFileError, match=r"'encode' .*has no unit: character, byte"):
        Program(many, arrays)
    path = next(tmp_path.glob("linear-*"))
    whole = path.read_bytes()
    path.write_bytes(whole[:900] + bytes([whole[900] ^ 4]) + whole[901:])
    with pytest.raises(ModelFileError):
        gated.load(tmp_path)
