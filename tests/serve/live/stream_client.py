"""A client of a stream that loses nothing: it sends again whatever the server does not have."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

MOST_TRIES = 600


@contextlib.contextmanager
def connected(port: int, id: str, **options: Any) -> Iterator[ClientConnection]:
    """The connection of a stream."""
    with connect(f"ws://127.0.0.1:{port}/streams/{id}", compression=None, **options) as socket:
        yield socket


def receive(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=60))


def answered(socket: ClientConnection) -> Any:
    """Return the next message that is no mere note of what is durable."""
    while (message := receive(socket)).keys() == {"durable"}:
        pass
    return message


class StreamClient:
    """Sends all steps of a stream, and comes back as often as the connection breaks.

    Args:
        port: of the server.
        id: of the stream.
        xs: its steps.
        at_once: steps without an answer, at most.
    """

    def __init__(self, port: int, id: str, xs: Sequence[Any], at_once: int) -> None:
        self.port, self.id, self.xs, self.at_once = port, id, xs, at_once
        self.predictions: dict[int, Any] = {}
        self.durable = self.connections = self.repeated = 0

    def run(self) -> None:
        tries, before = 0, 0
        while tries < MOST_TRIES:
            try:
                self._until_the_end()
                return
            except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                tries = tries + 1 if self.connections == before else 0
                before = self.connections
                time.sleep(0.05)
        raise AssertionError("the server does not come back")

    def _until_the_end(self) -> None:
        with connected(self.port, self.id) as socket:
            greeting = receive(socket)
            self.connections += 1
            assert greeting["durable"] >= self.durable, "a durable step was lost"
            self.durable = greeting["durable"]  # a kill may come before it is told otherwise
            missing = min(set(range(1, len(self.xs) + 1)) - set(self.predictions), default=None)
            step = min(missing or len(self.xs) + 1, greeting["step"] + 1)
            waiting = 0
            while step <= len(self.xs) or waiting or self.durable < len(self.xs):
                while step <= len(self.xs) and waiting < self.at_once:
                    socket.send(json.dumps({"step": step, "x": self.xs[step - 1]}))
                    step, waiting = step + 1, waiting + 1
                waiting -= self._heard(receive(socket))

    def _heard(self, message: Any) -> bool:
        """Note what the server says; return whether it is a prediction."""
        assert "error" not in message, message
        self.durable = max(self.durable, message["durable"])
        if "step" not in message:
            return False
        before = self.predictions.setdefault(message["step"], message["prediction"])
        self.repeated += before is not message["prediction"]
        assert before == message["prediction"], "a step was predicted in two ways"
        return True
