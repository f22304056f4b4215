"""The search for transcripts, against all that could be written."""

from collections.abc import Sequence
from itertools import groupby, pairwise, product

import numpy as np
import pytest

from gated.errors import ConfigurationError
from gated.tasks.speech.search import (
    BeamSearch,
    LetterScorer,
    Prefix,
    Search,
    aligned,
    greedy,
    prefix_beam,
)

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
    assert tuple(prefix_beam(heard, WIDE)[0]) == max(total, key=total.__getitem__)
    pairs = Pairs(seed)
    scorer = LetterScorer(pairs, weight=0.8, bonus=0.6)
    worth = {text: of + 0.8 * pairs.worth(text) + 0.6 * len(text) for text, of in total.items()}
    assert tuple(prefix_beam(heard, WIDE, scorer)[0]) == max(worth, key=worth.__getitem__)


def test_language_decides_what_is_not_heard() -> None:
    heard = np.log(np.full((4, OUTPUTS), 0.01, np.float32))
    heard[[0, 2], 1] = np.log(0.97)
    heard[[1, 3]] = np.log([0.02, 0.02, 0.47, 0.49])
    pairs = Pairs(0)
    pairs.scores = np.log(np.array([[0.1, 0.8, 0.1]] * OUTPUTS, np.float32))
    assert greedy(heard)[0] == prefix_beam(heard, Search())[0] == [1, 3, 1, 3]
    assert prefix_beam(heard, Search(), LetterScorer(pairs, 0.5, 0.0))[0] == [1, 2, 1, 2]
    assert prefix_beam(heard, Search(), LetterScorer(pairs, 0.0, 0.0))[0] == [1, 3, 1, 3]


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


@pytest.mark.parametrize("seed", range(8))
def test_the_search_finds_the_steps_of_the_likeliest_alignment(seed: int) -> None:
    heard = likely(seed)
    codes, steps = prefix_beam(heard, WIDE)
    assert steps == aligned(heard, codes)


def long_text(steps: int) -> np.ndarray:
    """Log-probabilities that are unsure at some steps, of three letters and a blank."""
    logits = np.random.default_rng(3).normal(size=(steps, OUTPUTS)) * 4
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def test_a_step_takes_as_much_in_a_long_text_as_in_a_short_one(monkeypatch) -> None:
    made = []

    def counting(*given: object) -> Prefix:
        made.append(given)
        return Prefix(*given)

    monkeypatch.setattr("gated.tasks.speech.search.Prefix", counting)
    search, heard = BeamSearch(Search(beam=8)), long_text(2000)
    counts = []
    for start in range(0, 2000, 100):
        made.clear()
        search.take(heard[start : start + 100])
        counts.append(len(made))
        waiting, nodes = [search.root], 0
        while waiting:
            nodes += 1
            waiting += waiting.pop().children.values()
        open_letters = len(search.best()[0]) - len(search.settled)
        assert nodes <= 8 * (open_letters + 8)  # what nothing in the beam begins with is gone
    assert max(counts) <= 8 * 100
    assert sum(counts[10:]) < 1.2 * sum(counts[:10])  # as many new texts later as at first
    codes, steps = search.best()
    assert len(codes) == len(steps) > 500
    assert codes[: len(search.settled)] == search.settled
    assert all(a <= b < c for (a, b), (c, _) in pairwise(steps))


def test_a_text_may_come_in_parts() -> None:
    heard = long_text(120)
    parts = BeamSearch(Search(beam=8))
    for start in range(0, 120, 7):
        parts.take(heard[start : start + 7])
        settled = list(parts.settled)
        assert parts.best()[0][: len(settled)] == settled
    assert parts.best() == prefix_beam(heard, Search(beam=8))


@pytest.mark.parametrize("wrong", [{"beam": 0}, {"least": 1.0}, {"weight": -1.0}])
def test_a_search_that_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Search(**wrong)
