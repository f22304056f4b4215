"""A program that kills trainings at random moments and goes on with them, each in its own fork."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from importlib import import_module
from itertools import count
from pathlib import Path

from tests.cli.tiny_runs import fit, same

from gated.cli.app import run
from gated.files import LOCK, TEMPORARY
from gated.tasks import LEARNERS
from gated.training.checkpoint import steps_kept


def started(arguments: list[str], log: Path) -> int:
    """Run a command in a fork; return its process id."""
    pid = os.fork()
    if pid == 0:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        status = 99
        try:
            status = run(arguments)
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_and_go_on(
    task: str, root: Path, whole: Path, number: int, seconds: float
) -> dict[str, object]:
    """Kill a training after some seconds, complete it, and compare it with the whole one."""
    out, log = root / f"{task}-{number}", root / f"{task}-{number}.log"
    arguments = fit(task, root / task, out)
    pid = started(arguments, log)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    killed = ended(pid)
    found = {
        "task": task,
        "seconds": seconds,
        "killed": killed == -signal.SIGKILL,
        "begun": (out / "run.json").exists(),
        "steps": steps_kept(out / "checkpoint.safetensors"),
        "model": (out / "model.json").exists(),
        "left": len([*out.glob(f"**/{TEMPORARY}"), *out.glob(LOCK)]),
    }
    again = ["resume", str(out)] if found["begun"] else arguments
    found["resumed"] = ended(started(again, log))
    found["same"] = found["resumed"] == 0 and same(out, whole)
    found["clean"] = not [*out.glob(f"**/{TEMPORARY}"), *out.glob(LOCK)]
    found["traceback"] = "Traceback" in log.read_text(errors="replace")
    return found


def main(root: Path, tasks: list[str], times: int) -> None:
    for task in tasks:
        import_module(LEARNERS[task.replace("-", "_")].partition(":")[0])
    import_module("gated.report.run_page")
    draw = random.Random(0)
    for task in tasks:
        whole = root / f"{task}-whole"
        arguments = fit(task, root / task, whole)
        before = time.monotonic()
        assert ended(started(arguments, root / "log")) == 0, (root / "log").read_text()
        took = time.monotonic() - before
        kills = 0
        for number in count():
            found = kill_and_go_on(task, root, whole, number, took * draw.random())
            print(json.dumps(found), flush=True)
            kills += bool(found["killed"])
            if kills == times:
                break
            if not found["killed"]:  # it is faster now than it was
                took *= 0.7


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]))
