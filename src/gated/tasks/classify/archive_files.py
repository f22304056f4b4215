r"""The other files of the time-series archives: wide `.tsv`, and `.arff`; a sequence a line.

A line of the former is the label, or the number, and then the values, apart by tabs. A line of the
latter holds the values, apart by commas, and last the label; several channels stand in quotes,
apart by `\n`. Sequences of unlike length are filled at their ends with missing values there, which
are left out here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gated.data.bad_rows import Bad
from gated.errors import DataError
from gated.tasks.classify.sequences import Floats, Sequences
from gated.tasks.classify.ts_file import MISSING, numbers_of, read_lines, text_lines

FEWEST = 3
"""Fields of a line of a wide file, at least."""
QUOTES = "'\""


def is_wide(path: Path) -> bool:
    """Whether a file of tab-separated values has no header and a sequence a line."""
    if path.suffix.lower() not in (".tsv", ".txt"):
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        label, *fields = file.readline().strip().split("\t")
    return len(fields) + 1 >= FEWEST and bool(label) and all(map(_is_number, fields))


def read_wide(path: Path, bad: Bad, channels: int | None = None) -> Sequences:
    """Read a wide file; an unusable sequence goes to `bad`, with its line."""
    rows = ((at, line) for at, line in enumerate(text_lines(path), 1) if line.strip())

    def cut(line: str, name: str) -> tuple[Floats, str]:
        label, *fields = line.strip().split("\t")
        steps = numbers_of(",".join(fields), name)[:, None]
        return _unfilled(steps), _label(label.strip(), name)

    return read_lines(path, rows, cut, bad, channels)


def read_arff(path: Path, bad: Bad, channels: int | None = None) -> Sequences:
    """Read an `.arff` file whose last attribute is the label; raises where it has no `@data`."""
    lines = text_lines(path)
    begins = [at for at, line in enumerate(lines, 1) if line.strip().lower() == "@data"]
    if not begins:
        raise DataError(f"{path} has no line `@data`, after which the sequences of a file stand.")
    rows = (
        (at, line)
        for at, line in enumerate(lines[begins[0] :], begins[0] + 1)
        if line.strip() and not line.startswith("%")
    )

    def cut(line: str, name: str) -> tuple[Floats, str]:
        values, _, label = line.strip().rpartition(",")
        parts = values.strip().strip(QUOTES).split("\\n")
        read = [numbers_of(part, name) for part in parts]
        if len({len(of) for of in read}) > 1:
            raise DataError(f"{name} has channels of unlike length.")
        return _unfilled(np.stack(read, axis=1)), _label(label.strip().strip(QUOTES), name)

    return read_lines(path, rows, cut, bad, channels)


def _unfilled(steps: Floats) -> Floats:
    """Leave out the missing values at the end by which a sequence was made as long as others."""
    known = np.flatnonzero(~np.isnan(steps).all(1))
    return steps[: known[-1] + 1] if len(known) else steps


def _label(text: str, name: str) -> str:
    if text.lower() in MISSING:
        raise DataError(f"{name} has no label.")
    return text


def _is_number(text: str) -> bool:
    try:
        return text.strip().lower() in MISSING or bool(np.isfinite(float(text)))
    except ValueError:
        return False
