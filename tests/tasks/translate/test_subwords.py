"""Subwords: sentences come back, and what is unknown can be copied."""

import pytest

from gated.errors import DataError, ModelFileError
from gated.tasks.translate.batches import SPECIAL, UNKNOWN
from gated.tasks.translate.subwords import Subwords

SENTENCES = ["Open the file (2)", "打开 LibreOffice 文件。", "Close the other file: 3.14 %"] * 3


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentences_come_back_also_from_json(kind) -> None:
    subwords = Subwords.learn(SENTENCES, 80, kind)
    assert subwords.names[: len(SPECIAL)] == list(SPECIAL)
    assert len(subwords) <= 80
    again = Subwords.from_json(subwords.to_json())
    for sentence, codes in zip(SENTENCES, subwords.encode(SENTENCES), strict=True):
        assert UNKNOWN not in codes
        assert subwords.decode([subwords.names[code] for code in codes]) == sentence
        assert again.encode([sentence]) == [codes]


def test_a_word_and_the_space_before_it_are_one_subword_digits_are_apart() -> None:
    subwords = Subwords.learn(SENTENCES, 200, "bpe")
    (codes,) = subwords.encode(["Open the file 31"])
    assert [subwords.names[code] for code in codes] == ["▁Open", "▁the", "▁file", "▁3", "1"]


def test_what_is_copied_is_the_whole_word_or_the_chinese_character() -> None:
    subwords = Subwords.learn(SENTENCES, 80, "bpe")
    words = subwords.words("the Zebra 打鼠")
    (codes,) = subwords.encode(["the Zebra 打鼠"])
    copied = {word for word, code in zip(words, codes, strict=True) if code == UNKNOWN}
    assert copied == {"Zebra", "鼠"}


def test_a_vocabulary_too_small_for_the_letters_is_refused_a_large_one_is_not_filled() -> None:
    with pytest.raises(DataError, match="raise vocabulary"):
        Subwords.learn(SENTENCES, 20, "bpe")
    assert len(Subwords.learn(SENTENCES, 100_000, "bpe")) < 200


def test_damaged_json_is_refused() -> None:
    with pytest.raises(ModelFileError, match="damaged"):
        Subwords.from_json("{}")
