from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.documents import write_document
from torch import nn

from gated.errors import ModelFileError
from gated.files import write_atomically
from gated.training.model_files import load_model, save_model

DESCRIPTION = {"task": "forecast", "mean": [0.1, -3.0], "name": "größe", "history": None}


class Tied(nn.Module):
    """Two names for one weight, and a weight that is not contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5, bias=False)
        self.output.weight = self.embedding.weight
        self.turned = nn.Parameter(torch.randn(4, 2).T)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    save_model(tmp_path / "run", Tied(), DESCRIPTION)
    return tmp_path / "run"


def weights_of(directory: Path) -> Path:
    (path,) = directory.glob("weights-*.safetensors")
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    network = Tied()
    save_model(tmp_path, network, DESCRIPTION)
    state, description = load_model(tmp_path)
    assert description == DESCRIPTION
    assert state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor)
    Tied().load_state_dict(state)


def test_saving_again_replaces(directory: Path) -> None:
    network = Tied()
    save_model(directory, network, {"task": "other"})
    state, description = load_model(directory)
    assert description == {"task": "other"}
    assert torch.equal(state["turned"], network.turned)
    assert {path.name for path in directory.iterdir()} == {"model.json", weights_of(directory).name}


def test_interrupted_saving_leaves_the_old_model(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = load_model(directory)

    def interrupted(path: Path, data: bytes) -> None:
        if path.name == "model.json":
            raise KeyboardInterrupt
        write_atomically(path, data)

    monkeypatch.setattr("gated.model_files.write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_model(directory, Tied(), {"task": "other"})
    state, description = load_model(directory)
    assert description == DESCRIPTION
    assert torch.equal(state["turned"], before["turned"])


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["model.json", "weights"])
def test_truncation_at_every_byte_is_refused(directory: Path, name: str) -> None:
    path = weights_of(directory) if name == "weights" else directory / name
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=path.name):
            load_model(directory)
    path.write_bytes(whole)
    load_model(directory)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_change_of_the_weights_is_refused(directory: Path, data: st.DataObject) -> None:
    path = weights_of(directory)
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[position] ^ data.draw(st.integers(1, 255))
    path.write_bytes(whole[:position] + bytes([flipped]) + whole[position + 1 :])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(directory)
    path.write_bytes(whole)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=20).map(str.encode)))
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(ModelFileError):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "version 3, written by gated .*reads version 2.*install a newer gated"),
        ({"version": 1}, "version 1, written by gated .*reads version 2.*or train again"),
        ({"version": None}, "format version None"),
        ({"format": "other"}, "not a gated-model file"),
        ({"files": {"weights.safetensors": "0"}}, "cannot be read"),
        ({"files": {"weights.safetensors": 7}}, "damaged"),
        ({"files": {"weights.safetensors": "../../elsewhere"}}, "cannot be read"),
        ({"files": {}}, "weights.safetensors is missing"),
    ],
)
def test_changed_documents_are_refused(
    directory: Path, change: dict[str, object], message: str
) -> None:
    path = directory / "model.json"
    write_document(path, json.loads(path.read_text()) | change)
    with pytest.raises(ModelFileError, match=message):
        load_model(directory)


@pytest.mark.parametrize("missing", ["files", "description"])
def test_incomplete_documents_are_refused(directory: Path, missing: str) -> None:
    path = directory / "model.json"
    document = json.loads(path.read_text())
    del document[missing]
    write_document(path, document)
    with pytest.raises(ModelFileError, match=missing):
        load_model(directory)


def test_missing_files_are_named(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere.model\.json cannot be read"):
        load_model(tmp_path / "nowhere")
    weights_of(directory).unlink()
    with pytest.raises(ModelFileError, match=r"weights-\w+\.safetensors cannot be read"):
        load_model(directory)


def test_nothing_is_unpickled(directory: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return pytest.fail, ("unpickled",)

    path = weights_of(directory)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError):
        load_model(directory)
