"""The search for transcripts, against all that could be written."""

from collections.abc import Sequence
from itertools import groupby, pairwise, product

import numpy as np
import pytest

from gated.errors import ConfigurationError
from gated.tasks.speech.search import Search, aligned, greedy, prefix_beam

STEPS, OUTPUTS = 5, 4
WIDE = Search(beam=10_000, least=0.0)


def likely(seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(STEPS, OUTPUTS)) * 1.5
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def paths(heard: np.ndarray) -> dict[tuple[int, ...], dict[tuple[int, ...], float]]:
    """Every alignment with its log-probability, by the text that it writes."""
    found: dict[tuple[int, ...], dict[tuple[int, ...], float]] = {}
    for path in product(range(OUTPUTS), repeat=STEPS):
        text = tuple(code for code, _ in groupby(path) if code)
        found.setdefault(text, {})[path] = float(heard[range(STEPS), path].sum())
    return found


class Pairs:
    """A language model of pairs of letters, whose state is the letter before."""

    def __init__(self, seed: int) -> None:
        share = np.random.default_rng(seed).dirichlet(np.ones(OUTPUTS - 1), OUTPUTS)
        self.scores = np.log(share).astype(np.float32)

    def begin(self) -> tuple[int, np.ndarray]:
        return OUTPUTS - 1, self.scores[OUTPUTS - 1]

    def after(self, states: Sequence[int], letters: Sequence[int]) -> list[tuple[int, np.ndarray]]:
        assert len(states) == len(letters)
        return [(letter, self.scores[letter]) for letter in letters]

    def worth(self, text: Sequence[int]) -> float:
        letters = [OUTPUTS - 1, *(code - 1 for code in text)]
        return float(sum(self.scores[a, b] for a, b in pairwise(letters)))


@pytest.mark.parametrize("seed", range(8))
def test_the_text_with_the_most_alignments_is_found(seed: int) -> None:
    heard = likely(seed)
    total = {text: np.logaddexp.reduce(list(of.values())) for text, of in paths(heard).items()}
    assert tuple(prefix_beam(heard, WIDE)) == max(total, key=total.__getitem__)
    pairs, search = Pairs(seed), Search(beam=10_000, least=0.0, weight=0.8, bonus=0.6)
    worth = {text: of + 0.8 * pairs.worth(text) + 0.6 * len(text) for text, of in total.items()}
    assert tuple(prefix_beam(heard, search, pairs)) == max(worth, key=worth.__getitem__)


def test_language_decides_what_is_not_heard() -> None:
    heard = np.log(np.full((4, OUTPUTS), 0.01, np.float32))
    heard[[0, 2], 1] = np.log(0.97)
    heard[[1, 3]] = np.log([0.02, 0.02, 0.47, 0.49])
    pairs = Pairs(0)
    pairs.scores = np.log(np.array([[0.1, 0.8, 0.1]] * OUTPUTS, np.float32))
    assert greedy(heard)[0] == prefix_beam(heard, Search()) == [1, 3, 1, 3]
    assert prefix_beam(heard, Search(weight=0.5), pairs) == [1, 2, 1, 2]
    assert prefix_beam(heard, Search(weight=0.0), pairs) == [1, 3, 1, 3]


@pytest.mark.parametrize("seed", range(8))
def test_the_likeliest_alignment_is_found(seed: int) -> None:
    heard = likely(seed)
    for text, of in paths(heard).items():
        best = max(of, key=of.__getitem__)
        expected, at = [], 0
        for code, group in groupby(best):
            length = len(list(group))
            expected += [(at, at + length - 1)] if code else []
            at += length
        assert aligned(heard, text) == expected


@pytest.mark.parametrize("wrong", [{"beam": 0}, {"least": 1.0}, {"weight": -1.0}])
def test_a_search_that_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Search(**wrong)
