"""Texts as numbers, block by block, so that files may be larger than memory."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gated.data.bad_rows import Bad, refuse
from gated.data.findings import RowError
from gated.data.text_lines import decoded_line
from gated.errors import DataError, option
from gated.texts.vocabulary import UNKNOWN, Points, Vocabulary
from gated.training.streams import Places

BLOCK = 1 << 20
"""Bytes that are read at once."""
SENTENCE_ENDS = re.compile(r"[.!?\n。！？]+")
FEWEST_OF_SENTENCE = 20
"""Shortest sentence, in characters, that counts as trained on if it is in the training part too:
shorter ones are the same by chance."""
BETWEEN_WORDS = (ord("\n"), ord(" "))
Codes = NDArray[np.uint16]
"""Indices in a vocabulary."""


@dataclass(frozen=True)
class Coded:
    """A text as codes of a vocabulary."""

    codes: Codes
    """(N,)"""
    ends: Places
    """Sorted indices of the last codes of its documents; empty if it is one document."""

    def __len__(self) -> int:
        return len(self.codes)

    def part(self, first: int, last: int) -> Coded:
        """Return the text from `first` to before `last`."""
        begin, end = np.searchsorted(self.ends, (first, last))
        return Coded(self.codes[first:last], self.ends[begin:end] - first)


class Text:
    """The characters or bytes of some files, one after the other, in a temporary file.

    Args:
        files: in UTF-8, unless `unit` is byte.
        unit: byte, or character or subword, both of which are read as code points of characters.
        bad: called with the error of each line, or file, that cannot be used; raises it by default.

    Raises:
        DataError: a file is empty, binary, or not in UTF-8; the message names the line.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, files: Sequence[Path], unit: str, bad: Bad = refuse) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gated-text-"))
        weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        self._numbers = count()
        file_ends = []
        with (self.directory / "points").open("wb") as kept:
            for path in files:
                begin, of_lines = kept.tell(), list[RowError]()
                try:
                    for points in _points_of(path, unit, of_lines):
                        kept.write(points.tobytes())
                except DataError as error:
                    bad(error)
                    kept.truncate(kept.seek(begin))
                    continue
                for of_line in of_lines:
                    bad(of_line)
                file_ends.append(kept.tell() // 4 - 1)
        if not file_ends:
            raise DataError("None of the files can be used: there is no text.")
        self.file_ends = np.array(file_ends, np.int64)
        """Indices of the last points of the files."""
        self.points: Points = np.memmap(self.directory / "points", np.uint32, "r")

    def __len__(self) -> int:
        return len(self.points)

    def coded(
        self,
        vocabulary: Vocabulary,
        documents: str = "none",
        first: int = 0,
        last: int | None = None,
    ) -> Coded:
        """Return a part of the text as codes of a vocabulary, in a memory-mapped file.

        Args:
            vocabulary: of the codes.
            documents: where a document ends: at the end of each file, of each line, or none.
            first: index of the first point of the part.
            last: index after the last point of the part; by default the text's end.
        """
        line_ends, made = vocabulary.line_ends(), 0
        ends = [np.zeros(0, np.int64)]
        path = self.directory / f"codes-{next(self._numbers)}"
        with path.open("wb") as kept:
            for start, stop in self._blocks(first, len(self) if last is None else last):
                codes = vocabulary.encode(self.points[start:stop])
                kept.write(codes.tobytes())
                if documents == "line":
                    ends.append(made + np.flatnonzero(line_ends[codes]))
                made += len(codes)
                if documents == "file" and stop - 1 in self.file_ends:
                    ends.append(np.array([made - 1]))
        codes = np.memmap(path, np.uint16, "r") if made else np.zeros(0, np.uint16)
        return Coded(codes, np.concatenate(ends))

    def blocks(self, first: int, last: int) -> Iterator[Points]:
        """Yield the points of a part in blocks, which end between words if possible."""
        for start, stop in self._blocks(first, last):
            yield self.points[start:stop]

    def _blocks(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        while first < last:
            stop = min(first + BLOCK, last)
            if stop < last:
                space = np.flatnonzero(np.isin(self.points[first:stop], BETWEEN_WORDS))
                stop = first + int(space[-1]) + 1 if len(space) else stop
            inside = self.file_ends[np.searchsorted(self.file_ends, first) :]
            stop = min(stop, int(inside[0]) + 1) if len(inside) else stop
            yield first, stop
            first = stop


def sentences_in(points: Points) -> Iterator[str]:
    """Yield the sentences, or lines, of a text of at least `FEWEST_OF_SENTENCE` characters."""
    for first in range(0, len(points), BLOCK):
        block = np.asarray(points[first : first + BLOCK])
        text = "".join(map(chr, block.tolist()))
        for sentence in SENTENCE_ENDS.split(text):
            if len(stripped := sentence.strip()) >= FEWEST_OF_SENTENCE:
                yield stripped


def unknown_in(codes: Codes) -> tuple[int, int]:
    """Return the number of unknown codes, and the index of the first, -1 if there is none."""
    count, first = 0, -1
    for start in range(0, len(codes), BLOCK):
        places = np.flatnonzero(codes[start : start + BLOCK] == UNKNOWN)
        if len(places) and first < 0:
            first = start + int(places[0])
        count += len(places)
    return count, first


def points_of(text: str, unit: str) -> Points:
    """Return the code points, or the bytes of the UTF-8 form, of a text.

    Raises:
        DataError: it holds a surrogate, as text from a terminal that is not in UTF-8 does.
    """
    try:
        if unit == "byte":
            return np.frombuffer(text.encode(), np.uint8).astype(np.uint32)
        return np.frombuffer(text.encode("utf-32-le"), np.uint32)
    except UnicodeEncodeError as error:
        raise DataError(
            f"The text is not UTF-8 at character {error.start}: {text[error.start]!r}."
        ) from error


def _points_of(path: Path, unit: str, errors: list[RowError]) -> Iterator[Points]:
    """Yield the points of a file in blocks, without the lines whose errors go to `errors`.

    Raises:
        DataError: the file is empty, or half of its lines or more are no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty; give a text.")
    number, lines = 1, 0
    with path.open("rb") as file:
        # Whole lines, unless they are longer than a block.
        for block in iter(lambda: file.read(BLOCK) + file.readline(BLOCK), b""):
            if unit == "byte":
                yield np.frombuffer(block, np.uint8).astype(np.uint32)
                continue
            while _cut(block) and (more := file.read(1)):
                block += more
            try:
                yield points_of(decoded_line(block, str(path), number), unit)
            except RowError:
                for place, line in enumerate(BytesIO(block), number):
                    try:
                        yield points_of(decoded_line(line, str(path), place), unit)
                    except RowError as error:
                        advice = f", or read bytes ({option('unit', 'byte')})."
                        errors.append(RowError(str(error).rstrip(".") + advice, place))
            number += block.count(b"\n")
            lines = number - block.endswith(b"\n")
    if 2 * len(errors) > lines:
        others = f" So it is with {len(errors):,} of {lines:,} lines." if lines > 1 else ""
        raise DataError(f"{errors[0]}{others}")


def _cut(block: bytes) -> bool:
    """Whether bytes of the last character of a block are missing.

    >>> [_cut("é".encode()[:count]) for count in (1, 2)]
    [True, False]
    """
    for back in (1, 2, 3):
        if len(block) < back or block[-back] < 0x80:
            return False
        if block[-back] >= 0xC0:  # the first byte of a character says how many there are
            return (block[-back] >= 0xE0) + (block[-back] >= 0xF0) + 2 > back
    return False
