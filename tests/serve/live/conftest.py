"""Where the streams of a test are kept: in a file, and in a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serve.live.databases import Postgres, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    binaries = programs()
    if binaries is None:
        pytest.skip("needs PostgreSQL: run `make postgres`")
    server = Postgres(binaries)
    yield server
    server.remove()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The address of an empty database."""
    return postgres.new_schema()


@pytest.fixture(params=["sqlite", "postgres"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """What `--state` says."""
    if request.param == "sqlite":
        return tmp_path / "state"
    return str(request.getfixturevalue("database"))
