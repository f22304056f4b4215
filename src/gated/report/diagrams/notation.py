"""Formulas as one line of text, converted to styled text for pictures and to TeX for pages.

An example is `f_t = σ(W_f · [h_{t-1}, x_t] + b_f)`: an underscore begins a subscript, and a
combining tilde marks a candidate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TILDE = "\u0303"
"""Combines with the letter before it."""
_LETTER = rf"[A-Za-z]{TILDE}?′?"
_SUBSCRIPT = r"_(?:\{[^}]*\}|\w)"
_SYMBOL = re.compile(rf"tanh|σ|1 −|⊙|\+|[()\[\]]|{_LETTER}(?:{_SUBSCRIPT})?")
_FUNCTION = "tanh|exp|log|max|min|norm|relu|softplus|where|sum|mean"
_RUN = re.compile(
    rf"(?P<sub>{_SUBSCRIPT})|(?P<name>{_FUNCTION})|(?P<letter>{_LETTER})|(?P<other>.)"
)
_TEX = (
    (re.compile(rf"([A-Za-z]){TILDE}"), r"\\tilde{\1}"),
    (re.compile(r"tanh"), r"\\tanh"),
    (re.compile(r"σ"), r"\\sigma"),
    (re.compile(r"⊙"), r"\\odot"),
    (re.compile(r"·"), r"\\cdot"),
    (re.compile(r"←"), r"\\leftarrow"),
    (re.compile(r"−"), r"-"),
    (re.compile(r"′"), r"'"),
)
_ANY_TIME = re.compile(r"_(?:t|\{t[-+]1\})")


class Run(NamedTuple):
    """Letters of the same style."""

    text: str
    italic: bool
    lowered: bool
    """A subscript."""


def runs(line: str) -> list[Run]:
    """Split the line where its style changes; variables are italic, all else is upright.

    >>> [run.text for run in runs("h_{t-1}")]
    ['h', 't', '−1']
    """
    joined: list[Run] = []
    for run in _pieces(line):
        last = joined[-1] if joined else None
        if last is not None and last[1:] == run[1:] and TILDE not in last.text + run.text:
            joined[-1] = run._replace(text=last.text + run.text)
        else:
            joined.append(run)
    return joined


def _pieces(line: str) -> Iterator[Run]:
    for found in _RUN.finditer(line):
        text = found.group()
        if found["sub"]:
            for letter in text.strip("_{}").replace("-", "−"):
                yield Run(letter, letter.isalpha(), lowered=True)
        else:
            yield Run(text, found["letter"] is not None, lowered=False)


def tex(line: str) -> str:
    r"""Return the line as TeX.

    >>> tex("c̃_t = tanh(W_c · [h_{t-1}, x_t] + b_c)")
    '\\tilde{c}_t = \\tanh(W_c \\cdot [h_{t-1}, x_t] + b_c)'
    """
    for pattern, replacement in _TEX:
        line = pattern.sub(replacement, line)
    return line


def symbols(equation: str) -> set[str]:
    """Return the variables, functions and operations of an equation that a diagram must show.

    Sums inside brackets are left out: a layer adds its products and its bias by itself.

    >>> sorted(symbols("c_t = f_t ⊙ c_{t-1} + tanh(W x_t + b)"))
    ['+', 'W', 'b', 'c_t', 'c_{t-1}', 'f_t', 'tanh', 'x_t', '⊙']
    """
    found, depth = set(), 0
    for symbol in _SYMBOL.findall(equation):
        if symbol in "([":
            depth += 1
        elif symbol in ")]":
            depth -= 1
        elif symbol != "+" or depth == 0:
            found.add(symbol)
    return found


def at_any_time(line: str) -> str:
    """Return the line with subscripts of time replaced by one that stands for any step.

    >>> at_any_time("h_{t-1}") == at_any_time("h_t")
    True
    """
    return _ANY_TIME.sub("_*", line)


def width(line: str, size: float) -> float:
    """Return about the width of the line at font size `size`, in units of the picture."""
    return size * sum(
        (0.7 if run.lowered else 1.0) * sum(map(advance, run.text)) for run in runs(line)
    )


def advance(letter: str) -> float:
    """Return about the width of a letter, as a share of the font size."""
    if letter == TILDE:
        return 0.0
    if ord(letter) > 0x2E80:  # Chinese
        return 1.0
    if letter in "ijltfr.,;:′'()[] ":
        return 0.34
    return 0.72 if letter.isupper() or letter in "mw+−⊙=←" else 0.53
