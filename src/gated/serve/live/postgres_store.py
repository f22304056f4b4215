"""Streams and rows in PostgreSQL, for several servers.

A stream has the token of its last holder, drawn from a sequence. Every write names the token that
it was held by, so that a server that lost a stream, and does not know it yet, writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from gated.errors import ConfigurationError, GatedError
from gated.serve.live.store import Kept, UnavailableError

Found = TypeVar("Found")

VERSION = 1
LOCK = 0x67617465
"""The advisory lock of whoever makes the tables."""
MODEL = "CREATE TABLE gated_model (version integer, holds text, digest bytea)"
FORM = "postgresql://USER@HOST:PORT/DATABASE"
SECRET = "have the password in PGPASSWORD or ~/.pgpass, or write @ and / in it as %40 and %2F"
NETWORK = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "gated serve",
}
"""What the address may say otherwise: a network that is gone is noticed after 15 seconds or so."""
SETTINGS = """
SET idle_in_transaction_session_timeout = '60s';
SET lock_timeout = '60s';
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
"""Nobody waits for a server that is gone; on the disk when a transaction ends."""


class Database:
    """What servers keep for a model, in a database.

    Args:
        address: of the database; its password is in no message.
        digest: of the model.

    Raises:
        ConfigurationError: the address cannot be read, or the database not be used; or it holds
            something else.
        UnavailableError: it cannot be reached.
    """

    holds: ClassVar[str]
    """What it keeps, in messages."""
    columns: ClassVar[str]
    """Of the table `gated_` and `holds`."""

    def __init__(self, address: str, digest: bytes) -> None:
        self._options = _options(address)
        self.name = _name(self._options)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._in_transaction = False
        try:
            with self._connected().transaction():
                self._open(self._connected(), digest)
        except psycopg.Error as error:
            self.close()
            raise ConfigurationError(
                f"--state: {self.name} cannot be used: {_words(error)}."
            ) from error
        except GatedError:
            self.close()
            raise

    def _open(self, base: psycopg.Connection[tuple[Any, ...]], digest: bytes) -> None:
        # First of all: what is looked up before, and is not there, may be taken for missing later.
        base.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if base.execute("SELECT to_regclass('gated_model')").fetchone() == (None,):
            base.execute(MODEL)
            base.execute(f"CREATE TABLE gated_{self.holds} ({self.columns})")
            values = (VERSION, self.holds, digest)
            base.execute("INSERT INTO gated_model VALUES (%s, %s, %s)", values)
        found = base.execute("SELECT version, holds, digest FROM gated_model").fetchone()
        version, holds, owner = found or (None, None, None)
        if version != VERSION:
            raise ConfigurationError(
                f"--state: the tables of {self.name} have version {version}, and this gated reads "
                f"{VERSION}."
            )
        if (holds, owner) != (self.holds, digest):
            raise ConfigurationError(
                f"--state: {self.name} holds the {holds} of another model, such as one before a "
                "new training. Give another database or, with ?options=-csearch_path%3DNAME, "
                "another schema; or drop the tables of this one."
            )

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return the connection, made anew where there is none."""
        if self._connection is None:
            try:
                self._connection = psycopg.connect(**self._options, autocommit=True)
                self._connection.execute(SETTINGS)
            except psycopg.Error as error:
                self.close()
                raise UnavailableError(
                    f"--state: {self.name} cannot be reached: {_words(error)}."
                ) from error
        return self._connection

    def _do(self, work: Callable[[psycopg.Connection[tuple[Any, ...]]], Found]) -> Found:
        """Do what may be done twice; on a new connection where that before has broken."""
        for again in (not self._in_transaction, False):
            connection = self._connected()
            try:
                return work(connection)
            except psycopg.Error as error:
                broken = connection.closed
                self.close()  # it may have become another server's, one that cannot be written
                if not (broken and again):
                    raise self._unavailable(error) from error
        raise AssertionError

    def _unavailable(self, error: psycopg.Error) -> UnavailableError:
        return UnavailableError(f"--state: {self.name} cannot be used: {_words(error)}.")

    def _all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all that a query finds."""
        return self._do(lambda base: base.execute(query, values).fetchall())

    def _change(self, query: str, *values: Any) -> None:
        """Do what finds nothing."""
        self._do(lambda base: base.execute(query, values))

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class PostgresStreams(Database):
    """The streams of a model; see `Database`, and `StreamStore`."""

    holds = "streams"
    columns = (
        "id text PRIMARY KEY, token bigint NOT NULL GENERATED ALWAYS AS IDENTITY, "
        "step bigint NOT NULL, state bytea NOT NULL, answers text NOT NULL, "
        "used double precision NOT NULL"
    )

    def __len__(self) -> int:
        """Return how many streams have taken a step."""
        ((count,),) = self._all("SELECT count(*) FROM gated_streams WHERE step > 0")
        return int(count)

    def hold(self, id: str) -> Kept:
        """Take a stream, new or known, away from whoever holds it."""
        (found,) = self._all(
            "INSERT INTO gated_streams (id, step, state, answers, used) VALUES (%s, 0, '', '[]', "
            "%s) ON CONFLICT (id) DO UPDATE SET token = DEFAULT "
            "RETURNING id, step, state, answers, token",
            *(id, time.time()),
        )
        return Kept(*found)

    def read(self, id: str) -> Kept | None:
        """Return a stream; None where there is none of this id."""
        query = "SELECT id, step, state, answers, token FROM gated_streams WHERE id = %s"
        found = self._all(f"{query} AND step > 0", id)
        return Kept(*found[0]) if found else None

    def write(self, streams: Sequence[Kept]) -> set[str]:
        """Write streams, all or none; return the ids of those that are held still."""
        columns = [list(of) for of in zip(*streams, strict=True)]
        written = self._all(
            "UPDATE gated_streams old SET step = new.step, state = new.state, "
            "answers = new.answers, used = %s FROM unnest(%s::text[], %s::bigint[], %b::bytea[], "
            "%s::text[], %s::bigint[]) new (id, step, state, answers, token) "
            "WHERE old.id = new.id AND old.token = new.token RETURNING old.id",
            *(time.time(), *columns),
        )
        return {id for (id,) in written}

    def lost(self, held: Mapping[str, int]) -> dict[str, bool]:
        """Return those of the ids that are not held by their tokens, and whether there is one."""
        lost = self._all(
            "SELECT held.id, now.id IS NOT NULL FROM unnest(%s::text[], %s::bigint[]) "
            "held (id, token) LEFT JOIN gated_streams now ON now.id = held.id "
            "WHERE now.token IS DISTINCT FROM held.token",
            *(list(held), list(held.values())),
        )
        return dict(lost)

    def release(self, held: Mapping[str, int]) -> None:
        """Give streams up that never took a step: nothing remains of them."""
        self._change(
            "DELETE FROM gated_streams old USING unnest(%s::text[], %s::bigint[]) held (id, token) "
            "WHERE old.id = held.id AND old.token = held.token AND step = 0",
            *(list(held), list(held.values())),
        )

    def remove(self, id: str) -> None:
        """Remove a stream, whoever holds it."""
        self._change("DELETE FROM gated_streams WHERE id = %s", id)

    def forget(self, before: float) -> None:
        """Remove the streams that took no step since a time, in seconds since 1970."""
        self._change("DELETE FROM gated_streams WHERE used < %s", before)


class PostgresRows(Database):
    """The rows that a forecaster was given, in their order; see `Database`, and `RowStore`."""

    holds = "rows"
    columns = "number bigint PRIMARY KEY, place text UNIQUE NOT NULL, row text NOT NULL"

    def after(self, number: int) -> list[str]:
        """Return the rows after that of a number, JSON, in the order in which they came."""
        query = "SELECT row FROM gated_rows WHERE number > %s ORDER BY number"
        return [row for (row,) in self._all(query, number)]

    def at(self, places: Sequence[str]) -> dict[str, str]:
        """Return the rows that there are of places, each a series and time as one text."""
        query = "SELECT place, row FROM gated_rows WHERE place = ANY(%s::text[])"
        return dict(self._all(query, list(places)))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have no other server write, until the block ends, and make all that is written durable.

        Raises:
            UnavailableError: the database is gone, or another server has it; where the connection
                broke at the very end, the rows may have been written.
        """
        self._all("SELECT 1")  # a connection that has broken is noticed, and made anew
        self._in_transaction = True
        try:
            with self._connected().transaction():
                self._connected().execute("LOCK TABLE gated_rows IN EXCLUSIVE MODE")
                yield
        except psycopg.Error as error:
            self.close()
            raise self._unavailable(error) from error
        finally:
            self._in_transaction = False

    def write(self, first: int, rows: Sequence[tuple[str, str]]) -> None:
        """Write rows by their places, from a number on; within `alone`."""
        lines = [(number, *of) for number, of in enumerate(rows, first)]
        with self._connected().cursor() as cursor:
            cursor.executemany("INSERT INTO gated_rows VALUES (%s, %s, %s)", lines)


def _options(address: str) -> dict[str, Any]:
    """Return what an address says, and what it leaves open.

    libpq's words on an address that it cannot read may quote a part of the password: none are
    passed on.
    """
    try:
        given = conninfo_to_dict(address)
    except psycopg.Error:
        given = {"host": "@"}
    places = (str(given.get(name) or "") for name in ("host", "hostaddr", "dbname"))
    ports = str(given.get("port") or "").split(",")
    if any("@" in of for of in places) or not all(of == "" or of.isdecimal() for of in ports):
        raise ConfigurationError(f"--state: an address of the form {FORM} is needed; {SECRET}.")
    return {**NETWORK, **given, "client_encoding": "UTF8"}


def _name(options: Mapping[str, Any]) -> str:
    """Return an address without user and password, for messages."""
    host, port = options.get("host") or "", options.get("port")
    at = f"{host}:{port}" if port else host
    return f"postgresql://{at}/{options.get('dbname') or ''}"


def _words(error: psycopg.Error) -> str:
    """Return what the database, or the way to it, says, in one line; no questions."""
    said = error.diag.message_primary or str(error) or type(error).__name__
    lines = [line.strip().rstrip(".") for line in said.splitlines() if not line.endswith("?")]
    return " ".join(lines)
