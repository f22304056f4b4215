"""Cleaning of the pairs: which are left out of training, with a count of each reason."""

from __future__ import annotations

import statistics
import unicodedata
from collections.abc import Callable, Sequence

from gated.data.findings import Finding
from gated.errors import DataError
from gated.tasks.translate.pairs import Pair

ROOM = 10
"""Characters added to both sides before their lengths are compared: short labels vary more."""
CHARACTERS = 12
"""Characters of a subword at most, as a bound before there are subwords."""


def tidy(text: str) -> str:
    r"""Put `text` into Unicode's form NFC, without control characters, with single spaces.

    >>> tidy(" Ane\u0301mone\x07\u00a0 de mer ")
    'Anémone de mer'
    """
    composed = unicodedata.normalize("NFC", text)
    shown = "".join(
        letter if unicodedata.category(letter) != "Cc" or letter.isspace() else " "
        for letter in composed
    )
    return " ".join(shown.split())


def clean(
    pairs: Sequence[Pair], longest: int, most_ratio: float
) -> tuple[list[Pair], tuple[Finding, ...]]:
    """Return the usable pairs, tidied, and findings of the others.

    Args:
        pairs: as they were read.
        longest: most subwords of a sentence; longer ones are left out.
        most_ratio: greatest ratio of the sides' lengths, relative to the usual ratio, or of its
            inverse.

    Raises:
        DataError: nothing is left.
    """
    kept = [Pair(tidy(pair.source), tidy(pair.target), pair.line) for pair in pairs]
    findings: list[Finding] = []

    def drop(kind: str, what: str, unwanted: Callable[[Pair], bool]) -> None:
        nonlocal kept
        judged = [(pair, unwanted(pair)) for pair in kept]
        dropped = [pair for pair, bad in judged if bad]
        kept = [pair for pair, bad in judged if not bad]
        if dropped:
            findings.append(left_out(kind, what, dropped))

    drop("empty", "pairs with nothing on one side", lambda pair: not (pair.source and pair.target))
    seen: set[tuple[str, str]] = set()

    def again(pair: Pair) -> bool:
        known = pair[:2] in seen
        seen.add(pair[:2])
        return known

    drop("duplicate", "pairs that had come before", again)
    bound = longest * CHARACTERS
    drop(
        "long",
        f"pairs with more than {bound:,} characters on one side",
        lambda pair: max(len(pair.source), len(pair.target)) > bound,
    )
    if kept:
        usual = statistics.median(map(_ratio, kept))
        drop(
            "ratio",
            f"pairs whose lengths differ {most_ratio:g} times more than usual",
            lambda pair: not 1 / most_ratio <= _ratio(pair) / usual <= most_ratio,
        )
    if not kept:
        raise DataError(
            "No pair of sentences is left to learn from: "
            + " ".join(str(finding) for finding in findings)
        )
    return kept, tuple(findings)


def left_out(kind: str, what: str, pairs: Sequence[Pair]) -> Finding:
    """Return a finding of the `pairs` that were left out."""
    first = pairs[0]
    shown = first.source if len(first.source) <= 60 else f"{first.source[:60]}…"
    return Finding(
        kind=kind,
        count=len(pairs),
        what=what,
        action="left out",
        example=f"line {first.line:,}: {shown}",
    )


def _ratio(pair: Pair) -> float:
    return (len(pair.target) + ROOM) / (len(pair.source) + ROOM)
