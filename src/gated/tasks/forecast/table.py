"""Tables of any usual kind to typed columns: what a row says, and on which line it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.source import RawTable, Source, open_table
from gated.tasks.forecast.timestamps import Clock, UnreadableTimeError, read_times
from gated.training.findings import Finding

Kind: TypeAlias = Literal["number", "text"]

MISSING = ("", "na", "nan", "null", "n/a", "#n/a", "nat", "?", "-")
"""Markers of a missing value, whatever their case."""
MISSING_NUMBER = (*MISSING, "none")
"""The same among numbers; among texts, none may well be a category."""
BOOLEANS = {"true": 1.0, "false": 0.0}
LARGEST = 1e30
"""Numbers beyond this are mistakes, and their squares would overflow."""
NUMBER_SHARE = 0.9
"""A column in which so many of the values are numbers is a number column, the others mistakes."""


@dataclass(frozen=True)
class TextColumn:
    """A column of texts, as places in the sorted list of its different values."""

    codes: NDArray[np.int64]
    """`(N,)`, -1 where the value is missing."""
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a table, in its order. `N` rows."""

    name: str
    """File name, or `the table`."""
    times: NDArray[np.int64]
    """`(N,)`, as `clock` says."""
    clock: Clock
    series: TextColumn
    """Which series each row belongs to; one with an empty name where there is no such column."""
    target: NDArray[np.float64]
    """`(N,)`, NaN where missing."""
    numbers: dict[str, NDArray[np.float64]]
    """Number columns `(N,)`, NaN where missing."""
    texts: dict[str, TextColumn]
    lines: NDArray[np.int64]
    """`(N,)`, the line of the file, or the row of the frame."""
    place: str
    """What `lines` counts: `line` or `row`."""
    findings: tuple[Finding, ...]

    def where(self, row: int) -> str:
        """Name the place of a row: `line 17`."""
        return f"{self.place} {self.lines[row]}"


def read_table(
    source: Source,
    config: ForecastConfig,
    *,
    kinds: Mapping[str, Kind] | None = None,
    clock: Clock | None = None,
) -> Table:
    """Read the columns that `config` names, or all, from a file or a frame.

    Args:
        source: path to CSV or Parquet, or a polars or pandas frame.
        config: names of the columns.
        kinds: the covariates to read and what they hold, as learned when fitting; by default
            those of `config`, their kinds found from the values.
        clock: how the time was read when fitting.

    Raises:
        DataError: a column is absent or named twice, a value does not parse, the table is empty.
        FileNotFoundError: there is no such file.
    """
    raw = open_table(source, index=config.time)
    named = [config.time, config.target, *config.known, *(config.past or ())]
    named += [config.series] if config.series is not None else []
    _demand_columns(raw, [*named, *(kinds or {})])
    raw = raw.take(raw.frame.select(~pl.all_horizontal(pl.all().is_null())).to_series())
    if raw.frame.is_empty():
        raise DataError(f"{raw.name} has a header and no rows.")
    numbers, texts, findings = _read_covariates(raw, config, kinds)
    target = raw.frame[config.target]
    if not _is_readable(target):
        raise _unreadable(raw, config.target, "not numbers")
    times, found_clock = _read_time_column(raw, config, clock)
    return Table(
        name=raw.name,
        times=times,
        clock=found_clock,
        series=_read_series(raw, config.series),
        target=_read_numbers(raw, config.target, _parse_numbers(target)),
        numbers=numbers,
        texts=texts,
        lines=raw.lines,
        place=raw.place,
        findings=(*raw.findings, *findings),
    )


def _read_covariates(
    raw: RawTable, config: ForecastConfig, kinds: Mapping[str, Kind] | None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, TextColumn], list[Finding]]:
    """Return the number columns, the text columns, and what was left out."""
    asked = [*config.known, *(config.past or ())] if kinds is None else list(kinds)
    candidates = asked
    if kinds is None and config.past is None:
        taken = {config.time, config.target, config.series}
        candidates = [name for name in raw.frame.columns if name not in taken]
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, TextColumn] = {}
    findings: list[Finding] = []
    for name in candidates:
        column = raw.frame[name]
        if not _is_readable(column):
            if name in asked:
                raise _unreadable(raw, name, "neither numbers nor texts")
            what = f"holds {column.dtype}"
            findings.append(
                Finding(kind="ignored", column=name, count=1, what=what, action="left out")
            )
            continue
        parsed = _parse_numbers(column)
        if parsed.plausible if kinds is None else kinds[name] == "number":
            numbers[name] = _read_numbers(raw, name, parsed)
        else:
            texts[name] = _read_texts(column)
    return numbers, texts, findings


def _is_readable(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.String)


def _unreadable(raw: RawTable, name: str, what: str) -> DataError:
    return DataError(
        f"{raw.name}: column '{name}' holds {raw.frame[name].dtype}, {what}. "
        "Convert it, or leave it out."
    )


def _demand_columns(raw: RawTable, names: Iterable[str]) -> None:
    for name in names:
        if name in raw.frame.columns:
            continue
        close = difflib.get_close_matches(name, raw.frame.columns, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(
            f"{raw.name} has no column '{name}'.{hint} "
            f"Its columns are: {', '.join(raw.frame.columns)}."
        )


def _read_time_column(
    raw: RawTable, config: ForecastConfig, clock: Clock | None
) -> tuple[NDArray[np.int64], Clock]:
    column = raw.frame[config.time]
    if column.dtype == pl.String:
        column = _without_markers(column, MISSING)
    try:
        return read_times(column, config.time_format, clock)
    except UnreadableTimeError as error:
        raise DataError(f"{raw.cell(config.time, error.row)} {error.reason}.") from None


@dataclass(frozen=True)
class _Numbers:
    """A column read as numbers, and where that failed."""

    values: pl.Series
    wrong: pl.Series
    """Rows whose text is no number."""

    @property
    def plausible(self) -> bool:
        read = self.values.count()
        return read >= NUMBER_SHARE * (read + len(self.wrong))


def _parse_numbers(column: pl.Series) -> _Numbers:
    if column.dtype != pl.String:
        return _Numbers(column.cast(pl.Float64), pl.Series(dtype=pl.UInt32))
    values = column.cast(pl.Float64, strict=False)
    rows = (values.is_null() & column.is_not_null()).arg_true()
    texts = _without_markers(column.gather(rows), MISSING_NUMBER)
    flags = texts.str.to_lowercase().replace_strict(BOOLEANS, default=None, return_dtype=pl.Float64)
    found = texts.cast(pl.Float64, strict=False).fill_null(flags)
    wrong = rows.filter(found.is_null() & texts.is_not_null())
    return _Numbers(values.scatter(rows, found), wrong)


def _without_markers(column: pl.Series, markers: tuple[str, ...]) -> pl.Series:
    """Texts stripped, null where the value is missing."""
    stripped = column.str.strip_chars()
    return stripped.set(stripped.str.to_lowercase().is_in(markers), None)


def _read_numbers(raw: RawTable, name: str, numbers: _Numbers) -> NDArray[np.float64]:
    """`(N,)`, NaN where missing."""
    if len(numbers.wrong):
        row = int(numbers.wrong[0])
        text = str(raw.frame[name][row]).strip()
        comma = text.replace(",", "", 1).lstrip("+-").isdecimal()
        advice = "Write decimals with a point" if comma else "Mend it, or leave it empty"
        raise DataError(f"{raw.cell(name, row)} is not a number. {advice}.")
    array = numbers.values.fill_null(float("nan")).to_numpy()
    beyond = np.abs(array) > LARGEST
    if beyond.any():
        row = int(beyond.argmax())
        what = "infinite" if np.isinf(array[row]) else "too large"
        raise DataError(f"{raw.cell(name, row)} is {what}. Mend it, or leave it empty.")
    return np.ascontiguousarray(array, dtype=np.float64)


def _read_texts(column: pl.Series) -> TextColumn:
    return _encode(_without_markers(column.cast(pl.String), MISSING))


def _encode(texts: pl.Series) -> TextColumn:
    """Codes in alphabetical order."""
    ranks = texts.rank("dense").cast(pl.Int64).fill_null(0)
    return TextColumn(ranks.to_numpy() - 1, tuple(texts.drop_nulls().unique().sort()))


def _read_series(raw: RawTable, name: str | None) -> TextColumn:
    if name is None:
        return TextColumn(np.zeros(len(raw.lines), np.int64), ("",))
    column = raw.frame[name]
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = whole if (whole.cast(pl.Float64) == column).all() else column
    # Here alone NA is a name: Namibia, North America.
    texts = column.cast(pl.String).str.strip_chars()
    blank = texts.is_null() | (texts == "")
    if blank.any():
        cell = raw.cell(name, int(blank.arg_true()[0]))
        raise DataError(f"{cell}: the name of the series is missing.")
    return _encode(texts)
