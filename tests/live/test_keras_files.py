"""Models that Keras wrote, read without it: what it computes of them, and what is refused."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from tests.live import keras_models
from tests.live.keras_models import FOLDER, given
from tests.live.test_c import built, needs_a_compiler

import gated
import gated.nn
from gated.errors import ModelFileError, ProgramError

EXPECTED = np.load(FOLDER / "expected.npz")
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_committed_file_gives_what_keras_computed(kind: str) -> None:
    model = gated.from_keras(FOLDER / f"lstm.{kind}")
    np.testing.assert_allclose(model(given("lstm")), EXPECTED["lstm"], **TOLERANCE)
    stream = model.stream()
    last = stream.push_many(given("lstm")[1])[-1]
    np.testing.assert_allclose(last, EXPECTED["lstm"][1], **TOLERANCE)


def test_keras_and_torch_are_not_imported() -> None:
    code = (
        f"import sys, gated; gated.from_keras({str(FOLDER / 'lstm.keras')!r})\n"
        "assert not {'keras', 'torch', 'tensorflow', 'pickle5'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """Every model, written now by the Keras that is there, and what it computes."""
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "torch":
        pytest.skip("keras is not on torch here")
    place, expected = tmp_path_factory.mktemp("keras"), {}
    for name, model in keras_models.models():
        keras_models.randomised(model)
        for kind in ("keras", "h5"):
            model.save(place / f"{name}.{kind}")
        expected[name] = model.predict(given(name), verbose=0)
    return place, expected


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_every_layer_gives_what_keras_computes(written, kind: str) -> None:
    place, expected = written
    assert len(expected) == 5
    for name, wanted in expected.items():
        model = gated.from_keras(place / f"{name}.{kind}", without_padding=True)
        found = np.stack(model(list(given(name))))
        np.testing.assert_allclose(found, wanted, **TOLERANCE, err_msg=name)


@needs_a_compiler
@pytest.mark.filterwarnings("ignore")
def test_a_model_of_keras_in_c(written, tmp_path: Path) -> None:
    for name in ("lstm", "activations", "masked"):
        (place := tmp_path / name).mkdir()
        model = gated.from_keras(written[0] / f"{name}.keras", without_padding=True)
        assert built(model, place).returncode == 0, name


@pytest.mark.filterwarnings("ignore")
def test_layers_as_modules(written) -> None:
    modules = gated.nn.from_keras(written[0] / "activations.keras")
    assert next(iter(modules)) == "one of mine"
    model = gated.from_keras(written[0] / "activations.keras")
    x = given("activations")
    known = {"input": x}
    for name, layer, reads in zip(
        model.program.names, model.program.layers, model.program.reads, strict=True
    ):
        if name in modules:
            found, _ = modules[name](torch.from_numpy(known[reads[0]]))
            steps = gated.live.layer.Steps(known[reads[0]].swapaxes(0, 1), None)
            wanted = layer.run([steps], layer.begin(len(x)))[0].values.swapaxes(0, 1)
            np.testing.assert_allclose(found.detach().numpy(), wanted, **TOLERANCE)
            known[name] = wanted
    assert len(known) == 5
    both = gated.nn.from_keras(written[0] / "both_ways.h5")
    assert [of.bidirectional for of in both.values()] == [True] * 3


def changed(tmp_path: Path, change) -> Path:
    """The committed file with another configuration."""
    files = zipfile.ZipFile(FOLDER / "lstm.keras")
    config = json.loads(files.read("config.json"))
    change(config["config"]["layers"])
    place = tmp_path / "changed.keras"
    with zipfile.ZipFile(place, "w") as out:
        out.writestr("config.json", json.dumps(config))
        for name in ("metadata.json", "model.weights.h5"):
            out.writestr(name, files.read(name))
    return place


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (1, {"activation": "no such"}, r"'lstm.*' \(LSTM\) has the activation 'no such'"),
        (1, {"go_backwards": True}, "goes backwards by itself"),
        (1, {"units": 3}, r"must have weights of the shapes \[\(3, 12\)"),
        (1, {"use_bias": False}, "must have 2 weights in the file, which has 3"),
        (2, {"activation": "log_softmax"}, "has the activation 'log_softmax'"),
    ],
)
def test_options_that_a_program_has_not_are_refused(tmp_path, layer, options, message) -> None:
    def change(layers):
        layers[layer]["config"] |= options

    with pytest.raises(ProgramError, match=message):
        gated.from_keras(changed(tmp_path, change))


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    def change(layers):
        layers[2] |= {"class_name": "Lambda", "config": {"name": "evil", "function": "gANj"}}

    with pytest.raises(ProgramError, match=r"the layer 'evil' \(Lambda\) is of a class that"):
        gated.from_keras(changed(tmp_path, change))

    def mask(layers):
        layers[2] |= {"class_name": "Masking", "config": {"name": "mask", "mask_value": 0.0}}

    with pytest.raises(ProgramError, match="without_padding=True"):
        gated.from_keras(changed(tmp_path, mask))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "model.keras"
    with pytest.raises(ModelFileError, match="There is no file"):
        gated.from_keras(place)
    whole = (FOLDER / "lstm.keras").read_bytes()
    of_h5 = (FOLDER / "lstm.h5").read_bytes()
    for data in (b"", b"PK\x03\x04", whole[:4000], of_h5[:3000], of_h5[:8]):
        place.write_bytes(data)
        with pytest.raises(ModelFileError, match="cannot be read as a model of Keras"):
            gated.from_keras(place)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["weights"] = np.zeros(3)
    place.write_bytes(buffer.getvalue())
    with pytest.raises(ModelFileError, match="weights alone, without the model"):
        gated.from_keras(place)


def test_damaged_bytes_never_end_in_another_error() -> None:
    draw = np.random.default_rng(0)
    data = np.frombuffer((FOLDER / "lstm.h5").read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        bad = data.copy()
        bad[draw.integers(0, 4000, 8)] = draw.integers(0, 256, 8)
        place = Path(FOLDER / "lstm.h5")
        try:
            gated.live.keras_files.KerasFile(place, bad.tobytes())
        except (ModelFileError, ProgramError):
            refused += 1
    assert refused
