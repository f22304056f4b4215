"""How long a process takes to load a network: `python -m benchmarks.starting RUN [RUN …]`.

Each start is a process of its own: one that imports NumPy alone, one that imports gated and loads
nothing, and one for each run, in turns. Given are medians of the time that passes and of the
processor's time, and what the latter is beyond NumPy's. With `--beside PYTHON` another installation
takes part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import described


def main() -> None:
    """Print the machine, and a line for each kind of start."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting")
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--starts", type=int, default=20, help="of each kind")
    parser.add_argument("--beside", help="the Python of another installation")
    arguments = parser.parse_args()
    print(json.dumps(described(1)), flush=True)
    pythons = {"": sys.executable} | ({"beside ": arguments.beside} if arguments.beside else {})
    programs = {"numpy": [sys.executable, "-c", "import numpy"]}
    for label, python in pythons.items():
        programs[f"{label}import gated"] = [python, "-c", "import numpy, gated"]
        for run in arguments.runs:
            load = f"import gated; gated.load({str(run)!r})"
            programs[f"{label}load {run.name}"] = [python, "-c", load]
    for name, (passed, used) in measured(programs, arguments.starts).items():
        print(json.dumps({"start": name, "seconds": passed, "processor_seconds": used}))


def measured(programs: dict[str, list[str]], starts: int) -> dict[str, tuple[float, float]]:
    """Return the medians of seconds and of the processor's seconds, by name."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for turn in range(starts + 1):
        for name, command in programs.items():
            begin = time.perf_counter()
            process = subprocess.Popen(command)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"{name} failed")
            if turn:  # the first start writes bytecode and reads from the disk
                used = usage.ru_utime + usage.ru_stime
                found[name].append((time.perf_counter() - begin, used))
    return {
        name: (
            round(statistics.median(of[0] for of in times), 4),
            round(statistics.median(of[1] for of in times), 4),
        )
        for name, times in found.items()
    }


if __name__ == "__main__":
    main()
