"""Manifests: tables with one example a row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gated.data.bad_rows import Bad, BadRows
from gated.data.findings import Finding, RowError
from gated.data.raw_table import (
    decoded,
    kind_of,
    open_table,
    read_header,
    records,
)
from gated.errors import ConfigurationError, DataError, option


def read_rows(
    path: Path, columns: Mapping[str, str], needed: Sequence[str], what: str, bad: BadRows
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a manifest, each with the line that it begins on.

    A row is a dictionary from role to value, without surrounding spaces; a missing value is empty.

    Args:
        path: of a CSV or Parquet file, or a sheet.
        columns: from role to name of its column in the file; other columns are ignored.
        needed: roles whose columns must be there.
        what: what such a file is called at the beginning of a sentence: `A table of pairs`.
        bad: is given rows with more values than the header has columns, and findings of ignored
            columns.

    Raises:
        ConfigurationError: one column is named for two roles.
        DataError: the file is not a table, or lacks a needed column.
        FileNotFoundError: there is no such file.
    """
    if len(set(columns.values())) < len(columns):
        raise ConfigurationError(
            f"One column is named for two roles: {', '.join(map('='.join, columns.items()))}."
        )
    named = " and ".join(map(option, columns))
    holds = f"{what} has the columns {' and '.join(needed)} ({named} name others)."
    if kind_of(path) == "csv":
        names, rows = _rows_of_csv(path, holds, bad)
    else:
        names, rows = _rows_of_table(path, bad)
    for role in needed:
        if columns[role] not in names:
            raise DataError(
                f"{path} has no column '{columns[role]}' (it has {', '.join(names)}). {holds}"
            )
    bad.findings += [
        Finding(kind="ignored", column=name, count=1, what="not asked for", action="ignored")
        for name in names
        if name not in columns.values()
    ]
    found = {role: name for role, name in columns.items() if name in names}
    for row, values in rows:
        yield row, {role: values[name] for role, name in found.items()}


def _rows_of_table(
    path: Path, bad: BadRows
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    table = open_table(path, index="")
    bad.findings += table.findings
    rows = (
        (line, {name: _text(value) for name, value in values.items()})
        for line, values in zip(
            table.lines.tolist(), table.frame.iter_rows(named=True), strict=True
        )
    )
    return table.frame.columns, rows


def _text(value: Any) -> str:
    """Return a cell as it would stand in a CSV file.

    >>> [_text(value) for value in (None, 3.0, 0.5, True, " a ")]
    ['', '3', '0.5', 'true', 'a']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _rows_of_csv(
    path: Path, holds: str, bad: Bad
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    text = decoded(path)
    if "\0" in text:
        raise DataError(f"{path} holds bytes that are not text; is it a CSV file? {holds}")
    header_lines, separator, names = read_header(str(path), text)
    body = "".join(text.split("\n", header_lines)[header_lines:])
    return names, _records(path, body, header_lines, separator, names, bad)


def _records(
    path: Path, body: str, header_lines: int, separator: str, names: Sequence[str], bad: Bad
) -> Iterator[tuple[int, dict[str, str]]]:
    # The csv module's limit on the length of a field is one setting for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), len(body) + 1))
    row = header_lines
    try:
        for begin, values in records(body, separator, strict=True):
            row = begin + header_lines
            if len(values) > len(names):
                bad(
                    RowError(
                        f"row {row}: {len(values)} values where the header has {len(names)} "
                        f"columns; put a text with {separator!r} in it into double quotes.",
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
