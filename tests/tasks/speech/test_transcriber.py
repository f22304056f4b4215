"""A recogniser's run, loaded without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gated
from gated.cli.app import run
from gated.errors import ConfigurationError, ModelFileError
from gated.live.model import write
from gated.live.program import Writer
from gated.scoring.seen import Seen
from gated.tasks.speech import SpeechConfig, SpeechRecogniser
from gated.tasks.speech.alphabet import Alphabet
from gated.tasks.speech.features import log_mel
from gated.tasks.speech.network import SpeechNetwork
from gated.tasks.speech.transcriber import load

soundfile = pytest.importorskip("soundfile")
for needed in ("soxr", "kaldi_native_fbank"):
    pytest.importorskip(needed)

from tests.tasks.speech.tones import RATE, sound  # noqa: E402 - needs soundfile


def recogniser(**options: object) -> SpeechRecogniser:
    """A network of random weights that writes letters."""
    config = SpeechConfig(sample_rate=RATE, hidden=12, channels=4, dropout=0.0, **options)
    made = SpeechRecogniser(config)
    made.alphabet, made.seen = Alphabet("aent "), Seen.of([])
    torch.manual_seed(3)
    made.network = SpeechNetwork(config, len(made.alphabet)).eval()
    for parameter in made.network.parameters():
        torch.nn.init.normal_(parameter, std=0.7 if parameter.ndim > 1 else 0.1)
    frames = log_mel(sound("anet teen"), RATE, config.mels)
    made.mean, made.deviation = frames.mean(0), frames.std(0)
    with torch.no_grad():  # each letter at times: a network that has learnt nothing prefers one
        made.network.head.bias -= torch.from_numpy(made._likely(made._normal(frames))).mean(0)
    return made


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "said.wav"
    soundfile.write(path, sound("anet teen nat tan"), RATE)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"streaming": True},
        {"streaming": True, "look_ahead": 0, "subsampling": 0},
        {"subsampling": 3, "cell": "gru", "layers": 1},
        {"streaming": True, "cell": "mogrifier", "layers": 1},
    ],
)
def test_a_run_predicts_what_torch_does(options: dict, tmp_path: Path) -> None:
    learnt = recogniser(**options)
    learnt.save(tmp_path)
    loaded = load(tmp_path)
    for text in ("a", "anet teen nat tan"):
        frames = log_mel(sound(text), RATE, learnt.config.mels)
        expected, found = learnt._likely(learnt._normal(frames)), loaded.likely(frames)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert loaded.network.labels == ("", " ", "a", "e", "n", "t")
    assert loaded.network.streams == learnt.config.streaming


BARE = """
import sys
for name in ("torch", "polars", "lightning_fabric", "matplotlib", "scipy"):
    sys.modules[name] = None
import gated, json, pathlib
transcriber = gated.load(sys.argv[1])
whole = transcriber.transcribe(sys.argv[2])
told = [whole.text, [[word.start, word.end] for word in whole.words]]
if transcriber.network.streams:
    from gated.tasks.speech.audio import blocks_of
    rate, blocks = blocks_of(pathlib.Path(sys.argv[2]), 0.1)
    listener = transcriber.listener(rate)
    words = [word for block in blocks for word in listener.hear(block)] + listener.finish()
    told.append(" ".join(word.text for word in words))
print(json.dumps(told))
"""


@pytest.mark.parametrize("streaming", [False, True])
def test_without_torch_it_transcribes_the_same(streaming: bool, wav: Path, tmp_path: Path) -> None:
    learnt = recogniser(streaming=streaming, cache=tmp_path / "cache")
    learnt.search = type(learnt.search)(beam=1)
    learnt.save(tmp_path / "run")
    command = [sys.executable, "-c", BARE, str(tmp_path / "run"), str(wav)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text, times, *heard = json.loads(done.stdout)
    expected = learnt.transcribe(wav)
    assert text == expected.text != ""
    assert times == [[word.start, word.end] for word in expected.words]
    assert heard == [text] * streaming


def test_the_command_transcribes_without_torch(wav: Path, tmp_path: Path) -> None:
    learnt = recogniser(cache=tmp_path / "cache")
    learnt.save(tmp_path / "run")
    hidden = "import sys; sys.modules.update(torch=None, polars=None); sys.argv[0] = 'gated'\n"
    command = [sys.executable, "-c", hidden + "from gated.cli import main; main()"]
    command += ["transcribe", str(tmp_path / "run"), str(wav)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == learnt.transcribe(wav).text


def test_in_eight_bits_it_is_nearly_the_same(tmp_path: Path) -> None:
    learnt = recogniser()
    learnt.save(tmp_path)
    frames = log_mel(sound("anet teen"), RATE, learnt.config.mels)
    whole, rounded = (gated.load(tmp_path, of).likely(frames) for of in ("float32", "int8"))
    assert 0 < np.abs(np.exp(whole) - np.exp(rounded)).max() < 0.2


@pytest.mark.parametrize("to", ["int8", "bfloat16"])
def test_the_command_stores_it_in_fewer_bits(
    to: str, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jiwer")
    learnt = recogniser(streaming=True, cache=tmp_path / "cache")
    learnt.save(tmp_path / "run")
    rows = tmp_path / "rows.csv"
    rows.write_text(f"path,text\n{wav},anet teen nat tan\n")
    command = ["quantize", str(tmp_path / "run"), str(rows), "--out", str(tmp_path / "narrow")]
    assert run([*command, "--to", to, "--accept", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert next(iter(told["scores"][to])) == "word error rate"
    assert told["bytes"][1] < told["bytes"][0] * (0.6 if to == "bfloat16" else 0.45)
    frames = log_mel(sound("anet teen"), RATE, learnt.config.mels)
    whole, narrow = (load(tmp_path / of).likely(frames) for of in ("run", "narrow"))
    assert 0 < np.abs(np.exp(whole) - np.exp(narrow)).max() < 0.2


def test_a_program_alone_is_a_network_alone(tmp_path: Path) -> None:
    recogniser().save(tmp_path / "run")
    assert (
        run(["export", str(tmp_path / "run"), "--to", "program", "--out", str(tmp_path / "p")]) == 0
    )
    frames = log_mel(sound("anet teen"), RATE, 40)
    network = gated.load(tmp_path / "run").network
    np.testing.assert_array_equal(gated.load(tmp_path / "p")(frames), network(frames))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    learnt = recogniser()
    learnt.save(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="--streaming"):
        load(tmp_path / "run").listener(RATE)
    learnt.alphabet = Alphabet("aent")
    learnt.program = lambda: recogniser().program()  # type: ignore[method-assign]
    learnt.save(tmp_path / "fewer")
    with pytest.raises(ModelFileError, match="6 outputs for 40 mel bands and 4 letters"):
        load(tmp_path / "fewer")
    writer = Writer("numbers", 3)
    found = writer.add("linear", writer.input, weight="w")
    arrays = {"w": np.ones((2, 3), np.float32)}
    write(tmp_path / "other", writer.program("numbers", found), arrays, "classify")
    with pytest.raises(ModelFileError, match="a model of the task 'classify', not of 'speech'"):
        load(tmp_path / "other")
