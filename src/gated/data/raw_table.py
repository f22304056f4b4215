"""Opening a table, from a file or a frame: its rows unchanged, each with its line number."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl
from narwhals.stable.v2.typing import IntoDataFrame
from numpy.typing import NDArray

from gated.data.findings import Finding, RowError
from gated.data.sheets import SHEETS, open_sheet
from gated.errors import ConfigurationError, DataError, option

Source: TypeAlias = str | Path | IntoDataFrame
"""A path to CSV (perhaps gzipped), Parquet or a sheet, or a polars or pandas frame."""
PARQUET = (".parquet", ".pq")
CSV = ("", ".csv", ".tsv", ".tab", ".psv", ".txt", ".dat")

BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""How files begin that are not in UTF-8, and what they are in."""
SEPARATORS = ",;\t|"
EXAMINED = 20
"""Rows after the header from which the column separator is found."""
LONGEST_HEADER = 1_000_000
"""Characters of a header that are read at most."""
UNNAMED = "unnamed column "


@dataclass(frozen=True)
class RawTable:
    """A table before any value is interpreted; every column of a CSV file is text."""

    name: str
    """What messages call it: the name of its file, or `the table`."""
    frame: pl.DataFrame
    lines: NDArray[np.int64]
    """`(N,)`, the number of each row's line in the file, or of the row in the frame, from 1."""
    place: str
    """What `lines` counts: `line` or `row`."""
    findings: tuple[Finding, ...] = ()

    def take(self, keep: pl.Series) -> RawTable:
        """Keep the rows for which `keep` is true."""
        return replace(self, frame=self.frame.filter(keep), lines=self.lines[keep.to_numpy()])

    def cell(self, column: str, row: int) -> str:
        """Describe a cell for a message: file, line, column and value."""
        value = self.frame[column][row]
        text = "" if value is None else str(value)
        text = text if len(text) <= 40 else text[:39] + "…"
        return f"{self.name}, {self.place} {self.lines[row]}: column '{column}', value '{text}'"


def open_table(
    source: Source,
    index: str,
    bad: Callable[[DataError], None] | None = None,
    encoding: str | None = None,
) -> RawTable:
    """Return the rows of a file or a frame, before any value is interpreted.

    Args:
        source: path of a CSV, Parquet or sheet file, or a polars or pandas frame.
        index: an index of a pandas frame with this name becomes a column.
        bad: called with the error of each row of a CSV file that has more values than the header
            has columns; the row is left out. By default such a row is an error.
        encoding: of a CSV file that is neither UTF-8 nor UTF-16.

    Raises:
        DataError: the file is empty, damaged, or not a table.
        FileNotFoundError: there is no such file.
    """
    if not isinstance(source, str | Path):
        return _open_frame(source, index)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if (kind := kind_of(path)) == "sheet":
        return _open_sheet(path)
    if kind == "parquet":
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
            raise DataError(f"{path.name} is not a Parquet file ({_first_line(error)}).") from error
        return _from_frame(path.name, frame)
    return _open_csv(path, bad, encoding)


def kind_of(path: Path) -> Literal["csv", "parquet", "sheet"]:
    """Return what kind of table a file is, by the suffix of its name.

    Raises:
        DataError: it is of no known kind.

    >>> kind_of(Path("sales.CSV.gz")), kind_of(Path("sales.ods"))
    ('csv', 'sheet')
    """
    suffix = _suffix(path)
    if suffix in SHEETS:
        return "sheet"
    if suffix in PARQUET:
        return "parquet"
    if suffix in CSV:
        return "csv"
    raise DataError(
        f"{path.name}: {suffix} files are not read as tables. Save it as CSV "
        f"({', '.join(CSV[1:])}, each also with .gz), as Parquet ({', '.join(PARQUET)}) or as a "
        f"sheet ({', '.join(SHEETS)})."
    )


def is_table(path: Path) -> bool:
    """Whether the suffix of a file's name says that it is a table; `.txt` and `.dat` do not."""
    return _suffix(path) in (*SHEETS, *PARQUET, *CSV[1:5])


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _open_sheet(path: Path) -> RawTable:
    header, frame, findings = open_sheet(path)
    frame.columns = names = column_names(path.name, header)
    empty = [name for name in names if frame[name].null_count() == frame.height]
    ignored = [name for name in names if name.startswith(UNNAMED) and name not in empty]
    findings += tuple(map(_unnamed, ignored))
    table = _from_frame(path.name, frame.drop([of for of in names if of.startswith(UNNAMED)]))
    # The header is the first row that is not empty.
    table = replace(table, lines=table.lines + 1, findings=findings)
    table = table.take(table.frame.select(~pl.all_horizontal(pl.all().is_null())).to_series())
    if table.frame.is_empty():
        raise DataError(f"{path.name} has a header and no rows.")
    return table


def _unnamed(name: str) -> Finding:
    what = "no name in the header"
    return Finding(kind="ignored", column=name, count=1, what=what, action="left out")


def _open_frame(source: IntoDataFrame, index: str) -> RawTable:
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
    if index not in frame.columns and nw.maybe_get_index(frame) is not None:
        pandas: Any = native
        if pandas.index.name == index:
            frame = nw.from_native(pandas.reset_index(), eager_only=True)
    columns = [_to_polars(frame[name]) for name in frame.columns]
    return _from_frame("the table", pl.DataFrame(columns))


def _from_frame(name: str, frame: pl.DataFrame) -> RawTable:
    """Wrap a frame, its rows counted from 1."""
    frame = frame.with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String),
        pl.col(pl.Decimal, pl.Null).cast(pl.Float64),
    )
    return RawTable(name, frame, np.arange(1, frame.height + 1), "row")


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


def _open_csv(
    path: Path, bad: Callable[[DataError], None] | None, encoding: str | None
) -> RawTable:
    text = decoded(path, encoding, named=True)
    header_lines, separator, names = read_header(path.name, text)
    body = "".join(text.split("\n", header_lines)[header_lines:])
    if not body or body.isspace():
        raise DataError(f"{path.name} has a header and no rows.")
    places: NDArray[np.int64] | None = None
    if bad is not None:
        body, places = _without_wide_rows(path.name, body, separator, header_lines, len(names), bad)
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
    lines = _line_numbers(body, separator, frame.height) if places is None else places
    lines = lines + header_lines
    unnamed = [name for name in names if name.startswith(UNNAMED)]
    findings = tuple(map(_unnamed, unnamed))
    table = RawTable(path.name, frame.drop(unnamed), lines, "line", findings)
    return _without_headers(table)


def _without_headers(table: RawTable) -> RawTable:
    """Leave out rows that repeat the header, as files do that were joined from several."""
    frame = table.frame
    if not frame.width:
        return table
    alike = (pl.col(name).str.strip_chars() == name for name in frame.columns)
    repeated = frame.select(pl.all_horizontal(alike).fill_null(False)).to_series()
    if not repeated.any():
        return table
    first = int(repeated.arg_max() or 0)
    finding = Finding(
        kind="header",
        count=int(repeated.sum()),
        what="rows that repeat the header",
        action="left out",
        example=f"{table.place} {table.lines[first]}",
    )
    return replace(table.take(~repeated), findings=(*table.findings, finding))


def _without_wide_rows(
    name: str,
    body: str,
    separator: str,
    header_lines: int,
    width: int,
    bad: Callable[[DataError], None],
) -> tuple[str, NDArray[np.int64] | None]:
    """Return `body` without rows of too many values, and the lines on which the others begin.

    Where there is no such row, or `body` is not valid CSV, it is returned unchanged, with None.
    """
    if max(line.count(separator) for line in body.split("\n")) < width:
        return body, None
    rows, begins, wide = io.StringIO(), [], False
    writer = csv.writer(rows, delimiter=separator, lineterminator="\n")
    try:
        for begin, record in records(body, separator):
            if len(record) > width:
                wide = True
                bad(_too_wide(name, header_lines + begin, len(record), width))
            elif record:
                begins.append(begin)
                writer.writerow(record)
    except csv.Error:
        return body, None  # reading the table raises an error that says more
    return (rows.getvalue(), np.array(begins)) if wide else (body, None)


def _too_wide(name: str, line: int, count: int, width: int) -> DataError:
    message = f"{name}, line {line}: {count} values where the header has {width} columns."
    return RowError(message, line)


def decoded(path: Path, encoding: str | None = None, *, named: bool = False) -> str:
    r"""Return the text of a file, perhaps gzipped, with every line end made `\n`.

    It is UTF-8, UTF-16 or UTF-32 with a byte order mark, or else in `encoding`.

    Args:
        path: of the file.
        encoding: of a file that is none of these.
        named: whether there is an option `encoding`, for the message.

    Raises:
        ConfigurationError: there is no such encoding.
        DataError: it is damaged, or not UTF-8 and no encoding is given, or not in that.
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path.name} is a damaged gzip file ({error}).") from error
    marked = (of for mark, of in BYTE_ORDER_MARKS.items() if content.startswith(mark))
    kind = next(marked, "utf-8-sig")
    try:
        # What is UTF-8 is nothing else, but for texts with zeros: UTF-16 without a mark.
        if encoding is not None and kind == "utf-8-sig" and b"\0" in content:
            kind = encoding
        text = content.decode(kind)
    except (UnicodeDecodeError, LookupError) as error:
        text = _otherwise(path.name, content, encoding, named, error)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _otherwise(
    name: str, content: bytes, encoding: str | None, named: bool, error: Exception
) -> str:
    """Return text that is not UTF-8, in the `encoding` that was given."""
    if encoding is not None:
        try:
            return content.decode(encoding)
        except LookupError:
            raise ConfigurationError(
                f"{option('encoding')} is '{encoding}', which is no encoding; such are "
                "windows-1252, gb18030, shift_jis."
            ) from None
        except UnicodeDecodeError as other:
            error = other
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    line = content.count(b"\n", 0, start) + 1
    advice = f", or name its encoding with {option('encoding')} (often windows-1252)"
    raise DataError(
        f"{name}, line {line}: the file is not {encoding or 'UTF-8'} text. Save it as UTF-8"
        f"{advice if named else ''}."
    ) from error


def read_header(name: str, text: str) -> tuple[int, str, list[str]]:
    """Return the number of lines up to the end of the header, the separator and the column names.

    Raises:
        DataError: there is no header, or it has a name twice.
    """
    start = len(text) - len(text.lstrip("\n"))
    if not text or text.isspace():
        raise DataError(f"{name} is empty.")
    head = text[start : start + LONGEST_HEADER]
    first = head.split("\n", 1)[0]
    if given := re.fullmatch(r"sep=(.)", first.strip(" \r"), re.IGNORECASE):  # written by Excel
        start += 1
        head, separator = head[len(first) + 1 :], given[1]
    else:
        separator = _separator(head)
    reader = csv.reader(io.StringIO(head), delimiter=separator)
    try:
        cells = next(reader)
    except csv.Error as error:
        raise DataError(f"{name}, line {start + 1}: the header is not CSV ({error}).") from error
    except StopIteration:
        raise DataError(f"{name} has no header.") from None
    return start + reader.line_num, separator, column_names(name, cells)


def _separator(head: str) -> str:
    """Return what separates the columns: what divides most rows as it does the header.

    A header such as `day;price, net` has as many commas as semicolons.
    """
    lines = head.split("\n", EXAMINED + 1)

    def alike(separator: str) -> tuple[int, int]:
        header = lines[0].count(separator)
        try:
            rows = list(islice(csv.reader(io.StringIO(head), delimiter=separator), EXAMINED + 1))
        except csv.Error:
            return 0, header
        widths = [len(row) for row in rows if row]
        return (sum(width == widths[0] for width in widths) if widths[0] > 1 else 0), header

    found = [separator for separator in SEPARATORS if separator in lines[0]]
    if len(found) < 2:
        return found[0] if found else SEPARATORS[0]
    return max(found, key=alike)


def column_names(name: str, header: Sequence[str]) -> list[str]:
    """Return the names in a header; a column without a name is called `unnamed column` and number.

    Raises:
        DataError: a name occurs twice.
    """
    names = [column.strip() for column in header]
    twice = [column for column in names if column and names.count(column) > 1]
    if twice:
        raise DataError(f"{name}: two columns are named '{twice[0]}'. Give each its own name.")
    return [column or f"{UNNAMED}{i}" for i, column in enumerate(names, 1)]


def records(body: str, separator: str, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of `body` with the lines that they begin on, by the standard library's reader.

    Raises:
        csv.Error: a row cannot be read; with `strict`, also where a quotation is not closed.
    """
    reader = csv.reader(io.StringIO(body), delimiter=separator, strict=strict)
    begin = 1
    for record in reader:
        yield begin, record
        begin = reader.line_num + 1


def _line_numbers(body: str, separator: str, height: int) -> NDArray[np.int64]:
    """Return the line that each row begins on, `(N,)`, counted from 1 at the start of `body`."""
    if '"' in body and body.count("\n") + (not body.endswith("\n")) != height:
        begins = [begin for begin, _ in records(body, separator)]
        if len(begins) == height:
            return np.array(begins)
    return np.arange(1, height + 1)


def _csv_error(
    name: str, body: str, separator: str, header_lines: int, width: int, error: BaseException
) -> DataError:
    """Return an error that names the first line that is not valid CSV."""
    try:
        for begin, record in records(body, separator):
            if len(record) > width:
                return _too_wide(name, header_lines + begin, len(record), width)
    except csv.Error as reason:
        return DataError(f"{name} is not CSV: {reason}.")
    return DataError(f"{name} is not CSV: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
