"""`gated fit TASK`, with options from the task's configuration, `gated resume`, `gated finish`."""

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, fields, replace
from inspect import Parameter as Argument
from inspect import Signature
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from rich.console import Console

from gated.cli.outcome import page_of, tell
from gated.cli.output import print_json, stdout_console
from gated.cli.run_directory import (
    REPORT,
    Run,
    begun,
    claimed,
    ended,
    is_complete,
    noting_what_is_kept,
    read_run,
    source_of,
    terminable,
    write_run,
)
from gated.cli.training_bar import Bars, TrainingBar, training_bars
from gated.configuration import from_json_values, json_values
from gated.errors import ConfigurationError, InUseError, require
from gated.files import locked, write_atomically
from gated.model_files import UNTRAINED
from gated.phases import phase
from gated.report.run_page import write_run_page
from gated.tasks import LEARNERS, learner_of
from gated.tasks.learner import Learner, Scored
from gated.training.checkpoint import FILE_NAME as CHECKPOINT
from gated.training.loop import FINISH
from gated.training.processes import is_main_process

SECONDS_BETWEEN_LOOKS = 0.5
"""At a run that another process is to finish."""
SIDE_BY_SIDE = Argument.POSITIONAL_OR_KEYWORD


def fit(task: str) -> Callable[..., None]:
    """Return the command that trains a network for a task."""
    kind = learner_of(task)

    def command(data: Any = (), *, out: Path, config: Any = None, training: Any = None,
                json: bool = False) -> None:  # fmt: skip
        fit_into(out, kind(config, training), data, json=json)

    return described(command, kind, {})


def fit_into(
    out: Path, learner: Learner[Any, Any, Any], data: Path | Sequence[Path], *, json: bool
) -> None:
    """Fit a learner in a new directory, and print its scores."""
    require("matplotlib", extra="explain")  # before the training, not after it
    files = files_of(type(learner), data)
    learner.adopt()
    options = json_values(learner.config)  # as it is before choices are left to the data
    with terminable(), claimed(out), training_bars() as bars:
        learner.prepare(source_of(files)).check_test_part()
        with begun(out, Run(learner.task, files, options, learner.training)):
            come_to = train_and_report(learner, out, bars)
    if come_to is not None:
        tell(learner, *come_to, run=out, json=json)


def described(
    command: Callable[..., None],
    kind: type[Learner[Any, Any, Any]],
    more: dict[str, Argument],
) -> Callable[..., None]:
    """Give a command the options of a task, and its own options `more`."""
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
    usual = f"It ends after {kind.training_type.usual_steps:,} steps where no budget is given."
    groups = {"config": Group("Network and data"), "training": Group("Training", help=usual)}
    if kind.most_files == 0:
        del arguments["data"]
    signature = {}
    for name, (hint, default, text) in arguments.items():
        shown = Parameter(name="*", group=groups[name]) if name in groups else Parameter(help=text)
        optional = hint if default is not None else hint | None
        signature[name] = Argument(
            name,
            SIDE_BY_SIDE if name == "data" else Argument.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[optional, shown],
        )
    parameters = list((signature | more).values())
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {of.name: of.annotation for of in parameters}
    return command


def resume(run: Path, *, data: tuple[Path, ...] = (), json: bool = False) -> None:
    """Go on with an interrupted training, to the same weights as if it had never stopped.

    Parameters
    ----------
    run
        Directory of the run, or of a memory test.
    data
        Where the data are now, if they were moved; others than the run began with are refused.
    json
        Print the result as one JSON document.
    """
    from gated.cli.memory import go_on, is_memory_test

    if is_memory_test(run):
        return go_on(run, json=json)
    read_run(run)
    if is_main_process() and is_complete(run):
        message = f"{run} is complete: there is nothing to resume. Its scores:"
        Console(stderr=True, soft_wrap=True).print(message, markup=False, highlight=False)
    return _go_on(run, json=json, finish=False, moved=data)


def finish(run: Path, *, data: tuple[Path, ...] = (), json: bool = False) -> None:
    """End a training, and score the best weights so far.

    The run is then complete, as if its training had been planned to end there. If another process
    trains it, that one ends after its next step and prints the scores; an interrupted run is scored
    without another step.

    Parameters
    ----------
    run
        Directory of the run.
    data
        Where the data are now, if they were moved; others than the run began with are refused.
    json
        Print the result as one JSON document.
    """
    read_run(run)
    if not is_main_process():  # the main one has found that there is something to do
        return _go_on(run, json=json, finish=True, moved=data)
    if is_complete(run):
        message = f"{run} is complete: there is nothing to finish."
    else:
        checkpoint = run / CHECKPOINT
        try:
            with locked(run):
                if not checkpoint.exists():
                    raise ConfigurationError(
                        f"{run} was interrupted before its first checkpoint, so there is nothing "
                        f"to finish. To begin anew: gated resume {shlex.quote(str(run))}"
                    )
                return _go_on(run, json=json, finish=True, moved=data)
        except InUseError:
            (run / FINISH).touch()
        message = f"Another process trains in {run}: it is asked to finish, and waited for."
        Console(stderr=True, soft_wrap=True).print(message, markup=False, highlight=False)
        _wait_until_free(run)
        if not is_complete(run):  # it was ended before it could
            return _go_on(run, json=json, finish=True, moved=data)
        message = f"{run} is complete now."
    if json:
        print_json({"run": str(run), "report": str(run / REPORT)})
    else:
        stdout_console().print(f"{message} Report: {run / REPORT}", markup=False)
    return None


def _wait_until_free(run: Path) -> None:
    """Wait until no other process writes in the directory of a run."""
    while True:
        try:
            with locked(run):
                return
        except InUseError:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _go_on(run: Path, *, json: bool, finish: bool, moved: tuple[Path, ...] = ()) -> None:
    """Complete an interrupted run; with `finish`, without another step."""
    recorded = read_run(run)
    kind = learner_of(recorded.task)
    data = files_of(kind, moved) if moved else recorded.data
    recorded.check_data(run, data)
    learner = kind(from_json_values(kind.config_type, recorded.config), recorded.training)
    kept = locked(run) if is_main_process() else nullcontext()
    with terminable(), kept, noting_what_is_kept(run), training_bars() as bars:
        if finish and is_main_process():
            (run / FINISH).touch()
        elif is_main_process():
            (run / FINISH).unlink(missing_ok=True)  # it was for a training that is over
            if moved:
                write_run(run, replace(recorded, data=data))
        learner.prepare(source_of(data))
        come_to = train_and_report(learner, run, bars, resume=True)
    if come_to is not None:
        tell(learner, *come_to, run=run, json=json)


def files_of(kind: type[Learner[Any, Any, Any]], data: Path | Sequence[Path]) -> tuple[Path, ...]:
    """Return the files that a learner reads together.

    Raises:
        ConfigurationError: there are none, or more than it takes.
    """
    most, files = kind.most_files, (data,) if isinstance(data, Path) else tuple(data)
    if (not files and most != 0) or (most is not None and len(files) > most):
        counts = {0: "no files", 1: "one file", None: "one file or more"}
        wanted = counts.get(most, f"one file, up to {most}")
        raise ConfigurationError(f"The task {kind.task!r} reads {wanted}, and got {len(files)}.")
    return files


def train_and_report(
    learner: Learner[Any, Any, Any], out: Path, bars: Bars, *, resume: bool = False
) -> tuple[Scored, Path] | None:
    """Train a prepared learner in `out`, save it and score it; return its score and the report.

    None in a process that is not the main one.
    """
    if is_main_process() and not (out / UNTRAINED).exists():
        learner.save(out / UNTRAINED)
    label = f"{learner.name} on {len(learner.parts.training):,} {learner.counted}"
    learner.train(directory=out, resume=resume, progress=TrainingBar(bars, label))
    if not is_main_process():
        return None
    learner.save(out)
    write_atomically(out / "history.json", learner.history.to_json().encode())
    evaluation = learner.score()
    command = shlex.join(["gated", *sys.argv[1:]])
    with phase("Drawing the report"):
        report = write_run_page(out, page_of(learner), learner, evaluation, command=command)
    ended(out)
    return evaluation, report


def __getattr__(name: str) -> Callable[..., None]:
    """Make the command of a task when it is called: only then is the task imported."""
    if name not in LEARNERS:
        raise AttributeError(name)
    return fit(name)
