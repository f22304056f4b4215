"""Which examples a network was trained on, so that it is not scored on them unnoticed."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError

MOST = 1_000_000
"""Digests that are kept at most, 8 bytes each."""
MOST_KNOWN = 0.5
"""Largest share of the test data that may also be training data."""

Key = str | bytes
"""The content of an example: two examples with equal keys are the same."""


class Seen:
    """Digests of the examples that a network was trained on."""

    def __init__(self, digests: NDArray[np.uint64] | None = None) -> None:
        """Take sorted digests (N,); by default there are none."""
        self.digests = np.zeros(0, np.uint64) if digests is None else digests

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Seen:
        """Return the digests of examples; if over a million, only the smallest are kept.

        >>> Seen.of(["a", "b"]).among(["b", "c"])
        array([ True, False])
        """
        return cls(np.unique(_digests(keys))[:MOST])

    def among(self, keys: Iterable[Key]) -> NDArray[np.bool_]:
        """Return (N,), whether each of N examples was trained on."""
        return np.isin(_digests(keys), self.digests)

    def count(self, keys: Iterable[Key]) -> int:
        """Return how many of the examples were trained on."""
        return int(self.among(keys).sum())

    def to_json_value(self) -> str:
        """Return the digests, for JSON."""
        return b64encode(self.digests.astype("<u8").tobytes()).decode()

    @classmethod
    def from_json_value(cls, text: str) -> Seen:
        """Return what `to_json_value` wrote; nothing is known of what says nothing.

        Raises:
            ValueError: it is damaged.
        """
        return cls(np.frombuffer(b64decode(text, validate=True), "<u8").astype(np.uint64))


def refuse_known(known: int, count: int, what: str) -> None:
    """Refuse test data that are mostly training data.

    Args:
        known: number of test examples that were trained on.
        count: number of test examples.
        what: what the examples are called, in the plural.

    Raises:
        DataError: more than half of the test examples were trained on.

    >>> refuse_known(3, 4, "texts")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    gated.errors.DataError: 3 of the 4 texts to score on are also in the training data; a score ...
    """
    if known > MOST_KNOWN * count:
        raise DataError(
            f"{known:,} of the {count:,} {what} to score on are also in the training data; a score "
            "on them says nothing about new data. Give other test data, or remove them from either."
        )


def _digests(keys: Iterable[Key]) -> NDArray[np.uint64]:
    return np.array(
        [
            int.from_bytes(
                hashlib.blake2b(
                    key.encode(errors="surrogatepass") if isinstance(key, str) else key,
                    digest_size=8,
                ).digest(),
                "little",
            )
            for key in keys
        ],
        np.uint64,
    )
