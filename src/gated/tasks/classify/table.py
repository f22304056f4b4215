"""Sequences from a table with a row for each step: series, perhaps time, channels, label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from gated.data.bad_rows import Bad, BadRows
from gated.data.columns import demand_columns, is_readable, read_names
from gated.data.findings import Finding, RowError
from gated.data.number_columns import (
    NUMBER_SHARE,
    Numbers,
    number_array,
    parse_numbers,
    wrong_numbers,
)
from gated.data.raw_table import RawTable, open_table
from gated.data.timestamps import UnreadableTimeError, read_times
from gated.errors import ConfigurationError, DataError, option
from gated.tasks.classify.archive_files import is_wide, read_arff, read_wide
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.sequences import Sequences, Values, usable
from gated.tasks.classify.ts_file import read_ts


def read_sequences(
    path: Path,
    options: SourceOptions,
    *,
    labelled: bool,
    columns: Sequence[str] = (),
    channels: int | None = None,
    bad: BadRows | None = None,
) -> Sequences:
    """Read a file of the archives, or a table (CSV, Parquet or a sheet) with a row for each step.

    Args:
        path: of the file.
        options: the columns of a table.
        labelled: whether each sequence must have its label.
        columns: the channel columns of a table, in the order of training; by default all others.
        channels: that each sequence of such a file must have; by default as many as the first.
        bad: is given each sequence that cannot be used; by default as `options.skip_bad` says.

    Raises:
        ConfigurationError: the file is a table, and its columns are not named.
        DataError: the file is of another kind, or has no sequence or, if `labelled`, no labels.
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    bad = bad or BadRows(skip=options.skip_bad)
    if len(options.labels) > 1 and path.suffix.lower() in (".ts", ".arff"):
        raise ConfigurationError(
            f"{option('label')} names {len(options.labels)} columns, and a {path.suffix} file has "
            "one label a sequence. Give a table (CSV, Parquet or a sheet) with these columns."
        )
    wide = options.series is None and not options.labels
    if options.group and (path.suffix.lower() in (".ts", ".arff") or (wide and is_wide(path))):
        raise ConfigurationError(
            f"{option('group', options.group)} names a column, and {path.name} has none. Give a "
            "table (CSV, Parquet or a sheet) with a row for each step, or in Python "
            "fit(X, y, groups=…)."
        )
    if path.suffix.lower() == ".ts":
        read = read_ts(path, bad, channels)
    elif path.suffix.lower() == ".arff":
        read = read_arff(path, bad, channels)
    elif wide and is_wide(path):
        read = read_wide(path, bad, channels)
    else:
        read = _read_long(path, options, columns, bad, labelled=labelled)
    if not len(read) and (labelled or not bad.errors):
        raise DataError(f"{path} holds no usable sequence.{bad.summary}")
    if labelled and not len(read.values):
        raise DataError(f"{path} holds no labels, and there is nothing to learn without them.")
    return read


def _read_long(
    path: Path, options: SourceOptions, columns: Sequence[str], bad: BadRows, *, labelled: bool
) -> Sequences:
    if options.series is None or not options.labels:
        raise ConfigurationError(
            f"{path.name} is a table: say with {option('series')} and {option('label')} in "
            f"which columns stand the "
            "sequence that a row belongs to, and the label of that sequence."
        )
    raw = open_table(path, index=options.time or "", bad=bad, encoding=options.encoding)
    if labelled:
        demand_columns(raw, [*options.labels, *([options.group] if options.group else [])])
    labels = options.labels if set(options.labels) <= set(raw.frame.columns) else ()
    needed = [options.series, *([options.time] if options.time else [])]
    demand_columns(raw, needed)
    raw = _placed(raw, needed, bad)
    if options.time is not None:
        order = _sorted_by(raw, options)
        raw = _rows(raw, order)
    group = options.group if labelled else None
    taken = {options.series, options.time, options.group, *options.labels}
    columns = columns or options.channels
    demand_columns(raw, columns)
    found = [of for of in raw.frame.columns if of not in taken and is_readable(raw.frame[of])]
    parsed = parse_numbers(raw, columns or found, options.decimal)
    channels = list(columns) or [name for name in found if _holds_numbers(parsed[name])]
    bad.findings += raw.findings
    bad.findings += [
        Finding(kind="ignored", column=name, count=1, what="no channel", action="ignored")
        for name in raw.frame.columns
        if name not in (*taken, *channels)
    ]
    if not channels:
        raise DataError(f"{raw.name} has no column beside {', '.join(raw.frame.columns)}.")
    bad.findings += parsed.findings(raw, channels)
    numbers = np.stack([number_array(parsed[name]) for name in channels], axis=1)
    wrong = [of for name in channels for of in wrong_numbers(raw, name, parsed[name])]
    errors = dict(reversed(wrong))  # of each row, that of its first channel
    names = read_names(raw, options.series)
    arrays, values, kept, places, clusters = [], [], [], [], []
    for code, series in enumerate(names.values):
        rows = np.flatnonzero(names.codes == code)
        begin = int(raw.lines[rows].min())
        try:
            for row in rows.tolist() if errors else ():
                if row in errors:
                    raise errors[row]
            array = usable(numbers[rows], f"Series '{series}'", None)
            value = [_label(raw, label, series, rows) for label in labels]
            cluster = [_label(raw, group, series, rows)] if group else []
        except DataError as error:
            bad(RowError(str(error), begin, of=series))
            continue
        places.append(begin)
        arrays.append(array)
        kept.append(series)
        values += [value] if labels else []
        clusters += cluster
    texts, several = np.array(values, dtype=str), len(labels) > 1
    return Sequences(
        arrays,
        texts if several or not values else texts[:, 0],
        kept,
        tuple(channels),
        tuple(places),
        clusters=np.array(clusters),
        labels=labels if several else (),
    )


def _holds_numbers(column: Numbers) -> bool:
    """Whether a column is one of numbers, with mistakes perhaps, or says nothing at all."""
    return column.values.count() > 0 or not len(column.wrong)


def _placed(raw: RawTable, columns: list[str], bad: Bad) -> RawTable:
    """Return the rows that say which series they are of, and when; the others go to `bad`."""
    stay = pl.Series([True]).new_from_index(0, raw.frame.height)
    for name in columns:
        texts = raw.frame[name].cast(pl.String).str.strip_chars()
        blank = texts.is_null() | (texts == "")
        for row in blank.arg_true():
            line = int(raw.lines[row])
            bad(RowError(f"{raw.place} {line} has nothing in the column '{name}'.", line))
        stay &= ~blank
    return raw if stay.all() else raw.take(stay)


def _rows(raw: RawTable, rows: Values) -> RawTable:
    return replace(raw, frame=raw.frame[rows.tolist()], lines=raw.lines[rows])


def _sorted_by(raw: RawTable, options: SourceOptions) -> Values:
    """Return the order of the rows in time: of numbers and dates by size, of texts as they read.

    Raises:
        DataError: days and months cannot be told apart.
    """
    name = options.time or ""
    column = raw.frame[name]
    keys = column
    if column.dtype == pl.String:
        parsed = parse_numbers(raw, [name], options.decimal)[name]
        keys = parsed.values
        if len(parsed.wrong):
            try:
                keys = pl.Series(read_times(column, day_first=options.day_first)[0])
            except UnreadableTimeError as error:
                if len(error.rows) <= (1 - NUMBER_SHARE) * len(column):
                    row = error.rows[0]
                    message = f"{raw.cell(name, row)} {error.reason}."
                    raise RowError(message, int(raw.lines[row])) from None
                keys = column
    return keys.arg_sort(nulls_last=True).to_numpy()


def _label(raw: RawTable, column: str, series: str, rows: Values) -> str:
    """Return the one label that all rows of a series bear."""
    labels = raw.frame[column][rows.tolist()].cast(pl.String).str.strip_chars().unique().to_list()
    labels = [label for label in labels if label]
    if len(labels) != 1:
        what = f"has the labels {', '.join(sorted(labels)[:3])}" if labels else "has no label"
        raise DataError(
            f"Series '{series}' ({raw.place} {raw.lines[rows[0]]}) {what} in the column "
            f"'{column}'; it needs one, the same in all its rows."
        )
    return str(labels[0])
