"""Where streams and rows are kept: what every store does, and which one an option names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from gated.errors import GatedError, require

POSTGRES = ("postgresql://", "postgres://")
"""What the address of a database begins with."""


class Kept(NamedTuple):
    """A stream as it is stored."""

    id: str
    step: int
    """Steps that it has taken."""
    state: bytes
    """Of `gated.live.Stream.state`."""
    answers: str
    """The last predictions, as a JSON array."""
    token: int = 0
    """Who holds it: a number that no later holder has."""


class UnavailableError(GatedError):
    """The store cannot be reached at the moment; nothing in it has changed."""


class StreamStore(Protocol):
    """The streams of a model.

    Several servers may share it. A stream is held by the server that asked for it last, and no
    other one can write it.
    """

    def __len__(self) -> int:
        """Return how many streams have taken a step."""

    def hold(self, id: str) -> Kept:
        """Take a stream, new or known, away from whoever holds it."""

    def read(self, id: str) -> Kept | None:
        """Return a stream; None where there is none of this id."""

    def write(self, streams: Sequence[Kept]) -> set[str]:
        """Write streams, all or none; they are on the disk when this returns.

        Returns:
            the ids of those that were written: the others are not held by their tokens any more.
        """

    def lost(self, held: Mapping[str, int]) -> dict[str, bool]:
        """Return those of the ids that are not held by their tokens, and whether there is one."""

    def release(self, held: Mapping[str, int]) -> None:
        """Give streams up that never took a step: nothing remains of them."""

    def remove(self, id: str) -> None:
        """Remove a stream, whoever holds it."""

    def forget(self, before: float) -> None:
        """Remove the streams that took no step since a time, in seconds since 1970."""

    def close(self) -> None:
        """Give the store up."""


class RowStore(Protocol):
    """The rows that a forecaster was given, numbered from 1 on; several servers may share it."""

    name: str
    """Where they are, in messages."""

    def after(self, number: int) -> list[str]:
        """Return the rows after that of a number, JSON, in the order in which they came."""

    def at(self, places: Sequence[str]) -> dict[str, str]:
        """Return the rows that there are of places, each a series and time as one text."""

    def alone(self) -> AbstractContextManager[None]:
        """Have no other server write, until the block ends, and make all that is written durable.

        Nothing is written where the block ends with an error.
        """

    def write(self, first: int, rows: Sequence[tuple[str, str]]) -> None:
        """Write rows by their places, from a number on; within `alone`."""

    def close(self) -> None:
        """Give the store up."""


def open_streams(state: Path | str, digest: bytes) -> StreamStore:
    """Return the streams of a model.

    Args:
        state: a file, or the address of a PostgreSQL database.
        digest: of the model.

    Raises:
        ConfigurationError: it cannot be used, or holds the streams of another model.
        InUseError: another server holds the file.
        ModelFileError: it is no such file, or damaged.
        UnavailableError: the database cannot be reached.
    """
    if str(state).startswith(POSTGRES):
        require("psycopg", extra="postgres")
        from gated.serve.live.postgres_store import PostgresStreams

        return PostgresStreams(str(state), digest)
    from gated.serve.live.sqlite_store import SqliteStreams

    return SqliteStreams(Path(state), digest)


def open_rows(state: Path | str, digest: bytes) -> RowStore:
    """Return the rows of a forecaster; see `open_streams`."""
    if str(state).startswith(POSTGRES):
        require("psycopg", extra="postgres")
        from gated.serve.live.postgres_store import PostgresRows

        return PostgresRows(str(state), digest)
    from gated.serve.live.sqlite_store import SqliteRows

    return SqliteRows(Path(state), digest)
