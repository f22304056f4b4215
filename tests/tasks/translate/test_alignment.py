"""Words of a translation aligned with those of its sentence."""

from __future__ import annotations

import numpy as np

from gated.tasks.translate.alignment import aligned, words_of
from gated.tasks.translate.translation import NOTHING, Translation


def test_subwords_are_joined_to_words() -> None:
    source = ["▁op", "en", "▁it", "▁", "Щедрин", "</s>"]
    subwords = ["▁l", "'", "ouvrir", "▁", "Щедрин", "▁!", "</s>"]
    attention = np.full((7, 6), 0.01, np.float32)
    # The article is read with the verb: two halves of a word count together.
    attention[0, [0, 1, 2]] = 0.3, 0.3, 0.4
    attention[1, 1] = attention[2, 0] = attention[4, 4] = 0.9
    attention[3, 2] = 0.9  # a space of its own belongs to no word
    attention[5, 5] = 0.9  # the end of the sentence
    found = aligned(Translation("l'ouvrir Щедрин !", 0.0, source, subwords, attention))
    assert found.source == ["open", "it", "Щедрин"]
    assert found.words == ["l'ouvrir", "Щедрин", "!"]
    assert str(found) == "0-0 2-1"


def test_characters_are_words_where_no_spaces_are_written() -> None:
    assert words_of(" 打开 PDF 文件。") == ["打", "开", "PDF", "文", "件", "。"]
    source, subwords = ["▁open", "▁file", "</s>"], ["▁打开", "文件", "</s>"]
    attention = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 0, 1]], np.float32)
    found = aligned(Translation("打开文件", 0.0, source, subwords, attention))
    assert found.words == ["打", "开", "文", "件"]
    # A subword of two characters is both.
    assert str(found) == "0-0 0-1 1-2 1-3"


def test_an_empty_translation_has_no_pair() -> None:
    assert aligned(NOTHING).pairs == []
    ended = Translation("", 0.0, ["▁open", "</s>"], ["</s>"], np.ones((1, 2), np.float32))
    assert str(aligned(ended)) == ""
