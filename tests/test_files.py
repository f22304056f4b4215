"""Files that are whole at every moment, and directories that one process writes in."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gated.errors import InUseError
from gated.files import LOCK, contents, locked, write_atomically

HOLDS = """
import sys, time
from pathlib import Path
from gated.files import locked, write_atomically
with locked(Path(sys.argv[1])):
    write_atomically(Path(sys.argv[1]) / "kept", b"kept")
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A process that has the directory `run`."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_has_the_directory(holder, tmp_path: Path) -> None:
    told = rf"{tmp_path / 'run'} is in use: process {holder.pid} trains or writes there"
    with pytest.raises(InUseError, match=told), locked(tmp_path / "run"):
        pass
    assert [path.name for path in contents(tmp_path / "run")] == ["kept"]


def test_what_a_killed_process_had_is_free_and_what_it_left_is_removed(holder, tmp_path) -> None:
    run = tmp_path / "run"
    (run / "figures").mkdir()
    left = [run / ".gated-0123456789abcdef.tmp", run / "figures" / ".gated-ff.tmp"]
    for path in left:
        path.write_bytes(b"half")
    assert {path.name for path in contents(run)} == {"kept", "figures"}
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (run / LOCK).exists()
    with locked(run):
        assert not any(path.exists() for path in left)
        assert (run / LOCK).read_text().startswith(f"{os.getpid()} ")
    assert sorted(path.name for path in run.iterdir()) == ["figures", "kept"]


def test_a_file_that_is_being_written_is_no_leftover(tmp_path: Path) -> None:
    path = tmp_path / ".gated-00.tmp"
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with locked(tmp_path):
            assert path.exists()


def test_who_has_a_directory_may_ask_again_but_no_other_thread(tmp_path: Path) -> None:
    def take() -> None:
        with locked(tmp_path):
            pass

    with locked(tmp_path), ThreadPoolExecutor() as others:
        take()
        with pytest.raises(InUseError, match="another thread of this process"):
            others.submit(take).result()
    with ThreadPoolExecutor() as others:
        others.submit(take).result()


def test_a_directory_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "new"):
        raise KeyError
    assert not (tmp_path / "new").exists()
    with locked(tmp_path / "new"):
        write_atomically(tmp_path / "new" / "file", b"")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_several_writers_of_one_file_never_leave_a_short_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    versions = [bytes([letter]) * size for letter, size in ((97, 1), (98, 10**4), (99, 10**6))]
    write_atomically(path, versions[0])
    with ThreadPoolExecutor(4) as writers:
        for _ in range(10):
            list(writers.map(lambda data: write_atomically(path, data), versions))
            assert path.read_bytes() in versions
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_rights_that_are_usual(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
