from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from adding import Adding

from gated.errors import ConfigurationError
from gated.training.history import History
from gated.training.loop import train
from gated.training.model_files import save_model
from gated.training.options import TrainingOptions
from gated.training.processes import available_cpus, is_main_process, launch
from gated.training.task import Shard

SHARDS = [Shard(0, 2), Shard(1, 2)]
PROGRAM = Path(__file__).with_name("adding.py")


def run_program(*trainings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train each in one program, which starts its further processes itself."""
    arguments = [json.dumps(training) for training in trainings]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    save_model(tmp_path, Adding(seed=5).network, {})
    plain = {"steps": 12, "batch_size": 10, "validate_every": 4, "threads": 1}
    trainings = [
        plain,
        {**plain, "accumulate": 3, "clip_norm": 0.3, "clip_value": 0.05},
        {**plain, "init_from": str(tmp_path), "thaw_every": 5, "freeze": ["middle"]},
    ]
    # Shards weigh differently: their sequences have different lengths.
    halves = [Adding().training_batch(0, 10, shard)[2].sum() for shard in SHARDS]
    assert halves[0] != halves[1]

    results = run_program(*({**training, "devices": 2} for training in trainings))
    assert len(results) == len(trainings)  # the second process printed nothing
    for result, training in zip(results, trainings, strict=True):
        task = Adding()
        source = {"init_from": tmp_path} if "init_from" in training else {}
        expected = train(task, TrainingOptions(**{**training, **source}))
        history = History.from_json(result["history"])
        assert history.loss == pytest.approx(expected.loss, rel=1e-5)
        assert history.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-4)
        assert [v.loss for v in history.validations] == pytest.approx(
            [v.loss for v in expected.validations], rel=1e-4
        )
        for name, weight in task.network.state_dict().items():
            torch.testing.assert_close(
                torch.tensor(result["weights"][name]), weight, rtol=1e-3, atol=1e-4
            )


def test_main_process_is_the_first_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert is_main_process()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert is_main_process()
    monkeypatch.setenv("NODE_RANK", "1")
    assert not is_main_process()
    monkeypatch.setenv("RANK", "0")
    assert is_main_process()


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (2, 2)])
def test_threads_are_those_asked_for(threads: int, expected: int) -> None:
    launch(TrainingOptions(threads=threads))
    assert torch.get_num_threads() == expected


def test_threads_stay_within_what_the_machine_allows() -> None:
    torch.set_num_threads(available_cpus() + 1)
    launch(TrainingOptions())
    assert torch.get_num_threads() == available_cpus()


def test_container_limit_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for quota, expected in (("250000 100000", 3), ("max 100000", 64), ("1000 100000", 1)):
        monkeypatch.setattr(Path, "read_text", lambda _, quota=quota: quota)
        assert available_cpus() == expected


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bf16-mixed"):
        launch(TrainingOptions(precision="16-mixed"))


def test_program_without_a_file_cannot_be_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys, "argv", ["-c"])
    with pytest.raises(ConfigurationError, match="Put it into a script"):
        launch(TrainingOptions(devices=2))
