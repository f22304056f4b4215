from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from adding import Adding, same_course
from killed import DROPOUT, OPTIONS
from safetensors import safe_open

from gated.errors import ConfigurationError, InUseError, ModelFileError
from gated.files import TEMPORARY, locked
from gated.model_files import NO_DIGEST, seal
from gated.training.checkpoint import FILE_NAME, read_checkpoint
from gated.training.history import History
from gated.training.loop import train
from gated.training.model_files import save_model
from gated.training.options import TrainingOptions

# When each run dies: what for the how-many-th time, and whether it thaws; then the steps that its
# checkpoint must hold (none: it died before the first).
DEATHS = {
    "before the first step": ("loss", 1, False, None),
    "before the first checkpoint": ("step", 7, False, None),
    "writing the first checkpoint": ("writing", 1, False, None),
    "after the first checkpoint was put in place": ("replaced", 1, False, 10),
    "between the parts of a step": ("loss", 28, False, 10),
    "between checkpoints": ("step", 17, False, 10),
    "validating": ("validation", 3, False, 20),
    "writing a later checkpoint": ("writing", 3, False, 20),
    "writing the last checkpoint": ("writing", 4, False, 30),
    "after the last checkpoint": ("replaced", 4, False, 40),
    "with one group thawed": ("step", 11, True, 10),
    "with two groups thawed": ("step", 19, True, 10),
    "with all groups thawed": ("step", 34, True, 30),
}


def options(thaws: bool, source: Path) -> TrainingOptions:
    transfer: dict[str, Any] = {"init_from": source, "thaw_every": 12} if thaws else {}
    return TrainingOptions(**OPTIONS, **transfer)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("source")
    save_model(directory, Adding(seed=7).network, {})
    return directory


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Callable[[str], Path]:
    """Directories of runs that died."""
    root = tmp_path_factory.mktemp("killed")
    jobs = [
        {
            "directory": str(root / name),
            "moment": moment,
            "at": at,
            "init_from": str(source) if thaws else None,
            "thaw_every": 12 if thaws else 0,
        }
        for name, (moment, at, thaws, _) in DEATHS.items()
    ]
    program = [sys.executable, str(Path(__file__).with_name("killed.py")), json.dumps(jobs)]
    output = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert [int(code) for code in output.split()] == [-signal.SIGKILL] * len(jobs)
    return lambda name: root / name


@pytest.fixture(scope="module")
def uninterrupted(source: Path) -> Callable[[bool], tuple[Adding, History]]:
    runs = {}
    for thaws in (False, True):
        task = Adding(dropout=DROPOUT)
        runs[thaws] = task, train(task, replace(options(thaws, source), threads=1))
    return lambda thaws: runs[thaws]


@pytest.mark.parametrize("death", DEATHS)
def test_killed_run_resumes_to_the_same_weights(
    death: str,
    killed: Callable[[str], Path],
    source: Path,
    uninterrupted: Callable[[bool], tuple[Adding, History]],
) -> None:
    moment, _, thaws, steps_kept = DEATHS[death]
    path = killed(death) / FILE_NAME
    assert path.exists() == (steps_kept is not None)
    assert bool(list(path.parent.glob(TEMPORARY))) == (moment == "writing")
    if steps_kept:
        assert read_checkpoint(path).history.steps == steps_kept

    # From the checkpoint alone: a network of other initial values would do.
    task = Adding(dropout=DROPOUT, seed=3 if steps_kept else 0)
    history = train(task, options(thaws, source), directory=path.parent, resume=True)
    expected_task, expected = uninterrupted(thaws)
    assert not list(path.parent.glob(TEMPORARY))
    assert same_course(history, expected)
    assert any(expected.clipped_by_norm)
    assert any(expected.clipped_by_value)
    for name, weight in task.network.state_dict().items():
        assert torch.equal(weight, expected_task.network.state_dict()[name]), name


def test_result_depends_on_the_seed(uninterrupted: Any) -> None:
    task = Adding(dropout=DROPOUT)
    history = train(task, replace(TrainingOptions(**OPTIONS), seed=1))
    assert not same_course(history, uninterrupted(False)[1])


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    train(Adding(), TrainingOptions(steps=4), directory=tmp_path)
    return tmp_path


def test_other_options_are_refused(finished: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"clip_norm was 1\.0 and is 2\.0"):
        train(Adding(), TrainingOptions(steps=4, clip_norm=2.0), directory=finished, resume=True)


def test_threads_and_checkpoint_interval_may_change(finished: Path) -> None:
    chosen = TrainingOptions(steps=4, threads=1, checkpoint_every=1)
    assert train(Adding(), chosen, directory=finished, resume=True).steps == 4


@pytest.mark.parametrize("other", [Adding(data_seed=1), Adding(hidden=4), Adding(dropout=0.5)])
def test_other_data_and_another_network_are_refused(finished: Path, other: Adding) -> None:
    with pytest.raises(ConfigurationError, match="network or the data"):
        train(other, TrainingOptions(steps=4), directory=finished, resume=True)


def test_an_earlier_run_is_not_overwritten(finished: Path) -> None:
    before = (finished / FILE_NAME).read_bytes()
    with pytest.raises(ConfigurationError, match="earlier training"):
        train(Adding(), TrainingOptions(steps=4), directory=finished)
    assert (finished / FILE_NAME).read_bytes() == before


def test_resume_needs_a_directory() -> None:
    with pytest.raises(ConfigurationError, match="which directory"):
        train(Adding(), TrainingOptions(steps=4), resume=True)


def test_truncated_checkpoint_is_refused_at_every_length(finished: Path) -> None:
    path = finished / FILE_NAME
    whole = path.read_bytes()
    assert read_checkpoint(path).history.steps == 4
    for length in [*range(0, 200), *range(200, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"checkpoint\.safetensors"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 7}, "version 7, written by gated .* install a newer gated"),
        ({"version": 1}, "version 1, written by gated .* or train again"),
        ({"format": "other"}, "not a gated-checkpoint"),
        ({"identity": None}, "damaged"),
        ({"history": {}}, "damaged"),
        ({"scaler": 3}, "damaged"),
    ],
)
def test_unknown_versions_and_what_cannot_be_are_refused(
    finished: Path, changed: dict[str, Any], message: str
) -> None:
    path = finished / FILE_NAME
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document = json.loads(file.metadata()["gated"]) | changed
    metadata = {"gated": json.dumps(document), "sha256": NO_DIGEST}
    path.write_bytes(seal(safetensors.torch.save(tensors, metadata)))
    with pytest.raises(ModelFileError, match=message):
        train(Adding(), TrainingOptions(steps=4), directory=finished, resume=True)


def test_a_directory_is_trained_in_once_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), ThreadPoolExecutor() as others:
        training = others.submit(train, Adding(), TrainingOptions(steps=4), directory=tmp_path)
        with pytest.raises(InUseError, match="is in use: another thread of this process"):
            training.result()
    assert train(Adding(), TrainingOptions(steps=4), directory=tmp_path).steps == 4
