"""A server of the explorer, on a port of its own, and a browser that looks at it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from gated.serve.app import create_server
from gated.serve.character_model import CharacterModel, load_models


@contextlib.contextmanager
def serving(models: list[CharacterModel]) -> Iterator[str]:
    """The address of a server that runs until the block ends."""
    server = create_server(models)
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
    with serving(models) as place:
        yield place
