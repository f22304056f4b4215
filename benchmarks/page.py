"""Results as text: the table on the terminal, and the part of the docs page that it fills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.machine import NARROW

HEAD = (
    f"{'work  T, B, I, H':52} {'ours':>9} {'best peer':>22} {'ratio':>7} {'goal':>5} {'limit':>6}"
)
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f} µs"


def line(row: dict[str, Any]) -> str:
    """One row for the terminal."""
    seconds, peer = row["seconds"], row.get("best_peer")
    if "gated" not in seconds:
        theirs = ", ".join(f"{name} {_time(of['median'])}" for name, of in seconds.items())
        return f"{row['name']:52} did not run: {row['refused']['gated']}; {theirs}"
    theirs = f"{peer} {_time(seconds[peer]['median'])}" if peer else "none ran"
    ratio = f"{row['ratio']:6.2f}×" if peer else "      –"
    ours = _time(seconds["gated"]["median"])
    return f"{row['name']:52} {ours:>9} {theirs:>22} {ratio} {_goal(row):>5} {_limit(row):>6}"


def _goal(row: dict[str, Any]) -> str:
    goal, limit = row["case"]["goal"], row["case"]["limit_goal"]
    if goal is None:
        return "–"
    text = f"{goal}×" + (f", {limit:.0%}" if limit else "")
    return text if goal_applies(row) else f"({text})"


def goal_applies(row: dict[str, Any]) -> bool:
    """Whether the processor has the instructions for which a goal in bfloat16 was set.

    A step of a stream is the reading of its weights, which needs none.
    """
    if row["case"]["precision"] != "bfloat16" or row["case"]["work"] == "step":
        return True
    return bool(set(NARROW["bfloat16"]) & set(row["machine"]["for_narrow_numbers"].split()))


def _limit(row: dict[str, Any]) -> str:
    return f"{row['of_limit']:.0%}" if "of_limit" in row else ""


def memory_line(row: dict[str, Any]) -> str:
    """One measurement of memory for the terminal."""
    peaks = ", ".join(f"{name} {_size(of)}" for name, of in row["bytes"].items())
    return f"peak of a training step, T = {row['memory']['T']}: {peaks}"


def _size(size: float | None) -> str:
    return "–" if size is None else f"{size / 2**20:.0f} MiB"


def remarks(rows: list[dict[str, Any]]) -> list[str]:
    """Which rows are behind the best peer, which short of their goal, and what did not run."""
    compared = [row for row in rows if "ratio" in row]
    asked = [row for row in compared if row["case"]["goal"] is not None and goal_applies(row)]
    against_peers = [row for row in compared if row["best_peer"] != "plain"]
    behind = [row["name"] for row in against_peers if row["ratio"] < 1]
    short = [
        row["name"]
        for row in asked
        if row["ratio"] < row["case"]["goal"]
        or row.get("of_limit", 1.0) < (row["case"]["limit_goal"] or 0.0)
    ]
    missing = [
        f"{row['name']}: {who} ({why})" for row in rows for who, why in row["refused"].items()
    ]
    without = [row["name"] for row in rows if not goal_applies(row)]
    lists = {
        "Behind the best peer": behind,
        "Short of their goal": short,
        "Goals in brackets do not apply, since this processor has no instructions for bfloat16": (
            without
        ),
        "Did not run": missing,
    }
    result = []
    for what, names in lists.items():
        result += ["", f"{what}:" if names else f"{what}: none.", *([""] * bool(names))]
        result += [f"- {' '.join(name.split())}" for name in names]
    return result


def machine_line(machine: dict[str, Any]) -> str:
    """What was measured on."""
    of_machine = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    return f"Machine: {of_machine}."


def fill(path: Path, begin: str, end: str, lines: list[str]) -> None:
    """Replace what stands between two marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{path} has no part between {begin} and {end}")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    between = "\n".join([begin, *lines, end])
    path.write_text(f"{before}{between}{after}", encoding="utf-8")


def write(
    path: Path, machine: dict[str, Any], rows: list[dict[str, Any]], memory: list[dict[str, Any]]
) -> None:
    """Fill the results' part of the page.

    Raises:
        ValueError: the page has no such part.
    """
    fill(path, BEGIN, END, results(machine, rows, memory))


def results(
    machine: dict[str, Any], rows: list[dict[str, Any]], memory: list[dict[str, Any]]
) -> list[str]:
    """The machine, the table, and the table of memory."""
    lines = [
        machine_line(machine),
        "",
        "| work | T, B, I, H | ours | peers | to the best | goal | of the limit |",
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        work, _, sizes = row["name"].partition("  ")
        times = row["seconds"]
        ours = _time(times["gated"]["median"]) if "gated" in times else "did not run"
        peers = ", ".join(f"{p} {_time(of['median'])}" for p, of in times.items() if p != "gated")
        ratio = f"**{row['ratio']:.2f}×**" if "ratio" in row else "–"
        lines.append(
            f"| {work} | {sizes} | {ours} | {peers or '–'} | {ratio} | {_goal(row)} "
            f"| {_limit(row)} |"
        )
    lines += remarks(rows)
    if memory:
        names = ["ours", "ours, recompute", "ours, bfloat16", "torch"]
        lines += ["", f"| peak memory of a training step, T | {' | '.join(names)} |"]
        lines.append("|" + " --- |" * (1 + len(names)))
        for row in memory:
            peaks = " | ".join(map(_size, row["bytes"].values()))
            lines.append(f"| {row['memory']['T']} | {peaks} |")
    return lines
