"""Findings: what was found in the data and what was done about it, for people to check."""

from __future__ import annotations

from dataclasses import dataclass

from gated.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of problem in the data: how often, where first, and what was done about it."""

    kind: str
    """A short name: `gap`, `duplicate`, `missing`, `outlier`, …"""
    count: int
    """How many rows or values; 1 for a whole column."""
    what: str
    """What was found, as a clause: `missing values`."""
    action: str
    """What was done about it, as a clause."""
    column: str | None = None
    series: tuple[str, ...] = ()
    """Names of the series concerned; empty where the finding is not about series."""
    example: str = ""
    """The first occurrence: its line, or its series, time and value."""

    def __str__(self) -> str:
        """Return the finding as one sentence.

        >>> print(Finding(kind="gap", count=3, what="steps absent", action="inserted", example="4"))
        steps absent (3, first: 4); inserted.
        """
        where = f"column '{self.column}': " if self.column is not None else ""
        first = f" ({self.count:,}, first: {self.example})" if self.example else ""
        return f"{where}{self.what}{first}; {self.action}."


class RowError(DataError):
    """A row cannot be used.

    Args:
        message: which row, and why.
        row: its line or row number in the file; None where that is not known.
        of: name of the row's example, such as its clip or sequence, for the table of predictions.
    """

    def __init__(self, message: str, row: int | None = None, of: str | None = None) -> None:
        super().__init__(message)
        self.row, self.of = row, of
