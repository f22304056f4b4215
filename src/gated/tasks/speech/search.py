"""Decoding: from log-probabilities to letters, and to words with their times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gated.configuration import Configuration
from gated.errors import ConfigurationError, option
from gated.tasks.speech.alphabet import BLANK

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Span = tuple[int, int]
"""First and last step of a letter."""
Link = tuple[Any, int, int] | None
"""Letters in time, the last first: those before, and the first and last step of the last."""
NEVER = -math.inf
IN_BLANK, IN_LETTER, BEST_IN_BLANK, BEST_IN_LETTER, WORTH = range(5)
"""Scores of a text in the beam: log-probabilities of all alignments that end in a blank, and of
all that end in its last letter; of the best of each; and what the scorer adds."""


class Letters(Protocol):
    """A language model over letters, as the beam search calls it."""

    def begin(self) -> tuple[Any, Floats]:
        """Return the state before the first letter, and (C - 1,), the log-probability of each."""

    def after(self, states: Sequence[Any], letters: Sequence[int]) -> list[tuple[Any, Floats]]:
        """Return the same after one more letter, an index from 0, for each of several states."""


class Scorer(Protocol):
    """What adds to the score of a text, letter by letter."""

    def begin(self) -> tuple[Any, Doubles]:
        """Return the state before the first letter, and (C - 1,), what each letter adds."""

    def after(self, states: Sequence[Any], letters: Sequence[int]) -> list[tuple[Any, Doubles]]:
        """Return the same after one more letter, an index from 0, for each of several states."""

    def end(self, state: Any) -> float:
        """Return what is added where the text ends."""


@dataclass(frozen=True)
class LetterScorer:
    """Adds the weighted log-probabilities of a language model over letters, and a bonus."""

    letters: Letters
    weight: float
    bonus: float

    def begin(self) -> tuple[Any, Doubles]:
        """Return the state before the first letter, and what each letter adds."""
        return self._weighted(*self.letters.begin())

    def after(self, states: Sequence[Any], letters: Sequence[int]) -> list[tuple[Any, Doubles]]:
        """Return the same after one more letter, for each of several states."""
        return [self._weighted(*answer) for answer in self.letters.after(states, letters)]

    def end(self, state: Any) -> float:
        """Add nothing at the end."""
        return 0.0

    def _weighted(self, state: Any, likely: Floats) -> tuple[Any, Doubles]:
        return state, self.weight * likely.astype(np.float64) + self.bonus


@dataclass(frozen=True)
class Scorers:
    """The sum of several scorers."""

    scorers: Sequence[Scorer]

    def begin(self) -> tuple[Any, Doubles]:
        """Return the states before the first letter, and what each letter adds."""
        return self._sum([scorer.begin() for scorer in self.scorers])

    def after(self, states: Sequence[Any], letters: Sequence[int]) -> list[tuple[Any, Doubles]]:
        """Return the same after one more letter, for each of several texts."""
        of_each = [
            scorer.after([state[place] for state in states], letters)
            for place, scorer in enumerate(self.scorers)
        ]
        return [self._sum(answers) for answers in zip(*of_each, strict=True)]

    def end(self, state: Any) -> float:
        """Return what is added where the text ends."""
        return sum(scorer.end(of) for scorer, of in zip(self.scorers, state, strict=True))

    def _sum(self, answers: Sequence[tuple[Any, Doubles]]) -> tuple[Any, Doubles]:
        gains: Doubles = np.sum([gains for _, gains in answers], 0)
        return tuple(state for state, _ in answers), gains


@dataclass(frozen=True, kw_only=True)
class Search(Configuration):
    """Options of the beam search."""

    beam: int = 16
    """Partial transcripts kept at each step; 1 takes the most probable output of each step."""
    weight: float = 0.5
    """Weight of the language model's log-probabilities, where there is one (shallow fusion)."""
    bonus: float = 0.0
    """Bonus on the score for each letter, as a language model by itself favours short texts."""
    least: float = 1e-4
    """Least probability of a letter at a step; others are not tried there."""
    word_weight: float = 0.5
    """Weight of the word model's log-probabilities, where there is one."""
    word_bonus: float = 0.0
    """Bonus on the score for each word, where there is a word model."""
    hot_words: tuple[str, ...] = ()
    """Words and phrases that are to be expected, such as names, written as the transcripts are."""
    hot_bonus: float = 1.0
    """Bonus on the score for each letter of a hot word, once it is whole."""
    only_known_words: bool = False
    """Write only words of the word model, as for a list of commands."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._demand(beam=1, weight=0, word_weight=0)
        self._demand_shares("least")
        for name in ("weight", "bonus", "word_weight", "word_bonus", "hot_bonus"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigurationError(f"{option(name)} is {getattr(self, name)}; it is finite.")


@dataclass(frozen=True)
class Word:
    """A word, when it was heard, in seconds, and how sure the network is of it."""

    text: str
    start: float
    end: float
    confidence: float
    """The probability of its least probable letter, each at the step where it is highest."""


def greedy(likely: Floats) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the most probable output of each step, without repetitions and blanks.

    Args:
        likely: (S, C), log-probabilities of blank and letters.

    Returns:
        The letters, and the first and last step of each.

    >>> greedy(np.log(np.eye(3, dtype=np.float32)[[0, 1, 1, 0, 1, 2]] + 1e-3))
    ([1, 1, 2], [(1, 2), (4, 4), (5, 5)])
    """
    best = likely.argmax(-1)
    codes: list[int] = []
    steps: list[tuple[int, int]] = []
    before = BLANK
    for step, code in enumerate(best.tolist()):
        if code != BLANK and code == before:
            steps[-1] = (steps[-1][0], step)
        elif code != BLANK:
            codes.append(code)
            steps.append((step, step))
        before = code
    return codes, steps


def prefix_beam(
    likely: Floats, search: Search, scorer: Scorer | None = None
) -> tuple[list[int], list[Span]]:
    """Return the most probable letters, over all their alignments, and the steps of each.

    This is a whole run of `BeamSearch`.

    >>> step = np.log(np.array([[0.4, 0.35, 0.25], [0.4, 0.35, 0.25]], np.float32))
    >>> greedy(step)[0], prefix_beam(step, Search())[0]  # 0.16 for nothing, 0.4025 for one letter
    ([], [1])
    """
    beam = BeamSearch(search, scorer)
    beam.take(likely)
    return beam.best()


class Prefix:
    """The beginning of a text, as a node of a tree: a letter after the text of its parent."""

    __slots__ = ("active", "children", "code", "parent", "state")

    def __init__(self, parent: Prefix | None, code: int) -> None:
        self.parent, self.code = parent, code
        self.children: dict[int, Prefix] = {}
        self.active = False
        """Whether it is in the beam, and not only the beginning of what is."""
        self.state: Any = None
        """The scorer's, while it is active."""


class BeamSearch:
    """A prefix beam search (Graves and Jaitly 2014) that takes one step after the other.

    The score of a prefix is the probability of all its alignments, kept apart by whether the last
    step was blank, times the weighted probability by the language model (Hannun et al. 2014,
    shallow fusion). The steps of each letter are those of the most probable of these alignments
    (Viterbi), as far as its prefixes stayed in the beam.

    Prefixes are nodes of a tree. What nothing in the beam begins with is removed, so that a step
    takes the same time however long the text is, and memory grows with the text alone.

    Shapes: K prefixes in the beam, C outputs, N letters that are tried at a step.

    Args:
        search: options.
        scorer: adds to the scores, by a language model for instance.
    """

    def __init__(self, search: Search, scorer: Scorer | None = None) -> None:
        self._beam_size, self._scorer = search.beam, scorer
        self._least = math.log(search.least) if search.least else NEVER
        self._taken = 0
        """Steps taken."""
        self.settled: list[int] = []
        """Letters that no further step will change."""
        self.root = Prefix(None, BLANK)
        """The text of the settled letters, with which all of the beam begins."""
        self.root.active = True
        self._beam = [self.root]
        self._scores = np.full((5, 1), NEVER)
        """(5, K), see `IN_BLANK` to `WORTH`."""
        self._scores[[IN_BLANK, BEST_IN_BLANK, WORTH]] = 0.0
        self._last = np.array([BLANK])
        """(K,), the last letter."""
        self._parents = np.array([-1])
        """(K,), the place in the beam of the prefix that is one letter shorter; -1 for none."""
        self._links: list[tuple[Link, Link]] = [(None, None)]
        """K, letters in time, in the best alignment that ends in a blank, and in a letter."""
        self._gains: Doubles | None = None
        """(K, C - 1), what the scorer adds for a next letter; None without one."""
        if scorer is not None:
            self.root.state, gains = scorer.begin()
            self._gains = gains[None]

    def take(self, likely: Floats) -> None:
        """Take the next steps: (S, C), log-probabilities of blank and letters."""
        column_of = np.full(likely.shape[1], -1)
        for heard in likely.astype(np.float64):
            tried = np.flatnonzero(heard > self._least)
            tried = tried[tried != BLANK]
            column_of[tried] = np.arange(1, len(tried) + 1)
            self._step(heard, tried, column_of[self._last])
            column_of[tried] = -1
            self._taken += 1

    def best(self) -> tuple[list[int], list[Span]]:
        """Return the letters of the best text so far, and the first and last step of each."""
        in_blank, in_letter, *_, worth = self._scores
        value = np.logaddexp(in_blank, in_letter) + worth
        if self._scorer is not None:
            value += [self._scorer.end(node.state) for node in self._beam]
        place = int(value.argmax())
        node, codes = self._beam[place], []
        while node.parent is not None:
            codes.append(node.code)
            node = node.parent
        link, spans = self._whole_links()[place], []
        while link is not None:
            spans.append(link[1:])
            link = link[0]
        return self.settled + codes[::-1], spans[::-1]

    def _step(self, heard: Doubles, tried: Integers, column: Integers) -> None:
        """Take a step.

        Args:
            heard: (C,), its log-probabilities.
            tried: (N,), the letters that are tried.
            column: (K,), where in (K, 1 + N) texts that end in the last letter are; -1 for nowhere.
        """
        in_blank, in_letter, best_in_blank, best_in_letter, worth = self._scores
        whole = np.logaddexp(in_blank, in_letter)
        best = np.maximum(best_in_blank, best_in_letter)
        # Texts, and those longer by a letter.
        found = np.full((5, len(self._beam), 1 + len(tried)), NEVER)
        found[IN_BLANK, :, 0] = whole + heard[BLANK]
        found[IN_LETTER, :, 0] = in_letter + heard[self._last]
        found[BEST_IN_BLANK, :, 0] = best + heard[BLANK]
        found[BEST_IN_LETTER, :, 0] = best_in_letter + heard[self._last]
        found[WORTH] = worth[:, None]
        twice = tried == self._last[:, None]  # a letter after itself needs a blank between
        for kind, before, apart in (
            (IN_LETTER, whole, in_blank),
            (BEST_IN_LETTER, best, best_in_blank),
        ):
            found[kind, :, 1:] = np.where(twice, apart[:, None], before[:, None]) + heard[tried]
        if self._gains is not None:
            found[WORTH, :, 1:] += self._gains[:, tried - 1]
        begun = self._joined(found, column)

        value = np.logaddexp(found[IN_BLANK], found[IN_LETTER]) + found[WORTH]
        order = np.argsort(-value, axis=None, kind="stable")[: self._beam_size]
        order = order[: max(1, np.count_nonzero(value.ravel()[order] > NEVER))]
        source, letter = np.divmod(order, 1 + len(tried))
        stays = letter == 0
        codes = np.where(stays, self._last[source], np.append(BLANK, tried)[letter])
        self._link(source.tolist(), codes.tolist(), stays.tolist(), begun)
        self._scores = found.reshape(5, -1)[:, order]
        if not (stays.all() and np.array_equal(source, np.arange(len(self._beam)))):
            self._move(source, codes, stays)

    def _joined(self, found: Doubles, column: Integers) -> set[int]:
        """Join texts of the beam with what others become by their last letter.

        Returns:
            Places of the texts whose last letter most probably begins at this step.
        """
        same = np.flatnonzero((self._parents >= 0) & (column >= 0))
        where = self._parents[same], column[same]
        letter, best = found[IN_LETTER], found[BEST_IN_LETTER]
        letter[same, 0] = np.logaddexp(letter[same, 0], letter[where])
        letter[where] = NEVER
        begun = same[best[where] > best[same, 0]]
        best[same, 0] = np.maximum(best[same, 0], best[where])
        return set(begun.tolist())

    def _whole_links(self) -> list[Link]:
        """Return the letters in time, in the best alignment of each text of the beam."""
        blanks = (self._scores[BEST_IN_BLANK] >= self._scores[BEST_IN_LETTER]).tolist()
        pairs = zip(blanks, self._links, strict=True)
        return [in_blank if blank else in_letter for blank, (in_blank, in_letter) in pairs]

    def _link(
        self, source: list[int], codes: list[int], stays: list[bool], begun: set[int]
    ) -> None:
        """Note when letters were heard, for the next beam of K.

        Args:
            source: place in the beam of the text, or of what is a letter shorter.
            codes: the last letter.
            stays: whether the text was in the beam.
            begun: places of texts whose last letter most probably begins at this step.
        """
        whole, links, step = self._whole_links(), [], self._taken
        parents, last = self._parents.tolist(), self._last.tolist()
        for place, code, stayed in zip(source, codes, stays, strict=True):
            _, in_letter = self._links[place]
            if stayed and place not in begun:
                going_on = in_letter and (in_letter[0], in_letter[1], step)
                links.append((whole[place], going_on))
                continue
            shorter = parents[place] if stayed else place
            before = self._links[shorter][0] if last[shorter] == code else whole[shorter]
            links.append((whole[place] if stayed else None, (before, step, step)))
        self._links = links

    def _move(self, source: Integers, codes: Integers, stays: Flags) -> None:
        """Take the texts of the next beam in the place of the present ones."""
        left, self._beam = self._beam, []
        for node in left:
            node.active = False
        new = []
        for place, code, stayed in zip(source.tolist(), codes.tolist(), stays, strict=True):
            node = left[place]
            if not stayed:
                parent, node = node, node.children.get(code) or Prefix(node, code)
                parent.children[code] = node
                new.append(node)
            node.active = True
            self._beam.append(node)
        self._last = codes
        if self._gains is not None:
            self._gains = self._gains[source]
            if new:
                self._gains[~stays] = self._expected(new)
        for node in left:
            if not node.active:
                self._leave(node)
        place_of = {id(node): place for place, node in enumerate(self._beam)}
        self._parents = np.array([place_of.get(id(node.parent), -1) for node in self._beam])
        while not self.root.active and len(self.root.children) == 1:
            (self.root,) = self.root.children.values()
            self.root.parent = None
            self.settled.append(self.root.code)

    def _leave(self, node: Prefix) -> None:
        """Remove a text that left the beam, and what only it begins with."""
        node.state = None
        while not node.active and not node.children and node.parent is not None:
            parent, node.parent = node.parent, None
            del parent.children[node.code]
            node = parent

    def _expected(self, nodes: Sequence[Prefix]) -> Doubles:
        """Ask the scorer after new texts: (K new, C - 1), what it adds for each letter."""
        assert self._scorer is not None  # noqa: S101 - for the type checker
        states = [node.parent.state for node in nodes if node.parent]
        answers = self._scorer.after(states, [node.code - 1 for node in nodes])
        for node, (state, _) in zip(nodes, answers, strict=True):
            node.state = state
        return np.array([gains for _, gains in answers])


def aligned(likely: Floats, codes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last step of each letter in the most probable alignment (Viterbi).

    Args:
        likely: (S, C), log-probabilities of blank and letters.
        codes: letters; not more than fit into S steps.

    >>> aligned(np.log(np.eye(3, dtype=np.float32)[[0, 1, 1, 0, 1, 2]] + 1e-3), [1, 1, 2])
    [(1, 2), (4, 4), (5, 5)]
    """
    places = np.full(2 * len(codes) + 1, BLANK)
    places[1::2] = codes
    # From two places before, past a blank, unless the letter would be repeated.
    passes = np.zeros(len(places), bool)
    passes[2:] = (places[2:] != BLANK) & (places[2:] != places[:-2])
    best = np.full(len(places), NEVER)
    best[0] = 0.0
    came = np.zeros((len(likely), len(places)), np.int64)
    for step, heard in enumerate(likely):
        before = np.full((3, len(places)), NEVER)
        before[0] = best
        before[1, 1:] = best[:-1]
        before[2, 2:] = best[:-2]
        before[2, ~passes] = NEVER
        if step == 0:  # begins with a blank, or the first letter
            before[:] = NEVER
            before[0, :2] = 0.0
        came[step] = before.argmax(0)
        best = before.max(0) + heard[places]
    place = len(places) - 1
    if len(codes) and best[place - 1] > best[place]:
        place -= 1
    path = []
    for back in came[::-1]:
        path.append(place)
        place -= int(back[place])
    steps = np.array(path[::-1])
    spans = [np.flatnonzero(steps == 2 * letter + 1) for letter in range(len(codes))]
    return [(int(of[0]), int(of[-1])) for of in spans]


def letter_confidences(likely: Floats, codes: Sequence[int], steps: Sequence[Span]) -> list[float]:
    """Return the highest probability of each letter within its steps.

    Args:
        likely: (S, C), log-probabilities of blank and letters.
        codes: letters.
        steps: first and last step of each.

    >>> letter_confidences(np.log(np.float32([[0.5, 0.5], [0.2, 0.8]])), [1], [(0, 1)])[0] > 0.79
    True
    """
    spans = zip(codes, steps, strict=True)
    return [float(np.exp(likely[a : b + 1, code].max())) for code, (a, b) in spans]


def words_of(
    text: str,
    steps: Sequence[Span],
    confidences: Sequence[float],
    seconds_a_step: float,
    begin: float = 0.0,
) -> list[Word]:
    """Join letters to words, with the times of their first and last letter.

    Args:
        text: letters.
        steps: first and last step of each.
        confidences: probability of each.
        seconds_a_step: duration of a step.
        begin: seconds before the first step.

    >>> for word in words_of("a bc", [(0, 0), (1, 1), (2, 3), (4, 4)], [0.9, 1, 0.8, 0.7], 0.5):
    ...     print(word)
    Word(text='a', start=0.0, end=0.5, confidence=0.9)
    Word(text='bc', start=1.0, end=2.5, confidence=0.7)
    """
    words, first = [], 0
    for place in range(len(text) + 1):
        if place == len(text) or text[place] == " ":
            if place > first:
                start, end = steps[first][0], steps[place - 1][1] + 1
                words.append(
                    Word(
                        text[first:place],
                        begin + start * seconds_a_step,
                        begin + end * seconds_a_step,
                        min(confidences[first:place]),
                    )
                )
            first = place + 1
    return words
