"""Speech from the manifest to the score, on recordings in which each letter is a tone."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

from gated.cli.app import run
from gated.errors import ConfigurationError, DataError
from gated.tasks.language import LanguageModel
from gated.tasks.speech import SpeechConfig, SpeechRecogniser
from gated.tasks.speech.alphabet import Alphabet
from gated.tasks.speech.audio import blocks_of, decode, piped_blocks, raw_blocks, seconds_of
from gated.tasks.speech.config import SpeechTraining
from gated.tasks.speech.features import FeatureStore, log_mel
from gated.tasks.speech.network import SpeechNetwork
from gated.tasks.speech.score import Evaluation, error_rates, substitutions
from gated.tasks.speech.search import Search, greedy, letter_confidences, words_of
from gated.tasks.speech.task import SpeechTask
from gated.training.bucketing import LengthBuckets
from gated.training.task import Shard

soundfile = pytest.importorskip("soundfile")
for needed in ("soxr", "kaldi_native_fbank", "jiwer"):
    pytest.importorskip(needed)

from tests.tasks.speech.tones import RATE, sound, write_tones  # noqa: E402 - needs soundfile


@pytest.fixture(scope="module")
def toned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 60 recordings, of a text of its own each."""
    return write_tones(tmp_path_factory.mktemp("tones"), 60)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_command_learns_tones(
    toned: Path, tmp_path: Path, capsys, monkeypatch, streaming: bool
) -> None:
    out = tmp_path / "run"
    options = [
        "--sample-rate", str(RATE), "--hidden", "32", "--layers", "1", "--steps", "150",
        "--learning-rate", "0.01", "--goal", "0.02", "--validate-every", "25", "--threads", "1",
        "--mask-bands", "2", "--dropout", "0.1", "--cache", str(tmp_path / "cache"),
        "--look-ahead", "3", *["--streaming"] * streaming,
    ]  # fmt: skip
    assert run(["fit", "speech", str(toned), "--out", str(out), *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    network, beam, baseline = told["scores"].values()
    assert max(network["cer"], beam["cer"]) < 0.2 < baseline["cer"]
    assert set(told["real_time_factors"]) < set(told["scores"])
    assert (out / "report.html").exists()

    assert run(["transcribe", str(out), str(toned.parent / "7.wav"), "--json"]) == 0
    (heard,) = json.loads(capsys.readouterr().out)
    said = toned.read_text().splitlines()[8].partition(",")[2].strip("!").lower()
    assert error_rates([said], [heard["text"]]).cer <= 0.25
    assert [word["text"] for word in heard["words"]] == heard["text"].split()
    times = [time for word in heard["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)

    transcribe_at_length(out, toned, tmp_path, capsys, monkeypatch)
    asked = ["transcribe", str(out), str(toned.parent / "7.wav"), "--stream"]
    assert run(asked) == (0 if streaming else 2)
    spoken = capsys.readouterr()
    if not streaming:
        assert "--streaming" in spoken.err
        return
    wav, rate = soundfile.read(toned.parent / "7.wav", dtype="float32")
    whole = SpeechRecogniser.load(out)
    whole.search = Search(beam=1)
    assert spoken.out.split() == whole.transcribe(toned.parent / "7.wav").text.split()
    raw = io.BytesIO((wav * 2**15).astype("<i2").tobytes())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw))
    assert run(["transcribe", str(out), "--stream", "--rate", str(rate)]) == 0
    assert capsys.readouterr().out == spoken.out
    stdin(monkeypatch, (toned.parent / "7.wav").read_bytes())
    assert run(["transcribe", str(out), "--stream", "--json"]) == 0
    *lines, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["text"] for line in lines if "text" in line] == spoken.out.split()
    assert {"start", "end", "confidence"} <= set(next(of for of in lines if "text" in of))
    before = [line["partial"] for line in lines[: [*map(len, lines)].index(4)]]
    assert before[-1] == spoken.out.split()[0][: len(before[-1])] != ""
    assert summary["seconds"] == pytest.approx(len(wav) / rate, abs=0.01)
    assert times[-1] <= heard["seconds"] + 0.04
    looked = tmp_path / "looked.html"
    assert run(["explain", str(out), str(toned), "--out", str(looked)]) == 0
    assert "log-mel bands" in looked.read_text()
    assert (out / "figures" / "spectrograms.png").stat().st_size > 5000
    capsys.readouterr()
    assert run(["evaluate", str(out), str(toned), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recordings"] == 60

    good = str(toned.parent / "7.wav")
    assert run(["transcribe", str(out), good, "none.wav", good]) == 2
    assert "no file none.wav" in capsys.readouterr().err
    assert run(["transcribe", str(out), good, "none.wav", good, "--skip-bad"]) == 0
    skipped = capsys.readouterr()
    assert skipped.out.splitlines()[1:2] == ["none.wav\t"]
    assert len(skipped.out.splitlines()) == 3
    assert "unusable recording (1, first: There is no file none.wav.); left out." in skipped.err
    asked = tmp_path / "asked.csv"
    asked.write_text(f"path,text\n{good},tea\n{good},café\nnone.wav,tea\n")
    assert run(["evaluate", str(out), str(asked)]) == 2
    assert "none.wav" in capsys.readouterr().err
    assert run(["evaluate", str(out), str(asked), "--skip-bad", "--json"]) == 0
    skipped = capsys.readouterr()
    assert json.loads(skipped.out)["recordings"] == 1
    assert run(["evaluate", str(out), str(asked), "--skip-bad"]) == 0
    assert "Words taken for others: tea → " in capsys.readouterr().out
    assert "row 3" in skipped.err
    assert "row 4" in skipped.err
    assert run(["transcribe", str(out), "--stream", "--rate", "0"]) == 2
    assert "--rate is 0" in capsys.readouterr().err


def stdin(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def transcribe_at_length(out: Path, toned: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Transcribe recordings after each other, in pieces, as one of them each."""
    recogniser = SpeechRecogniser.load(out)
    parts = [toned.parent / f"{number}.wav" for number in (3, 7, 12, 20)]
    spoken = [soundfile.read(part, dtype="float32")[0] for part in parts]
    gap = np.zeros(int(0.5 * RATE), np.float32)
    whole = tmp_path / "whole.wav"
    soundfile.write(whole, np.concatenate([part for of in spoken for part in (of, gap)]), RATE)
    # The longest is 1.6 s with its pause, and two are more than 2 s.
    transcript = recogniser.transcriber.transcribe(whole, longest=2.0)
    assert transcript.seconds == pytest.approx(sum(map(len, spoken)) / RATE + 2.0)
    expected, begin = [], 0.0
    for part, samples in zip(parts, spoken, strict=True):
        expected += [(of.text, begin + of.start) for of in recogniser.transcribe(part).words]
        begin += len(samples) / RATE + 0.5
    found = [(word.text, word.start) for word in transcript.words]
    # Normalisation and context differ a little in a piece, and with them a letter perhaps.
    said = " ".join(text for text, _ in expected)
    assert error_rates([said], [transcript.text]).cer < 0.1
    assert len(found) == len(expected)
    assert [time for _, time in found] == pytest.approx([time for _, time in expected], abs=0.15)

    command = ["transcribe", str(out), "--longest", "2"]
    stdin(monkeypatch, whole.read_bytes())
    assert run([*command, "--json"]) == 0
    (piped,) = json.loads(capsys.readouterr().out)
    assert piped["text"] == transcript.text
    assert [word["confidence"] for word in piped["words"]] == pytest.approx(
        [word.confidence for word in transcript.words], abs=1e-5
    )
    samples, _ = soundfile.read(whole, dtype="int16")
    stdin(monkeypatch, np.stack([samples, samples], 1).tobytes())
    assert run([*command, "--rate", str(RATE), "--channels", "2"]) == 0
    assert capsys.readouterr().out.strip() == transcript.text
    stdin(monkeypatch, samples.tobytes())
    assert run(command) == 2
    assert "no header that states its sampling rate: give --rate" in capsys.readouterr().err
    assert run([*command, str(whole), "--format", "srt"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0] == "1"
    assert lines[1].startswith("00:00:00,")
    assert " ".join(line for line in lines if line[:1].isalpha()) == transcript.text
    assert run([*command, str(whole), "--format", "vtt"]) == 0
    assert capsys.readouterr().out.startswith("WEBVTT\n\nNOTE confidences 0.")
    assert run([*command, str(whole), "--hot-words", "tex"]) == 2
    assert "lacks 'x'" in capsys.readouterr().err


def test_a_language_model_is_asked(toned: Path, tmp_path: Path, capsys) -> None:
    texts = [row.partition(",")[2] for row in toned.read_text().splitlines()[1:]]
    (tmp_path / "texts").write_text("".join(f"{text.strip('!').lower()}\n" for text in texts * 20))
    few = ["--steps", "60", "--hidden", "16", "--threads", "1"]
    text, spoken, model = (str(tmp_path / name) for name in ("texts", "run", "language"))
    assert run(["fit", "language", text, "--out", model, *few]) == 0
    options = [
        "--sample-rate", str(RATE), "--layers", "1", *few, "--cache", str(tmp_path / "cache"),
        "--language-model", model, "--json",
    ]  # fmt: skip
    capsys.readouterr()
    assert run(["fit", "speech", str(toned), "--out", spoken, *options]) == 0
    greedy, beam, asked, _ = json.loads(capsys.readouterr().out)["scores"]
    assert asked == f"{beam} and language model"
    assert beam.startswith(greedy)

    loaded = SpeechRecogniser.load(spoken)
    assert loaded.search.weight in (0.2, 0.4, 0.6, 0.9)
    letters = LanguageModel.load(model).next_letter(loaded.alphabet.letters)
    wav = toned.parent / "7.wav"
    expected = loaded.transcriber.transcribe(wav, letters).text
    assert run(["transcribe", spoken, str(wav), "--language-model", model]) == 0
    assert capsys.readouterr().out.strip() == expected
    with pytest.raises(ConfigurationError, match="never seen 'é'"):
        LanguageModel.load(model).next_letter("aé")


@pytest.mark.parametrize("block", [13, 400, 100_000])
@pytest.mark.parametrize(
    ("subsampling", "look_ahead", "cell"),
    [(2, 3, "lstm"), (1, 0, "lstm"), (0, 2, "lstm"), (3, 1, "lstm"), (2, 1, "mogrifier")],
)
def test_a_recording_as_it_comes_is_heard_as_the_whole(
    block: int, subsampling: int, look_ahead: int, cell: str
) -> None:
    config = SpeechConfig(
        cell=cell,
        sample_rate=RATE, streaming=True, look_ahead=look_ahead, subsampling=subsampling,
        hidden=24, dropout=0.0,
    )  # fmt: skip
    recogniser = SpeechRecogniser(config)
    recogniser.alphabet = Alphabet("abn ")
    torch.manual_seed(1)
    recogniser.network = SpeechNetwork(config, len(recogniser.alphabet)).eval()
    for parameter in recogniser.network.parameters():
        torch.nn.init.normal_(parameter, std=0.7 if parameter.ndim > 1 else 0.1)
    samples = np.concatenate([sound(text) for text in ("anet", "teen", "nat")])[:20_007]
    frames = log_mel(samples, RATE, config.mels)
    recogniser.mean, recogniser.deviation = frames.mean(0), frames.std(0)
    normal = torch.from_numpy((frames - frames.mean(0)) / frames.std(0))
    with torch.no_grad():
        whole = normal[:, None], torch.tensor([len(frames)])
        # Each letter at times: a network that has learnt nothing prefers one.
        recogniser.network.head.bias -= recogniser.network(*whole)[0].mean((0, 1))
        likely, _ = recogniser.network(*whole)
    codes, steps = greedy(likely[:, 0].numpy())
    heard = likely[:, 0].numpy()
    sure = letter_confidences(heard, codes, steps)
    expected = words_of(
        recogniser.alphabet.decode(codes), steps, sure, recogniser.decoder.step_seconds
    )
    assert len(expected) > 1 or subsampling == 3

    listener = recogniser.transcriber.listener(RATE)
    told = [listener.hear(samples[at : at + block]) for at in range(0, len(samples), block)]
    words = [word for words in told for word in words] + listener.finish()
    assert [replace(word, confidence=0.0) for word in words] == [
        replace(word, confidence=0.0) for word in expected
    ]
    assert_agree(
        np.array([word.confidence for word in words], np.float32),
        np.array([word.confidence for word in expected], np.float32),
        "confidences",
    )
    if block < 1000 and len(expected) > 1:
        assert any(told[:-1])  # not all at the end


def test_padding_changes_nothing() -> None:
    for streaming in (False, True):
        torch.manual_seed(0)
        network = SpeechNetwork(SpeechConfig(streaming=streaming, hidden=8, channels=4), 5).eval()
        frames = torch.randn(23, 2, 40)
        likely, lengths = network(frames, torch.tensor([23, 14]))
        assert lengths.tolist() == [6, 4]
        alone, _ = network(frames[:14, 1:], torch.tensor([14]))
        assert_agree(likely[:4, 1].detach().numpy(), alone[:, 0].detach().numpy(), "padded")


def test_features_are_kept_and_do_not_change(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sound("tea"[:1]), RATE)
    store = FeatureStore(RATE, 40, tmp_path / "cache")
    first, again = store.heard(path), store.heard(path)
    assert np.array_equal(first.frames, again.frames)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 1
    slow = store.heard(path, 0.5)
    assert abs(len(slow.frames) - 2 * len(first.frames)) <= 4
    assert (again.seconds, again.rate, again.channels) == (0.22, RATE, 1)


def test_features_are_computed_anew_for_other_samples_or_settings(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.wav", tmp_path / "cache"
    soundfile.write(path, sound("tea"), RATE)
    before = FeatureStore(RATE, 40, cache).heard(path)
    assert FeatureStore(RATE, 20, cache).heard(path).frames.shape == (len(before.frames), 20)
    soundfile.write(path, sound("tan"), RATE)
    after = FeatureStore(RATE, 40, cache).heard(path)
    assert not np.array_equal(before.frames, after.frames)
    assert len(list(cache.rglob("*.npz"))) == 3


def test_a_damaged_cache_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sound("tea"), RATE)
    store = FeatureStore(RATE, 40, tmp_path / "cache")
    expected = store.heard(path).frames
    (kept,) = (tmp_path / "cache").rglob("*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    assert np.array_equal(store.heard(path).frames, expected)
    assert kept.read_bytes() == whole
    nowhere = FeatureStore(RATE, 40, path / "no directory")
    assert np.array_equal(nowhere.heard(path).frames, expected)


def test_training_hears_other_speeds_and_masks_each_time(toned: Path, tmp_path: Path) -> None:
    config = SpeechConfig(
        sample_rate=RATE, speeds=(0.8, 1.0, 1.2), mask_bands=6, mask_steps=0.2,
        cache=tmp_path / "cache", hidden=4, layers=1,
    )  # fmt: skip
    recogniser = SpeechRecogniser(config).prepare(toned)
    parts = recogniser.parts
    for one in parts.training:
        slow, plain, fast = map(len, one.versions)
        assert slow / plain == pytest.approx(1.25, abs=0.05)
        assert fast / plain == pytest.approx(1 / 1.2, abs=0.05)
    assert all(len(one.versions) == 1 for one in (*parts.validation, *parts.test))
    task = SpeechTask(recogniser.network, config, recogniser.alphabet, parts.training, [], seed=0)
    one = parts.training[0]
    task.training, task.buckets = [one], LengthBuckets(np.array([len(one.versions[0])]), 0)
    batches = [task.training_batch(step, 1, Shard(0, 1)) for step in range(40)]
    assert {int(batch.lengths[0]) for batch in batches} == set(map(len, one.versions))
    masks = {
        tuple((batch.frames[:, 0] == 0).all(dim).tolist()) for batch in batches for dim in (0, 1)
    }
    assert len(masks) > 40
    share = np.mean([float((batch.frames == 0).float().mean()) for batch in batches])
    assert 0.1 < share < 0.5
    assert not any((version == 0).all(0).any() for version in one.versions)  # they stay whole


def test_stereo_at_an_odd_rate_is_mixed_and_resampled(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    time = np.arange(11025) / 11025
    left = 0.5 * np.sin(2 * np.pi * 900 * time)
    soundfile.write(path, np.stack([left, 0 * left], 1), 11025)
    heard = FeatureStore(RATE, 40, tmp_path / "cache").heard(path)
    assert (heard.channels, heard.rate, heard.seconds) == (2, 11025, 1.0)
    assert len(heard.frames) == 98


def bad_recording(directory: Path, kind: str) -> str:
    path = directory / f"{kind}.wav"
    if kind == "silent":
        soundfile.write(path, np.zeros(RATE), RATE)
    elif kind == "short":
        soundfile.write(path, sound("a")[:200], RATE)
    elif kind == "hurried":
        soundfile.write(path, sound("a"), RATE)
        return f"{path},{'tea' * 20}"
    elif kind == "truncated":
        soundfile.write(path, sound("tea".replace(" ", "")), RATE)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "text file":
        path.write_text("no sound at all " * 50)
    return f"{path},tea"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "There is no file"),
        ("silent", "silence only"),
        ("short", "too short to hold speech"),
        ("hurried", "too short for the 60 characters"),
        ("truncated", "truncated"),
        ("text file", "cannot be decoded"),
    ],
)
def test_a_bad_row_is_named_or_skipped(
    toned: Path, tmp_path: Path, capsys, kind: str, message: str
) -> None:
    manifest = tmp_path / "bad.csv"
    rows = toned.read_text().splitlines()
    rows[1:] = [f"{toned.parent / row}" for row in rows[1:]]
    rows.insert(4, bad_recording(tmp_path, kind))
    manifest.write_text("\n".join(rows))
    command = [
        "fit", "speech", str(manifest), "--sample-rate", str(RATE), "--hidden", "4", "--steps",
        "1", "--threads", "1", "--test", "5", "--validation", "0", "--speeds", "1",
        "--cache", str(tmp_path / "cache"),
    ]  # fmt: skip
    assert run([*command, "--out", str(tmp_path / "run")]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "row 5" in error
    assert message in error
    assert not (tmp_path / "run").exists()
    assert run([*command, "--out", str(tmp_path / "run"), "--skip-bad", "--json"]) == 0
    (finding,) = (
        one for one in json.loads(capsys.readouterr().out)["findings"] if one["kind"] == "row"
    )
    assert "row 5" in finding["example"]


def encoded(path: Path, samples: np.ndarray) -> Path:
    """Write what libsndfile does not know: AAC in a container."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            samples[None].astype(np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_a_truncated_recording_of_any_container_is_refused(tmp_path: Path) -> None:
    whole = encoded(tmp_path / "a.mkv", np.tile(sound("tea ant"), 5))
    assert decode(whole.read_bytes()).samples.size / RATE == pytest.approx(6.2, abs=0.2)
    with pytest.raises(DataError, match=r"truncated: .* its header says 6"):
        decode(whole.read_bytes()[: whole.stat().st_size // 2])


def test_channels_that_cancel_out_are_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([sound("tea"), -sound("tea")], 1), RATE)
    with pytest.raises(DataError, match="2 channels cancel out"):
        decode(path.read_bytes())


def test_what_libsndfile_does_not_know_comes_in_blocks_too(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.m4a", sound("tea ant"))
    rate, blocks = blocks_of(path, 0.04)
    parts = list(blocks)
    assert (rate, len(parts) > 3) == (RATE, True)
    assert seconds_of(path) == pytest.approx(sum(map(len, parts)) / RATE, abs=0.2)
    np.testing.assert_array_equal(np.concatenate(parts), decode(path.read_bytes()).samples)
    path.write_text("no sound")
    with pytest.raises(DataError, match=r"a\.m4a: it cannot be decoded"):
        blocks_of(path, 0.04)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
def test_a_recording_comes_through_a_pipe(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a"
    soundfile.write(path, np.stack([sound("tea"), sound("ant")], 1), RATE, format=format)
    expected = decode(path.read_bytes()).samples

    class Pipe:
        """What can be read once, and not sought in."""

        def __init__(self) -> None:
            self.file = io.BytesIO(path.read_bytes())

        def read(self, size: int) -> bytes:
            return self.file.read(size)

    rate, blocks = piped_blocks(Pipe(), None, 1, 0.04)
    assert rate == RATE
    found = np.concatenate(list(blocks))
    assert_agree(found[: len(expected)], expected, "piped", absolute=2e-3)
    assert len(found) - len(expected) < 1000


def test_standard_input_holds_bare_samples() -> None:
    blocks = list(raw_blocks(io.BytesIO(bytes(range(7))), 100, 0.02))
    assert [len(block) for block in blocks] == [2, 1]
    turns = np.array([[100, 300], [0, 200]], "<i2")
    (both,) = raw_blocks(io.BytesIO(turns.tobytes()), 100, 1.0, channels=2)
    assert_agree(both, np.array([200, 100], np.float32) / 2**15, "two channels")
    with pytest.raises(ConfigurationError, match="rate is 0"):
        next(raw_blocks(io.BytesIO(b""), 0, 0.04))
    with pytest.raises(ConfigurationError, match="no header that states its sampling rate"):
        piped_blocks(io.BytesIO(bytes(8)), None, 1, 0.04)
    with pytest.raises(DataError, match="Nothing came on standard input"):
        piped_blocks(io.BytesIO(b""), 100, 1, 0.04)


def test_a_letter_outside_the_alphabet_is_named() -> None:
    with pytest.raises(DataError, match="'é'"):
        Alphabet("abc").encode("abé")
    assert Alphabet("cab").decode(Alphabet("abc").encode("cab")) == "cab"


def test_errors_are_counted_over_all_texts() -> None:
    rates = error_rates(["one two", "three four"], ["one too", "three four"])
    assert rates.wer == 1 / 4
    assert rates.cer == 1 / 17
    assert substitutions(["one two", "two"], ["one too", "too"]) == [("two", "too", 2)]


def _evaluated(written: list[str], baseline: list[str], references: list[str]) -> Evaluation:
    methods = {"LSTM": written, "nearest training recording": baseline}
    return Evaluation(
        references=references,
        methods=methods,
        scores={name: error_rates(references, of) for name, of in methods.items()},
        substitutions=(),
        real_time_factors={"LSTM": 0.1},
    )


def test_who_writes_nothing_beats_nobody() -> None:
    references = [f"say {letter * 3} to me" for letter in "abcdefghijklmnop"]
    # Too many words, and most of the letters: a worse word error rate than silence has.
    babble = [f"sa y {letter * 3}t om e" for letter in "abcdefghijklmnop"]
    found = _evaluated([""] * 16, babble, references)
    silent, babbled = found.scores.values()
    assert silent.wer == 1 < babbled.wer
    assert babbled.cer < silent.cer == 1
    assert found.verdict.outcome == "undecided"
    told = str(found.verdict)
    assert "better in word error rate 100.0% against 125.0%" in told
    assert "worse in character error rate 100.0% against" in told
    assert told.endswith("It wrote nothing for 16 of 16 recordings.")


def test_who_writes_what_was_said_beats_the_nearest() -> None:
    references = [f"say {letter * 3} to me" for letter in "abcdefghijklmnop"]
    found = _evaluated(references, ["say xyz to me"] * 16, references)
    assert found.verdict.better
    assert found.verdict.theirs == 0.25
    repeated = _evaluated(references[:4] * 4, ["say xyz to me"] * 16, references[:4] * 4)
    assert repeated.verdict.outcome == "too few"
    assert "over 16 recordings of 4 texts" in str(repeated.verdict)


def test_a_run_goes_on_with_the_letters_of_another(toned: Path, tmp_path: Path) -> None:
    quick = {"threads": 1, "no_baseline": True}
    config = {"sample_rate": RATE, "hidden": 16, "layers": 1, "cache": tmp_path / "cache"}
    options = SpeechTraining(steps=10, batch_size=8, **quick)
    first = SpeechRecogniser(SpeechConfig(alphabet="aent xyz", **config), options).fit(toned)
    first.save(tmp_path)
    training = SpeechTraining(
        steps=1, batch_size=8, learning_rate=1e-9, init_from=tmp_path, **quick
    )
    second = SpeechRecogniser(SpeechConfig(cache=tmp_path / "cache"), training).fit(toned)
    assert second.alphabet.letters == " aentxyz"
    assert second.config.sample_rate == RATE
    ours, theirs = (of.evaluate(toned).methods["LSTM, both ways"] for of in (second, first))
    assert ours == theirs
    for asked, told in (({"alphabet": "aent "}, "alphabet is ' aent'"), ({"cell": "gru"}, "cell")):
        with pytest.raises(ConfigurationError, match=f"{told}.*init_from begins"):
            SpeechRecogniser(SpeechConfig(cache=tmp_path / "cache", **asked), training).prepare(
                toned
            )
