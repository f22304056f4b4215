"""A server that is killed under load, again and again: no step is lost, and none is taken twice."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.live.programs import causal
from tests.serve.asking import ask
from tests.serve.live.databases import Postgres
from tests.serve.live.stream_client import StreamClient
from tests.serve.live.test_streams import steps, undisturbed

from gated.live import write

KILLS = 20 if os.environ.get("GATED_TESTS") == "long" else 3
STEPS, STREAMS = 250 * KILLS, 5


class Served:
    """A process that serves a run, on the same port after each kill."""

    def __init__(self, run: Path, log: Path, *more: str) -> None:
        self.run, self.log, self.port, self.more = run, log, 0, more
        self.start()

    def start(self) -> None:
        options = f"--port {self.port} --interval 0.05 --rate 1e6 --step-rate 1e6".split()
        command = [sys.executable, "-m", "gated", "serve", str(self.run), *self.more, *options]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.partition("127.0.0.1:")[2].partition("/")[0])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_no_step_is_lost_or_taken_twice_by_kills_under_load(tmp_path: Path) -> None:
    write(tmp_path / "run", *causal(), task="classify")
    served = Served(tmp_path / "run", tmp_path / "log")
    try:
        clients = [
            StreamClient(served.port, f"s{place}", steps(STEPS, place), 1 + 8 * place)
            for place in range(STREAMS)
        ]
        kill_again_and_again([served], clients)
        for client in clients:
            found = [client.predictions.get(step) for step in range(1, STEPS + 1)]
            assert found == undisturbed(list(client.xs))
            place = ask(served.port, f"/streams/{client.id}").body
            assert place == {"step": STEPS, "durable": STEPS}
    finally:
        served.kill()
    assert sum(client.connections for client in clients) > KILLS
    assert sum(client.repeated for client in clients) > 0  # something was not durable at a kill
    assert (tmp_path / "log").read_text() == ""


def kill_again_and_again(
    servers: Sequence[Served], clients: Sequence[StreamClient], kills: int = KILLS
) -> None:
    """Send steps of several streams, and kill one server after the other as they get on."""
    total = sum(len(client.xs) for client in clients)
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for kill in range(1, kills + 1):
        due = kill * total // (kills + 1)
        while sum(len(client.predictions) for client in clients) < due:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.001)
        served = servers[kill % len(servers)]
        served.kill()
        served.start()
    for thread in threads:
        thread.join()


class Wanderer(StreamClient):
    """A client that goes from server to server, and to the next one when a connection breaks."""

    stay = 40
    """Predictions after which it goes."""

    def __init__(self, servers: Sequence[Served], id: str, xs: list[Any], at_once: int) -> None:
        super().__init__(0, id, xs, at_once)
        self.servers = itertools.cycle(servers)

    def _until_the_end(self) -> None:
        self.port, self.here = next(self.servers).port, 0
        super()._until_the_end()

    def _heard(self, message: Any) -> bool:
        self.here += 1
        if self.here % self.stay == 0:
            raise TimeoutError
        return super()._heard(message)


def test_streams_wander_among_servers_that_are_killed(tmp_path: Path, postgres: Postgres) -> None:
    """The database crashes too."""
    write(tmp_path / "run", *causal(), task="classify")
    kills, count = KILLS - 1, STEPS // 2
    options = ("--state", postgres.new_schema())
    servers = [Served(tmp_path / "run", tmp_path / "log", *options) for _ in range(2)]
    clients = [
        Wanderer(servers, f"s{place}", steps(count, place), 1 + 8 * place) for place in range(3)
    ]
    crash = threading.Timer(0.5, lambda: (postgres.stop(), postgres.start()))
    crash.start()
    try:
        kill_again_and_again(servers, clients, kills)
        for client in clients:
            found = [client.predictions.get(step) for step in range(1, count + 1)]
            assert found == undisturbed(list(client.xs))
            assert client.connections > count // Wanderer.stay
            for served in servers:
                place = ask(served.port, f"/streams/{client.id}").body
                assert place == {"step": count, "durable": count}
    finally:
        crash.join()
        for served in servers:
            served.kill()
    assert sum(client.repeated for client in clients) > 0
    assert (tmp_path / "log").read_text() == ""
