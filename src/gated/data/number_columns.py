"""Columns of a raw table as numbers; errors name the line of a bad value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.data.findings import Finding, RowError
from gated.data.raw_table import RawTable
from gated.data.typed_columns import MISSING
from gated.data.written_numbers import GROUPED, SHARES, Mark, Written
from gated.errors import DataError, option

MISSING_NUMBER = (*MISSING, "none")
"""Markers in columns of numbers; in columns of texts, `none` may be a category."""
BOOLEANS = {"true": 1.0, "false": 0.0}
LARGEST = 1e30
"""Numbers of a larger magnitude are refused: they are mistakes, and their squares overflow."""
NUMBER_SHARE = 0.9
"""A column with at least this share of numbers is a number column; its other values are errors."""
NO_ROWS = partial(pl.Series, dtype=pl.UInt32)


def without_markers(column: pl.Series, markers: tuple[str, ...]) -> pl.Series:
    """Strip texts of surrounding spaces; null where the value is missing."""
    stripped = column.str.strip_chars()
    return stripped.set(stripped.str.to_lowercase().is_in(markers), None)


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers, and the rows where that failed."""

    values: pl.Series
    """`(N,)`, null where a value is missing or no number."""
    wrong: pl.Series
    """Indices of the rows whose text is no number."""
    reasons: dict[int, str] = field(default_factory=dict)
    """What is wrong with a text of `wrong` that would be a number elsewhere, by its row."""
    written: pl.Series = field(default_factory=NO_ROWS)
    """Indices of the rows whose text is a number only as people write them, such as `1,05 €`."""
    style: tuple[Mark | None, str] = (None, "")
    """What separates the decimals of these, and the unit that was left out."""

    @property
    def plausible(self) -> bool:
        """Whether this is a number column, perhaps with some wrong values."""
        read = self.values.count()
        return read >= NUMBER_SHARE * (read + len(self.wrong))


@dataclass(frozen=True)
class ParsedNumbers:
    """Columns read as numbers, by name."""

    columns: dict[str, Numbers]
    decimal: Mark | None = None
    """The decimal separator; None if it cannot be found, or if columns differ."""

    def __getitem__(self, name: str) -> Numbers:
        return self.columns[name]

    def findings(self, raw: RawTable, names: Iterable[str]) -> list[Finding]:
        """Return findings of the numbers in `names` that are not written as programs do."""
        alike: dict[tuple[Mark | None, str], list[str]] = {}
        for name in names:
            if len(self[name].written):
                alike.setdefault(self[name].style, []).append(name)
        return [self._finding(raw, some) for some in alike.values()]

    def _finding(self, raw: RawTable, names: list[str]) -> Finding:
        first = self[names[0]]
        row = int(first.written[0])
        return Finding(
            kind="written",
            column=names[0] if len(names) == 1 else None,
            count=sum(len(self[name].written) for name in names),
            what=f"numbers such as '{str(raw.frame[names[0]][row]).strip()}'",
            action=f"read as {first.values[row]:.15g}",
            example=f"{raw.place} {raw.lines[row]}",
        )


def parse_numbers(
    raw: RawTable, names: Iterable[str], decimal: Mark | None = None
) -> ParsedNumbers:
    """Read columns as numbers, null where a value is missing or no number.

    Args:
        raw: the table; what holds numbers or booleans already is not looked at.
        names: the columns.
        decimal: the decimal separator of columns that can be read in two ways.

    Raises:
        DataError: a column has numbers such as `1,234`, and no other value shows whether the comma
            separates decimals or thousands.
    """
    columns = {name: _Column.of(raw.frame[name]) for name in names}
    if decimal != "," and not any(column.written_count for column in columns.values()):
        return ParsedNumbers({name: column.numbers(None) for name, column in columns.items()})
    own = {name: column.mark() for name, column in columns.items()}
    found = {mark for name, mark in own.items() if mark and columns[name].plausible}
    sole = next(iter(found)) if len(found) == 1 else None
    parsed = {}
    for name, column in columns.items():
        mark = own[name] or decimal or sole
        if mark is None and column.plausible and (row := column.first_unsure) is not None:
            others = "the other columns differ" if found else "no other value shows which"
            raise DataError(
                f"{raw.cell(name, row)}: the comma may separate decimals or thousands, and "
                f"{others}. {option('decimal', ',')} or {option('decimal', '.')} settles it."
            )
        parsed[name] = column.numbers(mark)
    return ParsedNumbers(parsed, sole)


@dataclass(frozen=True)
class _Column:
    """A column of which plain numbers are read, and the other texts are taken apart."""

    values: pl.Series
    """`(N,)`, null where a value is missing, or no number as programs write them."""
    texts: pl.Series | None
    """The column, if it is one of texts."""
    rows: pl.Series
    """Indices of the texts that are neither missing nor plain numbers."""
    written: Written
    """The texts in these rows."""

    @classmethod
    def of(cls, column: pl.Series) -> _Column:
        if column.dtype != pl.String:
            nothing = Written.of(pl.Series(dtype=pl.String))
            return cls(column.cast(pl.Float64), None, NO_ROWS(), nothing)
        values = column.cast(pl.Float64, strict=False)
        rows = (values.is_null() & column.is_not_null()).arg_true()
        texts = without_markers(column.gather(rows), MISSING_NUMBER)
        lower = texts.str.to_lowercase()
        flags = lower.replace_strict(BOOLEANS, default=None, return_dtype=pl.Float64)
        found = texts.cast(pl.Float64, strict=False).fill_null(flags)
        rest = found.is_null() & texts.is_not_null()
        written = Written.of(texts.filter(rest))
        return cls(values.scatter(rows, found), column, rows.filter(rest), written)

    @property
    def written_count(self) -> int:
        """How many texts are numbers only as people write them."""
        return int((self.written.fits["."] | self.written.fits[","]).sum())

    @property
    def plausible(self) -> bool:
        read = self.values.count()
        return read + self.written_count >= NUMBER_SHARE * (read + len(self.rows))

    @property
    def first_unsure(self) -> int | None:
        """The first row whose comma may separate decimals, or thousands."""
        rows = self.rows.filter(self.written.unsure)
        return int(rows[0]) if len(rows) else None

    @cached_property
    def pointed(self) -> tuple[pl.Series, pl.Series]:
        """Rows of plain numbers whose points may group thousands, and of those that cannot."""
        if self.texts is None:
            return NO_ROWS(), NO_ROWS()
        points = self.values.is_not_null() & self.texts.str.contains(".", literal=True)
        rows = points.fill_null(False).arg_true()
        grouped = self.texts.gather(rows).str.strip_chars().str.contains(GROUPED)
        return rows.filter(grouped), rows.filter(~grouped)

    def mark(self) -> Mark | None:
        """The decimal separator of most values with but one reading; None without any."""
        certain = self.written.certain
        points, commas = int(certain["."].sum()) + len(self.pointed[1]), int(certain[","].sum())
        return ("," if commas > points else ".") if points or commas else None

    def numbers(self, mark: Mark | None) -> Numbers:
        """Return the numbers, where `mark` separates decimals; by default it is a point."""
        if not len(self.rows) and mark != ",":
            return Numbers(self.values, self.rows)
        read, fits = self.written.values(mark or "."), self.written.fits
        values = (self.values + 0.0).scatter(self.rows, read)  # of a copy, which it changes
        taken = self.rows.filter(read.is_not_null())
        differs = f"separates decimals otherwise than most, which have '{mark}'"
        others = self.rows.filter(read.is_null() & (fits["."] | fits[","]))
        reasons = dict.fromkeys(others, differs)
        if mark == "," and self.texts is not None:
            grouped, decimals = self.pointed
            whole = self.texts.gather(grouped).str.replace_all(r"[.\s]", "").cast(pl.Float64)
            values = values.scatter(grouped, whole)
            taken = pl.concat([taken, grouped])
            reasons |= dict.fromkeys(decimals, differs)
        unit, strange = self._unit(read.is_not_null())
        reasons |= strange
        rows = self.rows.filter(read.is_null())
        if reasons:
            rows = pl.concat([rows, pl.Series(list(reasons), dtype=pl.UInt32)]).unique().sort()
        return Numbers(
            values.scatter(rows, None) if len(rows) else values,
            rows,
            reasons,
            taken.filter(~taken.is_in(rows.implode())).sort(),
            (mark, unit),
        )

    def _unit(self, read: pl.Series) -> tuple[str, dict[int, str]]:
        """Return the unit that is left out, and what is wrong with the rows of another."""
        rows, units = self.rows.filter(read), self.written.unit.filter(read)
        named = units.filter(units != "")
        if not len(named):
            return "", {}
        unit = str(named.mode().sort()[0])
        strange = rows.filter((units != unit) & (units != ""))
        reasons = dict.fromkeys(strange, f"has another unit than most, which have '{unit}'")
        # A currency may stand in some cells only. Without its sign, a share may be 100 times as
        # large: 0.05 beside 5 %.
        plain = pl.concat([self.values.is_not_null().arg_true(), rows.filter(units == "")])
        if unit in SHARES and len(plain):
            signed = rows.filter(units == unit)
            fewer, what = (
                (plain, f"has no '{unit}', as most have")
                if len(plain) < len(signed)
                else (signed, f"has a '{unit}', which most have not")
            )
            reasons |= dict.fromkeys(fewer, what)
        return unit, reasons


def number_array(numbers: Numbers) -> NDArray[np.float64]:
    """Return the values as an array `(N,)`, NaN where one is missing."""
    array = numbers.values.fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(array, dtype=np.float64)


def wrong_numbers(raw: RawTable, name: str, numbers: Numbers) -> Iterator[tuple[int, RowError]]:
    """Yield rows whose value is no number, infinite or too large: the index and the error."""
    for row in numbers.wrong:
        what = numbers.reasons.get(row, "is not a number")
        message = f"{raw.cell(name, row)} {what}. Correct it, or leave it empty."
        yield row, RowError(message, int(raw.lines[row]))
    array = number_array(numbers)
    for row in np.flatnonzero(np.abs(array) > LARGEST).tolist():
        what = "infinite" if np.isinf(array[row]) else "too large"
        message = f"{raw.cell(name, row)} is {what}. Correct it, or leave it empty."
        yield row, RowError(message, int(raw.lines[row]))
