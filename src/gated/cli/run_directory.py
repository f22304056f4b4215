"""The directory of a run: what the command was asked to do stands there from the first step on.

`run.json` is written before training begins, so that `gated resume` knows how to go on; checkpoint,
model, history and report are written by the rooms that know them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gated
from gated.errors import ConfigurationError, GatedError
from gated.training.model_files import check_format, read_json, write_atomically
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process

RUN_FORMAT = "gated-run"
RUN_VERSION = 1
FILE_NAME = "run.json"


@dataclass(frozen=True)
class Run:
    """What a run was asked to do."""

    task: str
    data: tuple[Path, ...]
    config: dict[str, Any]
    """Fields of the task's configuration."""
    training: TrainingOptions


def check_free(out: Path) -> None:
    """Refuse a directory that holds anything, so that nothing is overwritten.

    Raises:
        ConfigurationError: `out` is a file, or a directory with files in it.
    """
    if out.is_file():
        raise ConfigurationError(f"--out: {out} is a file; give a new directory.")
    if (out / FILE_NAME).exists():
        raise ConfigurationError(
            f"--out: {out} already holds a run. Give another directory, remove this one, or go on "
            f"with it: gated resume {out}"
        )
    if out.is_dir() and any(out.iterdir()):
        raise ConfigurationError(f"--out: {out} is not empty; give a new directory.")


def write_run(out: Path, run: Run) -> None:
    """Write `run.json` into `out`, atomically."""
    document = {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "gated": gated.__version__,
        "task": run.task,
        "data": [str(path.resolve()) for path in run.data],
        "config": run.config,
        "training": run.training.to_dict(),
    }
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    write_atomically(out / FILE_NAME, text.encode())


@contextmanager
def begun(out: Path, run: Run) -> Iterator[None]:
    """Say in `out` what is asked; where nothing comes of it, not even a checkpoint, unsay it."""
    if is_main_process():
        write_run(out, run)
    try:
        yield
    except GatedError:
        if is_main_process() and [path.name for path in out.iterdir()] == [FILE_NAME]:
            (out / FILE_NAME).unlink()
            out.rmdir()
        raise


def read_run(directory: Path) -> Run:
    """Read what `write_run` wrote.

    Raises:
        ModelFileError: `directory` holds no run, or a damaged one, or one of another version.
    """
    path = directory / FILE_NAME
    document = read_json(path)
    check_format(path, document, RUN_FORMAT, RUN_VERSION)
    return Run(
        task=document["task"],
        data=tuple(map(Path, document["data"])),
        config=document["config"],
        training=TrainingOptions.from_dict(document["training"]),
    )
