"""The `.ts` files of the time-series archives (sktime and aeon): a sequence a line.

A line holds channels separated by `:`, each of values separated by `,` with `?` for a missing one,
and last the label, or the number, of the sequence. Lines before `@data` describe the file. Where
it has `@timestamps true`, a channel is of pairs `(time,value)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gated.data.bad_rows import Bad
from gated.data.findings import RowError
from gated.errors import DataError
from gated.tasks.classify.sequences import Floats, Sequences, usable

MISSING = {"?", "", "nan"}
PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")
AFTER_A_PAIR = re.compile(r"(?<=\))\s*:")


def read_ts(path: Path, bad: Bad, channels: int | None = None) -> Sequences:
    """Read a file; an unusable sequence goes to `bad`, with its line.

    Args:
        path: of the file.
        bad: is given each sequence that cannot be used.
        channels: number that each must have; by default as many as the first one.

    Raises:
        DataError: the file is no `.ts` file.
    """
    header, rows = _parted(path, text_lines(path))
    labelled = header.get("classlabel", header.get("targetlabel", "false")).lower() != "false"
    timed = header.get("timestamps", "false").lower() == "true"
    cut = partial(_cut_timed if timed else _cut, labelled=labelled)
    return read_lines(path, rows, cut, bad, channels)


def read_lines(
    path: Path,
    rows: Iterable[tuple[int, str]],
    cut: Callable[[str, str], tuple[Floats, str]],
    bad: Bad,
    channels: int | None,
) -> Sequences:
    """Read a sequence from each line; an unusable one goes to `bad`.

    Args:
        path: of the file.
        rows: numbers of lines, and what they hold.
        cut: returns the steps (T, C) and the label of a line, empty where there is none; it is
            given the name of the line for its errors.
        bad: is given each sequence that cannot be used.
        channels: number that each must have; by default as many as the first one.
    """
    arrays: list[Floats] = []
    values: list[str] = []
    names: list[str] = []
    places: list[int] = []
    for number, line in rows:
        name = f"{path.name}, line {number}"
        try:
            steps, value = cut(line, name)
            arrays.append(usable(steps, name, channels))
            channels = arrays[0].shape[1]
        except DataError as error:
            bad(RowError(str(error), number, of=name))
            continue
        values += [value] if value else []
        names.append(name)
        places.append(number)
    return Sequences(arrays, np.array(values, dtype=str), names, rows=tuple(places))


def text_lines(path: Path) -> list[str]:
    """Return the lines of a file; raises a `DataError` where it is not text in UTF-8."""
    try:
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}.") from error


def _parted(path: Path, lines: list[str]) -> tuple[dict[str, str], Iterator[tuple[int, str]]]:
    """Return what the header says, and the lines of data with their numbers."""
    header: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.strip().lower()
        if words == "@data":
            rest = enumerate(lines[number:], number + 1)
            return header, ((at, row.strip()) for at, row in rest if row.strip())
        if words.startswith("@"):
            key, _, value = words[1:].partition(" ")
            header[key] = value.strip()
    raise DataError(f"{path} has no line `@data`, after which the sequences of a .ts file stand.")


def _cut(line: str, name: str, *, labelled: bool) -> tuple[Floats, str]:
    parts, value = _labelled(line.split(":"), name, labelled)
    channels = [numbers_of(part, name) for part in parts]
    longest = max(len(channel) for channel in channels)
    # Channels of unlike length: the rest of the shorter ones is missing.
    whole = np.full((longest, len(channels)), np.nan)
    for place, channel in enumerate(channels):
        whole[: len(channel), place] = channel
    return whole, value


def _labelled(parts: list[str], name: str, labelled: bool) -> tuple[list[str], str]:
    """Return the channels of a line, and the label after them."""
    value = parts.pop().strip() if labelled else ""
    if labelled and (value.lower() in MISSING or not parts):
        raise DataError(f"{name} has no label after its last ':'.")
    return parts, value


def _cut_timed(line: str, name: str, *, labelled: bool) -> tuple[Floats, str]:
    """Cut a line of pairs (time,value): a step for each time that any channel has, in order."""
    before, value = _labelled(line.rsplit(":", 1) if labelled else [line], name, labelled)
    channels = [_by_time(part, name) for part in AFTER_A_PAIR.split(before[0])]
    try:
        times = sorted(set[Any]().union(*channels))
    except TypeError as error:
        raise DataError(f"{name} has times that cannot be compared: {error}.") from error
    whole = np.array([[channel.get(time, np.nan) for channel in channels] for time in times])
    return whole.reshape(len(times), len(channels)), value


def _by_time(part: str, name: str) -> dict[float | datetime, float]:
    if PAIR.sub("", part).replace(",", "").strip():
        raise DataError(f"{name} holds {part.strip()!r}; expected pairs (time,value).")
    found: dict[float | datetime, float] = {}
    for stamp, number in PAIR.findall(part):
        time = _time_of(stamp.strip(), name)
        if time in found:
            raise DataError(f"{name} has two values at the time {stamp.strip()} in a channel.")
        found[time] = float(numbers_of(number, name)[0])
    return found


def _time_of(stamp: str, name: str) -> float | datetime:
    for read in (float, datetime.fromisoformat):
        try:
            time = read(stamp)
        except ValueError:
            continue
        if time == time and time not in (float("inf"), -float("inf")):
            return time
    raise DataError(f"{name} has the time {stamp!r}, which is neither a number nor a date.")


def numbers_of(part: str, name: str) -> Floats:
    """Return the values of a channel, (T,), NaN where one is missing."""
    numbers = []
    for text in part.split(","):
        text = text.strip()
        try:
            numbers.append(np.nan if text.lower() in MISSING else float(text))
        except ValueError as error:
            raise DataError(f"{name} holds {text!r}, which is not a number.") from error
    return np.array(numbers)
