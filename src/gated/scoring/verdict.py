"""The verdict of the judge: its figures, and the sentence that states them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

Outcome = Literal["better", "worse", "undecided", "too few"]
NOT_WANTED = "with --no-baseline"
"""The reason given for baselines that were left out by that option."""
MOST_DIGITS = 8
"""Digits that are written at most to show the difference of two figures that look the same."""

SHORT = (1e-9, 1e15)
"""Numbers between these are written without an exponent."""


def significant(value: float, digits: int = 3) -> str:
    """Write `value` with at least `digits` significant digits; an exponent only where it is long.

    >>> significant(4.4149), significant(0.0012345), significant(12345.6), significant(0.0)
    ('4.41', '0.00123', '12,346', '0')
    >>> significant(6.0612e-40), significant(-6.0612e36)
    ('6.06e-40', '-6.06e+36')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if not SHORT[0] <= abs(value) < SHORT[1]:
        return f"{value:.{digits}g}"
    return f"{value:z,.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}"


def fixed(decimals: int) -> Callable[[float, int], str]:
    """Return a function that writes a number with this many decimals at three digits.

    >>> fixed(3)(2.2581, 3)
    '2.258'
    """
    return lambda value, digits: f"{value:z,.{decimals + digits - 3}f}"


def percent(share: float, digits: int) -> str:
    """Write a share (0 to 1) in percent.

    >>> percent(0.9667, 3), percent(-0.0002, 3)
    ('96.7%', '0.0%')
    """
    return f"{share:z.{digits - 2}%}"


@dataclass(frozen=True)
class Measure:
    """The measure that is compared, and how its figures are written."""

    figure: str
    """Template with braces in place of the number: `MAE {}`, `{} right`."""
    write: Callable[[float, int], str] = significant
    """Writes a number with about so many digits; three is usual."""
    higher_is_better: bool = False
    relative: bool = False
    """Whether to add by how many percent the network's figure is less or more."""
    largest: float = math.inf
    """By how much the values of one example can differ at most: 1 for right and wrong."""

    def against(self, ours: float, theirs: float) -> str:
        """Write two figures side by side, with as many digits as show their difference.

        >>> Measure("MAE {}", relative=True).against(4.41, 6.75)
        'MAE 4.41 against 6.75, 35 % less'
        """
        digits = 3
        while (
            ours != theirs
            and digits < MOST_DIGITS
            and self.write(ours, digits) == self.write(theirs, digits)
        ):
            digits += 1
        text = (
            f"{self.figure.format(self.write(ours, digits))} against {self.write(theirs, digits)}"
        )
        if not self.relative or theirs == 0 or ours == theirs:
            return text
        more = "less" if ours < theirs else "more"
        return f"{text}, {significant(100 * abs(ours / theirs - 1), 2)} % {more}"

    def interval(self, low: float, high: float, level: float, clusters: int) -> str:
        """Write the interval of a difference, or why there is none."""
        if math.isinf(high - low):
            return f"no interval: the difference is the same {clusters:,} times"
        ends = " to ".join(self.write(end, 3).replace("-", "−") for end in (low, high))
        return f"{level:.0%} interval of the difference {ends}"


@dataclass(frozen=True)
class Scope:
    """What examples and clusters are called in a verdict: `Scope("windows", "at {} times")`."""

    unit: str
    """What an example is called, in the plural."""
    clustered: str = ""
    """How clusters are described, with braces in place of their number; empty without clusters."""

    @property
    def independent(self) -> str:
        """What the independent units are called, in the plural: `times`."""
        return self.clustered.split()[-1] if self.clustered else self.unit

    def over(self, examples: int, clusters: int) -> str:
        """Write the number of examples and clusters.

        >>> Scope("windows", "at {} times").over(84, 28), Scope("texts").over(1, 1)
        ('over 84 windows at 28 times', 'over 1 text')
        >>> Scope("characters", "in {} stretches").over(65, 1)
        'over 65 characters in 1 stretch'
        """
        text = f"over {examples:,} {_counted(self.unit, examples)}"
        if self.clustered and clusters < examples:
            text += f" {_counted(self.clustered.format(f'{clusters:,}'), clusters)}"
        return text


def _counted(plural: str, number: int) -> str:
    ending = "es" if plural.endswith("ches") else "s"
    return plural.removesuffix(ending) if number == 1 else plural


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a network is better than the best of its baselines."""

    outcome: Outcome
    """`undecided` also where there was no baseline."""
    network: str
    baseline: str
    """The name of the best baseline; empty where there is none."""
    figure: str
    """The comparison in words, with its interval: `MAE 4.41 against 6.75, 35 % less (95% …)`."""
    ours: float
    """The network's figure."""
    theirs: float
    """The best baseline's figure; NaN without a baseline."""
    difference: float
    """The network's figure minus the baseline's."""
    low: float
    high: float
    """The ends of the interval of the difference; infinite where there are too few clusters, or all
    have the same difference of values without bounds."""
    level: float
    """Confidence level of the interval, such as 0.95."""
    examples: int
    clusters: int
    """Number of clusters: groups of examples that are independent of each other."""
    sentence: str
    """The verdict in words."""
    instead: str = ""
    """What made the figure, where the network of the name that is asked about had no part in it."""

    @property
    def better(self) -> bool:
        """Whether the network beats the best baseline."""
        return self.outcome == "better"

    def __str__(self) -> str:
        """The sentence."""
        return self.sentence

    def adding(self, *sentences: str) -> Self:
        """Return the same verdict with further sentences; empty ones are ignored."""
        return replace(self, sentence=" ".join([self.sentence, *filter(None, sentences)]))

    def without(self, left_out: Mapping[str, str]) -> Self:
        """Return the same verdict that also states which baselines were left out, and why."""
        return self.adding(*(f"Left out: {name} ({why})." for name, why in left_out.items()))


def head_of(outcome: Outcome, network: str, baseline: str, unit: str) -> str:
    """Return the beginning of a verdict's sentence."""
    best = f"the best baseline ({baseline})"
    return {
        "better": f"{network} beats {best}",
        "worse": f"{network} does NOT beat {best}",
        "undecided": f"{network} does NOT clearly beat {best}",
        "too few": f"Too few independent {unit} to judge {network} against {best}",
    }[outcome]


def flattered(known: int) -> str:
    """Return a sentence about test examples that were trained on; empty if there are none.

    >>> flattered(2)
    '2 of them were trained on, so the score is too good.'
    """
    return f"{known:,} of them were trained on, so the score is too good." if known else ""


def wrote_nothing(written: Sequence[str], unit: str) -> str:
    """Return a sentence about outputs that are empty; itself empty if there are none.

    >>> wrote_nothing(["", "yes"], "recordings")
    'It wrote nothing for 1 of 2 recordings.'
    """
    empty = sum(not text.strip() for text in written)
    return f"It wrote nothing for {empty:,} of {len(written):,} {unit}." if empty else ""


def both(verdicts: Sequence[Verdict], scope: Scope) -> Verdict:
    """Join verdicts by several measures into one: `undecided` unless all have the same outcome.

    The figures of the result are those of the first verdict.
    """
    first = verdicts[0]
    outcomes = {verdict.outcome for verdict in verdicts}
    outcome: Outcome = first.outcome if len(outcomes) == 1 else "undecided"
    if not first.baseline:
        return first
    comparison = "; ".join(
        f"{verdict.outcome} in {verdict.figure}" if len(outcomes) > 1 else verdict.figure
        for verdict in verdicts
    )
    head = head_of(outcome, first.network, first.baseline, scope.unit)
    over = scope.over(first.examples, first.clusters)
    sentence = f"{head}: {comparison}; {over}."
    return replace(first, outcome=outcome, figure=comparison, sentence=sentence)
