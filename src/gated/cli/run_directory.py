"""The directory of a run, which records from the first step on how the command was called.

`run.json` is written before training begins, so that `gated resume` knows how to go on; checkpoint,
model, history and report are written by the modules that define them.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from rich.console import Console

from gated.cli.places import check_new_directory, check_place
from gated.configuration import from_json_values, json_values
from gated.errors import ConfigurationError, GatedError, ModelFileError
from gated.files import contents, locked, write_atomically
from gated.model_files import FILE_NAME as MODEL
from gated.model_files import UNTRAINED, read_document, to_document
from gated.tasks.learner import Learner
from gated.training.checkpoint import FILE_NAME as CHECKPOINT
from gated.training.checkpoint import steps_kept
from gated.training.loop import FINISH
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process

Kind = TypeVar("Kind", bound=Learner[Any, Any, Any])

RUN_FORMAT = "gated-run"
RUN_VERSION = 2
FILE_NAME = "run.json"
REPORT = "report.html"


@dataclass(frozen=True)
class Run:
    """What a run was started with."""

    task: str
    data: tuple[Path, ...]
    config: dict[str, Any]
    """Fields of the task's configuration."""
    training: TrainingOptions
    digests: tuple[str, ...] | None = None
    """SHA-256 of each file of the data; None in a run of a version that did not write them."""

    def check_data(self, run: Path, data: tuple[Path, ...]) -> None:
        """Refuse other data than the run `run` began with.

        Raises:
            ConfigurationError: a file is not there, or is another; says what to do.
        """
        for path in data:
            if not path.is_file():
                raise ConfigurationError(
                    f"{path}, which {run} is trained on, is not there. If it was moved, "
                    "give the same command with --data NEW_PLACE."
                )
        found = digests_of(data)
        if self.digests is None or found == self.digests:
            return
        if len(found) != len(self.digests):
            raise ConfigurationError(
                f"{run} is trained on {len(self.digests)} files, and got {len(found)}."
            )
        place = next(k for k, digest in enumerate(found) if digest != self.digests[k])
        raise ConfigurationError(
            f"{data[place]} is not what {run} began with: its SHA-256 is {found[place]}, and that "
            f"of {self.data[place]} was {self.digests[place]}. Bring the former data back, or "
            "begin a new run."
        )


def digests_of(data: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the SHA-256 of each file."""
    digests = []
    for path in data:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(digests)


def source_of(files: tuple[Path, ...]) -> Path | tuple[Path, ...] | None:
    """Return files as a learner takes them: a tuple, a single path, or None if there are none."""
    return files[0] if len(files) == 1 else files or None


def check_free(out: Path) -> None:
    """Refuse a directory that holds anything, so that nothing is overwritten.

    Raises:
        ConfigurationError: `out` is a file, or a directory with files in it, or cannot be made.
    """
    check_place(out)
    if out.is_dir() and (out / FILE_NAME).exists():
        raise ConfigurationError(
            f"--out: {out} already holds a run. Give another directory, remove this one, or go on "
            f"with it: gated resume {shlex.quote(str(out))}"
        )
    check_new_directory(out)


def write_run(out: Path, run: Run) -> None:
    """Write `run.json` into `out`, atomically."""
    content = {
        "task": run.task,
        "data": [str(path.resolve()) for path in run.data],
        "config": run.config,
        "training": json_values(run.training),
        "digests": list(digests_of(run.data)),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / FILE_NAME, to_document(RUN_FORMAT, RUN_VERSION, content))


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Keep a new directory for this process; one that stays empty is removed.

    Raises:
        ConfigurationError: as `check_free`.
        InUseError: another process writes in it.
    """
    if not is_main_process():
        yield
        return
    check_free(out)
    with locked(out):
        check_free(out)  # what the process that had it before may have written
        yield


@contextmanager
def begun(out: Path, run: Run) -> Iterator[None]:
    """Write `run.json` into `out`, and remove it again on an error before the first checkpoint."""
    if is_main_process():
        write_run(out, run)
    try:
        with noting_what_is_kept(out):
            yield
    except GatedError:
        if is_main_process() and {path.name for path in contents(out)} <= {FILE_NAME, UNTRAINED}:
            shutil.rmtree(out / UNTRAINED, ignore_errors=True)
            (out / FILE_NAME).unlink()
        raise


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does."""

    def terminate(signal_number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def noting_what_is_kept(run: Path) -> Iterator[None]:
    """Add a note to an interruption or unexpected error: what is kept, and how to go on."""
    try:
        yield
    except GatedError:  # says itself what to do
        raise
    except BaseException as error:
        steps, name = steps_kept(run / CHECKPOINT), shlex.quote(str(run))
        ways = f"Go on with: gated resume {name}"
        if (run / MODEL).exists():
            kept = f"The trained network is kept in {run}."
        elif steps:
            kept = f"The checkpoint of step {steps:,} is kept in {run}."
            ways += f" - or score it as it is with: gated finish {name}"
        else:
            kept = "No checkpoint had been written yet."
        error.add_note(f"{kept} {ways}")
        raise


def trained(kind: type[Kind], run: Path) -> Kind:
    """Return the network of a run; if its training has not ended, as it is so far, and say so.

    Raises:
        ModelFileError: `run` holds no network of this kind, or a damaged one.
    """
    if (run / MODEL).exists() or not (run / UNTRAINED).exists():
        return kind.load(run)
    learner = kind.load_so_far(run)
    settled = ""
    if kind.settle is not Learner.settle:
        learner, settled = _settled(learner, run)
    history, name = learner.history, shlex.quote(str(run))
    which = "best on validation" if history.best else "the last"
    step = history.best.step if history.best else history.steps
    Console(stderr=True, soft_wrap=True).print(
        f"The training in {run} has not ended: these are its weights of step {step:,}, {which} of "
        f"the {history.steps:,} steps of its checkpoint.{settled} To go on: gated resume {name}; "
        f"to end it here and score it: gated finish {name}",
        markup=False,
        highlight=False,
    )
    return learner


def _settled(learner: Kind, run: Path) -> tuple[Kind, str]:
    """Fit on the validation data what a task fits after training, if the data can be read.

    Returns the learner, and a sentence for the message.
    """
    try:
        recorded = read_run(run)
        recorded.check_data(run, recorded.data)
        config = from_json_values(type(learner).config_type, recorded.config)
        prepared = type(learner)(config, recorded.training).prepare(source_of(recorded.data))
    except (GatedError, OSError) as error:
        return learner, (
            " What is fitted to the network after a training, such as the width of intervals, is "
            f"not fitted yet, since the run's data cannot be read: {error}"
        )
    prepared.network, prepared.history = learner.network, learner.history
    prepared.settle()
    return prepared, " What goes with them was fitted on the validation part."


def is_complete(run: Path) -> bool:
    """Whether a run is complete; its report is written last."""
    return (run / REPORT).exists()


def ended(run: Path) -> None:
    """Remove the files that only an unfinished run needs."""
    shutil.rmtree(run / UNTRAINED, ignore_errors=True)
    (run / FINISH).unlink(missing_ok=True)


def read_run(directory: Path) -> Run:
    """Read what `write_run` wrote.

    Raises:
        ModelFileError: `directory` holds no run, or a damaged one, or one of another version.
    """
    document = read_document(directory / FILE_NAME, RUN_FORMAT, RUN_VERSION)
    digests = document.get("digests")
    try:
        return Run(
            task=from_json_values(str, document["task"]),
            data=from_json_values(tuple[Path, ...], document["data"]),
            config=from_json_values(dict[str, Any], document["config"]),
            training=from_json_values(TrainingOptions, document["training"]),
            digests=None if digests is None else from_json_values(tuple[str, ...], digests),
        )
    except KeyError as error:
        raise ModelFileError(f"{directory / FILE_NAME} is damaged: {error} is missing.") from error
