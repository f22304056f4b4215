"""`gated explore` as a command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from gated.cli.app import run


def test_the_command_serves_the_page_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "gated", "explore", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(address[0]) as answer:
            assert "gated explore" in answer.read().decode()
        server.send_signal(signal.SIGINT)
        assert server.wait() in (0, 130)


def test_a_directory_that_holds_no_network_is_an_error_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explore", str(tmp_path)]) == 2
    assert "holds model.json" in capsys.readouterr().err


def test_a_port_that_cannot_be_is_an_error_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explore", "--port", "99999", "--no-browser"]) == 2
    assert "--port: 99999 cannot be used" in capsys.readouterr().err


def test_networks_over_characters_need_no_torch() -> None:
    program = """
import sys
sys.modules.update(dict.fromkeys(["torch", "polars", "lightning_fabric"]))
from gated.cli.explore import _exhibits
from gated.serve.app import create_app
create_app(_exhibits(None, None))
"""
    subprocess.run([sys.executable, "-c", program], check=True)
