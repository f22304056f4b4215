"""Commands that every task has, on tiny data."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import MAKERS, Tiny

from gated.cli.app import run
from gated.tasks import LEARNERS


def test_there_are_tiny_data_of_every_task() -> None:
    assert sorted(make.__name__ for make in MAKERS) == sorted(LEARNERS)


def test_every_task_compares_cells_with_each_other_and_with_baselines(
    tiny: Tiny, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "compared"
    more = ("--steps", "4", "--seeds", "0", "--cells", "gru", "lstm")
    assert run(tiny.arguments("compare", out, *more)) == 0
    printed = capsys.readouterr().out
    assert " has the best " in printed
    document = json.loads((out / "comparison.json").read_text())
    assert [row["cell"] for row in document["rows"]] == ["gru", "lstm"]
    assert document["baselines"]
    scores = set(next(iter(document["baselines"].values())))
    assert scores <= set(document["rows"][0])
    assert (out / "report.html").exists()
