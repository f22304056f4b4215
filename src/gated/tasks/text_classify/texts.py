"""The list of texts: a CSV file with a row for each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gated.data.manifest import Bad, read_rows
from gated.errors import DataError

COLUMNS = ("text", "label")
HOLDS = "A table of texts has the columns text and label."


class LabelledText(NamedTuple):
    """A text, and what it is; None where nobody said."""

    text: str
    label: str | None


def read_texts(path: Path, bad: Bad, *, labelled: bool) -> list[LabelledText]:
    """Read `text, label`; without labels, from a file that is no CSV, a text a line.

    Raises:
        DataError: the file is no such table, or holds no usable row.
        FileNotFoundError: there is no such file.
    """
    if not labelled and path.suffix.lower() != ".csv":
        return _lines(path)
    _text(path)
    found = []
    needed = COLUMNS if labelled else COLUMNS[:1]
    for row, values in read_rows(path, needed, COLUMNS, HOLDS, bad):
        text, label = values["text"], values.get("label", "")
        if not text:
            bad(DataError(f"{path}, row {row}: the text is empty; give one."))
        elif labelled and not label:
            bad(DataError(f"{path}, row {row}: the label is empty; say what the text is."))
        else:
            found.append(LabelledText(text, label or None))
    if not found:
        raise DataError(f"{path} holds no usable row. {HOLDS}")
    return found


def _lines(path: Path) -> list[LabelledText]:
    lines = _text(path).splitlines()
    texts = [LabelledText(line.strip(), None) for line in lines if line.strip()]
    if not texts:
        raise DataError(f"{path} holds no text; give a text a line.")
    return texts


def _text(path: Path) -> str:
    """The whole file, if it is a text."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    data = path.read_bytes()
    if b"\0" in data:
        raise DataError(f"{path} holds a zero byte at {data.index(0)}: it is no text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error
