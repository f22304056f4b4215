"""Splitting examples into training, validation and test parts that share no similar texts.

Data sets repeat sentences with other numbers or names, and a network that was trained on one
sentence knows its near copies too. So that the score is of new sentences:

1. Examples are put into one group if a text of theirs is the same apart from case, digits,
   punctuation and spaces; a group is never split. Which groups are held back is decided by a hash
   of their texts and the seed, so it does not depend on the order of the examples.
2. An example of the training part is left out if one of its texts is nearly the same as one that
   is held back: the Jaccard similarity of their character 5-grams is 0.8 or more. Likewise for
   examples of the validation part that are nearly the same as a test example.

An example may have several texts, its sides: a sentence and its translation, say.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

NEAR = 0.8
"""Jaccard similarity of character n-grams from which two sentences count as nearly the same."""
SHINGLE = 5
"""Characters of an n-gram."""

Texts = Sequence[str]
"""The texts of an example, one for each side; all examples have the same number of sides."""


@dataclass(frozen=True)
class Parts:
    """Indices of the examples of each part, ascending."""

    training: list[int]
    validation: list[int]
    test: list[int]
    near_validation: list[int]
    """Left out: chosen for validation, and nearly the same as a test example."""
    near_training: list[int]
    """Left out of the training part: nearly the same as one that is held back."""


def bare(text: str) -> str:
    """Return the letters of `text`, case-folded; a text without letters is returned unchanged.

    >>> bare("Page 12 – The END."), bare("3.14")
    ('pagetheend', '3.14')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalpha, folded)) or text


def split_by_text(examples: Sequence[Texts], test: float, validation: float, seed: int) -> Parts:
    """Split examples into three parts (see the module's docstring).

    Args:
        examples: the texts of each.
        test: how much to hold back for the test part: below 1 a share of the examples, else their
            number. The result is near it, since groups stay together.
        validation: the same for the validation part.
        seed: a part of the hash that chooses the groups.

    A part may be empty where there are too few groups.
    """
    groups = sorted(_groups(examples), key=lambda group: _draw(examples, group, seed))
    parts: list[list[int]] = []
    for amount in (test, validation):
        wanted = round(amount * len(examples)) if amount < 1 else int(amount)
        part: list[int] = []
        while groups and len(part) < wanted:
            part += groups.pop()
        parts.append(part)
    held_out, chosen = parts
    training = [place for group in groups for place in group]
    near_test = _Near([examples[place] for place in held_out])
    near_held = _Near([examples[place] for place in (*held_out, *chosen)])
    near_validation = {place for place in chosen if near_test.found(examples[place])}
    near_training = {place for place in training if near_held.found(examples[place])}
    return Parts(
        training=sorted(set(training) - near_training),
        validation=sorted(set(chosen) - near_validation),
        test=sorted(held_out),
        near_validation=sorted(near_validation),
        near_training=sorted(near_training),
    )


def near_to(held_back: Sequence[Texts]) -> Callable[[Texts], bool]:
    """Return a function that says whether an example is the same or nearly as one held back."""
    same = {(side, bare(text)) for texts in held_back for side, text in enumerate(texts)}
    near = _Near(held_back)
    return lambda texts: (
        any((side, bare(text)) in same for side, text in enumerate(texts)) or near.found(texts)
    )


def _groups(examples: Sequence[Texts]) -> Iterable[list[int]]:
    """Group examples that share the bare text of a side, directly or through others."""
    parent = list(range(len(examples)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[int, str], int] = {}
    for place, texts in enumerate(examples):
        for side, text in enumerate(texts):
            other = first.setdefault((side, bare(text)), place)
            parent[root(place)] = root(other)
    members: dict[int, list[int]] = defaultdict(list)
    for place in range(len(examples)):
        members[root(place)].append(place)
    return members.values()


def _draw(examples: Sequence[Texts], group: Sequence[int], seed: int) -> bytes:
    text = min("\t".join(map(bare, examples[place])) for place in group)
    return hashlib.blake2b(f"{seed}\t{text}".encode(), digest_size=16).digest()


def shingles(text: str) -> frozenset[str]:
    """Return the character n-grams of the bare `text`."""
    text = bare(text)
    return frozenset(text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1)))


class _Near:
    """Finds texts that are nearly one of those held back: an index from n-gram to text."""

    def __init__(self, held_back: Sequence[Texts]) -> None:
        sides = max(map(len, held_back), default=0)
        self.grams: list[list[frozenset[str]]] = [[] for _ in range(sides)]
        self.places: list[dict[str, list[int]]] = [defaultdict(list) for _ in range(sides)]
        for texts in held_back:
            for side, text in enumerate(texts):
                grams = shingles(text)
                for gram in grams:
                    self.places[side][gram].append(len(self.grams[side]))
                self.grams[side].append(grams)

    def found(self, texts: Texts) -> bool:
        """Whether a side of an example is nearly that of one held back."""
        return any(
            self._side(side, shingles(text)) for side, text in enumerate(texts[: len(self.grams)])
        )

    def _side(self, side: int, grams: frozenset[str]) -> bool:
        places = self.places[side]
        # A similar text lacks at most a fifth of `grams`, so it holds at least one of any
        # `lacking + 1` of them (and one more, for rounding). The rarest have the fewest candidates.
        lacking = len(grams) - math.ceil(NEAR * len(grams))
        rarest = sorted(grams, key=lambda gram: len(places.get(gram, ())))[: lacking + 2]
        candidates = {place for gram in rarest for place in places.get(gram, ())}
        return any(
            len(grams & other) >= NEAR * len(grams | other)
            for other in (self.grams[side][place] for place in candidates)
        )
