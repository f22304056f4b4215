"""The walk in docs/en/new_task.md, from a file to an answer, is the one that the code takes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.cli import tiny_runs

import gated
from gated.cli.app import run

HERE = Path(gated.__file__).parent
DOCS = Path(__file__).parents[2] / "docs/en/new_task.md"
STEPS = ["--steps", "2", "--validate-every", "2", "--threads", "1", "--no-baseline"]
CELL = re.compile(r"`([^`]+)`")


def rows(command: str) -> list[tuple[str, str, str]]:
    """File, function and who calls it, of the table for a command."""
    table = DOCS.read_text().partition(f"| `{command}")[2].partition("\n\n")[0]
    cells = [line.split("|")[1:4] for line in table.splitlines()[2:]]
    names = [[CELL.findall(cell)[0] for cell in row] for row in cells]
    return [(file, function, caller) for function, file, caller in names]


@pytest.mark.parametrize(("task", "least"), [("forecast", 20), ("translate", 15)])
def test_each_hands_on_to_the_next(
    task: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(out: Path, *_: Any, **__: Any) -> Path:  # its pictures take their time
        (out / "report.html").touch()
        return out / "report.html"

    page.__code__ = page.__code__.replace(
        co_filename=str(HERE / "report/run_page.py"), co_qualname="write_run_page"
    )
    monkeypatch.setattr("gated.cli.fit.write_run_page", page)
    calls: set[tuple[str, str, str]] = set()

    def called(frame: FrameType, event: str, _: Any) -> None:
        code, before = frame.f_code, frame.f_back
        if event == "call" and code.co_filename.startswith(str(HERE)):
            while before and not before.f_code.co_filename.startswith(str(HERE)):
                before = before.f_back  # torch, between a module and its forward
            file = str(Path(code.co_filename).relative_to(HERE))
            if before:
                caller = before.f_code.co_qualname.split(".<locals>")[0]
                calls.add((file, code.co_qualname, caller))

    out, sentences = tmp_path / "run", tmp_path / "sentences.txt"
    sentences.write_text("ba ko\n")
    fit = tiny_runs.fit(task, tmp_path, out, STEPS)
    asked = (
        ["predict", str(out), fit[2]]
        if task == "forecast"
        else ["translate", str(out), str(sentences)]
    )
    sys.setprofile(called)
    try:
        assert run(fit) == 0
        assert run(asked) == 0
    finally:
        sys.setprofile(None)
    walked = rows(f"gated fit {task}")
    assert len(walked) >= least
    assert [row for row in walked if row not in calls] == []
