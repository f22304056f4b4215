"""Codes of a text: its characters, its bytes, or subwords by byte-pair encoding.

Subwords are cut as the `tokenizers` library cuts them (Sennrich, Haddow and Birch 2016), without
that library.
"""

from __future__ import annotations

import heapq
import re
import sys
import unicodedata
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gated.live.entry import Entry

Codes: TypeAlias = NDArray[np.int64]
UNITS = ("character", "byte", "subword")
MOST_WORDS = 1 << 16
"""Words whose subwords are remembered."""
BYTES = 256
SPACES = frozenset(
    "\t\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
"""White space but the plain one and the line's end."""
PIECES = re.compile(r"\n| ?L[LM]*| ?N| ?O+|[ S]+|M+")
"""Subwords are within one of these, each character being its class: a word with the space before
it, a digit, other signs, the end of a line."""


class Coder(ABC):
    """Turns texts into codes from 0 to `count` - 1."""

    @abstractmethod
    def codes(self, text: str) -> Codes:
        """Return the codes of a text."""


class Letters(Coder):
    """A code for each character or byte: its place among some code points, from 1 on; 0 for others.

    Args:
        points: code points, each once.
        unit: character or byte.
    """

    def __init__(self, points: Codes, unit: str) -> None:
        self._unit = unit
        self._places = np.argsort(points, kind="stable")
        self._points = points[self._places]

    def codes(self, text: str) -> Codes:
        """Look each up."""
        if self._unit == "byte":
            points: Codes = np.frombuffer(_utf8(text), np.uint8).astype(np.int64)
        else:
            points = points_of(text)
        at = np.minimum(np.searchsorted(self._points, points), len(self._points) - 1)
        return np.where(self._points[at] == points, self._places[at] + 1, 0)


class Subwords(Coder):
    """Subwords over the bytes of UTF-8.

    Args:
        of_byte: (256,), the code of each byte.
        merges: (M, 3): which two codes become which other, the first ones first.
    """

    def __init__(self, of_byte: Codes, merges: Codes) -> None:
        self._of_byte = of_byte.tolist()
        self._merges = {
            (left, right): (rank, made) for rank, (left, right, made) in enumerate(merges.tolist())
        }
        self._known: dict[str, list[int]] = {}

    def codes(self, text: str) -> Codes:
        """Cut the text into pieces, and merge the bytes of each."""
        classes = "".join(map(_class_of, text))
        found: list[int] = []
        for piece in PIECES.finditer(classes):
            word = text[piece.start() : piece.end()]
            codes = self._known.get(word)
            if codes is None:
                codes = self._merged([self._of_byte[byte] for byte in _utf8(word)])
                if len(self._known) < MOST_WORDS:
                    self._known[word] = codes
            found += codes
        return np.array(found, np.int64)

    def _merged(self, codes: list[int]) -> list[int]:
        """Merge the pair that comes first in the merges, from left to right, while there is one."""
        merges, count = self._merges, len(codes)
        after, before = [*range(1, count), -1], [*range(-1, count - 1)]
        waiting: list[tuple[int, int, int]] = []

        def look(at: int) -> None:
            found = merges.get((codes[at], codes[after[at]]))
            if found is not None:
                heapq.heappush(waiting, (found[0], at, found[1]))

        for at in range(count - 1):
            look(at)
        gone = [False] * count
        while waiting:
            rank, at, made = heapq.heappop(waiting)
            following = after[at]
            if gone[at] or following < 0:
                continue
            if merges.get((codes[at], codes[following])) != (rank, made):
                continue  # one of the two has been merged since
            codes[at], gone[following], after[at] = made, True, after[following]
            if after[at] >= 0:
                before[after[at]] = at
                look(at)
            if before[at] >= 0:
                look(before[at])
        return [code for code, left in zip(codes, gone, strict=True) if not left]


def points_of(text: str) -> Codes:
    """Return the code point of each character."""
    data = text.encode("utf-32-le", "surrogatepass")
    return np.frombuffer(data, "<u4").astype(np.int64)


def text_of(points: Codes) -> str:
    """Return the text of code points."""
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def coder_of(entry: Entry, count: int) -> Coder | None:
    """Read how texts become codes from 0 to `count` - 1; None where the entry does not say.

    Raises:
        ModelFileError: the options do not fit together.
    """
    unit = entry.text("unit", [*UNITS, ""], "")
    if unit == "subword":
        of_byte = entry.codes("bytes", count, BYTES)
        return Subwords(of_byte, entry.codes("merges", count, None, 3))
    numbers = entry.numbers("points", None, above=-1, default=[])
    if (numbers > sys.maxunicode).any() or (numbers != np.round(numbers)).any():
        raise entry.wrong("has a point that no character has")
    points = numbers.astype(np.int64)
    if (np.diff(np.sort(points)) == 0).any():
        raise entry.wrong("has a point twice")
    if not unit:
        return None
    if len(points) != count - 1:
        raise entry.wrong("must have a point for each code but the first")
    return Letters(points, unit)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@lru_cache(MOST_WORDS)
def _class_of(letter: str) -> str:
    """Return the class of a character: a letter, a mark, a number, white space, or another."""
    if letter in " \n":
        return letter
    if letter in SPACES:
        return "S"
    kind = unicodedata.category(letter)[0]
    return kind if kind in "LMN" else "O"
