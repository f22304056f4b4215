"""Tables of any usual kind to typed columns: what a row says, and on which line it stands."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.findings import Finding
from gated.tasks.forecast.timestamps import Clock, UnreadableTimeError, read_times

Source: TypeAlias = "str | Path | Any"
"""A path to CSV (perhaps gzipped) or Parquet, or a polars or pandas frame."""
Kind: TypeAlias = Literal["number", "text"]

MISSING = ("", "na", "nan", "null", "n/a", "#n/a", "nat", "?", "-")
"""Markers of a missing value, whatever their case."""
MISSING_NUMBER = (*MISSING, "none")
"""The same among numbers; among texts, none may well be a category."""
BOOLEANS = {"true": 1.0, "false": 0.0}
LARGEST = 1e30
"""Numbers beyond this are mistakes, and their squares would overflow."""
LONGEST_HEADER = 1_000_000
"""Characters."""
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


@dataclass(frozen=True)
class _Raw:
    """A frame as it came; every column of a CSV is text."""

    name: str
    frame: pl.DataFrame
    lines: NDArray[np.int64]
    place: str

    def take(self, keep: pl.Series) -> _Raw:
        return replace(self, frame=self.frame.filter(keep), lines=self.lines[keep.to_numpy()])

    def cell(self, column: str, row: int) -> str:
        """Name a cell and its value."""
        value = str(self.frame[column][row])
        value = value if len(value) <= 40 else value[:39] + "…"
        return f"{self.name}, {self.place} {self.lines[row]}: column '{column}', value '{value}'"


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
    raw = _open(source)
    named = [config.time, config.target, *config.known, *(config.past or ())]
    named += [config.series] if config.series is not None else []
    _demand_columns(raw, [*named, *(kinds or {})], config)
    raw = raw.take(raw.frame.select(~pl.all_horizontal(pl.all().is_null())).to_series())
    if raw.frame.is_empty():
        raise DataError(f"{raw.name} has a header and no rows.")
    findings: list[Finding] = []
    if kinds is not None:
        candidates = list(kinds)
    elif config.past is not None:
        candidates = [*config.known, *config.past]
    else:
        taken = {config.time, config.target, config.series}
        candidates = [name for name in raw.frame.columns if name not in taken]
    explicit = {*config.known, *(config.past or ()), *(kinds or {})}
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, TextColumn] = {}
    for name in dict.fromkeys(candidates):
        column = raw.frame[name]
        if not _is_readable(column):
            if name in explicit:
                raise _unreadable(raw, name, "neither numbers nor texts")
            findings.append(_ignored(name, f"holds {column.dtype}"))
            continue
        parsed = _parse_numbers(column)
        if (kinds[name] == "number") if kinds is not None else parsed.plausible:
            numbers[name] = _read_numbers(raw, name, parsed)
        else:
            texts[name] = _read_texts(column)
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
        findings=tuple(findings),
    )


def _is_readable(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.String)


def _unreadable(raw: _Raw, name: str, what: str) -> DataError:
    return DataError(
        f"{raw.name}: column '{name}' holds {raw.frame[name].dtype}, {what}. "
        "Convert it, or leave it out."
    )


def _ignored(column: str, what: str) -> Finding:
    return Finding(kind="ignored", column=column, count=1, what=what, action="left out")


def _demand_columns(raw: _Raw, names: Iterable[str], config: ForecastConfig) -> None:
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
    raw: _Raw, config: ForecastConfig, clock: Clock | None
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


def _read_numbers(raw: _Raw, name: str, numbers: _Numbers) -> NDArray[np.float64]:
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


def _read_series(raw: _Raw, name: str | None) -> TextColumn:
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


def _open(source: Source) -> _Raw:
    if not isinstance(source, str | Path):
        return _open_frame(source)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.suffix.lower() in (".parquet", ".pq"):
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
            raise DataError(f"{path.name} is not a Parquet file ({_first_line(error)}).") from error
        return _from_frame(path.name, frame)
    return _open_csv(path)


def _open_frame(source: Any) -> _Raw:
    try:
        frame = nw.from_native(source, eager_only=True)
    except TypeError as error:
        raise DataError(
            f"Expected a path or a polars or pandas frame, not {type(source).__name__}."
        ) from error
    native = frame.to_native()
    if isinstance(native, pl.DataFrame):
        return _from_frame("the table", native)
    if not all(isinstance(name, str) for name in frame.columns):
        raise DataError("The columns of the table must have names that are texts.")
    columns = [_to_polars(frame[name]) for name in frame.columns]
    return _from_frame("the table", pl.DataFrame(columns))


def _from_frame(name: str, frame: pl.DataFrame) -> _Raw:
    """Count rows from 1, as people do."""
    frame = frame.with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String),
        pl.col(pl.Decimal, pl.Null).cast(pl.Float64),
    )
    return _Raw(name, frame, np.arange(1, frame.height + 1), "row")


def _to_polars(column: nw.Series[Any]) -> pl.Series:
    """Convert a column of another library, without needing Arrow."""
    missing = column.is_null().to_numpy()
    name = column.name
    if column.dtype.is_integer() and not missing.any():
        return pl.Series(name, column.to_numpy())
    if column.dtype.is_numeric():
        return pl.Series(name, column.cast(nw.Float64).to_numpy(), dtype=pl.Float64)
    if isinstance(column.dtype, nw.Datetime):
        zone = column.dtype.time_zone
        if zone is None:
            return pl.Series(name, column.to_numpy().astype("datetime64[us]"))
        utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        times = pl.Series(name, utc.to_numpy().astype("datetime64[us]"))
        return times.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    values = [
        None if absent else str(value)
        for value, absent in zip(column.to_list(), missing, strict=True)
    ]
    return pl.Series(name, values, dtype=pl.String)


def _open_csv(path: Path) -> _Raw:
    text = _decode(path)
    header_lines, separator, names = _read_header(path.name, text)
    body = text.split("\n", header_lines)[header_lines] if text.count("\n") >= header_lines else ""
    if not body or body.isspace():
        raise DataError(f"{path.name} has a header and no rows.")
    try:
        frame = pl.read_csv(
            body.encode(),
            has_header=False,
            separator=separator,
            schema=dict.fromkeys(names, pl.String),
            missing_columns="insert",
            infer_schema=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _csv_error(path.name, body, separator, header_lines, len(names), error) from error
    lines = _line_numbers(body, separator, frame.height) + header_lines
    named = [name for name in names if not name.startswith("unnamed column ")]
    return _Raw(path.name, frame.select(named), lines, "line")


def _decode(path: Path) -> str:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise DataError(f"{path.name} is a damaged gzip file ({error}).") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path.name}, line {line}: the file is not UTF-8 text. Save it as UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_header(name: str, text: str) -> tuple[int, str, list[str]]:
    """Return the number of lines up to and with the header, the separator and the names."""
    start = len(text) - len(text.lstrip("\n"))
    if not text or text.isspace():
        raise DataError(f"{name} is empty.")
    head = text[start : start + LONGEST_HEADER]
    separator = max(",;\t|", key=head.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(head), delimiter=separator)
    try:
        names = [column.strip() for column in next(reader)]
    except csv.Error as error:
        raise DataError(f"{name}, line {start + 1}: the header is not CSV ({error}).") from error
    twice = [column for column in names if column and names.count(column) > 1]
    if twice:
        raise DataError(f"{name}: two columns are named '{twice[0]}'. Give each its own name.")
    names = [column or f"unnamed column {i}" for i, column in enumerate(names, 1)]
    return start + reader.line_num, separator, names


def _records(body: str, separator: str) -> Iterable[tuple[int, list[str]]]:
    """The rows of `body` with the line they begin on, by the standard library's reader."""
    reader = csv.reader(io.StringIO(body), delimiter=separator)
    begin = 1
    for record in reader:
        yield begin, record
        begin = reader.line_num + 1


def _line_numbers(body: str, separator: str, height: int) -> NDArray[np.int64]:
    """`(N,)`, counted from 1 at the beginning of `body`."""
    if '"' in body and body.count("\n") + (not body.endswith("\n")) != height:
        begins = [begin for begin, _ in _records(body, separator)]
        if len(begins) == height:
            return np.array(begins)
    return np.arange(1, height + 1)


def _csv_error(
    name: str, body: str, separator: str, header_lines: int, width: int, error: BaseException
) -> DataError:
    """Say on which line a file stops being CSV."""
    try:
        for begin, record in _records(body, separator):
            if len(record) > width:
                return DataError(
                    f"{name}, line {header_lines + begin}: {len(record)} values where the header "
                    f"has {width} columns."
                )
    except csv.Error as reason:
        return DataError(f"{name} is not CSV: {reason}.")
    return DataError(f"{name} is not CSV: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
