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
    again = Subwords.from_json_value(subwords.to_json_value())
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
    pieces = subwords.pieces("the Zebra 打鼠 Zoé")
    assert [piece.copied for piece in pieces if piece.code == UNKNOWN] == ["Zebra", "鼠", "Zoé"]


def test_a_vocabulary_too_small_for_the_letters_is_refused_a_large_one_is_not_filled() -> None:
    with pytest.raises(DataError, match="raise vocabulary"):
        Subwords.learn(SENTENCES, 20, "bpe")
    assert len(Subwords.learn(SENTENCES, 100_000, "bpe")) < 200


def test_a_prefix_that_would_end_the_process_is_refused() -> None:
    saved = Subwords.learn(["ba ko", "一二"], 30, "bpe").to_json_value()
    saved["model"]["continuing_subword_prefix"] = "x"
    with pytest.raises(ModelFileError, match="damaged"):
        Subwords.from_json_value(saved)


def test_damaged_json_is_refused() -> None:
    with pytest.raises(ModelFileError, match="damaged"):
        Subwords.from_json_value({})


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_names_of_special_subwords_in_a_sentence_are_text(kind) -> None:
    sentence = "<pad> is <unk>, </s>[EOS]<s>"
    subwords = Subwords.learn([*SENTENCES, sentence, sentence], 120, kind)
    for one in (subwords, Subwords.from_json_value(subwords.to_json_value())):
        (codes,) = one.encode([sentence])
        assert min(codes) >= len(SPECIAL)
        assert one.decode([one.names[code] for code in codes]) == sentence


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("sentence", ["打开文件夹", "a b c d e", "文件。ab。", "é"])
def test_a_vocabulary_is_never_larger_than_asked_for(kind, sentence) -> None:
    letters = len(set(sentence))
    sizes = [*range(letters + 3, letters + 12), 1000]
    learnt = 0
    for size in sizes:
        try:
            assert len(Subwords.learn([sentence] * 5, size, kind)) <= size
            learnt += 1
        except DataError as error:
            assert "raise vocabulary to" in str(error)  # noqa: PT017
    assert learnt >= len(sizes) - 4


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_characters_said_to_be_unknown_are_in_no_subword(kind) -> None:
    subwords = Subwords.learn(SENTENCES, 80, kind, unknown={"L", "件"})
    names = "".join(subwords.names[len(SPECIAL) :])
    assert "L" not in names
    assert "件" not in names
    assert "O" in names
    assert (
        Subwords.learn(["ab", "ba"], 80, kind, unknown={"a", "b"}).encode(["ab"])[0][-1] == UNKNOWN
    )
