"""How much is written wrongly: word and character error rates, by jiwer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gated.errors import require


class Rates(NamedTuple):
    """Errors as shares of what was to be written; they can be above 1."""

    wer: float
    """Words substituted, left out and added, over those of the reference."""
    cer: float
    """Letters likewise."""


@dataclass(frozen=True)
class Evaluation:
    """What each method wrote, and how wrong it was."""

    references: Sequence[str]
    methods: Mapping[str, Sequence[str]]
    """What each method wrote; the network first, by the searches of `real_time_factors`."""
    scores: Mapping[str, Rates]
    substitutions: Sequence[tuple[str, str, int]]
    """Words of the reference, what was written for them, how often; most frequent first."""
    real_time_factors: Mapping[str, float]
    """Seconds of computation for a second of sound, by search; the last is what counts."""

    @property
    def chosen(self) -> str:
        """The network with the search that counts."""
        return list(self.real_time_factors)[-1]

    higher_is_better = frozenset[str]()

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method, the network and what decides first."""
        return {
            name: {"word error rate": of.wer, "character error rate": of.cer}
            for name, of in sorted(self.scores.items(), key=lambda item: item[0] != self.chosen)
            if name == self.chosen or name not in self.real_time_factors
        }

    @property
    def verdict(self) -> str:
        """Whether the network beats the baseline, in words."""
        network, ours = self.chosen, self.scores[self.chosen]
        others = [of for of in self.scores.items() if of[0] not in self.real_time_factors]
        if not others:
            return f"{network}: {ours.wer:.1%} of the words wrong, {ours.cer:.1%} of the letters."
        name, theirs = min(others, key=lambda other: other[1].wer)
        beats = "beats" if ours.wer < theirs.wer else "does NOT beat"
        return (
            f"{network} {beats} the best baseline ({name}): word error rate {ours.wer:.1%} against "
            f"{theirs.wer:.1%}, over {len(self.references):,} recordings."
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "verdict": self.verdict,
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


def substitutions(
    references: Sequence[str], written: Sequence[str], most: int = 15
) -> list[tuple[str, str, int]]:
    """Return the words that are taken for others most often."""
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
