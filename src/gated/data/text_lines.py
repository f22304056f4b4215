"""Lines of text files; one that is no text is treated as a row of a table that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gated.data.bad_rows import Bad, refuse
from gated.data.findings import RowError
from gated.errors import DataError


def lines_of(path: Path, bad: Bad = refuse) -> Iterator[str]:
    """Yield the lines of a text file, without their ends; one that goes to `bad` is empty.

    Raises:
        DataError: it is empty, binary or not in UTF-8; the message names the line.
        FileNotFoundError: there is no such file.
    """
    for _, line in numbered_lines(path, bad):
        yield line or ""


def numbered_lines(path: Path, bad: Bad = refuse) -> Iterator[tuple[int, str | None]]:
    """Yield the lines of `lines_of`, each with its number; None for one that goes to `bad`."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with path.open("rb") as file:
        yield from _numbered(file, str(path), bad)


def text_lines(file: BinaryIO, name: str, bad: Bad = refuse) -> Iterator[str]:
    """Yield the lines of an open file that messages call `name`; raises as `lines_of` does."""
    for _, line in _numbered(file, name, bad):
        yield line or ""


def _numbered(file: BinaryIO, name: str, bad: Bad) -> Iterator[tuple[int, str | None]]:
    number = 0
    for number, raw in enumerate(file, 1):
        try:
            line = decoded_line(raw, name, number).rstrip("\r\n")
        except RowError as error:
            bad(error)
            yield number, None
        else:
            yield number, line
    if number == 0:
        raise DataError(f"{name} is empty; give a text.")


def decoded_line(raw: bytes, name: str, number: int) -> str:
    """Return a line of a file as text, without the mark that some files begin with.

    Raises:
        RowError: it holds a zero byte, or is not in UTF-8.
    """
    if b"\0" in raw:
        raise RowError(
            f"{name}, line {number}: there is a zero byte, so this is no text. Give a file of "
            "text in UTF-8.",
            number,
        )
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise RowError(
            f"{name}, line {number}, byte {error.start + 1}: {raw[error.start]:#04x} is not "
            "UTF-8. Convert the file, as with: iconv -f ENCODING -t UTF-8",
            number,
        ) from error
