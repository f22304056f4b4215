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


def write(
    path: Path, machine: dict[str, Any], rows: list[dict[str, Any]], memory: list[dict[str, Any]]
) -> None:
    """Replace what stands between the marks of the page.

    Raises:
        ValueError: the page has no marks.
    """
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} has no part between {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(
        f"{before}{BEGIN}\n{_results(machine, rows, memory)}\n{END}{after}", encoding="utf-8"
    )


def _results(
    machine: dict[str, Any], rows: list[dict[str, Any]], memory: list[dict[str, Any]]
) -> str:
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
    return "\n".join(lines)
