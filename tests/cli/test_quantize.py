"""Weights in fewer bits: what is written is what was scored, and a loss is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gated
from gated.cli import quantize
from gated.cli.app import run
from gated.errors import ModelFileError
from gated.live.int8 import rounded_model
from gated.live.model import read_arrays
from gated.model_files import attached_file, load_description, load_model, save_model
from gated.tasks.language import LanguageConfig, LanguageModel
from gated.training.options import TrainingOptions

TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 20


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def original(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with random weights."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    config = LanguageConfig(embedding=8, hidden=16, window=16)
    model = LanguageModel(config, TrainingOptions(seed=1)).prepare([text])
    model.save(directory)
    return directory


def bits(directory: Path) -> float:
    """Bits a character of the text, by the runtime."""
    model = gated.load(directory)
    codes = [model.labels.index(letter) for letter in TEXT]
    found = np.array(model(TEXT))[:-1]
    return float(-np.log2(found[np.arange(len(found)), codes[1:]]).mean())


@pytest.mark.parametrize("to", ["int8", "bfloat16"])
def test_the_runtime_predicts_what_was_scored(
    to: str, original: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "narrow"
    assert run(["quantize", str(original), str(text), "--to", to, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    score = "bits a character"
    assert told["scores"][to][score] == pytest.approx(bits(out), rel=2e-3)
    assert told["scores"]["float32"][score] == pytest.approx(bits(original), rel=2e-3)
    assert told["bytes"][1] < told["bytes"][0] * (0.6 if to == "bfloat16" else 0.45)
    wide, narrow = load_model(original)[0], load_model(out)[0]
    assert wide.keys() == narrow.keys()
    assert all(np.allclose(wide[of], narrow[of], rtol=0, atol=0.02) for of in wide)
    assert not np.array_equal(wide["readout.weight"], narrow["readout.weight"])
    assert np.array_equal(wide["readout.bias"], narrow["readout.bias"])
    stored = sum(path.stat().st_size for path in out.glob("weights-*"))
    assert stored < sum(path.stat().st_size for path in original.glob("weights-*"))
    if to == "int8":
        meant = rounded_model(load_description(original)["program"], read_arrays(original))
        assert np.allclose(gated.load(out)(TEXT[:50]), meant(TEXT[:50]), rtol=0, atol=1e-3)
    assert run(["evaluate", str(out), str(text), "--json"]) == 0


def test_a_loss_is_refused_and_taken(
    original: Path, text: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "ALLOWED", -1.0)
    out = tmp_path / "narrow"
    command = ["quantize", str(original), str(text), "--out", str(out)]
    assert run(command) == 2
    assert "nothing was written. Try --to bfloat16" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
    assert run([*command, "--accept"]) == 0
    assert "gated.load(" in capsys.readouterr().out
    assert run([*command, "--accept"]) == 2
    assert "is not empty" in capsys.readouterr().err
    again = ["quantize", str(out), str(text), "--out", str(tmp_path / "again"), "--accept"]
    assert run(again) == 2
    assert "int8 already" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("was", "becomes", "higher", "loss"),
    [(0.9, 0.88, True, 0.02 / 0.9), (0.9, 0.92, True, -0.02 / 0.9), (2.0, 2.1, False, 0.05),
     (0, 0, False, 0), (0, 0.1, False, np.inf), (-1.0, -1.1, True, 0.1)],
)  # fmt: skip
def test_losses_are_relative(was: float, becomes: float, higher: bool, loss: float) -> None:
    found = quantize.relative_loss(was, becomes, higher_is_better=higher)
    assert found == pytest.approx(loss)


@pytest.mark.parametrize(
    "stored",
    [
        "int8",
        {"as": "int4", "arrays": []},
        {"as": "int8"},
        {"as": "int8", "arrays": ["readout.weight"]},
        {"as": "bfloat16", "arrays": ["nothing"]},
        {"as": "int8", "arrays": [["readout.weight"]]},
    ],
)
def test_weights_that_are_not_as_described_are_refused(
    stored: object, original: Path, tmp_path: Path
) -> None:
    arrays, description = load_model(original)
    extra = {"ngrams.npz": of.read_bytes()} if (of := attached_file(original, "ngrams.npz")) else {}
    save_model(tmp_path, arrays, description | {"stored": stored}, extra)
    with pytest.raises(ModelFileError, match="not stored as"):
        gated.load(tmp_path)


def test_a_forecaster_is_refused_as_the_help_says(tmp_path: Path, capsys) -> None:
    save_model(tmp_path / "run", {}, {"task": "forecast"}, {})
    (tmp_path / "data.csv").write_text("t,y\n1,2\n")
    arguments = ["quantize", str(tmp_path / "run"), str(tmp_path / "data.csv")]
    assert run([*arguments, "--out", str(tmp_path / "new")]) != 0
    assert "is a forecaster, and gated quantize takes none" in capsys.readouterr().err
    assert run(["quantize", "--help"]) == 0
    assert "Forecasters are refused" in capsys.readouterr().out
