"""Contenders in processes of their own, that take turns: `python -m benchmarks.turns PEER`.

Runtimes keep threads spinning for some milliseconds after a call: apart, and with a rest between
turns, none disturbs another.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import Case

REST = 0.03
"""Seconds between turns."""
WARM_UP = 0.01
"""Seconds of short work before a turn is timed: threads asleep take milliseconds to wake."""
AT_LEAST = 0.04
"""Seconds that a turn takes: short work is repeated, as a training loop repeats it."""
PATIENCE = 20.0
"""Seconds beyond which a contender's work is too long to be done again in turns."""
COMPILE_FIRST = {"compiled", "scripted", "jax"}
"""Contenders whose first run says nothing of the time of the others."""
OF_TORCH = {"gated", "plain", "autocast", "scripted", "compiled"}
"""Contenders that need torch and nothing else."""
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2, "int8": 5e-2}
"""How far an output may be from ours, whose values lie between -1 and 1."""


class RefusedError(Exception):
    """A contender cannot do the work, and says why."""


def installed(peer: str) -> bool:
    """Whether what the peer needs is there."""
    name = peer.partition(" ")[0]
    if name == "rtneural":
        return "GATED_RTNEURAL" in os.environ
    return importlib.util.find_spec("torch" if name in OF_TORCH else name) is not None


class Contender:
    """A process that does a case's work when it is told to.

    Raises:
        RefusedError: the contender cannot do it.
    """

    def __init__(self, peer: str, case: Case, threads: int) -> None:
        self.peer = peer
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=" + ("true" if threads > 1 else "false"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.turns", peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "output.npy"
            answer = self.ask({"case": case._asdict(), "threads": threads, "output": str(file)})
            if "refused" in answer:
                self.close()
                raise RefusedError(answer["refused"])
            self.output = np.load(file)
        self.repeats = int(answer["repeats"])

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        pipe, back = self._process.stdin, self._process.stdout
        if pipe is None or back is None:
            raise RuntimeError("the contender has no pipes")
        pipe.write(json.dumps(question) + "\n")
        pipe.flush()
        line = back.readline()
        if not line:
            raise RuntimeError(f"{self.peer} stopped: see its message above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def turn(self) -> float:
        """Seconds that the work took once."""
        return float(self.ask({"repeats": self.repeats})["seconds"])

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Race(NamedTuple):
    """Seconds of those that took part, and the reasons of those that could not."""

    seconds: dict[str, dict[str, float]]
    refused: dict[str, str]


def race(case: Case, threads: int, seconds: float) -> Race:
    """Median and best seconds of every contender that is installed, measured in turns.

    Raises:
        ValueError: a contender's output is not that of ours, or of the first that takes part;
            nothing was measured then.
    """
    contenders: list[Contender] = []
    refused: dict[str, str] = {}
    try:
        for peer in ("gated", *case.peers):
            if not installed(peer):
                refused[peer] = "not installed"
                continue
            try:
                contenders.append(Contender(peer, case, threads))
            except RefusedError as reason:
                refused[peer] = str(reason)
        for contender in contenders[1:]:
            _check_same(case, contender, contenders[0])
        times: list[list[float]] = [[] for _ in contenders]
        end = time.perf_counter() + seconds
        while contenders and not _enough(len(times[0]), time.perf_counter() - end, seconds):
            for contender, taken in zip(contenders, times, strict=True):
                time.sleep(REST)
                taken.append(contender.turn())
    finally:
        for contender in contenders:
            contender.close()
    medians = {
        contender.peer: {"median": statistics.median(of), "best": min(of), "turns": len(of)}
        for contender, of in zip(contenders, times, strict=True)
    }
    return Race(medians, refused)


def _enough(turns: int, over: float, seconds: float) -> bool:
    """Whether these are enough, `over` seconds after the end: five, or two of slow contenders."""
    return over >= 0 and (turns >= 5 or (turns >= 2 and over >= seconds))


def _check_same(case: Case, contender: Contender, first: Contender) -> None:
    name, _, precision = contender.peer.partition(" ")
    if name == "plain" and case.layer_norm:
        return  # another function
    theirs = contender.output
    distance = np.abs(theirs - first.output).max() if theirs.shape == first.output.shape else np.inf
    if not distance < max(TOLERANCE[case.precision], TOLERANCE[precision or case.precision]):
        raise ValueError(f"{case.name}: the output of {contender.peer} differs by {distance}")


def peak_memory(peer: str, case: Case, threads: int) -> float:
    """Bytes by which one training step raises the peak of a fresh process.

    Raises:
        RefusedError: the contender cannot do it.
    """
    contender = Contender(peer, case._replace(T=1), threads)
    try:
        return float(contender.ask({"memory": case._asdict(), "threads": threads})["bytes"])
    finally:
        contender.close()


def _serve(peer: str) -> None:
    from benchmarks.contenders import contender

    run = None
    for line in sys.stdin:
        question = json.loads(line)
        if "case" in question:
            case = Case(**question["case"])
            try:
                run, output = contender(peer, case, question["threads"])
                np.save(question["output"], output())
            except Exception as error:  # whatever a runtime says that cannot do it
                answer: dict[str, Any] = {"refused": _first_line(error)}
            else:
                once = 0.0
                for _ in range(2):  # the first may prepare something; of slow work it is enough
                    if once < 1:
                        begin = time.perf_counter()
                        run()
                        once = time.perf_counter() - begin
                answer = {"repeats": max(1, round(AT_LEAST / max(once, 1e-7)))}
                if once > PATIENCE and peer not in COMPILE_FIRST:
                    answer = {"refused": f"takes {once:.0f} s, too long to be compared"}
        elif "memory" in question:
            run, _ = contender(peer, Case(**question["memory"]), question["threads"])
            # Imports may have had a higher peak: from here on it is counted anew.
            Path("/proc/self/clear_refs").write_text("5")
            before = _memory("VmRSS")
            run()
            answer = {"bytes": _memory("VmHWM") - before}
        else:
            if run is None:
                raise RuntimeError("no case was given yet")
            if question["repeats"] > 1:
                end = time.perf_counter() + WARM_UP
                while time.perf_counter() < end:
                    run()
            begin = time.perf_counter()
            for _ in range(question["repeats"]):
                run()
            answer = {"seconds": (time.perf_counter() - begin) / question["repeats"]}
        print(json.dumps(answer), flush=True)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _memory(name: str) -> int:
    """Bytes of this process, by a name of Linux's: VmRSS, or its peak, VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


if __name__ == "__main__":
    _serve(sys.argv[1])
