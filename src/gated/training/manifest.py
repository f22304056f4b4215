"""Lists of examples: CSV files with a row for each, and what is done about rows that are bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from gated.errors import DataError
from gated.training.findings import Finding

Bad = Callable[[DataError], None]
"""What is done about a row that cannot be used."""


class BadRows:
    """Rows that cannot be used: told as findings or, where they shall not be skipped, an error."""

    def __init__(self, *, skip: bool) -> None:
        """Take whether such rows are left out."""
        self.skip = skip
        self.findings: list[Finding] = []

    def __call__(self, error: DataError) -> None:
        """Leave out the row that `error` tells of, or raise it."""
        if not self.skip:
            raise DataError(f"{error} (--skip-bad leaves such rows out.)") from error
        self.findings.append(
            Finding(kind="row", count=1, what="unusable row", action="left out", example=str(error))
        )


def read_rows(
    path: Path, needed: Sequence[str], known: Sequence[str], holds: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a manifest with their numbers, from 2 on: the first is the header.

    Args:
        path: of the CSV file.
        needed: columns that must be there.
        known: columns that can be there.
        holds: what such a manifest holds, for the person who brought another.

    Raises:
        DataError: the file is no such table.
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    for column in needed:
        if column not in table.columns:
            raise DataError(
                f"{path} has no column '{column}' (it has {', '.join(table.columns)}). {holds}"
            )
    if unknown := [name for name in table.columns if name not in known]:
        raise DataError(
            f"{path} has the column '{unknown[0]}', which means nothing here; a manifest has "
            f"{', '.join(known)}. Rename or remove it."
        )
    yield from enumerate(table.iter_rows(named=True), start=2)
