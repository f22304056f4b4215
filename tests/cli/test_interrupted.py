"""Runs that did not come to their end are usable: resumed, finished, asked."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli import tiny_runs
from tests.documents import write_document

from gated.cli.app import run
from gated.cli.run_directory import read_run
from gated.cli.training_bar import TrainingBar
from gated.training.checkpoint import read_checkpoint

STEPS = 9
"""After which the trainings here are interrupted; a checkpoint is written every two."""
QUICK = ("--validate-every", "2", "--threads", "1")


def fit(data: Path, out: Path, *more: str, task: str = "forecast") -> list[str]:
    return tiny_runs.fit(task, data, out, (*QUICK, *more))


def files_of(task: str, data: Path) -> list[str]:
    """What a task was trained on; nothing where it reads nothing."""
    return [argument for argument in fit(data, data, task=task)[2:3] if argument[0] != "-"]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """As Ctrl-C does."""
    went_on = TrainingBar.step

    def step(self: TrainingBar, **facts: Any) -> None:
        went_on(self, **facts)
        if facts["step"] == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingBar, "step", step)


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are tested elsewhere, and take their time."""

    def write(out: Path, *_: Any, **__: Any) -> Path:
        (out / "report.html").touch()
        return out / "report.html"

    monkeypatch.setattr("gated.cli.fit.write_run_page", write)


@pytest.fixture(params=tiny_runs.TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def interrupted(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Path:
    out = tmp_path / "my run"
    with monkeypatch.context() as patch:
        interrupt_after(patch, STEPS)
        more = ("--steps", "40", "--checkpoint-every", "2", "--no-baseline")
        assert run(fit(tmp_path, out, *more, task=task)) == 130
    told = capsys.readouterr().err
    assert f"The checkpoint of step 8 is kept in {out}" in told
    assert f"Go on with: gated resume '{out}' - or score it as it is with: " in told
    assert told.endswith(f"gated finish '{out}'\n")
    return out


def test_every_task_predicts_from_a_checkpoint_and_is_finished(
    task: str, interrupted: Path, tmp_path: Path, capsys
) -> None:
    data = files_of(task, tmp_path)
    so_far = "has not ended: these are its weights of step "
    assert run(["evaluate", str(interrupted), *data, "--json"]) == 0
    printed = capsys.readouterr()
    assert so_far in printed.err
    assert f"gated resume '{interrupted}'; " in printed.err
    assert "verdict" in json.loads(printed.out)
    assert run(["finish", str(interrupted), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    # The checkpoint's; none is added.
    assert (told["training"]["steps"], told["training"]["stopped"]) == (STEPS - 1, "finish")
    names = {path.name for path in interrupted.iterdir()}
    assert {"model.json", "report.html"} < names
    assert not {"untrained", "finish-asked"} & names
    assert run(["evaluate", str(interrupted), *data, "--json"]) == 0
    assert so_far not in capsys.readouterr().err
    assert run(["finish", str(interrupted)]) == 0
    assert "is complete: there is nothing to finish" in capsys.readouterr().out
    assert run(["resume", str(interrupted)]) == 0
    assert "is complete: there is nothing to resume" in capsys.readouterr().err


def test_predictions_of_a_checkpoint_are_those_of_the_best_weights_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """A run that ends where the other was interrupted has the same weights."""
    more = ("--schedule", "constant", "--checkpoint-every", "2")
    short, long = tmp_path / "short", tmp_path / "long"
    assert run(fit(tmp_path, short, "--steps", "8", *more)) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 9)
        assert run(fit(tmp_path, long, "--steps", "40", "--warmup", "0", *more)) == 130
    capsys.readouterr()
    told = []
    for of in (short, long):
        assert run(["predict", str(of), *files_of("forecast", tmp_path), "--json"]) == 0
        printed = capsys.readouterr()
        told.append(json.loads(printed.out))
    assert "What goes with them was fitted on the validation part. To go on: " in printed.err
    assert len(told[0]) == 4
    page = tmp_path / "page.html"
    assert run(["explain", str(long), *files_of("forecast", tmp_path), "--out", str(page)]) == 0
    assert "these are its weights of step 8, best on" in capsys.readouterr().err
    assert page.exists()
    assert told[0] != told[1]  # another warmup; so the comparison below can fail
    same = tmp_path / "same"
    assert run(fit(tmp_path, same, "--steps", "8", "--warmup", "0", *more)) == 0
    capsys.readouterr()
    assert run(["predict", str(same), *files_of("forecast", tmp_path), "--json"]) == 0
    # Its intervals too, though those of the other were never fitted in a training.
    assert json.loads(capsys.readouterr().out) == told[1]
    data = Path(*files_of("forecast", tmp_path))
    data.rename(tmp_path / "moved.csv")
    assert run(["predict", str(long), str(tmp_path / "moved.csv"), "--json"]) == 0
    printed = capsys.readouterr()
    assert f"not fitted yet, since the run's data cannot be read: {data}" in printed.err
    rows = json.loads(printed.out)
    # Nor is it known how far the network is to be trusted.
    assert [row["hour"] for row in rows] == [row["hour"] for row in told[1]]
    assert [row["q50"] for row in rows] != [row["q50"] for row in told[1]]
    assert [row["q90"] for row in rows] != [row["q90"] for row in told[1]]


def test_finished_it_is_as_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The last weights are validated, where they were not yet, and no step is taken."""
    out = tmp_path / "run"
    every = ["--steps", "40", "--checkpoint-every", "2", "--validate-every", "5", "--threads", "1"]
    with monkeypatch.context() as patch:
        interrupt_after(patch, 9)
        assert run(tiny_runs.fit("forecast", tmp_path, out, every)) == 130
    before = read_checkpoint(out / "checkpoint.safetensors")
    assert [of.step for of in before.history.validations] == [5]
    moved = Path(*files_of("forecast", tmp_path)).rename(tmp_path / "moved.csv")
    capsys.readouterr()
    with monkeypatch.context() as patch:
        interrupt_after(patch, 9)  # nor is any begun
        assert run(["finish", str(out), "--data", str(moved), "--json"]) == 0
    after = read_checkpoint(out / "checkpoint.safetensors")
    assert [of.step for of in after.history.validations] == [5, 8]
    assert after.history.loss == before.history.loss
    assert after.history.stopped == "finish"
    best = after.best if after.history.best.step == 8 else before.best
    weights, _ = tiny_runs.trained(out)
    learned = {name: of.numpy() for name, of in best.items() if not name.endswith("trust")}
    assert all(np.array_equal(weights[name], of) for name, of in learned.items())
    assert json.loads(capsys.readouterr().out)["training"]["steps"] == 8


def test_moved_data_are_named_and_others_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "my run"
    more = ("--steps", "12", "--checkpoint-every", "2")
    assert run(fit(tmp_path, whole, *more)) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 9)
        assert run(fit(tmp_path, out, *more)) == 130
    data = Path(*files_of("forecast", tmp_path))
    text = data.read_text()
    moved, other = tmp_path / "moved.csv", tmp_path / "other.csv"
    data.rename(moved)
    capsys.readouterr()
    for verb in ("resume", "finish"):
        assert run([verb, str(out)]) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert f"{data}, which {out} is trained on, is not there. If it was moved, " in told
        assert "give the same command with --data NEW_PLACE" in told
    other.write_text(text.replace("299,", "300,"))
    assert run(["resume", str(out), "--data", str(other)]) == 2
    told = "".join(capsys.readouterr().err.split())
    digests = [hashlib.sha256(of.read_bytes()).hexdigest() for of in (other, moved)]
    assert f"{other}isnotwhat" in told
    assert f"itsSHA-256is{digests[0]},andthatof{data}was{digests[1]}." in told
    assert run(["resume", str(out), "--data", str(other), str(moved)]) == 2
    assert "reads one file, and got 2" in capsys.readouterr().err
    assert run(["resume", str(out), "--data", str(moved)]) == 0
    assert tiny_runs.same(out, whole)
    assert read_run(out).data == (moved,)
    moved.write_text(other.read_text())
    capsys.readouterr()
    assert run(["resume", str(out)]) == 2  # it is said though the place is the same
    assert "Bring the former data back" in " ".join(capsys.readouterr().err.split())
    document = json.loads((out / "run.json").read_text())
    del document["digests"]  # as runs of former versions are
    write_document(out / "run.json", document)
    former = read_run(out)
    assert former.digests is None
    former.check_data(out, (moved,))  # only the checkpoint knows its data


def test_a_training_that_has_not_ended_is_no_beginning_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    first = tmp_path / "my run"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 9)
        assert run(fit(tmp_path, first, "--steps", "40", "--checkpoint-every", "2")) == 130
    capsys.readouterr()
    second = fit(tmp_path, tmp_path / "second", "--steps", "2", "--init-from", str(first))
    assert run(second) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"the training in {first} has not ended." in told
    assert f"gated finish '{first}'; to go on with it: gated resume '{first}'" in told
    assert run(["finish", str(first)]) == 0
    assert run(second) == 0


def test_without_a_checkpoint_there_is_nothing_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "run"
    interrupt_after(monkeypatch, 1)
    assert run(fit(tmp_path, out)) == 130
    told = capsys.readouterr().err
    assert told.endswith(f"No checkpoint had been written yet. Go on with: gated resume {out}\n")
    assert run(["predict", str(out), *files_of("forecast", tmp_path)]) == 2
    assert "has written no checkpoint so far" in " ".join(capsys.readouterr().err.split())
    assert run(["finish", str(out)]) == 2
    assert f"gated resume {shlex.quote(str(out))}" in capsys.readouterr().err.replace("\n", "")


def test_interrupted_while_it_reads_it_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def split(*_: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    monkeypatch.setattr("gated.tasks.forecast.forecaster.Forecaster.split", split)
    assert run(fit(tmp_path, out)) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
    assert not out.exists()


Start = Callable[[list[str], Path], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Begin a training in another process, and wait for its first checkpoint."""
    processes = []

    def begin(arguments: list[str], out: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "gated", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
        processes.append(process)
        while not (out / "checkpoint.safetensors").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_terminated_it_says_how_to_go_on(tmp_path: Path, start: Start) -> None:
    out = tmp_path / "my run"
    endless = fit(tmp_path, out, "--steps", "1000000", "--checkpoint-every", "10")
    process = start(endless, out)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    assert process.returncode == 130
    assert "Interrupted. The checkpoint of step " in told
    assert f"gated resume '{out}' - or" in told
    assert "Traceback" not in told


def test_another_process_is_asked_to_finish(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("gated.cli.fit.SECONDS_BETWEEN_LOOKS", 0.01)
    out = tmp_path / "run"
    endless = fit(tmp_path, out, "--steps", "1000000", "--checkpoint-every", "10")
    process = start([*endless, "--json"], out)
    assert run(["finish", str(out)]) == 0
    told = capsys.readouterr()
    assert "it is asked to finish" in told.err
    assert f"{out} is complete now. Report: {out / 'report.html'}" in told.out
    printed, _ = process.communicate()
    assert process.returncode == 0
    training = json.loads(printed)["training"]
    assert training["stopped"] == "finish"
    assert 10 <= training["steps"] < 1000000
    assert "ended early by" in (out / "report.html").read_text()


def test_minutes_and_epochs_end_a_training(tmp_path: Path, capsys) -> None:
    arguments = fit(tmp_path, tmp_path / "run", "--minutes", "0.001", "--json")
    assert run(arguments) == 0
    training = json.loads(capsys.readouterr().out)["training"]
    assert training["stopped"] == "minutes"
    arguments = fit(tmp_path, tmp_path / "other", "--epochs", "0.5", "--json")
    assert run(arguments) == 0
    training = json.loads(capsys.readouterr().out)["training"]
    assert training["stopped"] == "epochs"
    assert 1 < training["steps"] < 40
