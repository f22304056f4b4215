"""Results as text: the table on the terminal, and the part of the docs page that it fills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEAD = (
    f"{'work  T, B, I, H':52} {'ours':>9} {'best peer':>22} {'ratio':>7} {'goal':>5} {'limit':>6}"
)
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f} µs"


def line(row: dict[str, Any]) -> str:
    """One row for the terminal."""
    seconds, peer = row["seconds"], row.get("best_peer")
    theirs = f"{peer} {_time(seconds[peer]['median'])}" if peer else "none installed"
    ratio = f"{row['ratio']:6.2f}×" if peer else "      –"
    ours = _time(seconds["gated"]["median"])
    return (
        f"{row['name']:52} {ours:>9} {theirs:>22} {ratio} {row['case']['goal']:>4}× "
        f"{row['of_limit']:>5.0%}"
    )


def memory_line(row: dict[str, Any]) -> str:
    """One measurement of memory for the terminal."""
    ours, theirs = row["bytes"]["gated"] / 2**20, row["bytes"]["torch"] / 2**20
    return (
        f"peak of a training step, T = {row['memory']['T']}: {ours:.0f} MiB, torch {theirs:.0f} MiB"
    )


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
    of_machine = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    lines = [
        f"Machine: {of_machine}.",
        "",
        "| work | T, B, I, H | ours | peers | to the best | goal | of the limit |",
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        work, _, sizes = row["name"].partition("  ")
        times = row["seconds"]
        peers = ", ".join(f"{p} {_time(of['median'])}" for p, of in times.items() if p != "gated")
        ratio = f"**{row['ratio']:.2f}×**" if "ratio" in row else "–"
        lines.append(
            f"| {work} | {sizes} | {_time(times['gated']['median'])} | {peers} | {ratio} "
            f"| {row['case']['goal']}× | {row['of_limit']:.0%} |"
        )
    if memory:
        lines += ["", "| peak memory of a training step, T | ours | torch |", "| --- | --- | --- |"]
        for row in memory:
            ours, theirs = (f"{row['bytes'][who] / 2**20:.0f} MiB" for who in ("gated", "torch"))
            lines.append(f"| {row['memory']['T']} | {ours} | {theirs} |")
    return lines
