"""Texts told apart: what is learnt, adopted from a language model, saved and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tasks.text_classify.conftest import questions, table

from gated.cli.app import run
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.text_classify import TextClassifier, TextClassifyConfig, TextClassifyTraining

SMALL = {"hidden": 24, "embedding": 12}


@pytest.fixture(scope="module")
def fitted(asked: Path) -> TextClassifier:
    config = TextClassifyConfig(hidden=32, embedding=16, dropout=0.0)
    return TextClassifier(config, TextClassifyTraining(steps=250, learning_rate=1e-2)).fit(asked)


@pytest.fixture(scope="module")
def reader(asked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model's run."""
    config = LanguageConfig(**SMALL, documents="line", window=32)
    directory = tmp_path_factory.mktemp("reader")
    LanguageModel(config, LanguageTraining(steps=4, batch_size=8)).fit([asked]).save(directory)
    return directory


def test_it_learns_what_a_text_is(fitted: TextClassifier) -> None:
    score, words, frequent = fitted.score().scores.values()
    assert score.accuracy > 0.9
    assert frequent.accuracy < 0.5
    assert words.accuracy > 0.9, "single words tell these texts apart"
    verdict = fitted.score().verdict
    assert (verdict.outcome, verdict.baseline) == ("undecided", "words and letters, linear")
    assert verdict.low < 0 < verdict.high
    told = fitted.predict_proba(["what is abcdef plus abcdefghi", "what is abcdef minus abcdefghi"])
    assert [fitted.labels[of] for of in told.argmax(1)] == ["sum", "difference"]
    np.testing.assert_allclose(told.sum(1), 1.0)


def test_a_text_is_told_the_same_whatever_stands_beside_it(fitted: TextClassifier) -> None:
    texts = [text for text, _ in questions(40, seed=3)] + ["what is a times b" * 9]
    together = fitted.predict_proba(texts)
    alone = np.concatenate([fitted.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_text_is_on_both_sides(asked: Path) -> None:
    parts = TextClassifier().prepare(asked).parts
    kinds = [set(part.texts) for part in (parts.training, parts.validation, parts.test)]
    assert all(kinds)
    assert sum(map(len, kinds)) == len(set().union(*kinds))


def test_test_data_of_their_own_are_kept_apart_too(asked: Path, tmp_path: Path) -> None:
    same = TextClassifier(TextClassifyConfig(test_data=asked, **SMALL))
    with pytest.raises(DataError, match="500 of the 500 texts to score on are also in"):
        same.prepare(asked)
    known, fresh = questions(500)[:20], questions(60, seed=9)
    copied = [(text.upper() + "!", label) for text, label in known]
    mixed = _written(tmp_path, copied + fresh)
    parts = TextClassifier(TextClassifyConfig(test_data=mixed, **SMALL)).prepare(asked).parts
    learnt = {*parts.training.texts, *parts.validation.texts}
    assert len(parts.test) == 80
    assert not learnt & {text for text, _ in known}
    assert learnt >= {text for text, _ in questions(500)[400:]}


def test_a_score_on_what_was_trained_on_says_so(fitted: TextClassifier, asked: Path) -> None:
    learnt = len(fitted.parts.training) + len(fitted.parts.validation)
    verdict = fitted.evaluate(asked).verdict
    assert f"{learnt} of them were trained on, so the score is too good." in str(verdict)
    assert "trained on" not in str(fitted.score().verdict)


def test_a_baseline_that_is_not_wanted_is_said_to_be_left_out(asked: Path) -> None:
    training = TextClassifyTraining(steps=2, no_baseline=True)
    evaluation = TextClassifier(TextClassifyConfig(**SMALL), training).fit(asked).score()
    assert list(evaluation.scores) == ["LSTM", "most frequent label"]
    told = "Left out: words and letters, linear (with --no-baseline)."
    assert str(evaluation.verdict).endswith(told)


def test_a_saved_classifier_tells_the_same(fitted: TextClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = TextClassifier.load(tmp_path)
    texts = [text for text, _ in questions(5, seed=4)]
    np.testing.assert_array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))
    assert loaded.evaluate(_written(tmp_path, questions(60, seed=5))).scores["LSTM"].accuracy > 0.8


@pytest.mark.parametrize("unit", ["byte", "subword"])
def test_bytes_and_subwords_are_read(asked: Path, unit: str) -> None:
    config = TextClassifyConfig(unit=unit, vocabulary=300, **SMALL)
    model = TextClassifier(config, TextClassifyTraining(steps=3)).fit(asked)
    assert model.score().scores["LSTM"].n == len(model.parts.test)


def test_it_begins_as_the_language_model_reads(asked: Path, reader: Path) -> None:
    options = TextClassifyTraining(steps=1, learning_rate=1e-9, init_from=reader)
    with pytest.raises(ConfigurationError, match=r"hidden is 99, and 24 in .*leave it out"):
        TextClassifier(TextClassifyConfig(hidden=99), options).prepare(asked)
    model = TextClassifier(TextClassifyConfig(dropout=0.0), options).fit(asked)
    language = LanguageModel.load(reader)
    assert model.config.hidden == SMALL["hidden"]
    codes = language.codes_of("what is")[:, None]
    with torch.no_grad():
        theirs, ours = language.network.read(codes).output, model.network.read(codes).output
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    transfer = model.history.transfer
    assert transfer is not None
    assert all(name.startswith("head.") for name in transfer.absent)
    assert all(name.startswith("readout.") for name in transfer.unused)


class Interrupted:
    """Stops a training after a step."""

    def __init__(self, last: int) -> None:
        self.last = last

    def step(self, *, step: int, **_: object) -> None:
        if step == self.last:
            raise KeyboardInterrupt

    def validation(self, **_: object) -> None:
        pass


@pytest.mark.parametrize("last", [8, 9])
def test_thawing_begins_with_the_head(asked: Path, reader: Path, last: int) -> None:
    options = TextClassifyTraining(
        steps=12,
        init_from=reader,
        thaw_every=4,
        layer_rate_decay=0.4,
        schedule="slanted-triangular",
        warmup=0.1,
    )
    model = TextClassifier(TextClassifyConfig(), options).prepare(asked)
    before = LanguageModel.load(reader).network.embedding.weight.detach()
    assert [name for name, _ in model.network.depth_groups()] == ["embedding", "layer0", "head"]
    with pytest.raises(KeyboardInterrupt):
        model.train(progress=Interrupted(last))
    moved = not torch.equal(model.network.embedding.weight, before)
    assert moved == (last == 9), "thawed after 8 steps"


def test_a_language_model_goes_on_with_the_vocabulary_of_another(
    reader: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.txt"
    path.write_text("what is é plus z?\n" * 60)
    options = LanguageTraining(steps=2, batch_size=4, init_from=reader)
    model = LanguageModel(LanguageConfig(), options).fit([path])
    assert model.vocabulary.to_json_value() == LanguageModel.load(reader).vocabulary.to_json_value()
    (finding,) = [of for of in model.findings if of.kind == "unknown"]
    assert finding.count == 120
    assert "'é' at character 8" in str(finding)


def test_it_goes_on_where_another_classifier_ended(fitted: TextClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    options = TextClassifyTraining(steps=1, learning_rate=1e-9, init_from=tmp_path)
    two = [of for of in questions(300, seed=8) if of[1] != "product"]
    model = TextClassifier(None, options).fit(_written(tmp_path, two))
    assert (model.labels, model.config.hidden) == (fitted.labels, fitted.config.hidden)
    texts = [text for text, _ in questions(9, seed=4)]
    ours, theirs = model.predict_proba(texts), fitted.predict_proba(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    renamed = [(text, f"a {label}") for text, label in questions(300, seed=8)]
    anew = TextClassifier(None, options).fit(_written(tmp_path, renamed))
    assert anew.labels == tuple(f"a {label}" for label in fitted.labels)
    assert all(name.startswith("head.") for name in anew.history.transfer.absent)
    assert any(of.kind == "labels" and of.count == 3 for of in anew.findings)


def test_labels_can_weigh_the_same(tmp_path: Path) -> None:
    rows = [of for of in questions(400, seed=1) if of[1] != "product"]
    rare = [of for of in questions(400, seed=2) if of[1] == "product"][:12]
    data = _written(tmp_path, rows + rare)
    model = TextClassifier(
        TextClassifyConfig(balance=True, **SMALL), TextClassifyTraining(steps=2)
    ).fit(data)
    counts = np.bincount(model.parts.training.labels, minlength=3)
    plain = TextClassifier(TextClassifyConfig(**SMALL), TextClassifyTraining(steps=2)).fit(data)
    assert counts.min() * 10 < counts.max()
    assert model.history.loss[0] != plain.history.loss[0]
    texts = [text for text, label in rare if label == "product"]
    place = model.labels.index("product")
    ours, theirs = (of.predict_proba(texts)[:, place].mean() for of in (model, plain))
    assert ours > theirs, "what is rare counts for more"


def _written(directory: Path, rows: list[tuple[str, str]]) -> Path:
    path = directory / "rows.csv"
    path.write_text(table(rows))
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text,label\n", "holds no usable row"),
        ("text,label\nabc,\n", "row 2: the label is empty"),
        ("text,label\nabc,a\n  ,b\n", "row 3: the text is empty"),
        ("texts,label\nabc,a\n", "has no column 'text'"),
        (table([(text, "a") for text, _ in questions(50)]), "fewer than two labels"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=told):
        TextClassifier().prepare(path)


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(table(questions(100)) + ",sum\n")
    model = TextClassifier(TextClassifyConfig(skip_bad=True)).prepare(path)
    assert any("row 102" in str(finding) for finding in model.findings)


def test_other_mistakes_are_named(asked: Path, fitted: TextClassifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'quotient' is none of"):
        fitted.evaluate(_written(tmp_path, [("one over two", "quotient")]))
    with pytest.raises(DataError, match="Text 1 is empty"):
        fitted.predict_proba(["one", ""])
    with pytest.raises(ConfigurationError, match="leave no text"):
        TextClassifyConfig(test=0.6, validation=0.4)
    with pytest.raises(ModelFileError, match="cannot be read"):
        TextClassifier(None, TextClassifyTraining(init_from=tmp_path)).prepare(asked)


def test_long_texts_are_read_up_to_a_point(tmp_path: Path) -> None:
    rows = [*questions(100), ("what is " + "very " * 99, "sum")]
    config = TextClassifyConfig(longest=50, unit="character")
    model = TextClassifier(config).prepare(_written(tmp_path, rows))
    assert any("more than 50 characters" in str(finding) for finding in model.findings)


def test_from_the_command_line(
    asked: Path, reader: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    options = ("--steps", "40", "--init-from", str(reader), "--thaw-every", "5", "--balance")
    assert run(["fit", "text-classify", str(asked), "--out", str(out), *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] > 50
    assert (out / "report.html").exists()
    lines = tmp_path / "lines.txt"
    lines.write_text("what is abc plus def\n\nwhat is abc times def\n")
    assert run(["predict", str(out), str(lines)]) == 2
    assert "line 2 is empty" in capsys.readouterr().err
    assert run(["predict", str(out), str(lines), "--json", "--skip-bad"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["text"] for row in told] == ["what is abc plus def", None, "what is abc times def"]
    assert [row["row"] for row in told] == [1, 2, 3]
    assert [row["predicted"] is None for row in told] == [False, True, False]
    assert "line 2 is empty" in told[1]["reason"]
    assert run(["evaluate", str(out), str(asked), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 500
    assert run(["explain", str(out), str(asked), "--out", str(tmp_path / "why.html")]) == 0
    assert (tmp_path / "why.html").exists()


def test_options_of_the_network_and_the_texts_on_the_command_line(
    asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked_for = ("--hidden", "24", "--unit", "byte", "--balance", "--longest", "30", "--steps", "2")
    out = tmp_path / "run"
    assert run(["fit", "text-classify", str(asked), "--out", str(out), *asked_for]) == 0
    loaded = TextClassifier.load(out)
    assert (loaded.config.hidden, loaded.config.unit, loaded.config.balance) == (24, "byte", True)
    few = _written(tmp_path, questions(60))
    options = ("--out", str(tmp_path / "none"), "--test", "0")
    assert run(["fit", "text-classify", str(few), *options]) == 2
    assert "no test part to score on" in " ".join(capsys.readouterr().err.split())
    lines = tmp_path / "lines.txt"
    lines.write_bytes(b"\0\1\2")
    assert run(["predict", str(out), str(lines)]) == 2
    assert "lines.txt, line 1: there is a zero byte" in " ".join(capsys.readouterr().err.split())
    lines.write_bytes(b"what is a\ncaf\xe9\nwhat is b\n")
    assert run(["predict", str(out), str(lines)]) == 2
    assert "lines.txt, line 2, byte 4: 0xe9 is not" in " ".join(capsys.readouterr().err.split())
    assert run(["predict", str(out), str(lines), "--skip-bad"]) == 0
    printed = capsys.readouterr()
    assert "unusable row (1, first:" in printed.err
    rows = [line.split(",")[0] for line in printed.out.splitlines()[1:]]
    assert rows == ["1", "2", "3"]
    assert "line 2, byte 4" in printed.out.splitlines()[2]


def test_an_interrupted_training_goes_on(asked: Path, tmp_path: Path) -> None:
    config = TextClassifyConfig(**SMALL)
    options = TextClassifyTraining(steps=6, checkpoint_every=2, validate_every=2)
    whole = TextClassifier(config, options).fit(asked)

    with pytest.raises(KeyboardInterrupt):
        TextClassifier(config, options).fit(asked, directory=tmp_path, progress=Interrupted(4))
    resumed = TextClassifier(config, options).fit(asked, directory=tmp_path, resume=True)
    for ours, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
