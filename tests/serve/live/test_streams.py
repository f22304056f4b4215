"""Streams over WebSockets: each step once, in order, whatever becomes of connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as sockets
import sqlite3
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from tests.live.programs import causal, model, random
from tests.serve.asking import ask, running
from tests.serve.live.stream_client import StreamClient, answered, connected, receive
from tests.serve.live.test_http import QUICK, TOKEN
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gated.live.program import Writer
from gated.serve.bounds import Bounds
from gated.serve.live.connection import Connection
from gated.serve.live.server import StreamBounds, create_server

STREAMS = StreamBounds(interval=0.02, rate=1e6)
HANDSHAKE = (
    b"GET /streams/hostile HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def masked(text: str) -> bytes:
    """Return a message of a client, with a mask of zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


def steps(count: int, seed: int = 0) -> list[list[float | None]]:
    """Return steps of two channels, some values missing."""
    draw = np.random.default_rng(seed)
    return [
        [None if draw.random() < 0.2 else float(of) for of in row]
        for row in draw.normal(size=(count, 2))
    ]


def undisturbed(xs: list[Any]) -> list[Any]:
    """Return the predictions of a stream that nothing happens to."""
    stream = model(*causal()).stream()
    found = [stream.push(np.array(x, np.float64)) for x in xs]
    return [None if of is None else of.tolist() for of in found]


@pytest.fixture
def port(state: Path | str) -> Iterator[int]:
    with running(create_server(model(*causal()), state, QUICK, STREAMS)) as place:
        yield place


def test_a_stream_answers_each_step_and_says_what_is_durable(port: int) -> None:
    xs = steps(10)
    with connected(port, "a") as socket:
        assert receive(socket) == {
            "stream": "a",
            "step": 0,
            "durable": 0,
            "answers": 1,
            "window": 64,
        }
        for step, (x, expected) in enumerate(zip(xs, undisturbed(xs), strict=True), 1):
            socket.send(json.dumps({"step": step, "x": x}))
            found = answered(socket)
            assert (found["step"], found["prediction"]) == (step, expected)
        while receive(socket)["durable"] < 10:
            pass
    assert ask(port, "/streams/a").body == {"step": 10, "durable": 10}


def test_many_streams_at_once_get_the_bits_of_each_alone(port: int) -> None:
    clients = [
        StreamClient(port, f"s{place}", steps(40 + 7 * place, place), 1 + 5 * place)
        for place in range(8)
    ]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        found = [client.predictions[step + 1] for step in range(len(client.xs))]
        assert found == undisturbed(list(client.xs))
        assert client.connections == 1
    text = ask(port, "/metrics").body.decode()
    assert f"gated_steps_total {sum(len(of.xs) for of in clients)}.0" in text


def test_a_client_is_told_what_became_durable_while_answers_waited() -> None:
    sent: list[Any] = []

    class Reading:
        async def send_text(self, message: str) -> None:
            sent.append(json.loads(message))

    async def answers_then_saves() -> None:
        connection = Connection(cast(Any, Reading()), cast(Any, None), 60, 1e6)
        connection.answer(1, "[0.5]", 0)
        connection.saved(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection._write()

    asyncio.run(answers_then_saves())
    assert sent == [{"step": 1, "prediction": [0.5], "durable": 0}, {"durable": 1}]


def test_a_step_that_was_taken_is_answered_anew_and_not_taken_again(port: int) -> None:
    xs = steps(6)
    expected = undisturbed(xs)
    with connected(port, "a") as socket:
        receive(socket)
        for step in (1, 2, 3, 1, 3, 4):
            socket.send(json.dumps({"step": step, "x": xs[step - 1]}))
            assert answered(socket)["prediction"] == expected[step - 1]
    with connected(port, "a") as socket:
        assert receive(socket)["step"] == 4
        for step in (2, 5, 6):
            socket.send(json.dumps({"step": step, "x": xs[step - 1]}))
            assert answered(socket)["prediction"] == expected[step - 1]


def test_answers_are_kept_for_a_window(port: int) -> None:
    xs = steps(300)
    with connected(port, "a") as socket:
        window = receive(socket)["window"]
        for step, x in enumerate(xs, 1):
            socket.send(json.dumps({"step": step, "x": x}))
            answered(socket)
    with connected(port, "a") as socket:
        first = receive(socket)["answers"]
        assert first == 300 - window + 1
        socket.send(json.dumps({"step": first, "x": xs[first - 1]}))
        assert answered(socket)["prediction"] == undisturbed(xs)[first - 1]
        socket.send(json.dumps({"step": first - 1, "x": xs[0]}))
        assert "kept no more" in answered(socket)["error"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('{"step": 3, "x": [0, 0]}', "3 came where 2 follows; send all steps from there on"),
        ('{"step": 2, "x": [0]}', "at least 2 items"),
        ('{"step": 2, "x": [0, NaN]}', "x.1: Input should be a finite number"),
        ('{"step": 2, "x": "a"}', 'Expected: {"step": NUMBER'),
        ('{"step": 0, "x": [0, 0]}', "greater than or equal to 1"),
        ('{"step": true, "x": [0, 0]}', "valid integer"),
        ('{"step": 1e999, "x": [0, 0]}', "step"),
        (r'{"step": 2, "x": [0, 0], "\ud800": 1}', "Invalid JSON"),
        ("[" * 1_000, "recursion limit"),
        ("", "Invalid JSON"),
        (b"\xff\x00", "Invalid JSON"),
        ('{"step": 2}', "Field required"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(
    port: int, message: str | bytes, said: str
) -> None:
    xs = steps(2)
    with connected(port, "a") as socket:
        receive(socket)
        socket.send(json.dumps({"step": 1, "x": xs[0]}))
        answered(socket)
        socket.send(message)
        refused = answered(socket)
        assert said in refused["error"]
        assert refused["step"] == 1
        with pytest.raises(ConnectionClosed) as caught:
            answered(socket)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008
    with connected(port, "a") as socket:
        assert receive(socket)["step"] == 1
        socket.send(json.dumps({"step": 2, "x": xs[1]}))
        assert answered(socket)["prediction"] == undisturbed(xs)[1]


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\xff",  # reserved bits
        b"\x81\x05hello",  # not masked
        b"\x81\xff" + struct.pack(">Q", 1 << 62) + b"abcd",  # a message of 4 EB
        b"\x88\xff" + struct.pack(">Q", 200) + b"abcd",  # a control frame that is too long
        b"\x81\x84abcd" + b"\x00" * 4 + b"\x80",  # no UTF-8, then half a frame
        b"\x81",
    ],
)
def test_hostile_frames_end_their_connection_alone(port: int, frame: bytes) -> None:
    with connected(port, "a") as other:
        receive(other)
        with sockets.create_connection(("127.0.0.1", port), timeout=60) as raw:
            raw.sendall(HANDSHAKE)
            assert raw.recv(12) == b"HTTP/1.1 101"
            raw.sendall(frame)
            raw.shutdown(sockets.SHUT_WR)
            while raw.recv(65536):
                pass
        other.send('{"step": 1, "x": [1, 2]}')
        assert answered(other)["step"] == 1
    assert ask(port, "/health").status == 200


def test_a_new_client_takes_a_stream_over(port: int) -> None:
    with connected(port, "a") as old:
        receive(old)
        with connected(port, "a") as new:
            receive(new)
            with pytest.raises(ConnectionClosed) as caught:
                answered(old)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4409
            new.send('{"step": 1, "x": [1, 2]}')
            assert answered(new)["step"] == 1


def test_a_stream_can_be_removed(port: int) -> None:
    assert ask(port, "/streams/a").status == 404
    assert ask(port, "/streams/a", method="DELETE").status == 404
    assert ask(port, "/streams/a", method="PUT").headers["Allow"] == "DELETE, GET"
    with connected(port, "a") as socket:
        receive(socket)
        socket.send('{"step": 1, "x": [1, 2]}')
        answered(socket)
        assert ask(port, "/streams/a", method="DELETE").status == 204
    assert ask(port, "/streams/a").status == 404
    with connected(port, "a") as socket:
        assert receive(socket)["step"] == 0


def refused(port: int, id: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught, connected(port, id, **options):
        pass
    answer = caught.value.response
    return answer.status_code, json.loads(answer.body)["error"]


def test_streams_are_refused_in_words(tmp_path: Path) -> None:
    few = StreamBounds(most=1, interval=1e6)
    server = create_server(
        model(*causal()), tmp_path / "s.sqlite", QUICK, few, tokens=[TOKEN], hosts=["127.0.0.1"]
    )
    with running(server) as port:
        known = {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}}
        assert refused(port, "a")[0] == 401
        assert refused(port, "a%2f..%2fb", **known)[0] == 404
        assert refused(port, "é", **known) == (
            422,
            "the name of a stream has 1 to 128 letters, digits, and . _ ~ -",
        )
        assert refused(port, "a", origin="http://elsewhere.example", **known)[0] == 403
        with connected(port, "a", **known) as socket:
            receive(socket)
            assert refused(port, "b", **known) == (
                503,
                "1 streams have clients already (--streams)",
            )


def test_the_store_is_bounded(state: Path | str) -> None:
    few = StreamBounds(stored=1, interval=1e6)
    server = create_server(model(*causal()), state, QUICK, few)
    with running(server) as port, connected(port, "a") as socket:
        receive(socket)
        assert refused(port, "b") == (503, "1 streams are stored already (--stored)")
        socket.send('{"step": 1, "x": [1, 2]}')
        answered(socket)


def test_a_network_that_reads_later_steps_has_no_streams(state: Path | str) -> None:
    writer = Writer("numbers", 2)
    seen = writer.add("convolution", writer.input, weight="c.weight", before=0)
    values = writer.program("numbers", writer.add("mean", seen))
    of = model(values, {"c.weight": np.ones((1, 2, 3), np.float32)})
    with running(create_server(of, state, QUICK, STREAMS)) as port:
        status, said = refused(port, "a")
        assert status == 409
        assert "cannot be run step by step" in said


def test_a_client_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    writer = Writer("codes", 2)
    seen = writer.add("embedding", writer.input, weight="e.weight")
    wide = writer.program("numbers", writer.add("linear", seen, weight="h.weight"))
    of = model(wide, random(0, e__weight=(2, 1), h__weight=(50_000, 1)))
    server = create_server(of, tmp_path / "s", Bounds(rate=1e6, seconds=0.5), STREAMS)
    with running(server) as port, sockets.socket() as slow:
        slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(HANDSHAKE)
        assert slow.recv(12) == b"HTTP/1.1 101"
        slow.sendall(b"".join(masked(f'{{"step": {step}, "x": 1}}') for step in range(1, 101)))
        with connected(port, "other", max_size=None) as socket:
            receive(socket)
            socket.send('{"step": 1, "x": 1}')
            assert answered(socket)["step"] == 1
        text = ""
        while 'gated_streams_closed_total{code="4408"} 1.0' not in text:
            text = ask(port, "/metrics").body.decode()
        assert ask(port, "/streams/hostile").body["step"] < 100


def test_a_stop_answers_and_saves_what_has_come(state: Path | str) -> None:
    xs = steps(50)
    never = StreamBounds(interval=1e6, rate=1e6)
    server = create_server(model(*causal()), state, QUICK, never)
    found = {}
    with running(server) as port, connected(port, "a") as socket:
        receive(socket)
        for step, x in enumerate(xs, 1):
            socket.send(json.dumps({"step": step, "x": x}))
        found[1] = answered(socket)
        server.should_exit = True
        with contextlib.suppress(ConnectionClosed):
            while message := receive(socket):
                found[message.get("step", message["durable"])] = message
        assert socket.close_code == 1012
    last = max(found)
    assert found[last]["durable"] == last
    with running(create_server(model(*causal()), state, QUICK, never)) as port:
        with connected(port, "a") as socket:
            assert receive(socket)["step"] == last
        client = StreamClient(port, "a", xs, 8)
        client.durable = len(xs)  # until the last step is taken: nothing is saved before the stop
        client.run()
    assert [client.predictions[step] for step in range(1, 51)] == undisturbed(xs)


def test_a_damaged_state_is_refused_in_words(tmp_path: Path) -> None:
    server = create_server(model(*causal()), tmp_path / "s", QUICK, STREAMS)
    with running(server) as port, connected(port, "a") as socket:
        receive(socket)
        socket.send('{"step": 1, "x": [1, 2]}')
        answered(socket)
    with sqlite3.connect(tmp_path / "s") as base:
        (state,) = base.execute("SELECT state FROM streams").fetchone()
        flipped = bytes([*state[:-40], state[-40] ^ 1, *state[-39:]])
        base.execute("UPDATE streams SET state = ?", (flipped,))
    base.close()
    with running(create_server(model(*causal()), tmp_path / "s", QUICK, STREAMS)) as port:
        status, said = refused(port, "a")
        assert (status, "is damaged" in said) == (409, True)
        with connected(port, "b") as socket:
            assert receive(socket)["step"] == 0
