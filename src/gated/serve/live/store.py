"""Where streams and rows are kept: a file of SQLite, whose transactions survive a power cut."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from gated.errors import ConfigurationError, InUseError, ModelFileError

VERSION = 1
APPLICATION = 0x67617465
"""What the file begins with, in SQLite's header."""
MODEL = "CREATE TABLE model (digest BLOB NOT NULL)"


class Kept(NamedTuple):
    """A stream as it is stored."""

    id: str
    step: int
    """Steps that it has taken."""
    state: bytes
    """Of `gated.live.Stream.state`."""
    answers: str
    """The last predictions, as a JSON array."""


class File:
    """What a server keeps for a model, in a file that one server holds at a time.

    Args:
        path: the file; it is made if it is not there.
        digest: of the model.

    Raises:
        ConfigurationError: the file cannot be made, or holds the streams of another model.
        InUseError: another server holds it.
        ModelFileError: it is no such file, or damaged.
    """

    holds: ClassVar[str]
    """What it keeps, in messages and as the name of its table."""
    columns: ClassVar[str]
    """Of the table."""

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
                f"--state: {path} is damaged, or no file of {self.holds} ({error}). Restore it "
                "from a copy, or give another file."
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
            base.execute(MODEL)
            base.execute(f"CREATE TABLE {self.holds} ({self.columns})")
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
                f"--state: {self.path} holds the {self.holds} of another model, such as one before "
                f"a new training. Give another file, or remove this one with its {self.holds}."
            )
        query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
        if base.execute(query, (self.holds,)).fetchone() != (1,):
            raise sqlite3.DatabaseError(f"it holds no {self.holds}")

    def __len__(self) -> int:
        """Return how many streams, or rows, there are."""
        (count,) = self._base.execute(f"SELECT count(*) FROM {self.holds}").fetchone()
        return int(count)

    def _write(self, values: Sequence[tuple[Any, ...]]) -> None:
        """Write lines of the table, all or none; they are on the disk when this returns."""
        if not values:
            return
        places = ", ".join("?" * len(values[0]))
        self._base.execute("BEGIN IMMEDIATE")
        try:
            self._base.executemany(f"INSERT OR REPLACE INTO {self.holds} VALUES ({places})", values)
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Give the file up."""
        self._base.close()


class Store(File):
    """The streams of a model; see `File`."""

    holds = "streams"
    columns = (
        "id TEXT PRIMARY KEY, step INTEGER NOT NULL, state BLOB NOT NULL, answers TEXT NOT NULL, "
        "used REAL NOT NULL"
    )

    def read(self, id: str) -> Kept | None:
        """Return a stream; None where there is none of this id."""
        found = self._base.execute(
            "SELECT id, step, state, answers FROM streams WHERE id = ?", (id,)
        ).fetchone()
        return Kept(*found) if found else None

    def write(self, streams: Sequence[Kept]) -> None:
        """Write streams, all or none; they are on the disk when this returns."""
        now = time.time()
        self._write([(*of, now) for of in streams])

    def remove(self, id: str) -> None:
        """Remove a stream."""
        self._base.execute("DELETE FROM streams WHERE id = ?", (id,))

    def forget(self, before: float) -> None:
        """Remove the streams that took no step since a time, in seconds since 1970."""
        self._base.execute("DELETE FROM streams WHERE used < ?", (before,))


class Rows(File):
    """The rows that a forecaster was given, in their order; see `File`."""

    holds = "rows"
    columns = "number INTEGER PRIMARY KEY, place TEXT UNIQUE NOT NULL, row TEXT NOT NULL"

    def all(self) -> list[str]:
        """Return every row, JSON, in the order in which they came."""
        return [row for (row,) in self._base.execute("SELECT row FROM rows ORDER BY number")]

    def at(self, place: str) -> str | None:
        """Return the row of a series and time, written as one text; None where there is none."""
        found = self._base.execute("SELECT row FROM rows WHERE place = ?", (place,)).fetchone()
        return str(found[0]) if found else None

    def write(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write rows by their places, all or none; they are on the disk when this returns."""
        first = len(self) + 1
        self._write([(first + number, *of) for number, of in enumerate(rows)])
