"""Word and character error rates, by jiwer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.errors import require
from gated.scoring.judge import judge
from gated.scoring.verdict import (
    Measure,
    Scope,
    Verdict,
    both,
    flattered,
    percent,
    wrote_nothing,
)
from gated.tasks.speech.split import By

Floats = NDArray[np.float64]
Kind = Literal["words", "characters"]
SCOPES: dict[By, Scope] = {
    "text": Scope("recordings", "of {} texts"),
    "speaker": Scope("recordings", "of {} speakers"),
    "recording": Scope("recordings"),
}
MEASURES: dict[Kind, Measure] = {
    "words": Measure("word error rate {}", percent),
    "characters": Measure("character error rate {}", percent),
}


class Rates(NamedTuple):
    """Error rates, as shares of the reference; they can be above 1."""

    wer: float
    """Word error rate: substitutions, deletions and insertions over the words of the reference."""
    cer: float
    """Character error rate, the same of letters."""


@dataclass(frozen=True)
class Evaluation:
    """Transcripts of each method, and their error rates."""

    references: Sequence[str]
    methods: Mapping[str, Sequence[str]]
    """Transcripts by method; first the network, with each search of `real_time_factors`."""
    scores: Mapping[str, Rates]
    substitutions: Sequence[tuple[str, str, int]]
    """Word of the reference, transcribed word, and count; most frequent first."""
    real_time_factors: Mapping[str, float]
    """Seconds of computation per second of sound, by search; the last search is the one scored."""

    @property
    def chosen(self) -> str:
        """Name of the network with the search that is scored."""
        return list(self.real_time_factors)[-1]

    left_out: Mapping[str, str] = field(default_factory=dict)
    """Baselines that were not compared, and why."""
    by: By = "text"
    """What the parts of the data do not share; recordings of the same one are not independent."""
    clusters: Sequence[str] | None = None
    """That of each recording; by default the text."""
    known: int = 0
    """How many of the scored recordings were also trained on."""

    higher_is_better = frozenset[str]()

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method: the network first, and of each method the deciding score first."""
        return {
            name: {"word error rate": of.wer, "character error rate": of.cer}
            for name, of in sorted(self.scores.items(), key=lambda item: item[0] != self.chosen)
            if name == self.chosen or name not in self.real_time_factors
        }

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the network beats the baseline in word and character error rate.

        Recordings of the same text, or in a split by speaker of the same speaker, are not
        independent.
        """
        scope = SCOPES[self.by]
        searches = [name for name in self.real_time_factors if name != self.chosen]
        compared = {self.chosen: self.methods[self.chosen]} | {
            name: written for name, written in self.methods.items() if name not in searches
        }
        verdicts = []
        for kind, measure in MEASURES.items():
            counted = {
                name: counted_errors(self.references, written, kind)
                for name, written in compared.items()
            }
            sizes = counted[self.chosen][1]
            values = {name: wrong for name, (wrong, _) in counted.items()}
            verdicts.append(
                judge(
                    values, measure, scope, sizes=sizes, clusters=self.clusters or self.references
                )
            )
        found = both(verdicts, scope).without(self.left_out)
        empty = wrote_nothing(self.methods[self.chosen], scope.unit)
        return found.adding(empty, flattered(self.known))

    @property
    def facts(self) -> dict[str, Any]:
        """All but the verdict, for JSON."""
        return {
            "recordings": len(self.references),
            "scores": {name: rates._asdict() for name, rates in self.scores.items()},
            "substitutions": [list(one) for one in self.substitutions],
            "real_time_factors": dict(self.real_time_factors),
        }


def error_rates(references: Sequence[str], written: Sequence[str]) -> Rates:
    """Return WER and CER over all texts together."""
    jiwer = require("jiwer", extra="speech")
    texts = list(references), list(written)
    return Rates(float(jiwer.wer(*texts)), float(jiwer.cer(*texts)))


def counted_errors(
    references: Sequence[str], written: Sequence[str], kind: Kind
) -> tuple[Floats, Floats]:
    """Return (N,) errors of each text, and (N,) its length in words, or letters."""
    jiwer = require("jiwer", extra="speech")
    process = jiwer.process_words if kind == "words" else jiwer.process_characters
    counts = [process(*pair) for pair in zip(references, written, strict=True)]
    errors = [of.substitutions + of.deletions + of.insertions for of in counts]
    sizes = [of.hits + of.substitutions + of.deletions for of in counts]
    return np.array(errors, float), np.array(sizes, float)


def substitutions(
    references: Sequence[str], written: Sequence[str], most: int = 15
) -> list[tuple[str, str, int]]:
    """Return the most frequent substitutions of words."""
    jiwer = require("jiwer", extra="speech")
    aligned = jiwer.process_words(list(references), list(written))
    counts: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis, chunks in zip(
        aligned.references, aligned.hypotheses, aligned.alignments, strict=True
    ):
        for chunk in chunks:
            if chunk.type == "substitute":
                pairs = zip(
                    reference[chunk.ref_start_idx : chunk.ref_end_idx],
                    hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx],
                    strict=True,
                )
                counts.update(pairs)
    return [(right, wrong, count) for (right, wrong), count in counts.most_common(most)]
