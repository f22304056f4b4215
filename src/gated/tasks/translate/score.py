"""How good translations are: BLEU and chrF by sacrebleu, beside the baselines."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gated.data.findings import Finding
from gated.errors import require

RESAMPLED = 1000
"""Resamplings of the test part behind an interval."""
LEAST = 10
"""Fewest sentences that are resampled: an interval of fewer says nothing."""
SEED = 12345
"""Of the resampling, sacrebleu's own."""


class Scores(NamedTuple):
    """Of one method; each from 0 to 100, the higher the better."""

    bleu: float
    """BLEU (Papineni et al. 2002)."""
    bleu_error: float
    """Half of its 95 % interval, by resampling the sentences (Koehn 2004); NaN if not asked for,
    or of fewer than 10."""
    chrf: float
    """chrF (Popović 2015)."""

    @property
    def bleu_with_error(self) -> str:
        """BLEU, and its error if there is one."""
        error = "" if math.isnan(self.bleu_error) else f" ± {self.bleu_error:.1f}"
        return f"{self.bleu:.1f}{error}"


@dataclass(frozen=True)
class Evaluation:
    """Translations of the same sentences by several methods."""

    sources: Sequence[str]
    references: Sequence[str]
    methods: Mapping[str, Sequence[str]]
    """What each method wrote; the network first."""
    scores: Mapping[str, Scores]
    signatures: tuple[str, str]
    """Of BLEU and of chrF: what must be the same for scores to be compared."""
    overlap: int
    """Sentences that the network was trained on."""
    findings: Sequence[Finding] = ()
    """What was left out of the pairs to score on."""

    higher_is_better = frozenset({"BLEU", "chrF"})

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method, the network and what decides first."""
        return {name: {"BLEU": of.bleu, "chrF": of.chrf} for name, of in self.scores.items()}

    @property
    def verdict(self) -> str:
        """Whether the network beats the best baseline, in words."""
        network, *baselines = self.scores
        best = max(baselines, key=lambda method: self.scores[method].bleu)
        ours, theirs = self.scores[network], self.scores[best]
        over = f"over {len(self.sources):,} sentence{'s'[: len(self.sources) > 1]}"
        figures = f"BLEU {ours.bleu:.1f} against {theirs.bleu:.1f}, {over}"
        if math.isnan(ours.bleu_error):
            told = f"Too few sentences to say whether {network} beats {best}: {figures}."
        elif ours.bleu - ours.bleu_error > theirs.bleu + theirs.bleu_error:
            told = f"{network} beats the best baseline ({best}): {figures}."
        elif ours.bleu + ours.bleu_error < theirs.bleu - theirs.bleu_error:
            told = f"{network} does NOT beat the best baseline ({best}): {figures}. Train longer."
        else:
            told = (
                f"{network} does NOT clearly beat the best baseline ({best}): {figures}; their "
                f"95 % intervals meet (±{ours.bleu_error:.1f}, ±{theirs.bleu_error:.1f})."
            )
        if self.overlap:
            told += f" {self.overlap:,} of them were trained on, which flatters it."
        return told

    def to_dict(self) -> dict[str, Any]:
        """Return scores and signatures, for JSON."""
        return {
            "verdict": self.verdict,
            "sentences": len(self.sources),
            "overlap": self.overlap,
            "left_out": [finding.to_dict() for finding in self.findings],
            "scores": {
                method: {
                    name: None if math.isnan(value) else value
                    for name, value in scores._asdict().items()
                }
                for method, scores in self.scores.items()
            },
            "bleu_signature": self.signatures[0],
            "chrf_signature": self.signatures[1],
        }


def evaluate(
    sources: Sequence[str],
    references: Sequence[str],
    methods: Mapping[str, Sequence[str]],
    overlap: int = 0,
    findings: Sequence[Finding] = (),
) -> Evaluation:
    """Score what each method wrote against the references."""
    scores = {}
    signatures = ("", "")
    resampled = RESAMPLED if len(references) >= LEAST else 0
    for method, written in methods.items():
        scores[method], signatures = _scored(written, references, resampled)
    return Evaluation(sources, references, methods, scores, signatures, overlap, findings)


def quick_scores(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF without intervals."""
    scores, _ = _scored(written, references, 0)
    return {"bleu": scores.bleu, "chrf": scores.chrf}


def _scored(
    written: Sequence[str], references: Sequence[str], resampled: int
) -> tuple[Scores, tuple[str, str]]:
    metrics = require("sacrebleu", extra="text").metrics
    bleu = metrics.BLEU(tokenize=bleu_tokenizer(references))
    chrf = metrics.CHRF()
    options = {"n_bootstrap": resampled} if resampled else {}
    found = bleu.corpus_score(list(written), [list(references)], **options)
    error = getattr(found, "_ci", float("nan")) if resampled else float("nan")
    letters = chrf.corpus_score(list(written), [list(references)])
    signatures = bleu.get_signature().format(), chrf.get_signature().format()
    return Scores(float(found.score), float(error), float(letters.score)), signatures


def bleu_tokenizer(references: Sequence[str]) -> str:
    """Return sacrebleu's tokenizer for the language that `references` are in, by its script.

    `zh` where a tenth of the letters are Chinese, `char` for Japanese, Thai, Lao, Khmer and
    Burmese, which write no spaces either, and otherwise the usual `13a`.

    >>> bleu_tokenizer(["点击 LibreOffice 按钮"]), bleu_tokenizer(["Bonjour"])
    ('zh', '13a')
    """
    scripts: dict[str, int] = {}
    for letter in "".join(references[:1000]):
        if letter.isalpha():
            script = unicodedata.name(letter, "").partition(" ")[0]
            scripts[script] = scripts.get(script, 0) + 1
    letters = sum(scripts.values())
    if 10 * (scripts.get("HIRAGANA", 0) + scripts.get("KATAKANA", 0)) > letters:
        return "char"
    if 10 * scripts.get("CJK", 0) > letters:
        return "zh"
    others = sum(scripts.get(name, 0) for name in ("THAI", "LAO", "KHMER", "MYANMAR"))
    return "char" if 10 * others > letters else "13a"
