"""A server of the explorer, on a port of its own, and a browser that looks at it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gated.serve.app import create_server
from gated.serve.character_model import CharacterModel, load_models
from gated.serve.reading import Exhibit
from gated.serve.text_reader import texts

TOOLS = Path(__file__).resolve().parents[2] / "web" / "explorer" / "node_modules"


def lacking(what: str, remedy: str) -> None:
    """Skip a test on a machine that lacks something; where all is to be tested, fail."""
    told = f"needs {what}: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="session")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        lacking("Chromium", "run `make browser`")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def page_tools() -> Path:
    """The directory of what npm installed."""
    if not shutil.which("npm"):
        lacking("Node with npm", "install it")
    if not (TOOLS / "axe-core").exists():
        lacking("the page's tools", "run `npm ci` in web/explorer")
    return TOOLS


@contextlib.contextmanager
def serving(exhibit: Exhibit) -> Iterator[str]:
    """The address of a server that runs until the block ends."""
    server = create_server(exhibit)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # so that whoever asks before the server has started waits for it
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def models() -> list[CharacterModel]:
    return load_models()


@pytest.fixture(scope="session")
def address(models: list[CharacterModel]) -> Iterator[str]:
    with serving(texts(models)) as place:
        yield place
