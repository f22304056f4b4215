"""Sentence pairs from files: tab-separated lines, two aligned files, .po, TMX or XLIFF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from gated.data.bad_rows import Bad, BadRows
from gated.data.findings import RowError
from gated.data.manifest import read_rows
from gated.data.raw_table import is_table
from gated.data.text_lines import lines_of, numbered_lines
from gated.errors import DataError, require
from gated.tasks.translate.exchange_files import SUFFIXES, read_exchange_file

TAB_SEPARATED = (".tsv", ".tab")
"""Suffixes of files of pairs, without a header."""


class Pair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str
    line: int
    """Line in its file, or in both aligned files, counted from 1."""


Source = Path | str | tuple[Path | str, Path | str] | Sequence[tuple[str, str]]
"""A file of pairs, two aligned files, or pairs themselves."""


def read_pairs(
    data: Source, bad: BadRows | None = None, columns: tuple[str, str] = ("source", "target")
) -> list[Pair]:
    """Read `data`, in any of the forms; lines that cannot be used go to `bad`.

    A table (.csv, Parquet or a sheet) has the pairs in its `columns`; a TMX file of more than two
    languages has them in those languages.

    Raises:
        DataError: a file is empty, binary, not UTF-8 or malformed; the message names the line.
        FileNotFoundError: there is no such file.
    """
    bad = bad or BadRows(skip=False, what="line")
    if isinstance(data, str | Path):
        path = Path(data)
        if path.suffix in (".po", ".pot"):
            pairs = _read_po(path)
        elif path.suffix.lower() in SUFFIXES:
            pairs = [Pair(*of) for of in read_exchange_file(path, columns)]
        elif is_table(path) and path.suffix.lower() not in TAB_SEPARATED:
            roles = dict(zip(Pair._fields, columns, strict=False))
            rows = read_rows(path, roles, tuple(roles), "A table of pairs", bad)
            pairs = [Pair(of["source"], of["target"], line) for line, of in rows]
        else:
            pairs = _read_columns(path, bad)
        name = str(path)
    elif len(data) == 2 and all(isinstance(one, str | Path) for one in data):
        source, target = (Path(str(path)) for path in data)
        pairs, name = _read_aligned(source, target, bad), f"{source} and {target}"
    else:
        name = "the list of pairs"
        both = cast(Sequence[tuple[str, str]], data)
        pairs = [Pair(*pair, line) for line, pair in enumerate(both, 1)]
        for pair in pairs:
            check_utf8(pair.source + pair.target, f"Pair {pair.line:,}")
    if not pairs:
        raise DataError(f"{name}: there is no pair of sentences in it.")
    return pairs


def check_utf8(text: str, name: str) -> None:
    """Refuse a text with surrogates, as undecodable bytes leave them.

    Raises:
        DataError: it has one; the message calls the text `name`.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name} is not UTF-8 at character {error.start + 1:,}: {text[error.start]!r}."
        ) from error


def _read_columns(path: Path, bad: Bad) -> list[Pair]:
    pairs = []
    for number, line in numbered_lines(path, bad):
        if line is None:
            continue
        columns = line.split("\t")
        if len(columns) != 2 and line.strip():
            message = (
                f"{path}, line {number}: {len(columns)} column{'s'[: len(columns) > 1]} and not "
                f"2. Each line is a sentence, a tab, and its translation; this one begins "
                f"{line[:40]!r}."
            )
            bad(RowError(message, number))
            continue
        source, target = columns if len(columns) == 2 else ("", "")
        pairs.append(Pair(source, target, number))
    return pairs


def _read_aligned(source: Path, target: Path, bad: Bad) -> list[Pair]:
    sources, targets = list(lines_of(source, bad)), list(lines_of(target, bad))
    if len(sources) != len(targets):
        short = source if len(sources) < len(targets) else target
        raise DataError(
            f"{source} has {len(sources):,} lines and {target} {len(targets):,}, so they are not "
            f"aligned: line {min(len(sources), len(targets)) + 1:,} has no partner in {short}. "
            "Line N of one must be the translation of line N of the other."
        )
    return [Pair(*both, line) for line, both in enumerate(zip(sources, targets, strict=True), 1)]


def _read_po(path: Path) -> list[Pair]:
    """Read the finished translations: not the fuzzy ones, nor the obsolete."""
    polib = require("polib", extra="text")
    text = "\n".join(lines_of(path)) + "\n"
    try:
        entries = polib.pofile(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not gettext's .po: {error}.") from error
    pairs = []
    for entry in entries:
        if entry.obsolete or entry.fuzzy or entry.msgid == "":
            continue
        if not entry.msgid_plural:
            pairs.append(Pair(entry.msgid, entry.msgstr, entry.linenum))
            continue
        # By their numbers: the first form says one, the last one many.
        forms = [form for _, form in sorted(entry.msgstr_plural.items())] or [""]
        pairs.append(Pair(entry.msgid, forms[0], entry.linenum))
        pairs.append(Pair(entry.msgid_plural, forms[-1], entry.linenum))
    return pairs
