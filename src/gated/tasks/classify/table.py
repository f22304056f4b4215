"""Sequences from a table with a row for each step: series, perhaps time, channels, label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from gated.errors import ConfigurationError, DataError
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.sequences import Sequences, Values, usable
from gated.tasks.classify.ts_file import read_ts
from gated.training.columns import demand_columns, parse_numbers, read_names, read_numbers
from gated.training.manifest import Bad, BadRows
from gated.training.raw_table import RawTable, open_table


def read_sequences(
    path: Path, options: SourceOptions, *, labelled: bool, bad: Bad | None = None
) -> Sequences:
    """Read a `.ts` file, or a CSV or Parquet table with a row for each step.

    Args:
        path: of the file.
        options: the columns of a table.
        labelled: whether each sequence must have its label.
        bad: told of each sequence that cannot be used; by default as `options` say.

    Raises:
        ConfigurationError: it is a table, and its columns are not named.
        DataError: the file is none of these, or has no sequence or, where asked, no labels.
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    bad = bad or BadRows(skip=options.skip_bad)
    read = read_ts(path, bad) if path.suffix.lower() == ".ts" else _read_long(path, options, bad)
    if not len(read):
        raise DataError(f"{path} holds no usable sequence.")
    if labelled and not len(read.values):
        raise DataError(f"{path} holds no labels, and there is nothing to learn without them.")
    return read


def _read_long(path: Path, options: SourceOptions, bad: Bad) -> Sequences:
    if options.series is None or options.label is None:
        raise ConfigurationError(
            f"{path.name} is a table: say with --series and --label in which columns stand the "
            "sequence that a row belongs to, and the label of that sequence."
        )
    raw = open_table(path, index=options.time or "")
    labelled = options.label in raw.frame.columns
    demand_columns(raw, [options.series, *([options.time] if options.time else [])])
    if options.time is not None:
        order = _sorted_by(raw, options.time)
        raw = RawTable(
            raw.name, raw.frame[order.tolist()], raw.lines[order], raw.place, raw.findings
        )
    taken = {options.series, options.time, options.label}
    channels = [name for name in raw.frame.columns if name not in taken]
    if not channels:
        raise DataError(f"{raw.name} has no column beside {', '.join(raw.frame.columns)}.")
    numbers = np.stack(
        [read_numbers(raw, name, parse_numbers(raw.frame[name])) for name in channels], axis=1
    )
    names = read_names(raw, options.series)
    arrays, values, kept = [], [], []
    for code, series in enumerate(names.values):
        rows = np.flatnonzero(names.codes == code)
        try:
            array = usable(numbers[rows], f"Series '{series}'", None)
            value = _label(raw, options.label, series, rows) if labelled else None
        except DataError as error:
            bad(error)
            continue
        arrays.append(array)
        kept.append(series)
        values += [] if value is None else [value]
    return Sequences(arrays, np.array(values, dtype=str), kept)


def _sorted_by(raw: RawTable, time: str) -> Values:
    """Return the order of the rows in time: of numbers by size, of texts as they read."""
    column = raw.frame[time]
    parsed = parse_numbers(column)
    if column.null_count():
        raise DataError(f"{raw.cell(time, int(column.is_null().arg_true()[0]))}: no time.")
    keys = parsed.values if not len(parsed.wrong) else column.cast(pl.String)
    return keys.arg_sort(nulls_last=True).to_numpy()


def _label(raw: RawTable, column: str, series: str, rows: Values) -> str:
    """Return the one label that all rows of a series bear."""
    told = raw.frame[column][rows.tolist()].cast(pl.String).str.strip_chars().unique().to_list()
    told = [label for label in told if label]
    if len(told) != 1:
        what = f"has the labels {', '.join(sorted(told)[:3])}" if told else "has no label"
        raise DataError(
            f"Series '{series}' ({raw.place} {raw.lines[rows[0]]}) {what} in the column "
            f"'{column}'; it needs one, the same in all its rows."
        )
    return str(told[0])
