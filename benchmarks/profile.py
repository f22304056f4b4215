"""Where the time of a training step goes: `python -m benchmarks.profile`, on a build that counts.

`make profile` makes that build and runs this. The core counts the ticks that each thread spends in
each phase; what is left of the time of all threads is outside the core: Python, autograd, threads
that wake.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import page
from benchmarks.cases import CASES, Case
from benchmarks.contenders import CONTENDERS
from benchmarks.machine import described
from gated.core import native

SHAPES = (CASES[0], CASES[1], CASES[2])
PHASES = (
    "input product",
    "hidden product",
    "weight gradient",
    "pointwise",
    "copying",
    "packing",
    "waiting",
)
BEGIN, END = "<!-- profile: begin -->", "<!-- profile: end -->"


def profiled(case: Case, threads: int, seconds: float) -> dict[str, float]:
    """Seconds a training step of each phase, of all threads together, and `step`, the wall's."""
    core = native.extension()
    run, _ = CONTENDERS["gated"](case, threads)
    run()
    core.profile()
    begin, begin_ticks, count = time.perf_counter(), core.ticks(), 0
    while time.perf_counter() < begin + seconds or count < 3:
        run()
        count += 1
    wall = time.perf_counter() - begin
    per_tick = wall / (core.ticks() - begin_ticks)
    spent = {name: of * per_tick / count for name, of in core.profile().items()}
    return {name: spent[name] for name in PHASES} | {"step": wall / count}


def lines(case: Case, spent: dict[str, float], machine: dict[str, Any]) -> list[str]:
    """The rows of one shape: milliseconds, share, and for products the fraction of the limit."""
    threads = machine["threads"]
    total = spent["step"] * threads
    per_product = case.operations / 3
    work = {
        # Forward and the gradient that flows back: two of the three products with each weight.
        "input product": 2 * per_product * case.I / (case.I + case.H),
        "hidden product": 2 * per_product * case.H / (case.I + case.H),
        "weight gradient": per_product,
    }
    rows = []
    for name in PHASES:
        row = f"| {name} | {1e3 * spent[name] / threads:.2f} | {spent[name] / total:.0%} | "
        if name in work:
            of_limit = work[name] / spent[name] / (machine["peak_gflops"] * 1e9 / threads)
            row += f"{of_limit:.0%} "
        rows.append(row + "|")
    rest = total - sum(spent[name] for name in PHASES)
    rows.append(f"| outside the core | {1e3 * rest / threads:.2f} | {rest / total:.0%} | |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--threads", type=int, help="all processors if left out")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each shape")
    parser.add_argument(
        "--page", type=Path, nargs="+", default=[], help="write the results into these pages"
    )
    options = parser.parse_args()
    if not hasattr(native.extension(), "profile"):
        sys.exit("this build of the core does not count: run make profile")
    machine = described(options.threads)
    text: list[str] = []
    for case in SHAPES:
        spent = profiled(case, machine["threads"], options.seconds)
        step = 1e3 * spent["step"]
        text += [
            f"**{case.name}**: {step:.1f} ms a step",
            "",
            "| phase | ms (mean of the threads) | share | of the limit |",
            "| --- | --- | --- | --- |",
            *lines(case, spent, machine),
            "",
        ]
        print("\n".join(text[-len(PHASES) - 6 :]), flush=True)
    for path in options.page:
        page.fill(path, BEGIN, END, text)


if __name__ == "__main__":
    main()
