"""BLEU and chrF of translations, by sacrebleu, beside the baselines."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gated.data.findings import Finding
from gated.data.split_by_text import bare
from gated.errors import require
from gated.scoring.judge import Compared, Floats, Integers, decide, grouped
from gated.scoring.verdict import Measure, Scope, Verdict, fixed, flattered, wrote_nothing

BLEU = Measure("BLEU {}", fixed(1), higher_is_better=True)
SENTENCES = Scope("sentences", "of {} wordings")

RESAMPLED = 1000
"""Resamplings of the test part behind an interval."""
LEAST = 10
"""Fewest sentences that are resampled: an interval of fewer says nothing."""
SEED = 12345
"""Of the resampling, sacrebleu's own."""


class Scores(NamedTuple):
    """Scores of one method; each from 0 to 100, higher is better."""

    bleu: float
    """BLEU (Papineni et al. 2002)."""
    bleu_error: float
    """Half the width of BLEU's 95 % interval, by resampling the sentences (Koehn 2004); NaN if not
    computed, or for fewer than 10 sentences."""
    chrf: float
    """chrF (Popović 2015)."""

    @property
    def bleu_with_error(self) -> str:
        """BLEU as text, with its error if there is one."""
        error = "" if math.isnan(self.bleu_error) else f" ± {self.bleu_error:.1f}"
        return f"{self.bleu:.1f}{error}"


@dataclass(frozen=True)
class Evaluation:
    """Translations of the same sentences by several methods."""

    sources: Sequence[str]
    references: Sequence[str]
    methods: Mapping[str, Sequence[str]]
    """Translations by method, the network first."""
    scores: Mapping[str, Scores]
    signatures: tuple[str, str]
    """Signatures of BLEU and of chrF: scores are comparable only if these are equal."""
    overlap: int
    """How many of the sentences were also trained on."""
    findings: Sequence[Finding] = ()
    """Findings of pairs that were left out of scoring."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Baselines that were not compared, and why."""

    higher_is_better = frozenset({"BLEU", "chrF"})

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method: the network first, and of each method the deciding score first."""
        return {name: {"BLEU": of.bleu, "chrF": of.chrf} for name, of in self.scores.items()}

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the network beats the best baseline.

        BLEU is computed over all sentences together, so the share of each group of sentences is
        found by leaving it out (jackknife).
        """
        groups = grouped(len(self.sources), [bare(source) for source in self.sources])
        size = np.bincount(groups).astype(np.float64)
        tokenizer = bleu_tokenizer(self.references)

        def compared(network: str, baseline: str) -> Compared:
            ours, theirs = (
                bleu_without(self.methods[name], self.references, groups, tokenizer)
                for name in (network, baseline)
            )
            difference, count = self.scores[network].bleu - self.scores[baseline].bleu, len(size)
            parts = (count - 1) * (difference - (ours - theirs))
            return Compared(difference, ours - theirs, difference + parts, size / size.sum())

        figures = {name: score.bleu for name, score in self.scores.items()}
        found = decide(figures, compared, BLEU, SENTENCES, examples=len(self.sources))
        written = self.methods[next(iter(self.scores))]
        return found.without(self.left_out).adding(
            wrote_nothing(written, SENTENCES.unit), flattered(self.overlap)
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Scores and signatures, for JSON."""
        return {
            "sentences": len(self.sources),
            "overlap": self.overlap,
            "left_out": list(self.findings),
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
    left_out: Mapping[str, str] | None = None,
) -> Evaluation:
    """Score the translations of each method against the references."""
    scores = {}
    signatures = ("", "")
    resampled = RESAMPLED if len(references) >= LEAST else 0
    for method, written in methods.items():
        scores[method], signatures = _scored(written, references, resampled)
    return Evaluation(
        sources, references, methods, scores, signatures, overlap, findings, left_out or {}
    )


def quick_scores(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF without intervals."""
    scores, _ = _scored(written, references, 0)
    return {"BLEU": scores.bleu, "chrF": scores.chrf}


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


def bleu_without(
    written: Sequence[str], references: Sequence[str], groups: Integers, tokenizer: str
) -> Floats:
    """Return (G,), BLEU of all sentences without those of each group."""
    metrics = require("sacrebleu", extra="text").metrics
    one = metrics.BLEU(tokenize=tokenizer, effective_order=True)
    found = [one.sentence_score(*pair) for pair in _each(written, references)]
    counted = np.array([[*of.counts, *of.totals, of.sys_len, of.ref_len] for of in found])
    each = np.zeros((int(groups.max()) + 1, counted.shape[1]), np.int64)
    np.add.at(each, groups, counted)
    orders = (counted.shape[1] - 2) // 2
    return np.array(
        [
            one.compute_bleu(
                rest[:orders], rest[orders:-2], rest[-2], rest[-1], smooth_method="exp"
            ).score
            for rest in (each.sum(0) - each).tolist()
        ]
    )


def _each(written: Sequence[str], references: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    for text, reference in zip(written, references, strict=True):
        yield text, [reference]


def bleu_tokenizer(references: Sequence[str]) -> str:
    """Return sacrebleu's tokenizer for the language that `references` are in, by its script.

    `zh` where a tenth of the letters are Chinese, `char` for Japanese, Thai, Lao, Khmer and
    Burmese, which have no spaces between words either, and otherwise the usual `13a`.

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
