"""Texts as they are spoken: digits and symbols spelled, or refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from gated.errors import ConfigurationError, DataError, option, require

SYMBOLS = {
    "en": "%=percent &=and +=plus ==equals @=at €=euros $=dollars £=pounds °=degrees #=number",
    "de": "%=Prozent &=und +=plus ==gleich @=at €=Euro $=Dollar £=Pfund °=Grad #=Nummer",
    "fr": "%=pour_cent &=et +=plus ==égale @=arobase €=euros $=dollars £=livres °=degrés #=numéro",
    "es": "%=por_ciento &=y +=más ==igual_a @=arroba €=euros $=dólares £=libras °=grados #=número",
    "it": "%=per_cento &=e +=più ==uguale @=chiocciola €=euro $=dollari £=sterline °=gradi",
    "zh": "&=和 +=加 ==等于 €=欧元 $=美元 £=英镑 °=度",
}
"""What symbols are called, by language; in other languages they are refused."""
SPOKEN_PUNCTUATION = frozenset("%‰&@#§/*\\_")
"""Signs that Unicode counts as punctuation, and that are spoken."""
ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,:'’]\d+)*")
LONGEST = 15
"""Digits of a number at most."""
YEARS = range(1100, 2100)
"""Numbers that are spoken otherwise as years."""


def is_spoken_sign(letter: str) -> bool:
    """Whether a character is a digit or a symbol, which is spoken as words of its own.

    >>> [is_spoken_sign(letter) for letter in "7²%€a.,'-"]
    [True, True, True, True, False, False, False, False, False]
    """
    kind = unicodedata.category(letter)
    return kind[0] in "NS" or letter in SPOKEN_PUNCTUATION


def check_spelled(text: str, letters: Iterable[str] = ()) -> None:
    """Refuse digits and symbols that are not among `letters`.

    Raises:
        DataError: there is one.
    """
    allowed = set(letters)
    for letter in text:
        if is_spoken_sign(letter) and letter not in allowed:
            raise DataError(
                f"its text has {letter!r}, which may be spoken in several ways: write it out, let "
                f"{option('spell')} en spell numbers and symbols in that language, or have "
                f"{letter!r} among the letters of {option('alphabet')}."
            )


class Speller:
    """Spells numbers and symbols of a language, by Unicode's rules (CLDR).

    Raises:
        ConfigurationError: the language is not known.
    """

    def __init__(self, language: str) -> None:
        rbnf = require("unicode_rbnf", extra="speech")
        known = rbnf.RbnfEngine.get_supported_languages()
        if language not in known:
            raise ConfigurationError(
                f"{option('spell')} is {language!r}; languages are {', '.join(known)}."
            )
        self._language, self._purposes = language, rbnf.FormatPurpose
        self._engine = rbnf.RbnfEngine.for_language(language)
        pairs = SYMBOLS.get(language.partition("_")[0], "").split()
        self._symbols = {pair[0]: pair[2:].replace("_", " ") for pair in pairs}

    def spelled(self, text: str) -> str:
        """Return `text` with numbers and symbols as words.

        Numbers with points or commas, which languages write in different ways, numbers that may be
        years, and symbols without a name are left as they are, for `check_spelled` to refuse.

        >>> Speller("en").spelled("the 2nd of 21 rooms at 5%, in 1984")
        'the second of twenty-one rooms at five percent , in 1984'
        """
        if self._language.startswith("en"):
            text = ORDINAL.sub(lambda found: self._number(int(found[1]), ordinal=True), text)
        text = NUMBER.sub(self._of, text)
        return "".join(
            f" {self._symbols[letter]} " if letter in self._symbols else letter for letter in text
        )

    def _of(self, found: re.Match[str]) -> str:
        digits = found[0]
        if not digits.isascii() or not digits.isdigit() or len(digits) > LONGEST:
            return digits
        if len(digits) == 4 and int(digits) in YEARS:
            return digits
        if digits[0] == "0":
            return " ".join(self._number(int(digit)) for digit in digits)
        return self._number(int(digits))

    def _number(self, number: int, *, ordinal: bool = False) -> str:
        purpose = self._purposes.ORDINAL if ordinal else self._purposes.CARDINAL
        text: str = self._engine.format_number(number, purpose).text
        return text.replace("\u00ad", "")
