"""Where streams are kept, a file or a database: whole or refused in words, each with one holder."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.serve.live.databases import PASSWORD, Postgres

from gated.errors import ConfigurationError, GatedError, InUseError, ModelFileError
from gated.serve.live.postgres_store import PostgresRows, PostgresStreams
from gated.serve.live.sqlite_store import SqliteStreams
from gated.serve.live.store import Kept, StreamStore, UnavailableError, open_rows, open_streams

DIGEST = bytes(32)
KEPT = {"a": Kept("a", 3, b"state\0", "[[1.5], null]"), "b": Kept("b", 1, b"", "[]")}
SHORT = 1.0
"""Seconds in which something does not happen that must not."""


def held(store: StreamStore, id: str, **changed: Any) -> Kept:
    """Return a stream that the store holds from now on."""
    return KEPT[id]._replace(token=store.hold(id).token, **changed)


@pytest.fixture
def store(state: Path | str) -> Iterator[StreamStore]:
    store = open_streams(state, DIGEST)
    yield store
    store.close()


def test_streams_are_there_again(state: Path | str) -> None:
    store = open_streams(state, DIGEST)
    a, b = held(store, "a"), held(store, "b")
    assert len(store) == 0
    assert store.write([a, b]) == {"a", "b"}
    assert store.write([a._replace(step=4)]) == {"a"}
    store.close()
    store = open_streams(state, DIGEST)
    assert (len(store), store.read("a"), store.read("b")) == (2, a._replace(step=4), b)
    assert store.read("c") is None
    assert store.hold("a")[:4] == a._replace(step=4)[:4]
    store.remove("a")
    assert (len(store), store.read("a"), store.hold("a")[:4]) == (1, None, ("a", 0, b"", "[]"))
    store.close()


def test_old_streams_are_forgotten(store: StreamStore) -> None:
    store.write([held(store, "a")])
    store.forget(time.time() - 60)
    assert len(store) == 1
    store.forget(time.time() + 60)
    assert len(store) == 0


def test_a_stream_that_took_no_step_leaves_nothing(store: StreamStore) -> None:
    a, b = held(store, "a"), held(store, "b")
    assert store.read("a") is None
    store.write([b])
    store.release({"a": a.token, "b": b.token})
    assert (len(store), store.read("b")) == (1, b)


def test_all_is_written_or_nothing(store: StreamStore) -> None:
    a, b = held(store, "a"), held(store, "b")
    store.write([a])
    with pytest.raises((sqlite3.Error, UnavailableError)):
        store.write([a._replace(step=9), b._replace(state=None)])  # type: ignore[arg-type]
    assert store.read("a") == a
    store.write([b])
    assert len(store) == 2


def test_a_stream_has_one_holder_and_no_other_writes_it(database: str) -> None:
    first, second = open_streams(database, DIGEST), open_streams(database, DIGEST)
    old, other = held(first, "a"), held(first, "b")
    assert first.write([old, other]) == {"a", "b"}
    assert first.lost({"a": old.token, "b": other.token}) == {}
    new = second.hold("a")
    assert new[:4] == old[:4]
    assert first.lost({"a": old.token, "b": other.token}) == {"a": True}
    assert first.write([old._replace(step=7), other._replace(step=2)]) == {"b"}
    first.release({"a": old.token})
    assert second.read("a") == new
    again = first.hold("a")  # what it held before is as lost as ever
    assert first.write([old._replace(step=8)]) == set()
    assert second.write([new._replace(step=8)]) == set()
    assert first.write([again._replace(step=5)]) == {"a"}
    second.remove("a")
    assert first.lost({"a": again.token, "b": other.token}) == {"a": False}
    assert second.hold("a").token > again.token
    first.close()
    second.close()


def test_servers_that_begin_at_once_make_the_tables_once(database: str) -> None:
    found: list[StreamStore] = []
    threads = [
        threading.Thread(target=lambda: found.append(open_streams(database, DIGEST)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tokens = [store.hold("a").token for store in found]
    assert len(tokens) == 6
    assert tokens == sorted(set(tokens))
    for store in found:
        store.close()


def test_rows_are_written_by_one_server_after_the_other(database: str) -> None:
    first, second = open_rows(database, DIGEST), open_rows(database, DIGEST)
    done = threading.Event()

    def write_second() -> None:
        with second.alone():
            assert second.after(0) == ["one"]
            second.write(2, [("2", "two")])
        done.set()

    thread = threading.Thread(target=write_second)
    with first.alone():
        thread.start()
        first.write(1, [("1", "one")])
        assert not done.wait(SHORT)
    thread.join()
    assert first.after(0) == ["one", "two"]
    with contextlib.suppress(KeyError), first.alone():
        first.write(3, [("3", "three")])
        raise KeyError
    assert second.at(["1", "2", "3"]) == {"1": "one", "2": "two"}
    first.close()
    second.close()


def test_a_database_that_comes_back_is_used_again(postgres: Postgres, database: str) -> None:
    streams, other = open_streams(database, DIGEST), postgres.new_schema()
    rows = open_rows(other, DIGEST)
    a = held(streams, "a")
    streams.write([a])
    postgres.stop()
    postgres.start()
    assert streams.read("a") == a  # on a new connection
    written = []
    with contextlib.suppress(UnavailableError):
        with rows.alone():
            rows.write(1, [("1", "one")])
            postgres.stop()
        written.append("one")
    assert written == []
    for _ in range(2):
        with pytest.raises(UnavailableError, match=r"cannot be reached: .*Connection refused"):
            streams.read("a")
    with pytest.raises(UnavailableError), rows.alone():
        raise AssertionError
    postgres.start()
    assert streams.write([a._replace(step=4)]) == {"a"}
    with rows.alone():
        assert rows.after(0) == []
        rows.write(1, [("1", "one")])
    assert rows.after(0) == ["one"]
    streams.close()
    rows.close()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:pa/ss@h/db",
        "postgresql://u:pa@ss@h/db",
        "postgresql://u:12/34@h/db",
        "postgresql://u:pa%zz@h/db",
        "postgresql://u:pass@h:port/db",
        "postgresql://u:pass@h/db?nothing=1",
        "postgresql://u:pass@[::1/db",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_streams(address, DIGEST)
    said = str(caught.value)
    assert said.startswith("--state: an address of the form postgresql://USER@HOST:PORT/DATABASE")
    assert not any(part in said for part in ("pa ", "pa@", "pa%zz", "pass@", "ss@h", "12", "34"))


def test_a_database_that_cannot_be_used_is_refused_without_its_password(
    postgres: Postgres, database: str
) -> None:
    at = f"postgresql://127.0.0.1:{postgres.port}/postgres"
    refused: list[tuple[str, type[GatedError], str]] = [
        (postgres.address("s", "wr0ng"), UnavailableError, "password authentication failed"),
        (postgres.address("none"), ConfigurationError, "no schema has been selected"),
        (postgres.address("s").replace("/postgres?", "/none?"), UnavailableError, "does not exist"),
        ("postgresql://u:wr0ng@127.0.0.1:1/x", UnavailableError, "Connection refused"),
        ("postgresql://u:wr0ng@nowhere.invalid/x", UnavailableError, "nowhere.invalid"),
    ]
    for address, kind, said in refused:
        with pytest.raises(kind, match=said) as caught:
            open_streams(address, DIGEST)
        assert "wr0ng" not in str(caught.value)
        assert PASSWORD not in str(caught.value)
        assert str(caught.value).startswith("--state: postgresql://")
    open_streams(database, DIGEST).close()
    with pytest.raises(ConfigurationError, match=f"{at} holds the streams of another model"):
        open_streams(database, bytes(31) + b"1")
    with pytest.raises(ConfigurationError, match=f"{at} holds the streams of another model"):
        open_rows(database, DIGEST)
    store = PostgresStreams(database, DIGEST)
    store._change("UPDATE gated_model SET version = 2")
    store.close()
    with pytest.raises(ConfigurationError, match="have version 2, and this gated reads 1"):
        PostgresRows(database, DIGEST)


class Interrupted(sqlite3.Connection):
    """Ends in the midst of making the tables."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.startswith("INSERT INTO model"):
            raise KeyboardInterrupt
        return super().execute(sql, *parameters)


def test_a_file_that_was_half_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Interrupted))
        with pytest.raises(KeyboardInterrupt):
            SqliteStreams(tmp_path / "s", DIGEST)
    gc.collect()  # what holds the file
    store = SqliteStreams(tmp_path / "s", DIGEST)
    assert len(store) == 0
    store.close()


def test_another_server_or_model_is_refused(tmp_path: Path) -> None:
    store = SqliteStreams(tmp_path / "s", DIGEST)
    with pytest.raises(InUseError, match="another server holds"):
        SqliteStreams(tmp_path / "s", DIGEST)
    store.close()
    with pytest.raises(ConfigurationError, match="streams of another model"):
        SqliteStreams(tmp_path / "s", bytes(31) + b"1")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        SqliteStreams(tmp_path / "nothing" / "s", DIGEST)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no file of SQLite" * 100)
    with pytest.raises(ModelFileError, match="is damaged, or no file of streams"):
        SqliteStreams(tmp_path / "text", DIGEST)
    with sqlite3.connect(tmp_path / "other") as base:
        base.execute("PRAGMA application_id = 7")
    base.close()
    with pytest.raises(ModelFileError, match="belongs to another program"):
        SqliteStreams(tmp_path / "other", DIGEST)
    SqliteStreams(tmp_path / "s", DIGEST).close()
    with sqlite3.connect(tmp_path / "s") as base:
        base.execute("PRAGMA user_version = 2")
    base.close()
    with pytest.raises(ModelFileError, match="version is 2"):
        SqliteStreams(tmp_path / "s", DIGEST)
