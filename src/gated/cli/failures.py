"""Errors as one paragraph: what failed, and how to go on."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from pathlib import Path

from cyclopts import CycloptsError

from gated.cli.commands import extra_with
from gated.cli.places import REASONS
from gated.errors import DataError, GatedError


class NothingPredictedError(DataError):
    """No row of the input could be used; the output, already written, has the reasons."""


USAGE_ERROR = 2
FAILED = 1
"""Exit status where the machine lacks something, or gated has a defect."""
SHOW_TRACEBACK = "GATED_TRACEBACK"
"""Environment variable; 1 for the traceback of any error in place of a paragraph."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def explained(error: BaseException) -> tuple[str, int]:
    """Return the paragraph for an error, and the exit status."""
    while isinstance(error, ImportError) and error.__cause__ and not error.name:
        error = error.__cause__  # what a command could not be imported for
    absent = isinstance(error, FileNotFoundError) and error.errno is None
    if isinstance(error, GatedError | CycloptsError) or absent:
        return _with_notes(error, str(error)), USAGE_ERROR
    extra = extra_with(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    if extra is not None:
        return (
            f"{getattr(error, 'name', '')} is not installed, and this command needs it. Install "
            f"it with: pip install 'gated[{extra}]'"
        ), USAGE_ERROR
    return _with_notes(error, _of_the_machine(error) or _defect(error)), FAILED


def _with_notes(error: BaseException, message: str) -> str:
    """Add the notes on what was kept."""
    return " ".join([message, *getattr(error, "__notes__", ())])


def _of_the_machine(error: BaseException) -> str | None:
    """Say what the machine lacks; None where that is not what went wrong."""
    if _no_memory(error):
        return (
            f"There is not enough memory ({_first_line(error)}). Ask for less: a smaller network "
            "or batch, or --accumulate, which cuts a batch into parts with the same result."
        )
    if isinstance(error, UnicodeEncodeError):
        letter = error.object[error.start : error.start + 1]
        return (
            f"{letter!a} cannot be printed where the output goes, which takes "
            f"{error.encoding} alone. Set PYTHONIOENCODING=utf-8, or print with --json."
        )
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "A path holds a zero byte, which no file system takes. Give another path."
    if not isinstance(error, OSError):
        return None
    where = f" {error.filename}" if error.filename else ""
    if error.errno in NO_ROOM:
        return f"The disk is full: there is no room to write{where}. Make room on it."
    if error.errno in NOT_ALLOWED:
        return f"It is not allowed to write or read{where}: {error.strerror}. Give another place."
    if where and error.errno in REASONS:
        return f"It was not possible to write or read{where}: {REASONS[error.errno]}."
    return f"The system refused to read or write{where}: {error.strerror or _first_line(error)}."


def _no_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch is not imported to ask."""
    by_torch = isinstance(error, RuntimeError) and "allocate memory" in str(error)
    return isinstance(error, MemoryError) or by_torch or type(error).__name__ == "OutOfMemoryError"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _defect(error: BaseException) -> str:
    """Write the traceback of an unexpected error to a file, and name the file."""
    message = (
        f"gated failed, which is a defect of it: {type(error).__name__}: {_first_line(error)}."
    )
    try:
        descriptor, name = tempfile.mkstemp(prefix="gated-traceback-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"{message} Please report it; with {SHOW_TRACEBACK}=1 it prints its traceback."
    return f"{message} Please report it with its traceback: {Path(name)}."
