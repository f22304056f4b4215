"""The bounds of every server, seen on one that takes its time."""

import http.client
import json
import threading
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from tests.serve.asking import announce, ask, running, send_raw

from gated.errors import ConfigurationError
from gated.serve.app import BOUNDS, create_app
from gated.serve.bounds import Bounds, Guard, Rates, Workers, explain_errors
from gated.serve.connections import create_server as create_bounded

READING = '{"network": "slow", "step": 0}'


class Wanted(BaseModel):
    """A request for something that takes its time."""

    network: str
    step: int


class SlowReader:
    """Waits until it may go on, and counts what it is asked."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()
        self.asked = 0

    def read(self) -> None:
        self.asked += 1
        self.begun.release()
        self.may_end.wait()

    def application(self) -> FastAPI:
        app, workers = FastAPI(), Workers()
        explain_errors(app)

        @app.post("/readings")
        async def readings(request: Request, wanted: Wanted) -> dict:
            if wanted.network != "slow":
                raise ConfigurationError(f"network must be slow, got {wanted.network!r}")
            return {"read": await workers.run(request, self.read)}

        return app


@pytest.fixture
def reader() -> SlowReader:
    return SlowReader()


@pytest.fixture
def port(reader: SlowReader) -> Iterator[int]:
    guarded = Guard(reader.application(), BOUNDS)
    with running(create_bounded(guarded, BOUNDS)) as place:
        yield place
        reader.may_end.set()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (r'{"network": "\ud800", "step": 0}', 400, r"network must be slow"),
        ('{"network": "slow", "step": NaN}', 422, "finite number"),
        ('{"network": NaN, "step": 0}', 422, "valid string"),
        ("[" * 100_000, 400, "error parsing the body"),
        (b"\xff", 400, "error parsing the body"),
    ],
)
def test_what_json_cannot_say_is_refused_in_words(
    port: int, body: str, status: int, said: str
) -> None:
    answer = ask(port, "/readings", body)
    assert answer.status == status
    assert said in answer.body["error"]


def test_a_large_body_is_refused_by_its_length_before_it_comes(port: int) -> None:
    answer = announce(port, "/readings", 200_000_000)
    assert answer.status == 413
    assert f"larger than {BOUNDS.body:,} bytes" in answer.body["error"]


def test_a_large_body_without_a_length_is_refused_as_it_comes(port: int) -> None:
    head = (
        b"POST /readings HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"%x\r\n" % (BOUNDS.body + 1) + b" " * (BOUNDS.body + 1) + b"\r\n"
    assert send_raw(port, head, chunk).startswith(b"HTTP/1.1 413")


def test_nothing_is_computed_for_those_who_have_gone(port: int, reader: SlowReader) -> None:
    first = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    first.request("POST", "/readings", READING, {"Content-Type": "application/json"})
    reader.begun.acquire()
    for _ in range(50):
        gone = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        gone.request("POST", "/readings", READING, {"Content-Type": "application/json"})
        gone.close()
    ask(port, "/docs")  # all that was sent before has been taken
    reader.may_end.set()
    assert first.getresponse().status == 200
    first.close()
    assert ask(port, "/readings", READING).status == 200
    assert reader.asked == 2


def test_more_requests_than_may_wait_are_refused(reader: SlowReader) -> None:
    bounds = Bounds(waiting=1)
    guarded = Guard(reader.application(), bounds)
    with running(create_bounded(guarded, bounds)) as port:
        first = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        first.request("POST", "/readings", READING, {"Content-Type": "application/json"})
        reader.begun.acquire()
        answer = ask(port, "/readings", READING)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        reader.may_end.set()
        assert first.getresponse().status == 200
        first.close()


def test_a_request_that_takes_too_long_is_given_up(reader: SlowReader) -> None:
    bounds = Bounds(seconds=0.05)
    guarded = Guard(reader.application(), bounds)
    with running(create_bounded(guarded, bounds)) as port:
        answer = ask(port, "/readings", READING)
        assert answer.status == 503
        assert "longer than 0.05 seconds" in answer.body["error"]
        body = b"POST /readings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
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
