"""The file of the streams: whole or refused in words, and held by one server at a time."""

from __future__ import annotations

import gc
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gated.errors import ConfigurationError, InUseError, ModelFileError
from gated.serve.live.store import Kept, Store

DIGEST = bytes(32)
A, B = Kept("a", 3, b"state", "[[1.5], null]"), Kept("b", 1, b"", "[]")


def test_streams_are_there_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", DIGEST)
    store.write([A, B])
    store.write([A._replace(step=4)])
    store.close()
    store = Store(tmp_path / "s", DIGEST)
    assert (len(store), store.read("a"), store.read("b")) == (2, A._replace(step=4), B)
    assert store.read("c") is None
    store.remove("a")
    assert (len(store), store.read("a")) == (1, None)
    store.close()


def test_old_streams_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", DIGEST)
    store.write([A])
    store.forget(time.time() - 60)
    assert len(store) == 1
    store.forget(time.time() + 60)
    assert len(store) == 0
    store.close()


def test_all_is_written_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", DIGEST)
    store.write([A])
    with pytest.raises(sqlite3.Error):
        store.write([A._replace(step=9), B._replace(state=None)])  # type: ignore[arg-type]
    assert store.read("a") == A
    store.write([B])
    assert len(store) == 2
    store.close()


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
            Store(tmp_path / "s", DIGEST)
    gc.collect()  # what holds the file
    store = Store(tmp_path / "s", DIGEST)
    assert len(store) == 0
    store.close()


def test_another_server_or_model_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", DIGEST)
    with pytest.raises(InUseError, match="another server holds"):
        Store(tmp_path / "s", DIGEST)
    store.close()
    with pytest.raises(ConfigurationError, match="streams of another model"):
        Store(tmp_path / "s", bytes(31) + b"1")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Store(tmp_path / "nothing" / "s", DIGEST)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no file of SQLite" * 100)
    with pytest.raises(ModelFileError, match="is damaged, or no file of streams"):
        Store(tmp_path / "text", DIGEST)
    with sqlite3.connect(tmp_path / "other") as base:
        base.execute("PRAGMA application_id = 7")
    base.close()
    with pytest.raises(ModelFileError, match="belongs to another program"):
        Store(tmp_path / "other", DIGEST)
    Store(tmp_path / "s", DIGEST).close()
    with sqlite3.connect(tmp_path / "s") as base:
        base.execute("PRAGMA user_version = 2")
    base.close()
    with pytest.raises(ModelFileError, match="version is 2"):
        Store(tmp_path / "s", DIGEST)
