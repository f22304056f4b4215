"""Streams and rows in a file of SQLite, whose transactions survive a power cut."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from gated.errors import ConfigurationError, InUseError, ModelFileError
from gated.serve.live.store import Kept

VERSION = 1
APPLICATION = 0x67617465
"""What the file begins with, in SQLite's header."""
MODEL = "CREATE TABLE model (digest BLOB NOT NULL)"


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
        self.path, self.name = path, str(path)
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

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make all that is written in the block durable when it ends, or nothing of it."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise

    def _write(self, values: Sequence[tuple[Any, ...]]) -> None:
        """Write lines of the table, within `alone`."""
        if values:
            places = ", ".join("?" * len(values[0]))
            lines = f"INSERT OR REPLACE INTO {self.holds} VALUES ({places})"
            self._base.executemany(lines, values)

    def close(self) -> None:
        """Give the file up."""
        self._base.close()


class SqliteStreams(File):
    """The streams of a model; see `File`, and `StreamStore`. Its server holds all of them."""

    holds = "streams"
    columns = (
        "id TEXT PRIMARY KEY, step INTEGER NOT NULL, state BLOB NOT NULL, answers TEXT NOT NULL, "
        "used REAL NOT NULL"
    )

    def hold(self, id: str) -> Kept:
        """Return a stream, new or known."""
        return self.read(id) or Kept(id, 0, b"", "[]")

    def read(self, id: str) -> Kept | None:
        """Return a stream; None where there is none of this id."""
        found = self._base.execute(
            "SELECT id, step, state, answers FROM streams WHERE id = ?", (id,)
        ).fetchone()
        return Kept(*found) if found else None

    def write(self, streams: Sequence[Kept]) -> set[str]:
        """Write streams, all or none; they are on the disk when this returns."""
        now = time.time()
        with self.alone():
            self._write([(of.id, of.step, of.state, of.answers, now) for of in streams])
        return {of.id for of in streams}

    def lost(self, held: Mapping[str, int]) -> dict[str, bool]:
        """Return none: no other server has the file."""
        return {}

    def release(self, held: Mapping[str, int]) -> None:
        """Do nothing: a stream that never took a step is not in the file."""

    def remove(self, id: str) -> None:
        """Remove a stream."""
        self._base.execute("DELETE FROM streams WHERE id = ?", (id,))

    def forget(self, before: float) -> None:
        """Remove the streams that took no step since a time, in seconds since 1970."""
        self._base.execute("DELETE FROM streams WHERE used < ?", (before,))


class SqliteRows(File):
    """The rows that a forecaster was given, in their order; see `File`, and `RowStore`."""

    holds = "rows"
    columns = "number INTEGER PRIMARY KEY, place TEXT UNIQUE NOT NULL, row TEXT NOT NULL"

    def after(self, number: int) -> list[str]:
        """Return the rows after that of a number, JSON, in the order in which they came."""
        query = "SELECT row FROM rows WHERE number > ? ORDER BY number"
        return [row for (row,) in self._base.execute(query, (number,))]

    def at(self, places: Sequence[str]) -> dict[str, str]:
        """Return the rows that there are of places, each a series and time as one text."""
        query = "SELECT place, row FROM rows WHERE place = ?"
        found = [self._base.execute(query, (place,)).fetchone() for place in places]
        return dict(filter(None, found))

    def write(self, first: int, rows: Sequence[tuple[str, str]]) -> None:
        """Write rows by their places, from a number on; within `alone`."""
        self._write([(number, *of) for number, of in enumerate(rows, first)])
