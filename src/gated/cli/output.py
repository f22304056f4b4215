"""What commands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gated.data.bad_rows import LEFT_OUT
from gated.data.findings import Finding


def print_json(document: object) -> None:
    """Print `document` as one JSON document."""
    try:
        print(to_json(document))
    except UnicodeEncodeError:  # JSON can say any letter in ASCII
        print(to_json(document, ascii_alone=True))


def to_json(document: object, *, ascii_alone: bool = False, indent: int | None = 2) -> str:
    """Return `document` as JSON; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_finite(document), ensure_ascii=ascii_alone, indent=indent, default=str)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


WIDEST = 160
"""Columns of a table that goes into a pipe or a file."""


def stdout_console() -> Console:
    """Return a console that wraps at the terminal's width and never inside a pipe.

    It is for people: a letter that the output cannot print becomes a question mark.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, soft_wrap=True, width=WIDEST)


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, best: int | None = None
) -> None:
    """Print a table whose first column is names and whose others are numbers; `best` is bold."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for position, name in enumerate(header):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True)
    for index, row in enumerate(rows):
        table.add_row(*row, style="bold" if index == best else None)
    stdout_console().print(table)


TOLD = (
    *(LEFT_OUT, "ignored", "sheets", "merged", "header"),
    *("written", "held", "padded", "unseen-series", "no-forecast"),
)
"""Kinds of findings that `gated predict` prints."""


def tell_left_out(findings: Sequence[Finding]) -> None:
    """List, on standard error, what was left out of the data, or read otherwise than it stands."""
    console = Console(stderr=True, soft_wrap=True)
    for finding in findings:
        if finding.kind in TOLD:
            console.print(f"· {finding}", style="dim", markup=False, highlight=False)
