"""Commands that every task has, on tiny data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli import tiny_runs

from gated.cli.app import run
from gated.tasks import LEARNERS


def test_there_are_tiny_data_of_every_task() -> None:
    assert sorted(tiny_runs.TASKS) == sorted(task.replace("_", "-") for task in LEARNERS)


def test_any_cell_of_the_library_is_compared_at_remembering(tmp_path: Path, capsys) -> None:
    out = tmp_path / "compared"
    more = ("--steps", "2", "--threads", "1", "--seeds", "0", "--cells", "lem", "indrnn")
    assert run(["compare", *tiny_runs.fit("memory", tmp_path, out, more)[1:]]) == 0
    assert "has the best mean squared error: " in capsys.readouterr().out
    assert "INDRNN" in (out / "report.html").read_text()


@pytest.mark.parametrize("task", tiny_runs.TASKS)
def test_every_task_compares_cells_with_each_other_and_with_baselines(
    task: str, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "compared"
    more = ("--steps", "4", "--threads", "1", "--seeds", "0", "--cells", "gru", "lstm")
    assert run(["compare", *tiny_runs.fit(task, tmp_path, out, more)[1:]]) == 0
    printed = capsys.readouterr().out
    assert " has the best " in printed
    document = json.loads((out / "comparison.json").read_text())
    assert [row["cell"] for row in document["rows"]] == ["gru", "lstm"]
    assert document["baselines"]
    scores = set(next(iter(document["baselines"].values())))
    assert scores <= set(document["rows"][0])
    assert (out / "report.html").exists()
