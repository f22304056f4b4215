"""A server in a thread, and requests to it that say exactly what is sent."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import uvicorn


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any


@contextlib.contextmanager
def running(server: uvicorn.Server) -> Iterator[int]:
    """The port of a server that runs until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def ask(
    port: int, path: str, body: bytes | str | None = None, method: str = "", **headers: str
) -> Answer:
    """Send a request, JSON by default; names of headers are written with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        connection.request(method or ("GET" if body is None else "POST"), path, body, given)
        return read(connection)
    finally:
        connection.close()


def read(connection: http.client.HTTPConnection) -> Answer:
    answer = connection.getresponse()
    text = answer.read()
    kind = answer.headers.get("content-type", "")
    return Answer(answer.status, json.loads(text) if "json" in kind else text, answer.headers)


def announce(port: int, path: str, length: int) -> Answer:
    """Send a request's headers alone, with the length of a body that never comes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        return read(connection)
    finally:
        connection.close()


def send_raw(port: int, *parts: bytes) -> bytes:
    """Send bytes, and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer
