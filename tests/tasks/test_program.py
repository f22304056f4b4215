"""Of a task that writes no program yet, the run says so."""

from pathlib import Path

import pytest
from tests.cli.tiny_runs import fit

import gated
from gated.cli.app import run
from gated.errors import ModelFileError


def test_a_run_without_a_program_says_why(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(fit("memory", tmp_path / "data", out)) == 0
    with pytest.raises(ModelFileError, match="the task 'memory' writes none yet"):
        gated.load(out)
