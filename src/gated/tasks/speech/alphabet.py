"""Letters as codes, and normalised texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gated.errors import DataError, option

BLANK = 0
"""The output that writes nothing (Graves et al. 2006)."""
APOSTROPHES = {"\u2019": "'", "\u02bc": "'"}


def normalised(text: str, *, keep_case: bool, keep_punctuation: bool) -> str:
    """Return `text` in NFC, with single spaces and, unless kept, without case and punctuation.

    >>> normalised("Don’t  wait - GO, now!", keep_case=False, keep_punctuation=False)
    "don't wait go now"
    """
    text = unicodedata.normalize("NFC", text)
    for given, plain in APOSTROPHES.items():
        text = text.replace(given, plain)
    if not keep_case:
        text = text.lower()
    if not keep_punctuation:
        text = "".join(_heard(text, place) for place in range(len(text)))
    return " ".join(text.split())


def _heard(text: str, place: int) -> str:
    letter = text[place]
    if letter.isalnum() or unicodedata.category(letter).startswith("M"):
        return letter
    inside = 0 < place < len(text) - 1 and text[place - 1].isalpha() and text[place + 1].isalpha()
    return letter if letter == "'" and inside else " "


PLAIN = {
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ı": "i",
}
"""Letters that are no letter with an accent to Unicode."""


@dataclass(frozen=True)
class Alphabet:
    """The letters of transcripts; the first has the code 1, after the blank 0."""

    letters: str
    """The letters, sorted, each once."""

    def __post_init__(self) -> None:
        """Put the letters in order."""
        object.__setattr__(self, "letters", "".join(sorted(set(self.letters))))

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {letter: code for code, letter in enumerate(self.letters, 1)}

    def __len__(self) -> int:
        """Count the outputs of a network: letters and blank."""
        return len(self.letters) + 1

    def encode(self, text: str) -> list[int]:
        """Return the codes of the letters of `text`.

        Raises:
            DataError: a letter is not in the alphabet.
        """
        for letter in text:
            if letter not in self._codes:
                raise DataError(
                    f"its text has the character {letter!r}, which is not in the alphabet "
                    f"{self.letters!r}. Correct the text, or give another {option('alphabet')}."
                )
        return [self._codes[letter] for letter in text]

    def written(self, text: str) -> str:
        """Return `text` with letters of the alphabet in place of others, where there are such.

        The other case is tried, and then the letter without its accents (NFKD).

        >>> Alphabet("abcdefghijklmnopqrstuvwxyz ").written("Crème ﬁx Straße ñ 日")
        'creme fix strasse n 日'
        """
        return "".join(letter if letter in self._codes else self._near(letter) for letter in text)

    def _near(self, letter: str) -> str:
        plain = "".join(
            part
            for part in unicodedata.normalize("NFKD", letter)
            if not unicodedata.category(part).startswith("M")
        )
        for form in (letter, plain):
            for cased in (form, form.lower(), form.upper(), PLAIN.get(form.lower(), "")):
                if cased and all(part in self._codes for part in cased):
                    return cased
        return letter

    def decode(self, codes: Sequence[int]) -> str:
        """Return the text of codes."""
        return "".join(self.letters[code - 1] for code in codes)
