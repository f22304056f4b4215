"""The example of a cell of one's own, run as it stands."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_cell.py"


def test_the_example_learns_and_streams(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "150"])
    ran = runpy.run_path(str(EXAMPLE))
    assert ran["losses"][-1] < 0.7 * ran["losses"][0]
    assert ran["difference"] == pytest.approx(0, abs=1e-5)
    printed = capsys.readouterr().out
    assert r"h_t = o_t \odot \tanh(c_t)" in printed
    assert "step 149" in printed
