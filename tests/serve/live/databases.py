"""A PostgreSQL server of the tests' own: an unprivileged process in a directory that goes away."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg

PASSWORD = "se cret/@:%1"
"""With everything that an address has to write in another way."""
WRITTEN = "se%20cret%2F%40%3A%251"
SETTINGS = ("fsync=off", "shared_buffers=16MB", "max_connections=40", "unix_socket_directories=")


def programs() -> Path | None:
    """Return where Debian, or another system, has PostgreSQL's programs; None where nowhere."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    places = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((of.parent for of in places), default=None, key=lambda of: float(of.parent.name))


class Postgres:
    """A server, which can be stopped at once and started again.

    Args:
        binaries: its programs.
    """

    def __init__(self, binaries: Path) -> None:
        self.binaries, self.directory = binaries, Path(tempfile.mkdtemp(prefix="gated-postgres-"))
        self.user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        if os.getuid() == 0:
            shutil.chown(self.directory, self.user["user"])
        else:
            self.user = {}
        with socket.socket() as any_port:
            any_port.bind(("127.0.0.1", 0))
            self.port = int(any_port.getsockname()[1])
        self._schemas = itertools.count(1)
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb", "--no-sync", "-U", "gated", "-A", "scram-sha-256", "--pwfile", str(password)
        )
        self.start()

    def _run(self, program: str, *options: str) -> None:
        command = [str(self.binaries / program), "-D", str(self.directory / "data"), *options]
        subprocess.run(
            command,
            check=True,
            cwd=self.directory,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            capture_output=program == "initdb",
            stdout=None if program == "initdb" else subprocess.DEVNULL,
            **self.user,
        )

    def start(self) -> None:
        settings = " ".join(f"-c {of}" for of in (f"port={self.port}", *SETTINGS))
        log = str(self.directory / "data" / "log")
        self._run("pg_ctl", "start", "-w", "-l", log, "-o", settings)

    def stop(self) -> None:
        """Stop as in a crash: all connections are cut."""
        self._run("pg_ctl", "stop", "-m", "immediate")

    def address(self, schema: str, password: str = WRITTEN) -> str:
        place = f"gated:{password}@127.0.0.1:{self.port}/postgres"
        return f"postgresql://{place}?options=-csearch_path%3D{schema}"

    def new_schema(self) -> str:
        """Return the address of an empty schema."""
        schema = f"of_{next(self._schemas)}"
        with psycopg.connect(self.address("public"), autocommit=True) as base:
            base.execute(f"CREATE SCHEMA {schema}")
        return self.address(schema)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)
