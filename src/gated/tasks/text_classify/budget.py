"""How long a text classifier trains, and how many subwords it reads, where that is not given."""

from __future__ import annotations

from gated.texts.config import FEWEST_SUBWORDS

MANY = 4000
"""Texts from which on the steps grow, by the square root of their number."""
MOST_STEPS = 4000
LETTERS_EACH = 100
"""Characters of training text for each subword."""
MOST_SUBWORDS = 16_000


def usual_steps(few: int, texts: int) -> int:
    """Return the steps for a number of training texts, `few` for up to `MANY`.

    >>> usual_steps(400, 300), usual_steps(400, 33_000), usual_steps(400, 10**7)
    (400, 1149, 4000)
    """
    growth: float = max(1.0, texts / MANY) ** 0.5
    return min(max(few, MOST_STEPS), round(few * growth))


def usual_subwords(letters: int) -> int:
    """Return how many subwords to learn from training texts of so many characters.

    >>> usual_subwords(20_000), usual_subwords(800_000), usual_subwords(10**9)
    (500, 8000, 16000)
    """
    return max(FEWEST_SUBWORDS, 500, min(letters // LETTERS_EACH, MOST_SUBWORDS))
