"""Two servers that share a database: each stream at one of them, each row at both."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.live.programs import causal, model
from tests.serve.asking import ask, running
from tests.serve.live.databases import PASSWORD, WRITTEN, Postgres
from tests.serve.live.stream_client import StreamClient, answered, connected, receive
from tests.serve.live.test_http import QUICK
from tests.serve.live.test_kills import Served
from tests.serve.live.test_streams import STREAMS, refused, steps, undisturbed
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from gated.cli.app import run as command
from gated.live import write
from gated.serve.live.server import StreamBounds, create_server

NEVER = StreamBounds(interval=1e6, rate=1e6)


def closed(socket: ClientConnection) -> int:
    """Return the code with which the server closes a connection."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            receive(socket)
    assert socket.close_code is not None
    return socket.close_code


def send(socket: ClientConnection, step: int, x: Any) -> Any:
    socket.send(json.dumps({"step": step, "x": x}))
    return answered(socket)


def test_the_last_client_has_the_stream_at_whatever_server(database: str) -> None:
    xs = steps(20)
    expected = undisturbed(xs)
    servers = [create_server(model(*causal()), database, QUICK, of) for of in (STREAMS, NEVER)]
    with running(servers[0]) as first, running(servers[1]) as second:
        with connected(first, "a") as old:
            receive(old)
            for step in range(1, 11):
                assert send(old, step, xs[step - 1])["prediction"] == expected[step - 1]
            while receive(old)["durable"] < 10:
                pass
            assert ask(second, "/streams/a").body == {"step": 10, "durable": 10}
            with connected(second, "a") as new:
                assert receive(new)["step"] == 10
                assert closed(old) == 4409
                for step in range(8, 16):
                    assert send(new, step, xs[step - 1])["prediction"] == expected[step - 1]
                # The second server has saved nothing yet: what is not durable is sent again.
                assert ask(first, "/streams/a").body == {"step": 10, "durable": 10}
                with connected(first, "a") as newest:
                    assert receive(newest)["step"] == 10
                    for step in range(11, 21):
                        assert send(newest, step, xs[step - 1])["prediction"] == expected[step - 1]
                    while receive(newest)["durable"] < 20:
                        pass
                    assert ask(second, "/streams/a").body == {"step": 20, "durable": 20}
                    assert (
                        closed(new) == 4409
                    )  # it was asked, and saw that it has the stream no more
        with connected(second, "a") as again:
            assert receive(again)["step"] == 20


def test_a_stream_is_removed_at_any_server(database: str) -> None:
    servers = [create_server(model(*causal()), database, QUICK, STREAMS) for _ in range(2)]
    with running(servers[0]) as first, running(servers[1]) as second:
        with connected(first, "a") as socket:
            receive(socket)
            assert send(socket, 1, [1, 2])["step"] == 1
            while receive(socket)["durable"] < 1:
                pass
            assert ask(second, "/streams/a", method="DELETE").status == 204
            assert closed(socket) == 4410
        assert ask(first, "/streams/a").status == 404
        with connected(first, "a") as socket:
            assert receive(socket)["step"] == 0


def test_without_its_database_a_server_answers_and_says_that_nothing_is_durable(
    postgres: Postgres,
) -> None:
    xs = steps(40)
    expected = undisturbed(xs)
    server = create_server(model(*causal()), postgres.new_schema(), QUICK, STREAMS)
    with running(server) as port, connected(port, "a") as socket:
        receive(socket)
        durable = send(socket, 1, xs[0])["durable"]
        while durable < 1:
            durable = receive(socket)["durable"]
        postgres.stop()
        try:
            for step in range(2, 21):
                found = send(socket, step, xs[step - 1])
                assert (found["prediction"], found["durable"]) == (expected[step - 1], 1)
            status, said = refused(port, "b")
            assert (status, "cannot be reached" in said) == (503, True)
            assert PASSWORD not in said
            answer = ask(port, "/streams/b")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        finally:
            postgres.start()
        for step in range(21, 41):
            assert send(socket, step, xs[step - 1])["prediction"] == expected[step - 1]
        while receive(socket)["durable"] < 40:
            pass


def test_the_command_ends_without_its_database_and_keeps_its_password(
    tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "run", *causal(), task="classify")
    address = postgres.address("public", "wr0ng")
    assert command(["serve", str(tmp_path / "run"), "--state", address]) == 2
    said = capsys.readouterr().err
    assert "password authentication failed" in said
    assert "wr0ng" not in said
    served = Served(
        tmp_path / "run", tmp_path / "log", "--state", postgres.new_schema(), "--log-json"
    )
    client = StreamClient(served.port, "a", steps(20), 4)
    client.run()
    with connected(served.port, "a") as socket:
        receive(socket)
        postgres.stop()
        try:
            assert send(socket, 21, [1, 2])["step"] == 21
            served.process.send_signal(signal.SIGTERM)
            assert closed(socket) == 1012
            assert served.process.wait(60) == 2
        finally:
            postgres.start()
            served.kill()
    log = (tmp_path / "log").read_text()
    assert "error: The last steps of streams are not saved: --state: postgresql://127" in log
    assert not any(of in log for of in (PASSWORD, WRITTEN, "Traceback"))
