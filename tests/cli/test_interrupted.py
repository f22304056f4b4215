"""Runs that did not come to their end are usable: resumed, finished, asked."""

from __future__ import annotations

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

import pytest
from tests.cli import tiny_runs

from gated.cli.app import run
from gated.cli.training_bar import TrainingBar

STEPS = 9
"""After which the trainings here are interrupted; a checkpoint is written every two."""
QUICK = ("--validate-every", "2", "--threads", "1")


def fit(data: Path, out: Path, *more: str, task: str = "forecast") -> list[str]:
    return tiny_runs.fit(task, data, out, (*QUICK, *more))


def file_of(task: str, data: Path) -> str:
    """What a task was trained on."""
    return fit(data, data, task=task)[2]


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
    data = file_of(task, tmp_path)
    so_far = "has not ended: these are its weights of step "
    assert run(["evaluate", str(interrupted), data, "--json"]) == 0
    printed = capsys.readouterr()
    assert so_far in printed.err
    assert f"gated resume '{interrupted}'; " in printed.err
    assert "verdict" in json.loads(printed.out)
    assert run(["finish", str(interrupted), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    # A step after that of the checkpoint, which is of step 8.
    assert (told["training"]["steps"], told["training"]["stopped"]) == (STEPS, "finish")
    names = {path.name for path in interrupted.iterdir()}
    assert {"model.json", "report.html"} < names
    assert not {"untrained", "finish-asked"} & names
    assert run(["evaluate", str(interrupted), data, "--json"]) == 0
    assert so_far not in capsys.readouterr().err
    assert run(["finish", str(interrupted)]) == 0
    assert "is complete: there is nothing to finish" in capsys.readouterr().out


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
        assert run(["predict", str(of), file_of("forecast", tmp_path), "--json"]) == 0
        told.append([row["q50"] for row in json.loads(capsys.readouterr().out)])
    assert len(told[0]) == 4
    page = tmp_path / "page.html"
    assert run(["explain", str(long), file_of("forecast", tmp_path), "--out", str(page)]) == 0
    assert "these are its weights of step 8, best on" in capsys.readouterr().err
    assert page.exists()
    assert told[0] != told[1]  # another warmup; so the comparison below can fail
    same = tmp_path / "same"
    assert run(fit(tmp_path, same, "--steps", "8", "--warmup", "0", *more)) == 0
    capsys.readouterr()
    assert run(["predict", str(same), file_of("forecast", tmp_path), "--json"]) == 0
    assert [row["q50"] for row in json.loads(capsys.readouterr().out)] == told[1]


def test_without_a_checkpoint_there_is_nothing_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "run"
    interrupt_after(monkeypatch, 1)
    assert run(fit(tmp_path, out)) == 130
    told = capsys.readouterr().err
    assert told.endswith(f"No checkpoint had been written yet. Go on with: gated resume {out}\n")
    assert run(["predict", str(out), file_of("forecast", tmp_path)]) == 2
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
