"""Copying of unknown words, and training pairs that teach it.

A character that occurs once cannot be learnt; a name that holds it is one unknown token. The
network learns to output this token where the source has it, and the word is put in its place
(Luong et al. 2015, "Addressing the rare word problem"). Few training pairs hold such names, and
many hold words that are the same on both sides, so some of those pairs are trained on a second
time with the word replaced by the unknown token. Addresses, paths and places for values are unknown
tokens wherever they stand (`subwords.COPIED`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from gated.tasks.translate.batches import UNKNOWN, Codes
from gated.tasks.translate.pairs import Pair
from gated.tasks.translate.subwords import Subwords

LEAST = 2
"""Fewest sentences with a character for it to be learnt."""
WORD = re.compile(r"[^\W\d_]{2,}")


def unknown_characters(pairs: Sequence[Pair]) -> tuple[set[str], set[str]]:
    """Return the characters left out of the vocabulary of the sources, and of the targets.

    A rare character of the targets is left out only if it can always be copied from the source.
    """
    sources = Counter(each for pair in pairs for each in set(pair.source))
    targets = Counter(each for pair in pairs for each in set(pair.target))
    copied = Counter(each for pair in pairs for each in set(pair.source) & set(pair.target))
    return (
        {letter for letter, count in sources.items() if count < LEAST},
        {letter for letter, count in targets.items() if count < LEAST and copied[letter] == count},
    )


def unknown_to(subwords: Subwords, sentences: Sequence[str]) -> set[str]:
    """Return the characters of sentences that `subwords` cannot write."""
    letters = sorted({letter for sentence in sentences for letter in sentence})
    codes = subwords.encode(letters)
    return {letter for letter, of in zip(letters, codes, strict=True) if UNKNOWN in of}


def unwritable(pairs: Sequence[Pair], source: Subwords, target: Subwords) -> list[Pair]:
    """Return the pairs of whose target a character can neither be written nor be copied.

    It can be copied if it is in the source, and unknown there too.
    """
    lacking = unknown_to(target, [pair.target for pair in pairs])
    copied = unknown_to(source, [pair.source for pair in pairs])
    return [pair for pair in pairs if (lacking & set(pair.target)) - (copied & set(pair.source))]


def taught(
    pairs: Sequence[Pair], source: Subwords, target: Subwords, share: float, seed: int
) -> list[tuple[Codes, Codes]]:
    """Encode a share of the pairs with a word in common, that word as the unknown token."""
    random = np.random.default_rng(seed)
    encoded: list[tuple[Codes, Codes]] = []
    for pair in pairs:
        common = sorted(set(WORD.findall(pair.source)) & set(WORD.findall(pair.target)))
        if not common or random.random() >= share:
            continue
        hidden = str(random.choice(common))
        both = [
            [piece.code for piece in side.pieces(sentence, pair.source, hidden)]
            for side, sentence in ((source, pair.source), (target, pair.target))
        ]
        if all(UNKNOWN in codes for codes in both):
            encoded.append((both[0], both[1]))
    return encoded
