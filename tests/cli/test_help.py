"""Every command says in a line what it does, in the list and in its own help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields

import pytest
from cyclopts import App

from gated.cli.app import app, run
from gated.errors import ConfigurationError
from gated.tasks import LEARNERS, learner_of
from gated.tasks.language import LanguageConfig
from gated.training.options import TrainingOptions


def commands(parent: App, *names: str) -> Iterator[tuple[str, ...]]:
    """Names of all commands, and of those within them."""
    for name in parent:
        if not name.startswith("-"):
            yield (*names, name)
            yield from commands(parent[name], *names, name)


ALL = sorted(commands(app))


def test_the_walk_comes_by_every_command() -> None:
    tasks = {task.replace("_", "-") for task in LEARNERS}
    assert {names[1] for names in ALL if names[0] == "fit" and len(names) == 2} == tasks
    assert {names[1] for names in ALL if names[0] == "compare" and len(names) == 2} == tasks
    assert {("finish",), ("resume",), ("predict",), ("explore",), ("fit",)} < set(ALL)


@pytest.mark.parametrize("names", ALL, ids=" ".join)
def test_a_command_has_a_summary_in_its_help_and_in_the_list(
    names: tuple[str, ...], capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run([*names, "--help"]) == 0
    usage, _, summary, *_ = (line.strip() for line in capsys.readouterr().out.splitlines())
    assert usage.startswith(f"Usage: gated {' '.join(names)} ")
    assert len(summary.split()) >= 4
    assert summary.endswith(".")
    assert run([*names[:-1], "--help"]) == 0
    lines = [line.strip("│ ").split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    (listed,) = [line[1] for line in lines if line and line[0] == names[-1]]
    assert listed == summary


def test_help_of_fits_imports_no_torch() -> None:
    code = (
        "import sys\nfrom gated.cli.app import run\n"
        "assert run(['fit', '--help']) == 0\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Train a network to forecast a table of time series" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "typed", "written"),
    [
        (["--batch-size", "0"], "--batch-size is 0;", "batch_size is 0.0;"),
        (["--thaw-every", "3"], "give --init-from too", "give init_from too"),
        (["--weight-drop", "2"], "--weight-drop is 2.0;", "weight_drop is 2.0;"),
        (["--unit", "sign"], "for --unit. Choose", "unit must be one of"),
    ],
)
def test_a_message_names_an_option_as_it_is_typed_and_in_python_as_it_is_written(
    arguments: list[str], typed: str, written: str, tmp_path, capsys
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("words " * 200)
    assert run(["fit", "language", str(text), "--out", str(tmp_path / "run"), *arguments]) == 2
    assert typed in " ".join(capsys.readouterr().err.split())
    name, value = arguments[0].removeprefix("--").replace("-", "_"), arguments[1]
    kind = LanguageConfig if name in LanguageConfig.__dataclass_fields__ else TrainingOptions
    with pytest.raises(ConfigurationError, match=written):
        kind(**{name: value if name == "unit" else float(value)})


@pytest.mark.parametrize("task", LEARNERS)
def test_every_switch_is_off_by_default_for_the_command_can_only_turn_it_on(task: str) -> None:
    for kind in (learner_of(task).config_type, TrainingOptions):
        on = [of.name for of in fields(kind) if of.default is True]
        assert not on, f"{kind.__name__}: call it no_{on[0]}, off by default"
