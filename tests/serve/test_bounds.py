"""The bounds of every server, seen on the explorer's."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from tests.serve.asking import announce, ask, running, send_raw

from gated.serve.app import BOUNDS, create_app, create_server
from gated.serve.bounds import Bounds, Guard, Rates
from gated.serve.connections import create_server as create_bounded
from gated.serve.reading import Clamp, Exhibit, Passage, Reading

READING = '{"network": "slow", "passage": {}}'


class SlowReader:
    """A reader that waits until it may go on, and counts what it is asked."""

    name, cell, units = "slow", "gru", 1

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()
        self.asked = 0

    def describe(self) -> dict:
        return {}

    def read(self, passage: Passage, clamp: Clamp | None) -> Reading:
        self.asked += 1
        self.begun.release()
        self.may_end.wait()
        return Reading({}, np.zeros(1), {}, None)


@pytest.fixture
def reader() -> SlowReader:
    return SlowReader()


@pytest.fixture
def port(reader: SlowReader) -> Iterator[int]:
    with running(create_server([Exhibit({"kind": "series"}, [reader])])) as place:
        yield place
        reader.may_end.set()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (r'{"network": "\ud800", "passage": {}}', 400, r"network must be one of slow"),
        ('{"network": "slow", "passage": {"series": NaN}}', 422, "finite number"),
        ('{"network": NaN, "passage": {}}', 422, "valid string"),
        ("[" * 100_000, 400, "error parsing the body"),
        (b"\xff", 400, "error parsing the body"),
    ],
)
def test_what_json_cannot_say_is_refused_in_words(
    port: int, body: str, status: int, said: str
) -> None:
    answer = ask(port, "/api/readings", body)
    assert answer.status == status
    assert said in answer.body["error"]


def test_a_large_body_is_refused_by_its_length_before_it_comes(port: int) -> None:
    answer = announce(port, "/api/readings", 200_000_000)
    assert answer.status == 413
    assert f"larger than {BOUNDS.body:,} bytes" in answer.body["error"]


def test_a_large_body_without_a_length_is_refused_as_it_comes(port: int) -> None:
    head = (
        b"POST /api/readings HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"%x\r\n" % (BOUNDS.body + 1) + b" " * (BOUNDS.body + 1) + b"\r\n"
    assert send_raw(port, head, chunk).startswith(b"HTTP/1.1 413")


def test_nothing_is_computed_for_those_who_have_gone(port: int, reader: SlowReader) -> None:
    first = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    first.request("POST", "/api/readings", READING, {"Content-Type": "application/json"})
    reader.begun.acquire()
    for _ in range(50):
        gone = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        gone.request("POST", "/api/readings", READING, {"Content-Type": "application/json"})
        gone.close()
    ask(port, "/")  # all that was sent before has been taken
    reader.may_end.set()
    assert first.getresponse().status == 200
    first.close()
    assert ask(port, "/api/readings", READING).status == 200
    assert reader.asked == 2


def test_more_requests_than_may_wait_are_refused(reader: SlowReader) -> None:
    bounds = Bounds(waiting=1)
    guarded = Guard(create_app([Exhibit({"kind": "series"}, [reader])]), bounds)
    with running(create_bounded(guarded, bounds)) as port:
        first = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        first.request("POST", "/api/readings", READING, {"Content-Type": "application/json"})
        reader.begun.acquire()
        answer = ask(port, "/api/readings", READING)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        reader.may_end.set()
        assert first.getresponse().status == 200
        first.close()


def test_a_request_that_takes_too_long_is_given_up(reader: SlowReader) -> None:
    bounds = Bounds(seconds=0.05)
    guarded = Guard(create_app([Exhibit({"kind": "series"}, [reader])]), bounds)
    with running(create_bounded(guarded, bounds)) as port:
        answer = ask(port, "/api/readings", READING)
        assert answer.status == 503
        assert "longer than 0.05 seconds" in answer.body["error"]
        body = b"POST /api/readings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        assert send_raw(port, body).startswith(b"HTTP/1.1 503")
        reader.may_end.set()


def test_each_address_has_a_stock_of_requests() -> None:
    rates = Rates(1e-6)
    assert rates.wait("a") == 0
    assert rates.wait("a") > 1_000
    assert rates.wait("b") == 0
    quick = Rates(1e9)
    assert [quick.wait("a") for _ in range(1_000)] == [0] * 1_000


def test_too_many_requests_are_refused_with_the_time_to_wait() -> None:
    bounds = Bounds(rate=1e-3)
    with running(create_bounded(Guard(create_app([]), bounds), bounds)) as port:
        assert ask(port, "/index.html").status == 200
        answer = ask(port, "/index.html")
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 1
        assert json.loads(json.dumps(answer.body)) == {"error": "more than 0.001 requests a second"}
