"""Atomic writing of files, and locks so that only one process at a time writes into a directory."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gated.errors import InUseError, ModelFileError

LOCK = ".gated-lock"
"""Name of the lock file of a directory; it holds the process id and machine of the writer."""
BEYOND = 1 << 30
"""Where Windows locks a byte of a file."""
TEMPORARY = ".gated-*.tmp"
"""Names of files that are being written."""


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        ModelFileError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be read ({error.strerror}). Give the directory of a run."
        ) from error


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write `path` atomically: at every moment it holds its old content or all of `data`.

    `data` may come in pieces, each of which is written before the next is asked for.
    """
    temporary = path.with_name(TEMPORARY.replace("*", os.urandom(8).hex()))
    try:
        with temporary.open("xb") as file:
            _try_lock(file.fileno())  # so that no other process removes it as a leftover
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # which renames no open file
                file.close()
            temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the temporary name
        raise
    with suppress(OSError):  # some file systems cannot sync a directory
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Held(threading.local):
    """The directories that this thread has locked."""

    def __init__(self) -> None:
        self.directories: set[Path] = set()


_held = _Held()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock `directory` for this process to write into; it is created if it is missing.

    The operating system releases the lock when the process ends, so that no lock is ever stale. A
    thread may lock the same directory again. Temporary files of killed processes are removed first;
    a directory that was created here and is empty is removed at the end.

    Raises:
        InUseError: Another process or thread has locked it.
        OSError: It cannot be written into.
    """
    key = directory.resolve()
    if key in _held.directories:
        yield
        return
    made = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / LOCK
    try:
        descriptor = _lock(path)
        _held.directories.add(key)
        try:
            _remove_leftovers(directory)
            yield
        finally:
            _held.directories.discard(key)
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)
    finally:
        if made:
            with suppress(OSError):  # it is not empty
                directory.rmdir()


def contents(directory: Path) -> list[Path]:
    """Return the paths in a directory, without its lock and temporary files."""
    return [path for path in directory.iterdir() if path.name != LOCK and not path.match(TEMPORARY)]


def _lock(path: Path) -> int:
    """Return a descriptor of the locked file `path`."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(descriptor):
                raise InUseError(_in_use(path, os.read(descriptor, 300)))
            # The former owner may have removed the file after it was opened here.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    from socket import gethostname  # not what loading a network waits for

    with suppress(OSError):  # a full disk: then the error of others cannot name this process
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {gethostname()}".encode())
    return descriptor


def _try_lock(descriptor: int) -> bool:
    """Lock an open file; false if it is locked. Without support for locks it counts as free."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, BEYOND, os.SEEK_SET)  # others may read what is written
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True


def _in_use(path: Path, written: bytes) -> str:
    from socket import gethostname

    process, _, machine = written.decode(errors="replace").partition(" ")
    if process == str(os.getpid()) and machine == gethostname():
        who = "another thread of this process"
    else:
        who = f"process {process}" if process else "another process"
        who += f" on {machine}" if machine not in ("", gethostname()) else ""
    return (
        f"{path.parent} is in use: {who} trains or writes there. Wait until it has ended, or give "
        "another directory."
    )


def _remove_leftovers(directory: Path) -> None:
    """Remove temporary files of ended processes, here and in subdirectories such as pictures."""
    for path in [*directory.glob(TEMPORARY), *directory.glob(f"*/{TEMPORARY}")]:
        with suppress(OSError), path.open("rb") as file:
            if _try_lock(file.fileno()):
                path.unlink()
