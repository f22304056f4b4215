"""The whole job, from Python and as a user types it, on a language learnt in seconds."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.documents import write_document
from tests.tasks.translate.toy import toy_pairs, write_pairs

from gated.cli.app import run
from gated.configuration import from_json_values
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.tasks.translate import TranslateConfig, Translator
from gated.training.options import TrainingOptions

NETWORK = {
    "hidden": "48",
    "embedding": "24",
    "vocabulary": "30",
    "dropout": "0.0",
    "test": "60",
    "validation": "40",
}
QUICK = {
    "steps": "200",
    "batch-size": "24",
    "learning-rate": "0.02",
    "validate-every": "100",
    "checkpoint-every": "50",
    "threads": "1",
}


def arguments(options: dict[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", value)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.tsv", toy_pairs(900))


@pytest.fixture(scope="module")
def trained(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "toy"
    asked = ["fit", "translate", str(pairs), "--out", str(out), *arguments(NETWORK | QUICK)]
    assert run(asked) == 0
    return out


def scores(capsys: pytest.CaptureFixture[str], run_: Path, data: Path) -> dict:
    assert run(["evaluate", str(run_), str(data), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_language_is_learnt_and_the_baselines_are_beaten(trained, tmp_path, capsys) -> None:
    fresh = write_pairs(tmp_path / "fresh.tsv", toy_pairs(150, seed=9))
    found = scores(capsys, trained, fresh)
    assert "beats the best baseline" in found["verdict"]
    assert found["scores"]["LSTM with attention"]["bleu"] > 70
    assert found["scores"]["source copied"]["bleu"] < 1
    assert found["scores"]["nearest training sentence"]["bleu"] < 70
    assert "tok:zh" in found["bleu_signature"]
    seen = {source for source, _ in map(tuple, _lines(next(trained.glob("training-pairs-*.tsv"))))}
    assert found["overlap"] == sum(source in seen for source, _ in _lines(fresh))


def _lines(path: Path) -> Iterator[list[str]]:
    return (line.split("\t") for line in path.read_text("utf-8").splitlines())


def test_the_run_holds_a_report_with_everything_in_it(trained) -> None:
    page = (trained / "report.html").read_text("utf-8")
    for title in ("Score", "Translations", "Where it looks", "Training", "Reproduce"):
        assert f"{title}</h2>" in page
    drawn = {path.name for path in (trained / "figures").iterdir()}
    assert {"training.png", "attention_1.png"} <= drawn
    assert json.loads((trained / "run.json").read_text())["config"]["hidden"] == 48


def test_lines_are_translated_and_drawn(trained, tmp_path, capsys, monkeypatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"ba ko ti\n\nmu re sa\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(["translate", str(trained), "--attention", str(tmp_path / "seen")]) == 0
    assert capsys.readouterr().out == "三二一\n\n六五四\n"
    pictures = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert pictures == ["0001.png", "0003.png"]


def test_a_translation_too_long_to_be_drawn_is_told_and_the_others_are(
    trained, tmp_path, capsys
) -> None:
    (tmp_path / "text").write_text("ba ko\n" + "ba " * 161 + "\nko ba\n")
    asked = ["translate", str(trained), str(tmp_path / "text"), "--beam", "1"]
    assert run([*asked, "--attention", str(tmp_path / "seen")]) == 0
    told = capsys.readouterr()
    assert told.out.count("\n") == 3
    assert "Line 2 is not drawn. A translation of 162 to" in " ".join(told.err.split())
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["0001.png", "0003.png"]


def test_n_best_of_a_file_with_numbers_and_scores(trained, tmp_path, capsys) -> None:
    (tmp_path / "text").write_text("ba ko ti\nmu re sa\n")
    assert run(["translate", str(trained), str(tmp_path / "text"), "--n-best", "3"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [number for number, _, _ in lines] == ["1"] * 3 + ["2"] * 3
    assert lines[0][2] == "三二一"
    assert float(lines[0][1]) > float(lines[1][1])


def test_no_two_of_the_best_say_the_same(trained) -> None:
    translator = Translator.load(trained)
    sentences = ["ba ko ti", "mu re sa ba ko ti", "ψ ba"]
    for best in translator.translate(sentences, n_best=20):
        texts = [translation.text for translation in best]
        assert len(set(texts)) == len(texts) > 10
        scores = [translation.score for translation in best]
        assert scores == sorted(scores, reverse=True)


def test_penalties_are_given_at_translating(trained, tmp_path, capsys) -> None:
    (tmp_path / "text").write_text("ba ko ti mu\n")
    asked = ["translate", str(trained), str(tmp_path / "text"), "--beam", "20", "--n-best", "20"]
    lengths = {}
    for penalty in ("0", "3"):
        assert run([*asked, "--length-penalty", penalty, "--coverage-penalty", "0.2"]) == 0
        lines = capsys.readouterr().out.splitlines()
        lengths[penalty] = [len(line.split("\t")[2]) for line in lines]
    assert sum(lengths["3"][:10]) > sum(lengths["0"][:10])
    translator = Translator.load(trained)
    ((plain,),) = translator.translate(["ba ko ti mu"], beam=1)
    ((read,),) = translator.translate(["ba ko ti mu"], beam=1, coverage_penalty=2.0)
    covered = np.log(read.attention.sum(0).clip(1e-9, 1)).sum()
    assert read.text == plain.text
    assert read.score == pytest.approx(plain.score + 2 * covered, abs=1e-4)
    assert run([*asked, "--length-penalty", "-1"]) == 2
    assert "--length-penalty must be a number of at least 0" in capsys.readouterr().err


def test_attention_looks_at_the_word_that_is_translated(trained) -> None:
    ((best,),) = Translator.load(trained).translate(["ba ko ti mu"])
    assert best.source == ["▁ba", "▁ko", "▁ti", "▁mu", "</s>"]
    assert best.attention.shape == (len(best.subwords), 5)
    looked = {name: int(best.attention[row].argmax()) for row, name in enumerate(best.subwords)}
    assert sorted(set(looked.values()))[:1] == [0]  # the first word, which is written last
    assert best.attention.sum(1) == pytest.approx(1, abs=1e-5)


def test_an_interrupted_training_goes_on_to_the_same_weights(pairs, trained, tmp_path) -> None:
    class Stop(Exception):
        pass

    class StopAt:
        def step(self, *, step: int, **_: object) -> None:
            if step == 130:
                raise Stop

        def validation(self, **_: object) -> None: ...

    out = tmp_path / "run"
    asked = json.loads((trained / "run.json").read_text())
    config = from_json_values(TranslateConfig, asked["config"])
    translator = Translator(config, from_json_values(TrainingOptions, asked["training"]))
    with pytest.raises(Stop):
        translator.fit(pairs, directory=out, progress=StopAt())
    write_document(out / "run.json", asked)
    assert run(["resume", str(out)]) == 0
    same = Translator.load(out).network.state_dict()
    for name, tensor in Translator.load(trained).network.state_dict().items():
        assert np.array_equal(tensor.numpy(), same[name].numpy()), name


def test_two_files_and_the_other_network(tmp_path) -> None:
    pairs = toy_pairs(60)
    for side, name in enumerate(("source", "target")):
        (tmp_path / name).write_text("\n".join(pair[side] for pair in pairs), "utf-8")
    options = {"cell": "gru", "attention": "additive", "subwords": "unigram", "layers": "2"}
    asked = ["fit", "translate", str(tmp_path / "source"), str(tmp_path / "target")]
    asked += ["--out", str(tmp_path / "run"), "--no-input-feeding"]
    few = {"steps": "3", "validate-every": "3", "test": "10", "validation": "5"}
    assert run(asked + arguments(NETWORK | QUICK | options | few)) == 0
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert data == [str(tmp_path / name) for name in ("source", "target")]


def test_bad_input_is_told_and_leaves_nothing_behind(
    tmp_path, trained, capsys, monkeypatch
) -> None:
    (tmp_path / "a").write_text("one\ntwo\n")
    (tmp_path / "b").write_text("eins\n")
    out = tmp_path / "run"
    asked = ["fit", "translate", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)]
    assert run(asked) == 2
    assert "line 2 has no partner" in capsys.readouterr().err
    assert not out.exists()
    assert run(["translate", str(trained), str(tmp_path / "none")]) == 2
    assert "There is no file" in capsys.readouterr().err
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    assert run(["translate", str(trained), str(tmp_path / "latin")]) == 2
    assert "line 1, byte 4: 0xe9 is not UTF-8" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ba\ncaf\xe9\n")))
    assert run(["translate", str(trained)]) == 2
    assert "standard input, line 2, byte 4" in capsys.readouterr().err


def test_what_is_typed_wrongly_is_told_and_the_next_line_asked_for(
    trained, capsys, monkeypatch
) -> None:
    typed: list[str | Exception] = [
        UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "unexpected end of data"),
        "caf\udce9",  # the same where the terminal's encoding keeps bytes that it does not know
        "ba " * 2000,
        "ba ko ti",
        EOFError(),
    ]

    def typing(prompt: str) -> str:
        line = typed.pop(0)
        if isinstance(line, Exception):
            raise line
        return line

    monkeypatch.setattr("builtins.input", typing)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert run(["translate", str(trained)]) == 0
    told = capsys.readouterr()
    assert told.out == "三二一\n\n"
    errors = " ".join(told.err.split())
    assert "What was typed is not UTF-8" in errors
    assert "Sentence 2 is not UTF-8 at character 4" in errors
    assert "Sentence 3, which begins" in errors


@pytest.mark.parametrize("words", [1_000, 100_000])
def test_a_line_far_too_long_is_refused_by_its_number(trained, tmp_path, capsys, words) -> None:
    (tmp_path / "text").write_text("ba\n" * 300 + "ba " * words + "\n")
    assert run(["translate", str(trained), str(tmp_path / "text")]) == 2
    told = capsys.readouterr()
    assert told.out.count("\n") == 256  # what came before, but for the lines read with it
    error = " ".join(told.err.split())
    length = "1,000 subwords" if words == 1_000 else "300,000 characters"
    assert f"Sentence 301, which begins '{'ba ' * 13}b', has {length}; " in error
    assert "reads up to 960 subwords, 8 times the longest that it was trained on" in error


def test_too_little_to_score_on_is_told_before_training(tmp_path, capsys, monkeypatch) -> None:
    def train(*_: object, **__: object) -> None:
        raise AssertionError("trained first")

    monkeypatch.setattr(Translator, "train", train)
    path = write_pairs(tmp_path / "pairs.tsv", toy_pairs(60))
    for test, message in (
        ("0", "There is no test part to score on. Hold back more (--test), or give more pairs."),
        ("3", "The test part holds 3 pairs; a score needs 10 or more."),
    ):
        out = tmp_path / "run"
        few = {"test": test, "validation": "5"}
        asked = ["fit", "translate", str(path), "--out", str(out), *arguments(NETWORK | few)]
        assert run(asked) == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not out.exists()


def test_what_evaluate_leaves_out_is_told(trained, tmp_path, capsys) -> None:
    fresh = toy_pairs(30, seed=9)
    path = write_pairs(tmp_path / "fresh.tsv", [*fresh, ("ba", ""), fresh[0], ("ba " * 600, "一")])
    left_out = scores(capsys, trained, path)["left_out"]
    assert [(finding["kind"], finding["count"]) for finding in left_out] == [
        ("empty", 1), ("duplicate", 1), ("long", 1),
    ]  # fmt: skip
    assert left_out[1]["example"] == f"line 32: {fresh[0][0]}"
    assert run(["evaluate", str(trained), str(path)]) == 0
    told = capsys.readouterr().out
    assert "· pairs with nothing on one side (1, first: line 31: ba); left out." in told


def test_two_aligned_files_are_scored_as_one_file_is(trained, tmp_path, capsys) -> None:
    fresh = toy_pairs(30, seed=9)
    one = scores(capsys, trained, write_pairs(tmp_path / "fresh.tsv", fresh))
    for side, name in enumerate(("source", "target")):
        (tmp_path / name).write_text("\n".join(pair[side] for pair in fresh), "utf-8")
    asked = ["evaluate", str(trained), str(tmp_path / "source")]
    assert run([*asked, str(tmp_path / "target"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == one
    (tmp_path / "short").write_text("一\n二\n", "utf-8")
    assert run([*asked, str(tmp_path / "short")]) == 2
    assert "line 3 has no partner" in capsys.readouterr().err


def test_what_was_never_seen_and_what_is_far_too_long_is_translated(trained) -> None:
    translator = Translator.load(trained)
    ((unknown,), (long,)) = translator.translate(["ψψψ ☃", "ba " * 900], beam=2)
    assert "<unk>" not in unknown.text
    assert len(long.subwords) <= 2 * 901 + 11


def test_options_that_cannot_be_meant(trained) -> None:
    translator = Translator.load(trained)
    with pytest.raises(ConfigurationError, match="n_best is 3 and beam 2"):
        translator.translate(["ba"], beam=2, n_best=3)
    with pytest.raises(ConfigurationError, match="coverage_penalty must be"):
        translator.translate(["ba"], coverage_penalty=float("nan"))
    with pytest.raises(DataError, match="holds no data"):
        translator.parts  # noqa: B018
    wrong: list[dict[str, float]] = [{"hidden": 7}, {"dropout": 1.0}, {"copying": 1.0}]
    wrong += [{"test": 1.5}, {"beam": 0}, {"vocabulary": 7}, {"vocabulary": 10**12}]
    for options in wrong:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            TranslateConfig(**options)


def test_a_model_saved_before_words_were_copied_still_loads(trained, tmp_path) -> None:
    for path in trained.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    document = json.loads((tmp_path / "model.json").read_text())
    del document["description"]["config"]["copying"]
    write_document(tmp_path / "model.json", document)
    ((best,),) = Translator.load(tmp_path).translate(["ba ko ti"])
    assert best.text == "三二一"


def test_a_model_of_another_kind_is_refused(tmp_path, trained) -> None:
    document = json.loads((trained / "model.json").read_text())
    document["description"]["task"] = "forecast"
    write_document(tmp_path / "model.json", document)
    with pytest.raises(ModelFileError, match="forecast"):
        Translator.load(tmp_path)


def test_the_encoder_is_explained_subword_by_subword(trained, pairs, tmp_path) -> None:
    page = tmp_path / "page.html"
    assert run(["explain", str(trained), str(pairs), "--out", str(page)]) == 0
    assert "encoder.layers" in page.read_text()
    translator = Translator.load(trained)
    probe = translator.probe(pairs)
    assert [batch.source.shape[1] for batch, _ in probe.batches] == [16, 97]
    sources = [line.split("\t")[0] for line in pairs.read_text().splitlines()]
    assert probe.sequences[0] in sources
    labels = probe.timelines["encoder.layers"][0].labels
    assert "".join(labels[:-1]).replace("▁", " ").strip() == probe.sequences[0]
    assert labels[-1] == "</s>"
    assert probe.loss is not None
    assert 0 < probe.loss(translator.network(probe.batches[0][0])).item() < 1


def test_alignments_are_written_beside_the_translations(trained, tmp_path, capsys) -> None:
    lines, out = tmp_path / "lines.txt", tmp_path / "pairs.txt"
    lines.write_text("ba ko ti mu\n\nre sa ba\n")
    asked = ["translate", str(trained), str(lines)]
    assert run([*asked, "--alignments", str(out)]) == 0
    written = capsys.readouterr().out.splitlines()
    found = out.read_text().splitlines()
    assert [len(found), len(written), found[1]] == [3, 3, ""]
    assert run([*asked, "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    for line, text, (best, *_) in zip(found, written, documents, strict=True):
        assert line == " ".join(f"{i}-{j}" for i, j in best["alignment"])
        assert best["words"] == list(text), "each Chinese character is a word"
    assert documents[0][0]["source_words"] == ["ba", "ko", "ti", "mu"]
    # The language is turned round, and the attention has learnt it.
    assert "3-0" in found[0].split()
    assert run([*asked, "--alignments", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_run_goes_on_with_the_subwords_of_another(trained: Path, tmp_path: Path) -> None:
    fresh = write_pairs(tmp_path / "fresh.tsv", toy_pairs(150, seed=9))
    # Other sentences, of which other subwords would be learnt.
    turned = [(f"{source} zo", f"六{target}") for source, target in toy_pairs(700, seed=4)]
    other = write_pairs(tmp_path / "other.tsv", turned)
    training = TrainingOptions(steps=1, learning_rate=1e-9, init_from=trained, no_baseline=True)
    before = Translator.load(trained)
    after = Translator(TranslateConfig(test=60, validation=40), training).fit(other)
    assert after.source.to_json_value() == before.source.to_json_value()
    assert (after.config.hidden, after.config.vocabulary) == (48, 30)
    ours, theirs = (of.evaluate(fresh).scores["LSTM with attention"].bleu for of in (after, before))
    assert ours == pytest.approx(theirs, abs=1)
    for asked in (
        {"vocabulary": 40},
        {"cell": "gru"},
        {"attention": "multiplicative", "hidden": 2},
    ):
        with pytest.raises(ConfigurationError, match="with whose weights init_from begins"):
            Translator(TranslateConfig(**asked), training).prepare(other)


def test_pairs_that_another_run_cannot_write_are_left_out(trained: Path, tmp_path: Path) -> None:
    known = toy_pairs(300, seed=4)
    strange = [(f"{source} zo", f"七{target}") for source, target in toy_pairs(40, seed=5)]
    copied = [(f"{source} 八", f"八{target}") for source, target in toy_pairs(40, seed=6)]
    config = TranslateConfig(test=30, validation=20)
    training = TrainingOptions(steps=1, init_from=trained, no_baseline=True)
    mixed = write_pairs(tmp_path / "mixed.tsv", [*known, *strange, *copied])
    after = Translator(config, training).prepare(mixed)
    targets = "".join(pair.target for pair in after.parts.training)
    assert "七" not in targets
    assert "八" in targets, "it is in the source, and can be copied"
    (found,) = [of for of in after.findings if of.kind == "unknown"]
    assert 20 < found.count <= 40
    assert str(trained) in str(found)

    other = write_pairs(tmp_path / "other.tsv", [*known[:30], *strange])
    with pytest.raises(DataError, match="lack 1 of their characters, such as 七"):
        Translator(TranslateConfig(test=10, validation=5), training).prepare(other)


def test_what_a_run_adopts_is_what_it_records(trained, pairs, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    options = ["--init-from", str(trained), "--steps", "1", "--no-baseline", "--test", "60"]
    asked = ["fit", "translate", str(pairs), "--out", str(out), "--validation", "40", *options]
    assert run([*asked, "--cell", "gru"]) == 2
    assert "--cell is 'gru', and 'lstm' in" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
    assert run(asked) == 0
    for document in (out / "run.json", out / "model.json"):
        saved = json.loads(document.read_text())
        config = saved.get("config") or saved["description"]["config"]
        assert (config["hidden"], config["embedding"], config["vocabulary"]) == (48, 24, 30)
    assert run(["resume", str(out)]) == 0


def test_lines_that_cannot_be_translated_have_an_empty_one(trained, tmp_path, capsys) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(b"ba ko ti\ncaf\xe9\n" + b"ba " * 9000 + b"\nmu re sa\n")
    assert run(["translate", str(trained), str(text)]) == 2
    assert "line 2, byte 4" in capsys.readouterr().err
    assert run(["translate", str(trained), str(text), "--skip-bad"]) == 0
    told = capsys.readouterr()
    first, *bad, last = told.out.splitlines()
    assert (bool(first), bad, bool(last)) == (True, ["", ""], True)
    assert "line 2, byte 4" in told.err
    assert "Sentence 3" in told.err
    assert run(["translate", str(trained), str(text), "--skip-bad", "--json"]) == 0
    assert [len(of) for of in json.loads(capsys.readouterr().out)] == [1, 1, 0, 1]


def test_bad_lines_can_be_left_out_of_a_training(trained, tmp_path, capsys) -> None:
    data = write_pairs(tmp_path / "some.tsv", toy_pairs(200, seed=7))
    data.write_bytes(data.read_bytes() + b"one\ttwo\tthree\ncaf\xe9\tx\n")
    with pytest.raises(DataError, match="line 201: 3 columns"):
        Translator(TranslateConfig(vocabulary=30)).prepare(data)
    config = TranslateConfig(vocabulary=30, skip_bad=True)
    told = " ".join(map(str, Translator(config).prepare(data).findings))
    assert "line 201: 3 columns" in told
    assert "line 202, byte 4" in told
    assert run(["evaluate", str(trained), str(data), "--skip-bad", "--json"]) == 0


def test_a_line_of_a_pipe_is_translated_before_the_next_one_comes(trained: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from gated.cli import main; main()",
        "translate",
        str(trained),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for line in (b"ba ko ti\n", b"mu re sa\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().strip()
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_files_of_their_own_for_test_and_validation(tmp_path, capsys) -> None:
    pairs = toy_pairs(260)
    training = write_pairs(tmp_path / "train.tsv", pairs[:200])
    held = write_pairs(tmp_path / "dev.tsv", [*pairs[200:220], pairs[200]])
    for side, name in enumerate(("test.a", "test.b")):
        lines = "\n".join(pair[side] for pair in pairs[220:])
        (tmp_path / name).write_text(lines, "utf-8")
    config = TranslateConfig(
        hidden=8,
        embedding=8,
        vocabulary=60,
        test_data=(tmp_path / "test.a", tmp_path / "test.b"),
        validation_data=(held,),
    )
    translator = Translator(config).prepare(training)
    parts = translator.parts
    assert [of.count for of in translator.findings if of.kind == "duplicate"] == [1]
    assert [pair[:2] for pair in parts.test] == pairs[220:]
    assert [pair[:2] for pair in parts.validation] == pairs[200:220]
    assert not {pair.source for pair in parts.training} & {source for source, _ in pairs[200:]}
    with pytest.raises(ConfigurationError, match="test_data takes a file of pairs, or two"):
        TranslateConfig(test_data=(held, held, held))
