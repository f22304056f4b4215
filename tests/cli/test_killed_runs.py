"""A run that is killed at any moment is completed to the same weights, whatever the task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.amounts import LONG, times
from tests.cli.tiny_runs import TASKS

ROOT = Path(__file__).resolve().parents[2]


def test_killed_runs_are_completed_to_the_same_weights(tmp_path: Path) -> None:
    """64 kills over all tasks in `make long`."""
    tasks = TASKS if LONG else ("language",)
    program = [sys.executable, "-m", "tests.cli.killed_runs", str(tmp_path), ",".join(tasks)]
    done = subprocess.run(
        [*program, str(times(2, 8))],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(one["killed"] for one in found) == len(tasks) * times(2, 8)
    for one in found:
        assert one["same"], one
        assert one["clean"], one
        assert not one["traceback"], one
    if LONG:
        print(done.stdout)
