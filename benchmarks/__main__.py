"""The speed table, ours beside every peer that is installed: `python -m benchmarks`.

Prints a row as it is measured; medians drift from machine to machine and with what else runs there,
so the ratios are what counts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import models, page, plot
from benchmarks.cases import CASES, Case
from benchmarks.machine import bandwidth, described
from benchmarks.turns import RefusedError, peak_memory, race

LENGTHS = (50, 100, 200, 400, 800)
"""Steps over which the peak of memory is measured."""


def measured(case: Case, machine: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One row: times, the ratio to the best peer, and how near the machine's limit we are.

    A row that ours cannot run has the others' times and the reason.
    """
    times, refused = race(case, machine["threads"], seconds)
    row: dict[str, Any] = {"name": case.name, "case": case._asdict(), "machine": machine}
    row |= {"seconds": times, "refused": refused}
    if "gated" not in times:
        return row
    ours = times["gated"]["median"]
    peers = {peer: of["median"] for peer, of in times.items() if peer != "gated"}
    if peers:
        row["best_peer"] = min(peers, key=peers.__getitem__)
        row["ratio"] = peers[row["best_peer"]] / ours
    if case.work == "step":
        row["gigabytes_per_second"] = case.weight_bytes / ours / 1e9
        row["of_limit"] = case.weight_bytes / ours / bandwidth(case.weight_bytes)
    else:
        row["gflops"] = case.operations / ours / 1e9
        # The limit is that of float32: narrow numbers have units of their own.
        if case.precision == "float32":
            row["of_limit"] = row["gflops"] / machine["peak_gflops"]
    return row


def measured_memory(machine: dict[str, Any]) -> list[dict[str, Any]]:
    """The peak of a training step against its length: ours, with its options, and torch's."""
    rows = []
    for T in LENGTHS:
        case = CASES[0]._replace(T=T)
        peaks: dict[str, float | None] = {}
        for name, peer, of in (
            ("gated", "gated", case),
            ("recompute", "gated", case._replace(recompute=True)),
            ("bfloat16", "gated", case._replace(precision="bfloat16")),
            ("torch", "torch", case),
        ):
            try:
                peaks[name] = peak_memory(peer, of, machine["threads"])
            except RefusedError:
                peaks[name] = None
        rows.append({"memory": case._asdict(), "bytes": peaks, "machine": machine})
        print(page.memory_line(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--threads", type=int, help="for every contender; all processors if left out"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="for each row")
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    parser.add_argument("--quick", action="store_true", help="a subset, in two minutes")
    parser.add_argument("--json", type=Path, help="append the rows to this file, one a line")
    parser.add_argument(
        "--page", type=Path, nargs="+", default=[], help="write the results into these pages"
    )
    parser.add_argument("--plot", type=Path, help="draw time against T, B and H into this file")
    options = parser.parse_args()
    machine = described(options.threads)
    print(json.dumps(machine))
    cases = [case for case in CASES if options.only.lower() in case.name.lower()]
    if options.quick:
        cases = [case for case in cases if case.operations < 2e10 and case.T < 2000]
    rows = []
    print(page.HEAD)
    for case in cases:
        rows.append(measured(case, machine, 3.0 if options.quick else options.seconds))
        print(page.line(rows[-1]), flush=True)
    whole = not options.quick and not options.only
    memory = measured_memory(machine) if whole else []
    in_models = models.run(machine, 8.0) if whole else []
    if options.json:
        with options.json.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows + memory + in_models)
    for path in options.page:
        page.write(path, machine, rows, memory)
        if in_models:
            page.fill(path, models.BEGIN, models.END, models.table(in_models, machine))
    if options.plot:
        plot.draw(options.plot, machine)


if __name__ == "__main__":
    main()
