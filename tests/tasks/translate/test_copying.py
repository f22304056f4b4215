"""What no subword knows is copied whole from where the translation looked."""

import random

import numpy as np
import pytest

from gated.tasks.translate import TranslateConfig, Translator
from gated.tasks.translate.batches import SPECIAL, UNKNOWN
from gated.tasks.translate.copying import taught, unknown_characters
from gated.tasks.translate.pairs import Pair
from gated.tasks.translate.search import Hypothesis
from gated.tasks.translate.subwords import Subwords
from gated.tasks.translate.translation import in_words
from gated.training.options import TrainingOptions

SENTENCES = ["open the file now", "close the other file"] * 3


def test_characters_that_come_once_are_unknown_but_not_those_that_must_be_written() -> None:
    pairs = [
        Pair("see Ωμ now", "voir Ωμ œ", 1),
        Pair("see now ß", "voir maintenant", 2),
        Pair("now see", "maintenant voir", 3),
    ]
    source, target = unknown_characters(pairs)
    assert source == set("Ωμß")
    assert target == set("Ωμ")  # œ and the letters of maintenant are in no source


def test_pairs_are_learnt_from_again_with_a_word_in_common_unknown() -> None:
    known = Subwords.learn(SENTENCES, 100, "bpe")
    pairs = [Pair("open the file", "file close", 1), Pair("close", "ferme", 2)]
    ((source, target),) = taught(pairs, known, known, share=0.999, seed=0)
    assert known.decode([known.names[code] for code in source]) == "open the <unk>"
    assert target.count(UNKNOWN) == 1
    assert taught(pairs, known, known, share=0.0, seed=0) == []


def test_the_unknown_word_that_was_looked_at_most_is_copied() -> None:
    known = Subwords.learn(SENTENCES, 100, "bpe")
    sentence = "open Москва the Прага file"
    read = [piece.code for piece in known.pieces(sentence)]
    assert read.count(UNKNOWN) == 2
    (code,) = known.encode(["the"])[0]
    attention = np.full((4, len(read) + 1), 0.01, np.float32)
    attention[0, 0] = attention[2, 0] = 0.5  # at a word that is known
    attention[0, -3] = attention[2, 2] = 0.2
    found = in_words(sentence, Hypothesis([UNKNOWN, code, UNKNOWN], -1.0, attention), known, known)
    assert found.subwords == ["Прага", "▁the", "Москва", "</s>"]
    assert found.source == ["▁open", "▁", "Москва", "▁the", "▁", "Прага", "▁file", "</s>"]
    found = in_words("close file", Hypothesis([UNKNOWN], -1.0, attention[:, :3]), known, known)
    assert found.text == "close"  # all that it looked at is known


def test_several_characters_of_one_emoji_are_one() -> None:
    known = Subwords.learn(SENTENCES, 100, "bpe")
    pieces = known.pieces("open 👩\u200d💻!")
    assert [piece.copied for piece in pieces if piece.code == UNKNOWN] == ["👩\u200d💻!"]


def named_pairs(count: int) -> list[tuple[str, str]]:
    """Sentences with a name of two letters that come nowhere else, written in another place."""
    draw = random.Random(0)
    words = {"ba": "一", "ko": "二", "ti": "三", "mu": "四", "re": "五", "sa": "六"}
    pairs = []
    for number in range(count):
        name = chr(0xAC00 + 2 * number) + chr(0xAC01 + 2 * number)
        before, after, last = draw.choices(list(words), k=3)
        pairs.append(
            (
                f"{before} {name} {after} {last}",
                f"{words[last]} {name} {words[after]}{words[before]}",
            )
        )
    return pairs


@pytest.fixture(scope="module")
def copier() -> Translator:
    config = TranslateConfig(
        hidden=48, embedding=24, vocabulary=60, dropout=0.0, test=20, validation=20, copying=0.0
    )
    training = TrainingOptions(
        steps=250, batch_size=24, learning_rate=0.02, validate_every=250, threads=1
    )
    return Translator(config, training).fit(named_pairs(600))


NAMES = ["Москва", "Zürich", "😀", "한국", "東京", "👩\u200d💻"]
NAMES += ["http://www.example.org/foo", "a.b@c.org", "/usr/share/doc", "%1$s", "{name}", "%PRODUCT"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_characters_never_seen_is_copied_whole(copier: Translator, name: str) -> None:
    assert UNKNOWN in copier.source.encode([name])[0]
    ((best,),) = copier.translate([f"ba {name} ti mu"])
    assert best.text == f"四 {name} 三一"
    assert set(best.subwords).isdisjoint(SPECIAL[:3])


def test_what_is_the_same_in_every_language_is_one_unknown_word() -> None:
    known = Subwords.learn([*SENTENCES, *["a , ( ) . 。 ; % / - 1 2 3 5 0 请看"] * 3], 100, "bpe")
    for sentence, copied in (
        (
            "see http://w.example.org/foo, or (www.b.c/d?e=f).",
            ["http://w.example.org/foo", "www.b.c/d?e=f"],
        ),
        ("请看http://a.org/b。", ["http://a.org/b"]),
        ("a.b@c.org; %1$s and %d {name}", ["a.b@c.org", "%1$s", "%d", "{name}"]),
        ("~/x/y.txt ${V} {{ x.y }} $(A)", ["~/x/y.txt", "${V}", "{{ x.y }}", "$(A)"]),
        ("100% of 50 % a day, and/or 1/2/3", []),
    ):
        found = [of.copied for of in known.pieces(sentence) if of.code == UNKNOWN]
        assert [of for of in found if of in copied] == copied, sentence
        assert not any("/" in of or "%" in of for of in found if of not in copied), sentence
    for source in ("open the file", "open http://a.org/b"):  # that holds another address
        target = known.pieces("the http://a.org file", source)
        assert "http://a.org" not in [piece.copied for piece in target if piece.code == UNKNOWN]
    (codes,) = known.encode(["the http://a.org file"], ["open http://a.org"])
    assert codes.count(UNKNOWN) == 1
