"""The check that enough examples were held back to score a training on."""

from __future__ import annotations

from gated.errors import DataError, option


def require_test_part(count: int, *, what: str, least: int = 1) -> None:
    """Make sure that enough examples were held back to score on; called before the training.

    Args:
        count: number of examples held back.
        what: what they are called, in the plural: `pairs`.
        least: smallest number of examples that can be scored.

    Raises:
        DataError: there are fewer.

    >>> require_test_part(3, what="pairs", least=10)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    gated.errors.DataError: The test part holds 3 pairs; a score needs 10 or more. Hold back...
    """
    if count >= least:
        return
    found = (
        f"The test part holds {count:,} {what}; a score needs {least:,} or more."
        if count
        else "There is no test part to score on."
    )
    raise DataError(f"{found} Hold back more ({option('test')}), or give more {what}.")
