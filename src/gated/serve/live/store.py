"""Where streams are kept: one file of SQLite, whose transactions survive a kill and a power cut."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gated.errors import ConfigurationError, InUseError, ModelFileError

VERSION = 1
APPLICATION = 0x67617465
"""What the file begins with, in SQLite's header."""
TABLES = """
CREATE TABLE model (digest BLOB NOT NULL);
CREATE TABLE streams (
    id TEXT PRIMARY KEY, step INTEGER NOT NULL, state BLOB NOT NULL, answers TEXT NOT NULL,
    used REAL NOT NULL
);
"""


class Kept(NamedTuple):
    """A stream as it is stored."""

    id: str
    step: int
    """Steps that it has taken."""
    state: bytes
    """Of `gated.live.Stream.state`."""
    answers: str
    """The last predictions, as a JSON array."""


class Store:
    """The streams of a model in a file, which one server holds at a time.

    Args:
        path: the file; it is made if it is not there.
        digest: of the model.

    Raises:
        ConfigurationError: the file cannot be made, or holds the streams of another model.
        InUseError: another server holds it.
        ModelFileError: it is no such file, or damaged.
    """

    def __init__(self, path: Path, digest: bytes) -> None:
        self.path = path
        try:
            # Used by one thread after the other; `isolation_level` None: transactions are ours.
            self._base = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
            self._open(digest)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise InUseError(
                    f"--state: another server holds {path}. Stop it, or give another file."
                ) from error
            raise ConfigurationError(f"--state: {path} cannot be used: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise ModelFileError(
                f"--state: {path} is damaged, or no file of streams ({error}). Restore it from a "
                "copy, or give another file."
            ) from error

    def _open(self, digest: bytes) -> None:
        base = self._base
        base.execute("PRAGMA locking_mode = EXCLUSIVE")  # held until the process ends, however
        base.execute("BEGIN EXCLUSIVE")
        base.execute("COMMIT")
        (kind,) = base.execute("PRAGMA application_id").fetchone()
        if kind not in (0, APPLICATION):
            raise sqlite3.DatabaseError("it belongs to another program")
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = FULL")  # on the disk when a transaction ends
        if kind == 0:
            base.execute("BEGIN")  # one transaction: after a kill there is all of it, or none
            for table in TABLES.split(";")[:-1]:
                base.execute(table)
            base.execute("INSERT INTO model VALUES (?)", (digest,))
            base.execute(f"PRAGMA user_version = {VERSION}")
            base.execute(f"PRAGMA application_id = {APPLICATION}")
            base.execute("COMMIT")
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise sqlite3.DatabaseError(f"its version is {version}, and this gated reads {VERSION}")
        (owner,) = base.execute("SELECT digest FROM model").fetchone()
        if owner != digest:
            raise ConfigurationError(
                f"--state: {self.path} holds the streams of another model, such as one before a "
                "new training. Give another file, or remove this one with its streams."
            )

    def __len__(self) -> int:
        """Return how many streams there are."""
        (count,) = self._base.execute("SELECT count(*) FROM streams").fetchone()
        return int(count)

    def read(self, id: str) -> Kept | None:
        """Return a stream; None where there is none of this id."""
        found = self._base.execute(
            "SELECT id, step, state, answers FROM streams WHERE id = ?", (id,)
        ).fetchone()
        return Kept(*found) if found else None

    def write(self, streams: Sequence[Kept]) -> None:
        """Write streams, all or none; they are on the disk when this returns."""
        now = time.time()
        self._base.execute("BEGIN IMMEDIATE")
        try:
            self._base.executemany(
                "INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?)",
                [(*of, now) for of in streams],
            )
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise

    def remove(self, id: str) -> None:
        """Remove a stream."""
        self._base.execute("DELETE FROM streams WHERE id = ?", (id,))

    def forget(self, before: float) -> None:
        """Remove the streams that took no step since a time, in seconds since 1970."""
        self._base.execute("DELETE FROM streams WHERE used < ?", (before,))

    def close(self) -> None:
        """Give the file up."""
        self._base.close()
