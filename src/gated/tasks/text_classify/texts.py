"""The file of texts: a table with a row for each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gated.data.bad_rows import BadRows
from gated.data.findings import RowError
from gated.data.manifest import read_rows
from gated.data.raw_table import is_table
from gated.data.text_lines import numbered_lines
from gated.errors import DataError
from gated.tasks.text_classify.config import TextClassifyConfig


class LabelledText(NamedTuple):
    """A text and its label; None where that is unknown."""

    text: str
    label: str | None
    row: int
    """Line of the file."""


def read_texts(
    path: Path, config: TextClassifyConfig, bad: BadRows, *, labelled: bool
) -> list[LabelledText]:
    """Read texts and labels from a table; without labels also from a plain file, a text a line.

    Raises:
        DataError: the file is no such table, or holds no usable row.
        FileNotFoundError: there is no such file.
    """
    if not labelled and not is_table(path):
        return _lines(path, bad)
    found = []
    columns = {"text": config.text, "label": config.label}
    needed = tuple(columns) if labelled else ("text",)
    for row, values in read_rows(path, columns, needed, "A table of texts", bad):
        text, label = values["text"], values.get("label", "")
        if not text:
            bad(RowError(f"{path}, row {row}: the text is empty; give one.", row))
        elif labelled and not label:
            bad(RowError(f"{path}, row {row}: the label is empty; say what the text is.", row))
        else:
            found.append(LabelledText(text, label or None, row))
    if not found and (labelled or not bad.errors):
        raise DataError(f"{path} holds no usable row.{bad.summary}")
    return found


def _lines(path: Path, bad: BadRows) -> list[LabelledText]:
    found = []
    for row, line in numbered_lines(path, bad):
        if line is None:
            continue
        if line.strip():
            found.append(LabelledText(line.strip(), None, row))
        else:
            bad(RowError(f"{path}, line {row} is empty; give a text a line.", row))
    if not found and not bad.errors:
        raise DataError(f"{path} holds no text; give a text a line.")
    return found
