"""The list of segments: a CSV file with a row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from gated.errors import DataError

COLUMNS = ("clip", "label", "start", "end", "speed")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a clip."""

    clip: Path
    label: str | None = None
    """None where it is to be predicted."""
    start: float = 0.0
    """Seconds."""
    end: float | None = None
    """Seconds; None is the end of the clip."""
    speed: float = 1.0
    """2 plays every second frame, -1 plays backwards."""
    row: int | None = None
    """Line of the manifest."""

    def __str__(self) -> str:
        """Say where it stands.

        >>> print(Segment(clip=Path("run.mp4"), row=3))
        row 3 (run.mp4)
        """
        return f"row {self.row} ({self.clip})" if self.row else str(self.clip)


Bad = Callable[[DataError], None]
"""What is done about a row that cannot be used."""


def read_manifest(path: Path, *, labelled: bool, bad: Bad) -> list[Segment]:
    """Read `clip, label` and, where they are there, `start, end, speed`.

    Clips are found from the directory of the manifest. Rows that cannot be meant go to `bad`.

    Raises:
        DataError: the file is no such table, or holds no row.
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    needed = ("clip", "label") if labelled else ("clip",)
    for column in needed:
        if column not in table.columns:
            raise DataError(
                f"{path} has no column '{column}' (it has {', '.join(table.columns)}). A manifest "
                "has the columns clip and label and, where wanted, start, end (seconds) and speed."
            )
    if unknown := [name for name in table.columns if name not in COLUMNS]:
        raise DataError(
            f"{path} has the column '{unknown[0]}', which means nothing here; a manifest has "
            f"{', '.join(COLUMNS)}. Rename or remove it."
        )
    segments = list(_segments(table, path.parent, labelled, bad))
    if not segments:
        raise DataError(f"{path} holds no usable row. Give at least one clip with its label.")
    return segments


def _segments(table: pl.DataFrame, directory: Path, labelled: bool, bad: Bad) -> Iterator[Segment]:
    for row, values in enumerate(table.iter_rows(named=True), start=2):
        try:
            yield _segment(values, row, directory, labelled)
        except DataError as error:
            bad(error)


def _segment(values: dict[str, Any], row: int, directory: Path, labelled: bool) -> Segment:
    if not values["clip"]:
        raise DataError(f"row {row}: the clip is empty; give the path of a recording.")
    if labelled and not values["label"]:
        raise DataError(f"row {row}: the label is empty; say what this segment shows.")
    numbers = {name: _number(values, name, row) for name in ("start", "end", "speed")}
    start, end, speed = numbers["start"] or 0.0, numbers["end"], numbers["speed"]
    if start < 0 or (end is not None and end <= start):
        raise DataError(
            f"row {row}: a segment from {start:g} to {end:g} seconds is none; start is 0 or more "
            "and end lies after it."
            if end is not None
            else f"row {row}: the start is {start:g} seconds; it is 0 or more."
        )
    if speed == 0:
        raise DataError(f"row {row}: a speed of 0 shows one frame; 1 is normal, -1 backwards.")
    return Segment(
        clip=directory / values["clip"],
        label=values.get("label"),
        start=start,
        end=end,
        speed=1.0 if speed is None else speed,
        row=row,
    )


def _number(values: dict[str, Any], name: str, row: int) -> float | None:
    text = values.get(name)
    if text is None or not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise DataError(f"row {row}: {name} is {text!r}, not a number.")
    return number
