"""`gated fit TASK` and `gated resume RUN`: the same for every task, from its configuration."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter as Argument
from inspect import Signature
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gated.cli.outcome import page_of, tell
from gated.cli.run_directory import Run, begun, check_free, read_run
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import ConfigurationError, require
from gated.report.run_page import write_run_page
from gated.tasks import LEARNERS, learner_of
from gated.tasks.learner import Learner
from gated.training.model_files import write_atomically
from gated.training.processes import is_main_process

SIDE_BY_SIDE = Argument.POSITIONAL_OR_KEYWORD


def fit(task: str) -> Callable[..., None]:
    """Return the command that trains a network for a task."""
    kind = learner_of(task)

    def command(data: Any, *, out: Path, config: Any = None, training: Any = None,
                json: bool = False) -> None:  # fmt: skip
        require("matplotlib", extra="explain")  # before the training, not after it
        files = files_of(kind, data if isinstance(data, list) else [data])
        if is_main_process():
            check_free(out)
        learner = kind(config, training).adopt()
        asked = learner.config.to_dict()  # as it is before choices are left to the data
        learner.prepare(source_of(files)).check_test_part()
        with begun(out, Run(task, files, asked, learner.training)):
            train_and_report(learner, out, json=json)

    summary = f"Train a network to {kind.does}, and score it on {kind.made_of} held back."
    return described(command, kind, summary, {})


def described(
    command: Callable[..., None],
    kind: type[Learner[Any, Any, Any]],
    summary: str,
    more: dict[str, Argument],
) -> Callable[..., None]:
    """Give a command the options of a task, and `more` of its own."""
    several = kind.most_files != 1
    needed = any(
        of.default is MISSING and of.default_factory is MISSING for of in fields(kind.config_type)
    )
    nothing = Argument.empty if needed else None
    arguments = {
        "data": (list[Path] if several else Path, Argument.empty, kind.data),
        "out": (Path, Argument.empty, "New directory for the run: model, scores, report."),
        "config": (kind.config_type, nothing, None),
        "training": (kind.training_type, None, None),
        "json": (bool, False, "Print the result as one JSON document."),
    }
    groups = {"config": "Network and data", "training": "Training"}
    signature = {}
    for name, (hint, default, told) in arguments.items():
        shown = Parameter(name="*", group=groups[name]) if name in groups else Parameter(help=told)
        optional = hint if default is not None else hint | None
        signature[name] = Argument(
            name,
            SIDE_BY_SIDE if name == "data" else Argument.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[optional, shown],
        )
    parameters = list((signature | more).values())
    command.__doc__ = summary
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {of.name: of.annotation for of in parameters}
    return command


def resume(run: Path, *, json: bool = False) -> None:
    """Go on with an interrupted training, to the same weights as if it had never stopped.

    Parameters
    ----------
    run
        Directory of the run.
    json
        Print the result as one JSON document.
    """
    asked = read_run(run)
    kind = learner_of(asked.task)
    learner = kind(kind.config_type.from_dict(asked.config), asked.training)
    learner.prepare(source_of(asked.data))
    train_and_report(learner, run, json=json, resume=True)


def files_of(kind: type[Learner[Any, Any, Any]], data: list[Path]) -> tuple[Path, ...]:
    """Return the files that a learner reads together.

    Raises:
        ConfigurationError: there are none, or more than it takes.
    """
    most = kind.most_files
    if not data or (most is not None and len(data) > most):
        wanted = {1: "one file", None: "one file or more"}.get(most, f"one file, up to {most}")
        raise ConfigurationError(f"The task {kind.task!r} reads {wanted}, and got {len(data)}.")
    return tuple(data)


def source_of(files: tuple[Path, ...]) -> Path | tuple[Path, ...]:
    """Return files as a learner takes them: one alone as it is."""
    return files[0] if len(files) == 1 else files


def train_and_report(
    learner: Learner[Any, Any, Any], out: Path, *, json: bool, resume: bool = False
) -> None:
    """Train a prepared learner in `out`, save it, score it, and say how it went."""
    label = f"{learner.name} on {len(learner.parts.training):,} {learner.counted}"
    with training_bars() as bars:
        learner.train(directory=out, resume=resume, progress=TrainingBar(bars, label))
    if not is_main_process():
        return
    learner.save(out)
    write_atomically(out / "history.json", learner.history.to_json().encode())
    evaluation = learner.score()
    command = shlex.join(["gated", *sys.argv[1:]])
    report = write_run_page(out, page_of(learner), learner, evaluation, command=command)
    tell(learner, evaluation, run=out, report=report, json=json)


def __getattr__(name: str) -> Callable[..., None]:
    """Make the command of a task when it is called: only then is the task imported."""
    if name not in LEARNERS:
        raise AttributeError(name)
    return fit(name)
