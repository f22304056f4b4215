"""The manifest of segments: a table with a row for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gated.data.bad_rows import BadRows
from gated.data.findings import RowError
from gated.data.manifest import read_rows
from gated.errors import DataError
from gated.tasks.video.config import VideoConfig

ROLES = ("clip", "label", "start", "end", "speed")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a clip."""

    clip: Path
    label: str | None = None
    """Label; None where it is unknown."""
    start: float = 0.0
    """Begin in the clip, in seconds."""
    end: float | None = None
    """End in the clip, in seconds; None for the end of the clip."""
    speed: float = 1.0
    """Playback speed: 2 takes every second frame, -1 plays backwards."""
    row: int | None = None
    """Line of the manifest."""

    def __str__(self) -> str:
        """Say where it stands.

        >>> print(Segment(clip=Path("run.mp4"), row=3))
        row 3 (run.mp4)
        """
        return f"row {self.row} ({self.clip})" if self.row else str(self.clip)


def read_manifest(
    path: Path, config: VideoConfig, *, labelled: bool, bad: BadRows
) -> list[Segment]:
    """Read clips, labels and, if the columns exist, start, end and speed.

    Paths of clips are relative to the manifest's directory. Invalid rows go to `bad`.

    Raises:
        DataError: the file is no such table, or holds no row.
        FileNotFoundError: there is no such file.
    """
    needed = ("clip", "label") if labelled else ("clip",)
    segments = []
    columns = {role: getattr(config, role) for role in ROLES}
    for row, values in read_rows(path, columns, needed, "A list of clips", bad):
        try:
            segments.append(_segment(values, row, path.parent, labelled))
        except DataError as error:
            bad(RowError(str(error), row, of=str(path.parent / values["clip"])))
    if not segments and (labelled or not bad.errors):
        message = f"{path} holds no usable row. Give at least one clip with its label.{bad.summary}"
        raise DataError(message)
    return segments


def _segment(values: dict[str, str], row: int, directory: Path, labelled: bool) -> Segment:
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
        label=values.get("label") or None,
        start=start,
        end=end,
        speed=1.0 if speed is None else speed,
        row=row,
    )


def _number(values: dict[str, str], name: str, row: int) -> float | None:
    text = values.get(name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise DataError(f"row {row}: {name} is {text!r}, not a number.")
    return number
