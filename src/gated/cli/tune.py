"""`gated tune TASK`, which gets its options from the configuration of each task."""

import json as json_module
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from inspect import Parameter as Argument
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from gated.cli.fit import described, files_of
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.run_directory import source_of
from gated.configuration import json_values
from gated.errors import ConfigurationError, require
from gated.files import write_atomically
from gated.tasks import LEARNERS, learner_of
from gated.tasks.tuning import open_study, outcome
from gated.tasks.tuning import tune as run_trials

ASKED, BEST = "tune.json", "best.toml"


def tune(task: str) -> Callable[..., None]:
    """Return the command that tries options for a task."""
    kind = learner_of(task)

    def command(data: Any = (), *, out: Path, config: Any = None, training: Any = None,
                trials: int = 20, jobs: int = 1, json: bool = False) -> None:  # fmt: skip
        require("optuna", extra="tune")
        if trials < 1 or jobs < 1:
            raise ConfigurationError("--trials and --jobs are at least 1.")
        files = files_of(kind, data)
        _begin(out, kind(config, training), files)
        others = [_another() for _ in range(jobs - 1)]
        console = Console(stderr=True)
        try:
            run_trials(
                kind,
                source_of(files),
                config,
                training,
                directory=out,
                trials=trials,
                told=lambda number, loss: console.print(
                    f"· trial {number + 1}: loss {loss:.4g}", style="dim", highlight=False
                ),
            )
        finally:
            for other in others:
                other.wait()
        found = outcome(open_study(out))
        write_atomically(out / BEST, _toml(found.chosen).encode())
        if json:
            print_json(json_values(found) | {"best": str(out / BEST)})
            return
        shares = [
            f"{found.importance[name]:.0%}" if found.importance else "–" for name in found.chosen
        ]
        values = [of if isinstance(of, str) else f"{of:.3g}" for of in found.chosen.values()]
        print_table(
            f"Best of {found.trials + found.pruned} trials, {found.pruned} given up early",
            ["option", "value", "explains"],
            list(zip(found.chosen, values, shares, strict=True)),
        )
        stdout_console().print(
            f"Validation loss {found.loss:.4g}, with the usual options {found.usual:.4g}. To train "
            f"with them: gated fit {task.replace('_', '-')} … --config "
            f"{shlex.quote(str(out / BEST))}",
            markup=False,
        )

    more = {
        name: Argument(
            name,
            Argument.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[int, Parameter(help=text)],
        )
        for name, default, text in (
            ("trials", 20, "Trials in all, with those of earlier calls into the same directory."),
            ("jobs", 1, "Processes that work on them at the same time."),
        )
    }
    return described(command, kind, more)


def _begin(out: Path, learner: Any, files: tuple[Path, ...]) -> None:
    """Make the directory, or go on with the same search.

    Raises:
        ConfigurationError: the directory holds something else.
    """
    asked = json_values(
        {
            "task": learner.task,
            "data": [str(path.resolve()) for path in files],
            "config": learner.config,
            "training": learner.training,
        }
    )
    path = out / ASKED
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise ConfigurationError(f"--out: {out} holds other files. Give a new directory.")
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json_module.dumps(asked, indent=2).encode())
    elif json_module.loads(path.read_text("utf-8")) != asked:
        raise ConfigurationError(
            f"--out: {out} holds the search of other data or options. Give a new directory, or the "
            "same options, with which it goes on."
        )


def _another() -> "subprocess.Popen[bytes]":
    """Start a process that works on the same search."""
    arguments = [of for of in sys.argv[1:] if of != "--json"]
    while "--jobs" in arguments:
        place = arguments.index("--jobs")
        del arguments[place : place + 2]
    this = [sys.executable, "-m", "gated", *arguments, "--json"]
    return subprocess.Popen(this, stdout=subprocess.DEVNULL)


def _toml(options: Mapping[str, Any]) -> str:
    lines = []
    for name, value in options.items():
        text = f'"{value}"' if isinstance(value, str) else repr(value)
        lines.append(f"{name.replace('_', '-')} = {text}")
    return "\n".join(lines) + "\n"


def __getattr__(name: str) -> Callable[..., None]:
    """Make the command of a task when it is called: only then is the task imported."""
    if name not in LEARNERS:
        raise AttributeError(name)
    return tune(name)
