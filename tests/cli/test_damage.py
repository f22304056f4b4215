"""What is damaged is refused, or says the same as before; what is full leaves what was there."""

from __future__ import annotations

import copy
import errno
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.amounts import LONG, times
from tests.cli.tiny_runs import TASKS, fit, same
from tests.documents import write_document

import gated.tasks
from gated.cli.app import run
from gated.cli.run_directory import read_run, write_run
from gated.errors import ModelFileError
from gated.files import contents
from gated.model_files import load_model, save_model
from gated.training.checkpoint import read_checkpoint, write_checkpoint

Read = Callable[[Path], Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A small run of a task, trained when it is first asked for; not to be changed."""
    root = tmp_path_factory.mktemp("runs")

    def trained(task: str) -> Path:
        out = root / task
        if not out.exists():
            assert run(fit(task, root / "data" / task, out)) == 0
        return out

    return trained


def plain(content: Any) -> Any:
    """Whatever was read, as what can be compared."""
    if isinstance(content, np.ndarray | torch.Tensor):
        array = np.asarray(content)
        return array.dtype.str, array.shape, array.tobytes()
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return plain(vars(content)) if hasattr(content, "__dict__") else content


def changed(whole: bytes, draw: random.Random) -> Iterator[bytes]:
    """Flips of one bit, and truncations."""
    for _ in range(times(60, 1000)):
        at = draw.randrange(len(whole))
        yield whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :]
    for _ in range(times(60, 1000)):
        yield whole[: draw.randrange(len(whole))]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("model.json", load_model),
        ("weights-*.safetensors", load_model),
        ("checkpoint.safetensors", lambda run: read_checkpoint(run / "checkpoint.safetensors")),
        ("run.json", read_run),
    ],
)
def test_damage_is_refused_or_changes_nothing(
    name: str, read: Read, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(runs("forecast"), directory)
    (path,) = directory.glob(name)
    whole, expected = path.read_bytes(), plain(read(directory))
    refused = 0
    for number, data in enumerate(changed(whole, random.Random(0))):
        path.write_bytes(data)
        try:
            found = plain(read(directory))
        except ModelFileError as error:
            refused += path.name in str(error)
        else:
            assert found == expected, number
    assert refused == times(120, 2000), "every byte is covered by a digest"
    path.write_bytes(whole)
    assert plain(read(directory)) == expected


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a document; of long lists to the first and the last."""
    if at:
        yield at
    if isinstance(document, dict):
        for name, value in document.items():
            yield from places(value, (*at, name))
    elif isinstance(document, list):
        for place in sorted({0, len(document) - 1} & set(range(len(document)))):
            yield from places(document[place], (*at, place))


STRANGE = (None, -1, 0, 10**12, 1e300, "", "x", [], {}, True, [[[]]], "deleted")


@pytest.mark.parametrize("task", TASKS if LONG else ["forecast", "language"])
def test_what_a_description_cannot_say_is_refused_at_once(
    task: str, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    """With a digest that is right: nothing but a `ModelFileError`, and no memory for any size."""
    shutil.copytree(runs(task), tmp_path / "run")
    path = tmp_path / "run" / "model.json"
    document = json.loads(path.read_text("utf-8"))
    cases = [(at, value) for at in places(document["description"]) for value in STRANGE]
    draw = random.Random(0)
    for at, value in draw.sample(cases, min(len(cases), times(40, 400))):
        strange = copy.deepcopy(document)
        within = strange["description"]
        for part in at[:-1]:
            within = within[part]
        if value == "deleted":
            del within[at[-1]]
        else:
            within[at[-1]] = value
        write_document(path, strange)
        try:
            gated.tasks.load(tmp_path / "run")
        except ModelFileError:
            pass
        except Exception as error:
            raise AssertionError(f"{at} = {value!r}") from error


@pytest.mark.parametrize("size", [10**5, 10**12, 10**30])
def test_a_size_that_the_weights_have_not_takes_no_memory(
    size: int, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(runs("language"), tmp_path / "run")
    path = tmp_path / "run" / "model.json"
    document = json.loads(path.read_text("utf-8"))
    for name in ("hidden", "layers", "embedding"):
        strange = copy.deepcopy(document)
        strange["description"]["config"][name] = size
        write_document(path, strange)
        with pytest.raises(ModelFileError, match="is damaged"):
            gated.tasks.load(tmp_path / "run")


@pytest.mark.parametrize("place", ["location", "scale"])
@pytest.mark.parametrize("value", [None, -1.0, 0.0, []])
def test_scales_that_cannot_be_are_refused(
    place: str, value: Any, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(runs("forecast"), tmp_path / "run")
    path = tmp_path / "run" / "model.json"
    document = json.loads(path.read_text("utf-8"))
    document["description"]["preprocessing"]["target"][place] = [value] if value != [] else []
    write_document(path, document)
    if place == "location" and value in (-1.0, 0.0):
        gated.tasks.load(tmp_path / "run")
        return
    with pytest.raises(ModelFileError, match="must be"):
        gated.tasks.load(tmp_path / "run")


class FullDisk:
    """Whatever is written fails at the `at`-th write, sync or replacement, and from then on."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.left = at
        opened, sync, replaced = Path.open, os.fsync, Path.replace

        class Writer(io.BufferedWriter):
            def write(writer, data: Any) -> int:
                if self.is_full():
                    super().write(data[: len(data) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(data)

        def opens(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
            if mode == "xb":
                return Writer(io.FileIO(path, "xb"))
            return opened(path, mode, *more, **options)

        def fails(whole: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                if self.is_full():
                    raise OSError(errno.ENOSPC, "No space left on device")
                return whole(*arguments)

            return call

        patch.setattr(Path, "open", opens)
        patch.setattr(os, "fsync", fails(sync))
        patch.setattr(Path, "replace", fails(replaced))

    def is_full(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_full_disk_leaves_what_was_there_at_every_write(
    runs: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model, checkpoint and description of a run are the former ones, or the new ones."""
    source, directory = runs("forecast"), tmp_path / "run"
    checkpoint = "checkpoint.safetensors"
    arrays, description = load_model(source)
    asked, kept = read_run(source), read_checkpoint(source / checkpoint)
    save_model(directory, {"a": np.ones(3)}, {"task": "former"}, {"more.tsv": b"former"})
    write_checkpoint(directory / checkpoint, kept)
    former = {path.name: path.read_bytes() for path in directory.iterdir()}
    written: dict[str, Callable[[], None]] = {
        "model": lambda: save_model(directory, arrays, description, {"more.tsv": b"new"}),
        "checkpoint": lambda: write_checkpoint(directory / checkpoint, kept),
        "run": lambda: write_run(directory, asked),
    }
    failures = 0
    for write in written.values():
        for at in count():
            with monkeypatch.context() as patch:
                FullDisk(patch, at)
                try:
                    write()
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017
                    failures += 1
                else:
                    break
            assert {path.name: path.read_bytes() for path in directory.iterdir()} == former
        former = {path.name: path.read_bytes() for path in directory.iterdir()}
    # Each of five files is written, synced and replaced; when its directory cannot be synced, it is
    # what comes after that fails: twice in a model of three files.
    assert failures == 3 * 5 + 2
    assert plain(load_model(directory)) == plain((arrays, description))
    assert read_run(directory) == asked


def test_a_training_on_a_full_disk_is_completed_when_there_is_room(
    runs: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Whichever write of a whole job is the first to fail; some of them, unless `make long`."""
    whole = runs("language")
    arguments = fit("language", whole.parent / "data" / "language", tmp_path / "counted")
    with monkeypatch.context() as patch:
        disk = FullDisk(patch, 10**6)
        assert run(arguments) == 0
    total = 10**6 - disk.left
    assert total > 30
    moments = range(total) if LONG else [2, 12, 30]
    capsys.readouterr()
    for at in moments:
        out = tmp_path / str(at)
        with monkeypatch.context() as patch:
            FullDisk(patch, at)
            status = run([*arguments[:-1], str(out)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert status == (1 if "The disk is full" in printed.err else 0)
        if not out.exists():
            assert at < 3, "only the description is written before anything is kept"
            continue
        assert read_run(out).task == "language"
        assert not [path for path in out.rglob("*") if path.name.startswith(".gated")]
        if (out / "model.json").exists():
            load_model(out)
        assert run(["resume", str(out)]) == 0
        assert same(out, whole)
        assert {path.name for path in contents(out)} == {path.name for path in contents(whole)}


@pytest.mark.parametrize("task", TASKS)
def test_a_run_is_read_by_a_process_that_made_nothing_before(
    task: str, runs: Callable[[str], Path]
) -> None:
    """What this process has looked up already, a new one has not."""
    read = "import pathlib, sys, gated.tasks as t; t.load(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", read, str(runs(task))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
