"""A server of a forecaster that is killed while rows come: what it acknowledged is there."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path

from tests.serve.live.test_forecasts import future, post, rows, run, served
from tests.serve.live.test_kills import Served

__all__ = ["run"]
FIRST, KILLED, END = 300, 315, 330
TRIES = 3000
"""Of a row, ten milliseconds apart, before the test gives up."""


def test_rows_that_were_acknowledged_survive_kills(run: Path, tmp_path: Path) -> None:
    """Rows are sent one hour after another; one that was not answered is sent again."""
    state = tmp_path / "rows.sqlite"
    server = Served(run, tmp_path / "log", "--state", str(state))
    answered: list[dict[str, int]] = []
    half_way = threading.Event()
    refused = 0

    def send(hour: int) -> dict[str, int]:
        nonlocal refused
        for _ in range(TRIES):
            try:
                answer = post(server.port, "/rows", {"rows": rows(hour, hour + 1)})
            except (OSError, http.client.HTTPException):
                refused += 1
                time.sleep(0.01)
            else:
                assert answer.status == 200, answer
                return dict(answer.body)
        raise AssertionError("the server does not answer again")

    def send_all() -> None:
        for hour in range(FIRST, END):
            answered.append(send(hour))
            if hour == KILLED:
                half_way.set()

    sender = threading.Thread(target=send_all, daemon=True)
    try:
        sender.start()
        assert half_way.wait(30)
        server.kill()  # while the next row is on its way
        server.start()
        sender.join(30)
        assert not sender.is_alive()
        server.kill()  # right after the last row was acknowledged
        server.start()
        assert [of["taken"] + of["known"] for of in answered] == [2] * (END - FIRST)
        again = post(server.port, "/rows", {"rows": rows(FIRST, END)}).body
        assert again == {"taken": 0, "known": 2 * (END - FIRST)}  # none is lost
        found = post(server.port, "/forecast", {"future": future(END)})
    finally:
        server.kill()
    with served(run, tmp_path / "undisturbed") as port:
        post(port, "/rows", {"rows": rows(FIRST, END)})
        expected = post(port, "/forecast", {"future": future(END)})
    assert found.body == expected.body  # and none is taken twice
    assert refused > 0
    assert (tmp_path / "log").read_text() == ""
