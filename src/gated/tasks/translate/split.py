"""Training, validation and test pairs that have nothing in common, not even nearly.

Help texts and messages repeat themselves with other numbers or names, and a translator that has
seen the one knows the other by heart. So that the score is of sentences that are new:

1. Pairs whose source, or whose target, is the same but for case, digits, punctuation and spaces
   make a group, and a group is never parted. Which groups are held back is decided by a hash of
   their text and the seed, so it does not change with the order of the file.
2. A pair of the training part is left out where its source, or its target, shares 80 % of its
   character 5-grams (Jaccard) with one that is held back; and so is a pair of the validation part
   for the test part's sake.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gated.errors import DataError
from gated.tasks.translate.cleaning import left_out
from gated.tasks.translate.pairs import Pair
from gated.training.findings import Finding

NEAR = 0.8
"""Jaccard similarity of character n-grams from which two sentences count as nearly the same."""
SHINGLE = 5
"""Characters of an n-gram."""


@dataclass(frozen=True)
class Split:
    """The three parts."""

    training: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    findings: tuple[Finding, ...] = ()


def bare(text: str) -> str:
    """Return what remains of `text` without case, digits, punctuation and spaces.

    Where nothing does, as in `3.14`, all of it remains.

    >>> bare("Page 12 – The END."), bare("3.14")
    ('pagetheend', '3.14')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalpha, folded)) or text


def split(pairs: Sequence[Pair], test: float, validation: float, seed: int) -> Split:
    """Hold back about so many pairs, as shares or numbers.

    Raises:
        DataError: there are too few to hold any back and still train.
    """
    groups = sorted(_groups(pairs), key=lambda group: _draw(group, seed))
    parts: list[list[Pair]] = []
    for asked in (test, validation):
        wanted = round(asked * len(pairs)) if asked < 1 else int(asked)
        part: list[Pair] = []
        while groups and len(part) < wanted:
            part += groups.pop()
        if asked and not part:
            raise DataError(
                f"{len(pairs)} pairs are too few to hold back test and validation parts. Give more "
                "pairs, or test=0 and validation=0."
            )
        parts.append(part)
    held_out, chosen = parts
    training = [pair for group in groups for pair in group]
    findings = []
    near_test, near_held = _Near(held_out), _Near([*held_out, *chosen])
    for part, near, name in (
        (chosen, near_test, "validation pairs nearly the same as one held back for the test"),
        (training, near_held, "training pairs nearly the same as one held back"),
    ):
        dropped = [pair for pair in part if near.found(pair)]
        if dropped:
            gone = {id(pair) for pair in dropped}
            part[:] = [pair for pair in part if id(pair) not in gone]
            dropped.sort(key=lambda pair: pair.line)
            findings.append(left_out("near", name, dropped))
    if not training:
        raise DataError(f"Nothing is left to train on of {len(pairs)} pairs: hold back fewer.")
    training, chosen, held_out = (
        sorted(part, key=lambda pair: pair.line) for part in (training, chosen, held_out)
    )
    return Split(training, chosen, held_out, tuple(findings))


def _groups(pairs: Sequence[Pair]) -> Iterable[list[Pair]]:
    """Put pairs together that share a bare source or a bare target, directly or by others."""
    parent = list(range(len(pairs)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[int, str], int] = {}
    for place, pair in enumerate(pairs):
        for side, text in enumerate(pair[:2]):
            other = first.setdefault((side, bare(text)), place)
            parent[root(place)] = root(other)
    members: dict[int, list[Pair]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        members[root(place)].append(pair)
    return members.values()


def _draw(group: Sequence[Pair], seed: int) -> bytes:
    text = min(f"{bare(pair.source)}\t{bare(pair.target)}" for pair in group)
    return hashlib.blake2b(f"{seed}\t{text}".encode(), digest_size=16).digest()


def shingles(text: str) -> frozenset[str]:
    """Return the character n-grams of the bare `text`."""
    text = bare(text)
    return frozenset(text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1)))


class _Near:
    """Finds sentences that are nearly one of those held back: an index from n-gram to sentence."""

    def __init__(self, held_back: Sequence[Pair]) -> None:
        self.sizes: tuple[list[int], list[int]] = ([], [])
        self.places: tuple[dict[str, list[int]], ...] = (defaultdict(list), defaultdict(list))
        for pair in held_back:
            for side, text in enumerate(pair[:2]):
                grams = shingles(text)
                for gram in grams:
                    self.places[side][gram].append(len(self.sizes[side]))
                self.sizes[side].append(len(grams))

    def found(self, pair: Pair) -> bool:
        """Whether either side of `pair` is nearly that of one held back."""
        return any(self._side(side, shingles(text)) for side, text in enumerate(pair[:2]))

    def _side(self, side: int, grams: frozenset[str]) -> bool:
        places, sizes = self.places[side], self.sizes[side]
        common = Counter(place for gram in grams for place in places.get(gram, ()))
        return any(
            shared >= NEAR * (len(grams) + sizes[place] - shared)
            for place, shared in common.items()
        )
