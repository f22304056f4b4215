"""Checks, before a command begins its work, that it can write its output."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from gated.errors import ConfigurationError
from gated.files import TEMPORARY, contents

REASONS = {
    errno.ENOENT: "there is no such place, and none can be made",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EISDIR: "it is a directory",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its links lead in a circle",
    errno.EACCES: "it is not allowed (Permission denied)",
    errno.EPERM: "it is not allowed (Operation not permitted)",
    errno.EROFS: "it is not allowed (Read-only file system)",
}


def check_place(out: Path, option: str = "--out") -> None:
    """Make sure that something can be written at `out`, which need not be there yet.

    Raises:
        ConfigurationError: no file can be made there; the message says why.
        OSError: the machine lacks something, such as room on its disk.
    """
    try:
        held = next(place for place in (out, *out.absolute().parents) if _is_there(place))
        if held.is_file() and held != out:
            raise NotADirectoryError(errno.ENOTDIR, "")
        longest = os.pathconf(held, "PC_NAME_MAX")
        if any(len(os.fsencode(part)) > longest for part in out.parts):
            raise OSError(errno.ENAMETOOLONG, "")
        before, after = TEMPORARY.split("*")
        inside = held if held.is_dir() else held.parent
        with tempfile.TemporaryDirectory(prefix=before, suffix=after, dir=inside):
            pass
    except ValueError as error:  # the system takes no zero byte
        raise ConfigurationError(
            f"{option}: the path {str(out)!r} holds a zero byte. Give another place."
        ) from error
    except OSError as error:
        if error.errno not in REASONS:
            raise
        raise ConfigurationError(
            f"{option}: {out} cannot be written: {REASONS[error.errno]}. Give another place."
        ) from error


def _is_there(place: Path) -> bool:
    """Whether a path leads somewhere; unlike `Path.exists` it raises where that cannot be known."""
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_new_file(out: Path, option: str = "--out") -> None:
    """Refuse a file that is there, so that nothing is overwritten, and one that cannot be made.

    Raises:
        ConfigurationError: says why.
    """
    check_place(out, option)
    if out.exists():
        raise ConfigurationError(f"{option}: {out} exists already; give a new file.")


def check_new_directory(out: Path, option: str = "--out") -> None:
    """Refuse a directory that holds anything, and one that cannot be made.

    Raises:
        ConfigurationError: says why.
    """
    check_place(out, option)
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{option}: {out} is a file; give a new directory.")
    if out.is_dir() and contents(out):
        raise ConfigurationError(f"{option}: {out} is not empty; give a new directory.")
