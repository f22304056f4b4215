"""Language models from the text to what they write."""

import json
import lzma
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tasks.language.conftest import sums

from gated.cli.app import run
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.language.generation import Sampling, Typewriter, drawn, written_codes
from gated.tasks.language.network import LanguageNetwork
from gated.tasks.language.ngrams import FILE_UNIT, Compressor, best_ngrams, compressors_of
from gated.tasks.language.score import Stretches, verdict_of
from gated.texts import text as reading
from gated.texts.text import Text, points_of
from gated.texts.vocabulary import UNKNOWN, Letters, Subwords, Vocabulary

QUICK = [
    "--hidden", "48", "--embedding", "16", "--window", "48", "--dropout", "0", "--steps", "700",
    "--batch-size", "16", "--learning-rate", "0.02", "--validate-every", "100", "--threads", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "sums"
    assert run(["fit", "language", str(text), "--out", str(out), *QUICK]) == 0
    return out


def test_sums_are_learnt_and_written(trained: Path, tmp_path: Path, capsys) -> None:
    fresh = tmp_path / "fresh.txt"
    fresh.write_text(sums(300, seed=9))
    assert run(["evaluate", str(trained), str(fresh), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    # Two of five digits for each six characters are free: 2 · log2(5) / 6 = 0.774 bits.
    assert 0.76 < told["bits"]["LSTM"] < 1.0
    assert told["perplexity"]["LSTM"] == pytest.approx(2 ** told["bits"]["LSTM"])
    asked = ["generate", str(trained), "--prompt", "\n2+3=", "\n4+4=", "--length", "2", "--json"]
    assert run([*asked, "--temperature", "0"]) == 0
    texts = [of["text"] for of in json.loads(capsys.readouterr().out)]
    assert texts == ["5\n", "8\n"]


def test_the_report_holds_everything(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    for told in ("-grams", "xz", "bzip2", "Temperature 0.8", "truncated backpropagation"):
        assert told in page
    assert (trained / "figures" / "bits.png").stat().st_size > 5000


def test_the_memory_is_explained_character_by_character(trained, text, tmp_path) -> None:
    page = tmp_path / "page.html"
    assert run(["explain", str(trained), str(text), "--out", str(page)]) == 0
    assert "layers.0" in page.read_text()
    model = LanguageModel.load(trained)
    probe = model.probe([text])
    assert [of.shape for of, _ in probe.batches] == [(240, 8), (240, 56)]
    assert probe.sequences[0] == text.read_text()[:40]
    labels = probe.timelines["layers.0"][0].labels
    assert "".join(labels[:12]) == text.read_text()[:12].replace("\n", "↵")
    assert probe.loss is not None
    with torch.no_grad():
        assert 0.4 < float(probe.loss(model.network(probe.batches[0][0]))) < 1.0
    (tmp_path / "short.txt").write_text("1")
    with pytest.raises(DataError, match="too short to explain"):
        model.probe([tmp_path / "short.txt"])


def test_a_text_is_written_while_it_comes_and_stops(trained: Path, capsys) -> None:
    line = ["generate", str(trained), "--prompt", "\n1+1=", "--temperature", "0"]
    assert run([*line, "--length", "50", "--stop", "\n"]) == 0
    told = capsys.readouterr()
    assert told.out == "\n1+1=2\n"
    assert "characters a second" in told.err
    assert run([*line, "--length", "1", "--prompt", "\nä1+1="]) == 0
    assert "Never seen in training, and read as unknown: 'ä'" in capsys.readouterr().err


def test_generation_is_its_seed_and_the_same_side_by_side(trained: Path) -> None:
    model = LanguageModel.load(trained)
    sampling = Sampling(seed=4, temperature=1.5)
    first, again = (model.generate(["\n1"], length=40, sampling=sampling) for _ in range(2))
    other = model.generate(["\n1"], length=40, sampling=replace(sampling, seed=5))
    assert first == again != other
    greedy = Sampling(temperature=0)
    both = model.generate(["\n1+2", "\n3+"], length=12, sampling=greedy)
    assert both == [
        model.generate([prompt], length=12, sampling=greedy)[0] for prompt in ("\n1+2", "\n3+")
    ]


def test_an_interrupted_run_goes_on(trained: Path, tmp_path: Path) -> None:
    for name in ("run.json", "checkpoint.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    assert run(["resume", str(tmp_path)]) == 0
    (ours,), (theirs,) = (sorted(of.glob("weights-*")) for of in (tmp_path, trained))
    assert ours.name == theirs.name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Sampling(temperature=0), {2}),
        (Sampling(temperature=1, top_k=2), {2, 3}),
        (Sampling(temperature=1, top_p=0.5), {2}),
        (Sampling(temperature=1, top_p=0.9), {2, 3}),
        (Sampling(temperature=1), {1, 2, 3}),
        (Sampling(temperature=0, repetition=5.0, recent=1), {3}),
    ],
)
def test_what_is_drawn_is_what_was_asked_for(options: Sampling, expected: set[int]) -> None:
    logits = torch.tensor([[9.0, 0.0, 2.0, 1.5]]).expand(400, -1)  # of these the first is unknown
    recent = torch.full((400, 1), 2)
    codes = drawn(logits, recent, options, torch.Generator().manual_seed(0))
    assert set(codes.tolist()) == expected


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_texts_are_written_alone_as_among_many_and_as_the_network_reads_them(cell: str) -> None:
    torch.manual_seed(0)
    config = LanguageConfig(cell=cell, hidden=24, embedding=12, layers=2)  # type: ignore[arg-type]
    network = LanguageNetwork(config, 30)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    prompts = [torch.randint(1, 30, (9,)) for _ in range(5)]
    sampling = Sampling(temperature=0)

    def written(prompts: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(islice(written_codes(network, prompts, sampling), 40)))

    together = written(prompts)
    assert len(together.unique()) > 3
    assert torch.equal(together[:, :2], written(prompts[:2]))
    assert torch.equal(together[:, 1:2], written(prompts[1:2]))
    whole = torch.cat([torch.stack(prompts, 1), together])
    with torch.no_grad():
        scores = network(whole, {}).logits[8:-1]
    scores[..., UNKNOWN] = -torch.inf
    assert torch.equal(scores.argmax(-1), together)


def test_a_text_in_blocks_is_the_text(tmp_path: Path, monkeypatch) -> None:
    written = "gate 门 öffnet 🚪\n" * 9
    path = tmp_path / "t.txt"
    path.write_text(written)
    monkeypatch.setattr(reading, "BLOCK", 7)
    for unit in ("character", "byte"):
        text = Text([path, path], unit)
        vocabulary = Letters.of([text.points], unit)
        coded = text.coded(vocabulary, "line")
        codes, ends = coded.codes, coded.ends
        assert ends.tolist() == [at for at, code in enumerate(codes) if code == codes[-1]]
        files = text.coded(vocabulary, "file").ends.tolist()
        assert files == [len(codes) // 2 - 1, len(codes) - 1]
        assert np.array_equal(codes, vocabulary.encode(points_of(written * 2, unit)))
        typewriter = Typewriter(vocabulary)
        assert "".join(typewriter.text(code) for code in codes.tolist()) == written * 2


def test_lines_that_are_documents_begin_without_memory(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    # What a line says depends on its beginning alone: after any line comes any other.
    random = np.random.default_rng(0)
    path.write_text("".join(random.choice(["abcab\n", "cc\n"], 3000)))
    config = LanguageConfig(hidden=16, embedding=8, window=8, documents="line", dropout=0.0)
    options = LanguageTraining(steps=200, batch_size=16, learning_rate=0.02, threads=1)
    model = LanguageModel(config, options).fit([path])
    assert (
        model.score().bits["LSTM with n-grams"] < 0.3
    )  # a bit a line of 4.5 characters, in the mean
    sampling = Sampling(temperature=0)
    assert model.generate(["a"], length=5, sampling=sampling) == ["bcab\n"]
    assert model.generate(["c"], length=2, sampling=sampling) == ["c\n"]


def test_subwords_put_together_are_the_text(tmp_path: Path, monkeypatch) -> None:
    written = "The gate opens, 门开了 in 1997;\n  the gate  shuts: öffnet é 🚪\n\n" * 5
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text(written)
    monkeypatch.setattr(reading, "BLOCK", 50)
    text = Text(paths, "subword")
    vocabulary = Subwords.learn(text.blocks(0, len(text)), 400)
    coded = text.coded(vocabulary, "line")
    codes, ends = coded.codes, coded.ends
    typewriter = Typewriter(vocabulary)
    assert "".join(typewriter.text(code) for code in codes.tolist()) == written * 2
    assert len(codes) < len(written)
    assert vocabulary.letters()[codes].sum() == len(written * 2)
    assert len(ends) == (written * 2).count("\n")
    again = Vocabulary.from_json_value(vocabulary.to_json_value())
    assert again.pieces() == vocabulary.pieces()
    files = text.coded(vocabulary, "file").ends
    assert files.tolist() == [len(codes) // 2 - 1, len(codes) - 1]


def test_a_model_of_subwords_is_scored_by_the_character(text: Path, tmp_path: Path) -> None:
    config = LanguageConfig(
        unit="subword", vocabulary=300, hidden=48, embedding=24, window=16, dropout=0.0
    )
    options = LanguageTraining(steps=800, batch_size=16, learning_rate=0.02, threads=1)
    model = LanguageModel(config, options).fit([text])
    (found,) = model.findings
    assert found.kind == "vocabulary"  # sums of one digit have no 300 subwords
    score = model.score()
    letters = len(text.read_text())
    assert letters * 0.049 < score.count < letters * 0.051
    assert score.unit == "character"
    # Two digits are drawn at random, of five, and all else follows: 0.77 bits a character.
    assert 0.7 < score.bits["LSTM with n-grams"] < 0.95
    model.save(tmp_path / "run")
    again = LanguageModel.load(tmp_path / "run")
    (line,) = again.generate(["\n3+1="], length=2, sampling=Sampling(temperature=0))
    assert line == "4\n"
    assert again.evaluate([text]).bits == model.evaluate([text]).bits


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"ab\nabc\0def", "bad.txt, line 2: there is a zero byte"),
        ("wörter".encode("latin-1"), "bad.txt, line 1, byte 2: 0xf6 is not UTF-8"),
        (b"fine until \xe9\x97", "bad.txt, line 1, byte 12: 0xe9 is not UTF-8"),
        (b"short", "streams need more than"),
    ],
)
def test_bad_texts_are_refused(tmp_path: Path, capsys, content: bytes, message: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    out = tmp_path / "run"
    assert run(["fit", "language", str(path), "--out", str(out)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
    with pytest.raises(FileNotFoundError):
        Text([tmp_path / "none.txt"], "byte")


def test_what_is_not_known_is_told(tmp_path: Path, trained: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("ab" * 400 + "é")
    model = LanguageModel(LanguageConfig(hidden=4), LanguageTraining(batch_size=4)).prepare([path])
    (finding,) = model.findings
    assert (finding.count, finding.example) == (1, "'é' at character 800")
    with pytest.raises(DataError, match="holds no character that the model has seen"):
        LanguageModel.load(trained).generate(["é"], length=3)
    with pytest.raises(ConfigurationError, match="length is 0"):
        LanguageModel.load(trained).generate(["1"], length=0)
    with pytest.raises(DataError, match="holds no data"):
        LanguageModel.load(trained).score()
    with pytest.raises(ModelFileError):
        LanguageModel.load(tmp_path)


def test_the_order_is_chosen_and_periods_are_found() -> None:
    codes = np.tile(np.array([1, 1, 2, 1, 2, 2, 3], np.uint16), 300)
    counted = best_ngrams(codes, codes[:200], 4)
    assert counted.bits_of(codes[:140])[7:].max() < 0.05
    xz = compressors_of(codes, codes[:700].astype(np.uint32), 699, Letters([1, 2, 3], "byte"))["xz"]
    assert xz.bits() < 699
    parts = xz.of_parts([200, 500, 699])
    assert parts.sum() == xz.bits()
    assert parts.shape == (3,)


def test_a_text_that_is_read_twice_is_told_apart_from_a_new_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = ["".join(map(chr, random.integers(97, 123, 5))) for _ in range(60)]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(" ".join(random.choice(words, 6)) for _ in range(120)) + "\n")
    options = LanguageTraining(steps=2, batch_size=4, no_baseline=True)
    config = LanguageConfig(hidden=8, embedding=4, test=0.2)
    once = LanguageModel(config, options).fit([path])
    assert "trained on" not in str(once.score().verdict)
    twice = LanguageModel(config, options).fit([path, path]).score()
    assert "of them were trained on, so the score is too good." in str(twice.verdict)
    assert "Left out: n-grams (with --no-baseline)." in str(twice.verdict)
    assert list(twice.bits) == ["LSTM with n-grams"]
    once.save(tmp_path / "run")
    again = LanguageModel.load(tmp_path / "run").evaluate([path])
    assert "of them were trained on" in str(again.verdict)


def test_no_compressor_needs_less_than_nothing() -> None:
    shrinking = Compressor(lambda data: bytes(100 - len(data)), b"known", [b"a", b"b"])
    assert shrinking.bits() == 8 * FILE_UNIT


def test_a_text_is_judged_in_stretches_or_by_its_files() -> None:
    one = Stretches(10_000, np.zeros(0, np.int64))
    assert (one.number, one.by_file) == (20, False)
    assert one.sizes.tolist() == [500.0] * 20
    files = Stretches(10_000, np.arange(1, 12) * 100)
    assert (files.number, files.by_file) == (12, True)
    assert files.sizes.tolist() == [100.0] * 11 + [8900.0]
    sums = {"LSTM": one.sums(np.full(10_000, 2.0), np.arange(10_000)), "5-grams": one.sizes * 3}
    figures = {"LSTM": 2.0, "5-grams": 3.0}
    found = verdict_of(figures, one, sums, {}, "character")
    assert found.better
    assert str(found) == (
        "LSTM beats the best baseline (5-grams): 2.000 bits a character against 3.000 (no "
        "interval: the difference is the same 20 times), over 10,000 characters in 20 stretches."
    )
    letters = [bytes([letter]) for letter in np.random.default_rng(0).integers(0, 256, 10_000)]
    noise = {"xz": Compressor(lzma.compress, b"", letters)}
    beaten = verdict_of(figures | {"xz": 2.5}, one, sums, noise, "character")
    assert (beaten.baseline, beaten.clusters) == ("xz", 16)
    assert beaten.better


def test_all_of_the_recipe_trains(text: Path) -> None:
    config = LanguageConfig(
        layers=2, hidden=24, embedding=16, tied=True, dropout=0.1, embedding_dropout=0.05,
        weight_drop=0.2, activation=1.0, change=0.5, window=32,
    )  # fmt: skip
    training = LanguageTraining(steps=100, batch_size=16, learning_rate=0.01, threads=1)
    model = LanguageModel(config, training).fit([text])
    assert model.network.readout.weight is model.network.embedding.weight
    assert model.history.loss[-1] < 0.8 * model.history.loss[0]


@pytest.mark.parametrize("name", ["dropout", "embedding_dropout", "weight_drop"])
def test_each_dropout_drops_while_training_alone(name: str) -> None:
    quiet = {"dropout": 0.0, "embedding_dropout": 0.0, "weight_drop": 0.0}
    torch.manual_seed(1)
    network = LanguageNetwork(LanguageConfig(hidden=16, embedding=8, **quiet | {name: 0.5}), 9)
    codes = torch.randint(9, (20, 4))

    def said() -> torch.Tensor:
        with torch.no_grad():
            return network(codes).logits

    assert not torch.equal(said(), said())
    network.eval()
    assert torch.equal(said(), said())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"repetition": float("nan")}, "repetition and recent"),
        ({"seed": 2**64}, "seed is"),
    ],
)
def test_sampling_that_cannot_be_meant_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Sampling(**options)


def test_very_cold_is_the_likeliest(trained: Path) -> None:
    model = LanguageModel.load(trained)
    cold, likeliest = (
        model.generate(["1"], length=20, sampling=Sampling(temperature=of)) for of in (1e-40, 0)
    )
    assert cold == likeliest


def test_writing_ends_where_every_text_has_stopped(trained: Path) -> None:
    model = LanguageModel.load(trained)
    steps = []
    writing = model.writing
    model.writing = lambda *given: (steps.append(1) or of for of in writing(*given))  # type: ignore[method-assign]
    texts = model.generate(["1", "2"], length=500, stop=["\n"])
    assert all("\n" not in text for text in texts)
    assert len(steps) < 100
    with pytest.raises(ConfigurationError, match="an empty text stops nothing"):
        model.generate(["1"], length=3, stop=[""])


def test_a_long_prompt_is_read_in_stretches(trained: Path, monkeypatch) -> None:
    model = LanguageModel.load(trained)
    whole = model.generate(["1+2=3\n" * 9], length=30)
    monkeypatch.setattr("gated.tasks.language.generation.STRETCH", 7)
    assert model.generate(["1+2=3\n" * 9], length=30) == whole


def test_what_looks_like_a_special_token_is_text() -> None:
    points = points_of("say <unknown> or <unknown>\n" * 40, "character")
    vocabulary = Subwords.learn([points], 300)
    codes = vocabulary.encode(points)
    assert UNKNOWN not in codes.tolist()
    again = Vocabulary.from_json_value(vocabulary.to_json_value()).encode(points)
    assert again.tolist() == codes.tolist()


def test_a_training_without_a_test_part_is_refused_before_it(text: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert run(["fit", "language", str(text), "--out", str(out), "--test", "0"]) == 2
    assert "no test part to score on" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_a_vocabulary_of_another_script_is_refused(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("天地玄黄宇宙洪荒" * 99)
    training = LanguageTraining(init_from=trained, batch_size=4)
    with pytest.raises(DataError, match="does not hold 100% of the characters"):
        LanguageModel(None, training).prepare([path])


def test_a_run_goes_on_with_the_bits_of_another(trained: Path, text: Path, tmp_path: Path) -> None:
    before = LanguageModel.load(trained)
    training = LanguageTraining(init_from=trained, batch_size=4, steps=1, learning_rate=1e-9)
    model = LanguageModel(None, training).fit([text])
    assert model.config.hidden == before.config.hidden
    ours, theirs = (of.evaluate([text]).bits["LSTM"] for of in (model, before))
    assert ours == pytest.approx(theirs, abs=1e-4)
    with pytest.raises(ConfigurationError, match="unit is 'byte', and 'character' in"):
        LanguageModel(LanguageConfig(unit="byte"), training).prepare([text])


def test_files_that_cannot_be_read_can_be_left_out(text: Path, tmp_path: Path) -> None:
    bad = tmp_path / "latin.txt"
    bad.write_bytes(b"good until here " * 99 + b"caf\xe9 " * 99)
    files = [bad, text, tmp_path / "empty.txt"]
    files[2].touch()
    training = LanguageTraining(batch_size=4)
    with pytest.raises(DataError, match=r"latin.txt, line 1, byte 1588: 0xe9 is not"):
        LanguageModel(None, training).prepare(files)
    model = LanguageModel(LanguageConfig(skip_bad=True), training).prepare(files)
    alone = LanguageModel(None, training).prepare([text])
    assert model.parts.training.codes.tolist() == alone.parts.training.codes.tolist()
    assert [str(of.example).split()[0].strip(",") for of in model.findings if of.kind == "row"] == [
        str(bad), str(files[2]),
    ]  # fmt: skip
    with pytest.raises(DataError, match="None of the files can be used"):
        LanguageModel(LanguageConfig(skip_bad=True), training).prepare([bad])


def test_lines_that_are_no_text_can_be_left_out(text: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gated.texts.text.BLOCK", 50)  # a block ends within a line, and a letter
    good = text.read_bytes()[:400].rpartition(b"\n")[0] + "\nzwölf Läufe ".encode() * 30 + b"\n"
    lines = good.splitlines(keepends=True)
    lines[2:2] = [b"caf\xe9\n"]
    lines[4:4] = [b"a zero \0 byte\n", b"\xff\n"]
    path = tmp_path / "some.txt"
    path.write_bytes(b"".join(lines))
    errors: list[DataError] = []
    read = Text([path], "character", errors.append)
    assert "".join(map(chr, read.points)) == good.decode()
    assert [str(error).split(": ")[0].split(", ")[1] for error in errors] == [
        "line 3", "line 5", "line 6",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"some.txt, line 3, byte 4: 0xe9 is not UTF-8"):
        Text([path], "character")
    assert bytes(Text([path], "byte").points.astype(np.uint8)) == path.read_bytes()
    mostly = tmp_path / "mostly.txt"
    mostly.write_bytes(b"a\n" + b"\xff\n" * 3)
    with pytest.raises(DataError, match="None of the files"):
        Text([mostly], "character", errors.append)
    assert str(errors[-1]).endswith("So it is with 3 of 4 lines.")


def test_half_a_character_and_a_byte_order_mark(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not UTF-8 at character 1"):
        LanguageModel.load(trained).generate(["1\udcff"], length=3)
    path = tmp_path / "marked.txt"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert bytes(Text([path], "character").points.astype(np.uint8)) == b"abc"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden is 0"),
        ({"dropout": 1.0}, "a share"),
        ({"validation": 0.5, "test": 0.5}, "leave no text"),
        ({"activation": -1.0}, "0 or more"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        LanguageConfig(**options)
