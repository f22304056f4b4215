"""A training that is scored needs something to be scored on."""

from __future__ import annotations

from gated.errors import DataError


def require_test_part(count: int, *, what: str, least: int = 1) -> None:
    """Make sure that enough was held back to score on, before a training and not after it.

    Args:
        count: examples held back.
        what: they are.
        least: examples that a score can be told of.

    Raises:
        DataError: there are fewer.

    >>> require_test_part(3, what="pairs", least=10)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    gated.errors.DataError: The test part holds 3 pairs; a score is told of 10 or more. Hold back...
    """
    if count >= least:
        return
    found = (
        f"The test part holds {count:,} {what}; a score is told of {least:,} or more."
        if count
        else "There is no test part to score on."
    )
    raise DataError(f"{found} Hold back more (--test), or give more {what}.")
