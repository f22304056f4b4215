"""Sentence pairs from the files that translators exchange: TMX 1.4, and XLIFF 1.2 and 2.0.

Text inside marks (`<g>`, `<mrk>`, `<hi>`) is part of a sentence; what stands in the elements for
codes of a word processor (`<ph>`, `<bpt>`, …) is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from gated.errors import DataError, option

SUFFIXES = (".tmx", ".xlf", ".xliff")
LEFT_OUT = frozenset({"bpt", "ept", "ph", "it", "ut", "alt-trans"})
"""Elements of which nothing is read: codes in a sentence, and other translations proposed."""
UNITS = frozenset({"tu", "trans-unit", "segment"})
UNFINISHED = frozenset({"new", "needs-translation", "initial"})
"""States of a target that nobody has translated."""
MOST_LISTED = 8


class Translated(NamedTuple):
    """A sentence in some languages."""

    texts: dict[str, str]
    """By language, in small letters; of XLIFF by `source` and `target`."""
    line: int


def read_exchange_file(path: Path, languages: tuple[str, str]) -> list[tuple[str, str, int]]:
    """Return source, target and line of each finished translation.

    Args:
        path: TMX or XLIFF, by its suffix.
        languages: of source and target in a TMX file of more than two; where the file has none
            that begins so, its first language is the source, and its only other one the target.

    Raises:
        DataError: it is no such file, declares entities, or which languages are meant is not clear.
        FileNotFoundError: there is no such file.
    """
    units = _Reader(path).read()
    pair = ("source", "target")
    if path.suffix.lower() == ".tmx":
        pair = _chosen(path, units, languages)
    return [
        (unit.texts[pair[0]], unit.texts[pair[1]], unit.line)
        for unit in units
        if unit.texts.keys() >= set(pair)
    ]


def _chosen(path: Path, units: Sequence[Translated], wanted: tuple[str, str]) -> tuple[str, str]:
    """The keys of source and target among the languages of a TMX file."""
    there = list(dict.fromkeys(language for unit in units for language in unit.texts))
    named = [
        [one for one in there if one == of.lower() or one.startswith(f"{of.lower()}-")]
        for of in wanted
    ]
    if all(len(of) == 1 for of in named) and named[0] != named[1]:
        return named[0][0], named[1][0]
    if len(there) == 2 and not any(named):
        return there[0], there[1]
    listed = ", ".join(there[:MOST_LISTED]) + (", …" if len(there) > MOST_LISTED else "")
    raise DataError(
        f"{path} holds the languages {listed or 'none'}: name that of the sentences with "
        f"{option('source')} and that of their translations with {option('target')}."
    )


class _Reader:
    """Follows a file element by element, and keeps the texts of the units."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[Translated] = []
        self.unit: Translated | None = None
        self.language: str | None = None
        """Whose text is being read."""
        self.parts: list[str] = []
        self.depth = 0
        """Elements that are open and left out."""
        self.variant = ""
        self.unfinished = False

    def read(self) -> list[Translated]:
        parser = expat.ParserCreate()
        self.parser = parser
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        try:
            with self.path.open("rb") as file:
                parser.ParseFile(file)
        except expat.ExpatError as error:
            raise DataError(
                f"{self.path}, line {error.lineno}: no well-formed XML "
                f"({expat.errors.messages[error.code]})."
            ) from error
        return self.found

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        tag = _local(tag)
        if self.depth or tag in LEFT_OUT:
            self.depth += 1
        elif self.language is not None:
            pass  # a mark, whose text belongs to the sentence
        elif tag in UNITS:
            self.unit = Translated({}, self.parser.CurrentLineNumber)
            self.unfinished = attributes.get("state") in UNFINISHED
        elif self.unit is not None and tag == "tuv":
            self.variant = attributes.get("xml:lang", attributes.get("lang", "")).lower()
        elif self.unit is not None and tag == "seg":
            self.language = self.variant
        elif self.unit is not None and tag in ("source", "target"):
            self.unfinished |= tag == "target" and attributes.get("state") in UNFINISHED
            self.language = tag

    def _end(self, tag: str) -> None:
        tag = _local(tag)
        if self.depth:
            self.depth -= 1
        elif self.language is not None and tag in ("seg", "source", "target"):
            assert self.unit is not None  # noqa: S101 - a language is read in a unit alone
            self.unit.texts.setdefault(self.language, "".join(self.parts))
            self.language, self.parts = None, []
        elif tag in UNITS and self.unit is not None:
            if not self.unfinished:
                self.found.append(self.unit)
            self.unit = None

    def _text(self, text: str) -> None:
        if self.language is not None and not self.depth:
            self.parts.append(text)

    def _entity(self, name: str, *_: object) -> None:
        raise DataError(
            f"{self.path}, line {self.parser.CurrentLineNumber}: it declares the entity "
            f"{name!r}. Files that do are not read: entities can grow without bounds."
        )


def _local(tag: str) -> str:
    """The name of an element without the prefix of its namespace."""
    return tag.rpartition(":")[2]
