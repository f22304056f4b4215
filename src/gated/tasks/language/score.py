"""Bits per character, beside n-grams and compressors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gated.scoring.judge import Compared, Floats, Integers, compared_sums, decide
from gated.scoring.verdict import Measure, Scope, Verdict, fixed
from gated.tasks.language.ngrams import Compressor

ALONE = "network alone"
FEWEST_CHARACTERS = 500
"""Of a stretch of one text that is long enough to say something of its own."""
MOST_STRETCHES = 64
FEW_LONGER = 16
"""Stretches at most that a compressor is asked for."""
FEWEST_FILES = 10
"""Files of a test part from which each is taken to be independent of the others; not its
stretches."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Bits of each method on a text that it was not trained on."""

    bits: Mapping[str, float]
    """Bits for each character, or byte, by method, the network first."""
    count: int
    """Characters that were scored."""
    unknown: int
    """How many of them are not in the training part; the bits say which characters they are too."""
    words: int = 0
    """Words that were scored, if words are read; `unknown` is then how many of them have no code,
    and the bits say how they are spelled."""
    perplexities: Mapping[str, float] = field(default_factory=dict)
    """Perplexity a word, by method and by what is added; unknown words are one word there."""
    added: Mapping[str, float] = field(default_factory=dict)
    """Bits of the network alone, `ALONE`, and as each part is added to it: dynamic evaluation,
    n-grams, cache; the last are the network's in `bits`."""
    unit: str
    verdict: Verdict
    """Whether the network beats the best baseline."""

    higher_is_better = frozenset[str]()

    @property
    def alone(self) -> float | None:
        """Bits of the network alone, where something is added to it."""
        return self.added[ALONE] if len(self.added) > 1 else None

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method: the network first, and of each method the deciding score first."""
        return {name: {f"bits a {self.unit}": of} for name, of in self.bits.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """All but the verdict, for JSON."""
        return {
            "bits": dict(self.bits),
            "perplexity": dict(self.perplexities)
            or {name: 2**bits for name, bits in self.bits.items()},
            "words": self.words,
            "count": self.count,
            "unknown": self.unknown,
            "network_alone": self.alone,
            "added": dict(self.added),
            "unit": self.unit,
        }


@dataclass(frozen=True)
class Stretches:
    """A test text of `count` characters in stretches that the verdict takes as independent."""

    count: int
    ends: Integers
    """(F,), position in characters of the end of each file but the last."""

    @property
    def by_file(self) -> bool:
        """Whether a stretch is a file."""
        return len(self.ends) + 1 >= FEWEST_FILES

    @property
    def number(self) -> int:
        """G, number of stretches."""
        if self.by_file:
            return len(self.ends) + 1
        return max(1, min(MOST_STRETCHES, self.count // FEWEST_CHARACTERS))

    def sums(self, bits: Floats, places: Integers) -> Floats:
        """Return (G,) the bits of each stretch, from (N,) bits of codes at positions (N,)."""
        if self.by_file:
            of = np.searchsorted(self.ends, places, "right")
        else:
            of = places * self.number // self.count
        return np.bincount(of, bits, self.number).astype(np.float64)

    @property
    def sizes(self) -> Floats:
        """(G,), characters of each stretch."""
        return self.sums(np.ones(self.count), np.arange(self.count))


def verdict_of(
    figures: Mapping[str, float],
    stretches: Stretches,
    sums: Mapping[str, Floats],
    compressors: Mapping[str, Compressor],
    unit: str,
) -> Verdict:
    """Compare bits per character, the network's first, with the best baseline.

    Args:
        figures: bits per character by method.
        stretches: of the test text.
        sums: (G,) bits of each stretch, by method without the compressors.
        compressors: by name; run on each stretch only if one is the best baseline.
        unit: character or byte.
    """

    def compared(network: str, baseline: str) -> Compared:
        ours, sizes = sums[network], stretches.sizes
        if baseline in sums:
            return compared_sums(ours - sums[baseline], sizes)
        # To compress once for each stretch takes its time: a few longer ones do.
        joined = np.arange(len(sizes)) * FEW_LONGER // max(FEW_LONGER, len(sizes))
        ours, sizes = (np.bincount(joined, of).astype(np.float64) for of in (ours, sizes))
        theirs = compressors[baseline].of_parts(np.cumsum(sizes).astype(np.int64).tolist())
        return compared_sums(ours - theirs, sizes)

    measure = Measure(f"{{}} bits a {unit}", fixed(3))
    scope = Scope(f"{unit}s", "in {} files" if stretches.by_file else "in {} stretches")
    return decide(figures, compared, measure, scope, examples=stretches.count)
