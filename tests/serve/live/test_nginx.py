"""Two servers behind nginx, by the configuration of the documentation."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.live.programs import causal, model
from tests.serve.asking import ask, running
from tests.serve.live.stream_client import StreamClient
from tests.serve.live.test_http import QUICK
from tests.serve.live.test_streams import STREAMS, steps, undisturbed

from gated.serve.live.server import create_server

NGINX = shutil.which("nginx")
PAGE = Path(__file__).resolve().parents[3] / "docs" / "en" / "serve.md"
AROUND = """pid {place}/pid; error_log {place}/error.log; daemon off;
events {{}}
http {{
access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p;
fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
{inside}
}}
"""


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_a_stream_is_always_at_the_same_server(tmp_path: Path) -> None:
    found = re.search(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert NGINX is not None
    assert found is not None
    inside, port = found[1], free_port()
    servers = [
        create_server(model(*causal()), tmp_path / f"{place}", QUICK, STREAMS, hosts=["localhost"])
        for place in "ab"
    ]
    with running(servers[0]) as first, running(servers[1]) as second:
        for here, there in ((8000, port), (8001, first), (8002, second)):
            inside = inside.replace(f"127.0.0.1:{here}", f"127.0.0.1:{there}")
        (tmp_path / "nginx.conf").write_text(AROUND.format(place=tmp_path, inside=inside))
        with subprocess.Popen([NGINX, "-c", str(tmp_path / "nginx.conf")]) as proxy:
            try:
                while not _answers(port):
                    assert proxy.poll() is None
                    time.sleep(0.01)
                at = [_place(port, number, (first, second)) for number in range(8)]
            finally:
                proxy.terminate()
    assert {first, second} == set(at)


def _answers(port: int) -> bool:
    try:
        return ask(port, "/ready").status == 200
    except OSError:
        return False


def _place(port: int, number: int, servers: tuple[int, int]) -> int:
    """Send steps of a stream in two connections; return the one server that has it."""
    xs = steps(30, number)
    client = StreamClient(port, f"s{number}", xs[:15], 4)
    client.run()
    client.xs = xs
    client.run()
    assert [client.predictions[step] for step in range(1, 31)] == undisturbed(xs)
    known = [of for of in servers if ask(of, f"/streams/s{number}", Host="localhost").status == 200]
    assert len(known) == 1
    return known[0]
