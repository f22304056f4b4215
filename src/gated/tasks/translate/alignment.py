"""Which words of a sentence the words of its translation come from, by the attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.tasks.translate.subwords import SPACE, without_spaces
from gated.tasks.translate.translation import Translation


def words_of(text: str) -> list[str]:
    """Return the words of a text, parted by spaces; of a script without them the characters.

    >>> words_of("Open the file."), words_of("打开 PDF 文件")
    (['Open', 'the', 'file.'], ['打', '开', 'PDF', '文', '件'])
    """
    words = [""]
    apart = True
    for letter in text:
        alone = without_spaces(letter)
        if letter.isspace() or alone or apart:
            words.append("")
        if not letter.isspace():
            words[-1] += letter
        apart = alone
    return [word for word in words if word]


class Alignment(NamedTuple):
    """The words of a sentence and of its translation, and which come from which."""

    source: list[str]
    words: list[str]
    pairs: list[tuple[int, int]]
    """(i, j), counted from 0: `words[j]` comes from `source[i]`."""

    def __str__(self) -> str:
        """In the format of Pharaoh.

        >>> print(Alignment(["Open", "it"], ["Ouvrez-le"], [(0, 0), (1, 0)]))
        0-0 1-0
        """
        return " ".join(f"{i}-{j}" for i, j in self.pairs)


def aligned(translation: Translation) -> Alignment:
    """Align the words of a translation with those of its sentence.

    Each word of the translation has the word with most of its attention, that of all subwords of
    both; none where the end of the sentence has more.
    """
    text = "".join(translation.source[:-1]).replace(SPACE, " ")
    read, written = words_of(text), words_of(translation.text)
    if not read or not written:
        return Alignment(read, written, [])
    attention = translation.attention.astype(np.float64)
    of_read, of_written = (
        _shared_characters(words, subwords[:-1])
        for words, subwords in ((read, translation.source), (written, translation.subwords))
    )
    # The mean attention of a word's characters, over the words that the subwords read belong to.
    looks = of_written / of_written.sum(1, keepdims=True).clip(1) @ attention[:-1]
    by_word = looks[:, :-1] @ (of_read / of_read.sum(0).clip(1)).T
    best, most = by_word.argmax(1), by_word.max(1)
    kept = np.flatnonzero((most > 0) & (most >= looks[:, -1]))
    return Alignment(read, written, [(int(best[j]), int(j)) for j in kept])


def _shared_characters(words: Sequence[str], subwords: Sequence[str]) -> NDArray[np.float64]:
    """Return (words, subwords), how many characters each has of each; spaces are none."""
    sizes = [len("".join(subword.replace(SPACE, "").split())) for subword in subwords]
    of_subword = np.repeat(np.arange(len(subwords)), sizes)
    of_word = np.repeat(np.arange(len(words)), [len(word) for word in words])
    both = min(len(of_subword), len(of_word))
    shared = np.zeros((len(words), len(subwords)))
    np.add.at(shared, (of_word[:both], of_subword[:both]), 1)
    return shared
