"""Lists of examples: CSV files with a row for each, and what is done about rows that are bad."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from gated.data.findings import Finding, RowError
from gated.data.raw_table import decoded, read_header, records
from gated.errors import DataError

Bad = Callable[[DataError], None]
"""What is done about a row that cannot be used."""
LEFT_OUT = "row"
"""Kind of the findings that tell of such rows."""


def refuse(error: DataError) -> None:
    """Make an error of a row that cannot be used."""
    raise error


class BadRows:
    """Rows that cannot be used: told as findings or, where they shall not be skipped, an error."""

    def __init__(self, *, skip: bool, what: str = "row") -> None:
        """Take whether such rows are left out, and what to call them."""
        self.skip, self.what = skip, what
        self.findings: list[Finding] = []
        self.errors: list[RowError] = []
        """The same, with where they stand."""

    @property
    def told(self) -> str:
        """How many were left out and why the first, to be added to an error; empty if none was."""
        if not self.findings:
            return ""
        return f" {len(self.findings)} left out, the first: {self.findings[0].example}"

    def __call__(self, error: DataError) -> None:
        """Leave out the row that `error` tells of, or raise it."""
        if not self.skip:
            raise DataError(f"{error} (--skip-bad leaves such {self.what}s out.)") from error
        self.errors.append(error if isinstance(error, RowError) else RowError(str(error)))
        what = f"unusable {self.what}"
        self.findings.append(
            Finding(kind=LEFT_OUT, count=1, what=what, action="left out", example=str(error))
        )


def read_rows(
    path: Path, needed: Sequence[str], known: Sequence[str], holds: str, bad: Bad
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a manifest, stripped, with the lines that they begin on.

    Args:
        path: of the CSV file.
        needed: columns that must be there.
        known: columns that can be there.
        holds: what such a manifest holds, for the person who brought another.
        bad: told of rows with more values than the header has columns.

    Raises:
        DataError: the file is no such table.
        FileNotFoundError: there is no such file.
    """
    text = decoded(path)
    if "\0" in text:
        raise DataError(f"{path} holds bytes that are no text; is it a CSV file? {holds}")
    header_lines, separator, names = read_header(str(path), text)
    _check_header(path, names, needed, known, holds)
    body = "".join(text.split("\n", header_lines)[header_lines:])
    # The longest field that the reader takes is the same for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), len(body) + 1))
    row = header_lines
    try:
        for begin, values in records(body, separator, strict=True):
            row = begin + header_lines
            if len(values) > len(names):
                bad(
                    RowError(
                        f"row {row}: {len(values)} values where the header has {len(names)} "
                        f"columns; a text with {separator!r} in it stands in double quotes.",
                        row,
                    )
                )
            elif values:
                stripped = [value.strip() for value in values]
                yield row, dict(zip_longest(names, stripped, fillvalue=""))
    except csv.Error as error:
        raise DataError(
            f"{path}: the row after row {row} cannot be read as CSV ({error}); is a double quote "
            "missing, or one too many?"
        ) from error


def _check_header(
    path: Path, names: Sequence[str], needed: Sequence[str], known: Sequence[str], holds: str
) -> None:
    for column in needed:
        if column not in names:
            raise DataError(f"{path} has no column '{column}' (it has {', '.join(names)}). {holds}")
    if unknown := [name for name in names if name not in known]:
        raise DataError(
            f"{path} has the column '{unknown[0]}', which means nothing here; a manifest has "
            f"{', '.join(known)}. Rename or remove it."
        )
