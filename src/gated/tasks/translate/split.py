"""Training, validation and test pairs; no part holds sentences nearly equal to another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gated.data.findings import Finding
from gated.data.split_by_text import near_to, split_by_text
from gated.errors import DataError
from gated.tasks.translate.cleaning import left_out
from gated.tasks.translate.pairs import Pair


@dataclass(frozen=True)
class Split:
    """The three parts."""

    training: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    findings: tuple[Finding, ...] = ()


class Given(NamedTuple):
    """Parts that have files of their own; None of one that is held back from the pairs."""

    test: list[Pair] | None = None
    validation: list[Pair] | None = None


def split(
    pairs: Sequence[Pair],
    test: float,
    validation: float,
    seed: int,
    given: Given = Given(),  # noqa: B008 - it cannot change
) -> Split:
    """Hold back about `validation` and `test` pairs, shares or numbers; see `split_by_text`.

    Of parts that are given, nothing is held back; pairs nearly the same as theirs are left out.

    Raises:
        DataError: there are too few to hold any back and still train.
    """
    pairs = sorted(pairs, key=lambda pair: pair.line)
    texts = [pair[:2] for part in given for pair in part or ()]
    known: list[Pair] = []
    if texts:
        near = near_to(texts)
        of_training = [not near(pair[:2]) for pair in pairs]
        known = [pair for pair, kept in zip(pairs, of_training, strict=True) if not kept]
        pairs = [pair for pair, kept in zip(pairs, of_training, strict=True) if kept]
    test, validation = (
        0 if part is not None else of for part, of in zip(given, (test, validation), strict=True)
    )
    parts = split_by_text([pair[:2] for pair in pairs], test, validation, seed)
    for wanted, held in (
        (test, parts.test),
        (validation, [*parts.validation, *parts.near_validation]),
    ):
        if wanted and not held:
            raise DataError(
                f"{len(pairs)} pairs are too few to hold back test and validation parts. Give more "
                "pairs."
            )
    if not parts.training:
        raise DataError(f"Nothing is left to train on of {len(pairs)} pairs: hold back fewer.")
    findings = [
        left_out("near", name, [pairs[place] for place in dropped])
        for name, dropped in (
            (
                "validation pairs nearly the same as one held back for the test",
                parts.near_validation,
            ),
            ("training pairs nearly the same as one held back", parts.near_training),
        )
        if dropped
    ]
    if known:
        what = "training pairs nearly the same as one given for test or validation"
        findings.append(left_out("near", what, known))
    training, validating, testing = (
        [pairs[place] for place in part] for part in (parts.training, parts.validation, parts.test)
    )
    if given.test is not None:
        testing = given.test
    if given.validation is not None:
        validating = given.validation
    return Split(training, validating, testing, tuple(findings))
