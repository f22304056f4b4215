"""Texts are cut into the codes of the `tokenizers` library, and counted as scikit-learn counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load
from sklearn.feature_extraction.text import TfidfVectorizer

from gated.core.text_features import BEGIN, END, View, letters_in, words_in
from gated.live.coding import Subwords
from gated.texts import vocabulary
from gated.texts.text import points_of

LEARNT = (
    "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer\n"
    "the slings and arrows of outrageous fortune 1603 1623, or to take arms\tagainst a sea\n"
    "  été Über naïve 漢字 漢字仮名 e\u0301e\u0301 ... !!! aaaa aaaaaaa abab ababab <unknown>\n"
) * 3


def both(most: int) -> tuple[vocabulary.Subwords, Subwords]:
    learnt = vocabulary.Subwords.learn([points_of(LEARNT, "subword")], most)
    arrays = load(learnt.attached()[vocabulary.SUBWORDS])
    return learnt, Subwords(*(arrays[of].astype(np.int64) for of in ("bytes", "merges")))


LIBRARY, OURS = both(420)


@settings(deadline=None, max_examples=300)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30)
    | st.text("ab o\nr1,.\t é漢\u0301<unkow>\u3000\x1c\x85", max_size=60)
)
def test_subwords_are_those_of_the_library(text: str) -> None:
    wanted = LIBRARY.encode(points_of(text, "subword"))
    np.testing.assert_array_equal(OURS.codes(text), wanted)


def test_subwords_of_long_words_take_no_long_time() -> None:
    text = "ab" * 100_000
    np.testing.assert_array_equal(OURS.codes(text), LIBRARY.encode(points_of(text, "subword")))
    assert len(OURS.codes(LEARNT)) < len(LEARNT) / 2


@pytest.mark.parametrize(
    ("of", "options"),
    [
        (words_in, {"ngram_range": (1, 3), "token_pattern": r"(?u)\b\w+\b"}),
        (
            letters_in,
            {
                "analyzer": "char",
                "ngram_range": (1, 5),
                "preprocessor": lambda text: BEGIN + text + END,
            },
        ),
    ],
)
def test_features_are_those_of_scikit_learn(of, options: dict) -> None:
    texts = [*LEARNT.splitlines(), "a  b\t\nc A", "the the THE mind", "", "?"]
    model = TfidfVectorizer(sublinear_tf=True, **options).fit(texts)
    names = model.get_feature_names_out().tolist()
    view = View(of, names, model.idf_.astype(np.float32))
    for text in (*texts, "Unknown words, the mind", "Ωmega"):
        found = np.zeros(len(view))
        places, values = view(text)
        found[places] = values
        wanted = model.transform([text]).toarray()[0]
        np.testing.assert_allclose(found, wanted, atol=1e-6)
