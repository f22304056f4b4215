"""Numbers as people write them: `1,05`, `1.234,5`, `"10,012.57"`, `1 234`, `€ 5`, `5 %`, `(3.20)`.

A comma and a point both separate decimals, and both group thousands. Most numbers can be read in
one way only; one of these settles its column, and a column settles the others of its table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import polars as pl

Mark: TypeAlias = Literal[".", ","]
"""What separates the decimals of a number."""

EXPONENT = r"(?:[eE][+-]?\d+)?"
WHOLE: dict[Mark, str] = {
    # Also by hundreds, as in India: 1,23,456.
    ".": r"(?:\d+|[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}|[1-9]\d{0,2}(?: \d{3})+)",
    ",": r"(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+|[1-9]\d{0,2}(?: \d{3})+)",
}
GRAMMAR: dict[Mark, str] = {
    mark: rf"^(?:{whole}(?:[{mark}]\d*)?|[{mark}]\d+){EXPONENT}$" for mark, whole in WHOLE.items()
}
GROUPED = r"^[+-]?[1-9]\d{0,2}(?:\.\d{3})+$"
"""Numbers with points that may also group thousands."""
SPACES = r"[\s\x{00A0}\x{2000}-\x{200A}\x{202F}\x{3000}'’]+"
"""Spaces of every width, and apostrophes, as between thousands in Switzerland."""
MINUS = r"[\x{2212}\x{2012}\x{2013}\x{FF0D}]"
UNIT = r"[%‰％]|[A-Za-z]{0,3}\p{Sc}|[A-Z]{3}|kr\.?|zł|Kč|Ft|元"
PARTS = (
    rf"^(?<open>\()?(?<sign>[+-])? ?(?<before>{UNIT})? ?(?<second>[+-])? ?"
    rf"(?<body>[\d.,](?:[\d., ]*[\d.,])?{EXPONENT}) ?"
    rf"(?<last>-)? ?(?<after>{UNIT})? ?(?<close>\))?$"
)
"""A number with a sign, before it or after it, in brackets where it is negative, and a unit."""
SHARES = ("%", "‰", "％")


@dataclass(frozen=True)
class Written:
    """Texts taken apart: a row for each, in the order of the column."""

    body: pl.Series
    """Digits, marks and groups; null where the text is no number in any way."""
    negative: pl.Series
    unit: pl.Series
    """The sign of a currency or `%`; empty without one."""
    fits: dict[Mark, pl.Series] = field(default_factory=dict)
    """Whether `body` is a number where this separates the decimals."""

    @classmethod
    def of(cls, texts: pl.Series) -> Written:
        """Take `texts` apart."""
        plain = texts.str.replace_all(SPACES, " ").str.strip_chars(" ")
        parts = plain.str.replace_all(MINUS, "-").str.extract_groups(PARTS).struct.unnest()
        signs = [parts[name] == "-" for name in ("sign", "second", "last")]
        bracket = parts["open"].is_not_null()
        minuses = sum(
            (sign.fill_null(False).cast(pl.Int8) for sign in signs), bracket.cast(pl.Int8)
        )
        units = parts["before"].is_not_null().cast(pl.Int8) + parts["after"].is_not_null()
        sound = (minuses <= 1) & (units <= 1) & (bracket == parts["close"].is_not_null())
        body = parts["body"].set(~sound, None)
        return cls(
            body,
            minuses > 0,
            parts["before"].fill_null(parts["after"]).fill_null("").replace("％", "%"),
            {mark: body.str.contains(form).fill_null(False) for mark, form in GRAMMAR.items()},
        )

    @property
    def certain(self) -> dict[Mark, pl.Series]:
        """Which texts are numbers with this mark, and with no other."""
        point, comma = self.fits["."], self.fits[","]
        return {".": point & ~comma, ",": comma & ~point}

    @property
    def unsure(self) -> pl.Series:
        """Which texts are different numbers by the two marks: `1,234`."""
        return self.fits["."] & self.fits[","] & self.body.str.contains("[.,]")

    def values(self, mark: Mark) -> pl.Series:
        """Return the numbers, null where a text is none with this mark."""
        other = "," if mark == "." else "."
        plain = self.body.str.replace_all(other, "", literal=True).str.replace_all(" ", "")
        plain = plain.str.replace(mark, ".", literal=True)
        numbers = plain.cast(pl.Float64, strict=False).set(~self.fits[mark], None)
        return numbers * (1.0 - 2.0 * self.negative.cast(pl.Float64))
