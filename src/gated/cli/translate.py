"""`gated translate`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from gated.cli.app import complain
from gated.cli.output import print_json, tell_left_out
from gated.cli.places import check_new_directory, check_new_file
from gated.cli.run_directory import trained
from gated.data.bad_rows import BadRows
from gated.data.text_lines import lines_of, text_lines
from gated.errors import DataError, require
from gated.files import write_atomically
from gated.report.drawing import style
from gated.tasks.translate.alignment import aligned
from gated.tasks.translate.page import attention_picture
from gated.tasks.translate.translation import Translation
from gated.tasks.translate.translator import Translator

AT_ONCE = 256
"""Lines read before they are translated, where nobody waits at a terminal."""


def translate(
    run: Path,
    text: Path | None = None,
    *,
    beam: int | None = None,
    n_best: int = 1,
    length_penalty: float | None = None,
    coverage_penalty: float | None = None,
    attention: Path | None = None,
    alignments: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Translate lines of a file or of standard input, at a terminal one after the other.

    Parameters
    ----------
    run
        Directory of a trained translator.
    text
        File of sentences, one a line, in UTF-8; by default standard input.
    beam
        Translations kept at each step of the search, 1 for a greedy one; by default the run's.
    n_best
        Different translations of each line; above 1, each is printed with the number of its line
        and its score.
    length_penalty
        0 favours short translations, 1 the mean per subword; by default the run's.
    coverage_penalty
        Above 0 favours translations that read all the source; by default the run's.
    attention
        New directory for pictures of the attention weights of each translation, as PNG.
    alignments
        New file with a line for each line translated: pairs i-j, counted from 0, say that word j of
        the translation comes from word i of the sentence, by the attention (Pharaoh format).
    skip_bad
        Go on after lines that cannot be translated, and list them; each has an empty translation.
    json
        Print a JSON document with every translation, score, and the subwords of both sides.
    """
    if attention is not None:
        require("matplotlib", extra="explain")
        check_new_directory(attention, "--attention")
    if alignments is not None:
        check_new_file(alignments, "--alignments")
    translator = trained(Translator, run)
    ask = partial(
        translator.translate,
        beam=beam,
        n_best=n_best,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
    )
    ask([])  # refuses invalid options before anything is read
    documents: list[Any] = []
    lines: list[str] = []
    number, bad = 0, BadRows(skip=skip_bad, what="line")
    typed = text is None and sys.stdin.isatty()
    for translations in _typed(ask) if typed else _read(ask, text, bad):
        for best in translations:
            number += 1
            if attention is not None and best:
                _draw(attention, number, best[0])
            if alignments is not None:
                lines.append(f"{aligned(best[0])}\n" if best else "\n")
            if json:
                documents.append([_document(translation) for translation in best])
            else:
                _print_translations(number, best, n_best)
        sys.stdout.flush()
    if alignments is not None:
        write_atomically(alignments, "".join(lines).encode())
    if json:
        print_json(documents)
    tell_left_out(bad.findings)


Translations = list[list[Translation]]


def _typed(ask: Callable[..., Translations]) -> Iterator[Translations]:
    """Translate what is typed, line by line; an error is printed, and the next line asked for."""
    for number in count(1):
        try:
            yield ask([input("> ")], first=number)
        except EOFError:
            print()
            return
        except UnicodeDecodeError as error:
            complain(DataError(f"What was typed is not UTF-8: {error}."), as_json=False)
        except DataError as error:
            complain(error, as_json=False)


def _read(
    ask: Callable[..., Translations], text: Path | None, bad: BadRows
) -> Iterator[Translations]:
    """Translate the lines of a file, or of a pipe, some at a time; a bad one has no translation."""
    if text is None:
        portions = _as_they_come(text_lines(sys.stdin.buffer, "standard input", bad))
    else:
        lines = lines_of(text, bad)
        portions = iter(lambda: list(islice(lines, AT_ONCE)), [])
    first = 1
    for portion in portions:
        try:
            yield ask(portion, first=first)
        except DataError as error:
            if not bad.skip:
                bad(error)
            yield [_alone(ask, line, number, bad) for number, line in enumerate(portion, first)]
        first += len(portion)


def _alone(
    ask: Callable[..., Translations], line: str, number: int, bad: BadRows
) -> list[Translation]:
    try:
        return ask([line], first=number)[0]
    except DataError as error:
        bad(error)
        return []


def _as_they_come(lines: Iterator[str]) -> Iterator[list[str]]:
    """Yield the lines that have come by now, one at least: an answer may be waited for."""
    waiting: Queue[str | Exception | None] = Queue(AT_ONCE)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except Exception as error:  # it is raised where the lines are read
            waiting.put(error)

    Thread(target=read, daemon=True).start()
    while True:
        come = [waiting.get()]
        while len(come) < AT_ONCE and isinstance(come[-1], str) and not waiting.empty():
            come.append(waiting.get())
        if found := [line for line in come if isinstance(line, str)]:
            yield found
        if isinstance(come[-1], Exception):
            raise come[-1]
        if come[-1] is None:
            return


def _print_translations(number: int, best: list[Translation], n_best: int) -> None:
    if not best:
        print(*([number, "", ""] if n_best > 1 else []), sep="\t")
    for translation in best:
        if n_best == 1:
            print(translation.text)
        else:
            print(number, f"{translation.score:.4f}", translation.text, sep="\t")


def _document(translation: Translation) -> dict[str, Any]:
    alignment = aligned(translation)
    return {
        "text": translation.text,
        "score": translation.score,
        "source": translation.source,
        "subwords": translation.subwords,
        "attention": translation.attention.round(4).tolist(),
        "source_words": alignment.source,
        "words": alignment.words,
        "alignment": alignment.pairs,
    }


def _draw(directory: Path, number: int, translation: Translation) -> None:
    if not translation.attention.size:
        return
    try:
        with style():
            picture = attention_picture(translation)
    except DataError as error:
        complain(DataError(f"Line {number:,} is not drawn. {error}"), as_json=False)
        return
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / f"{number:04d}.png", picture.png)
