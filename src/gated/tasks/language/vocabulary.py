"""The characters that a model knows, as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError

Points = NDArray[np.uint32]
"""Code points of characters, or bytes."""
UNKNOWN = 0
"""The code of whatever the training part does not hold."""
MOST = 2**16 - 1


class Vocabulary:
    """Code points, sorted; that of the unknown, the replacement character, comes first."""

    def __init__(self, points: Sequence[int], unit: str) -> None:
        self.unit = unit
        self.points = np.array(points, np.uint32)
        self._codes = np.zeros(int(self.points.max(initial=0)) + 2, np.uint16)
        self._codes[self.points] = np.arange(1, len(self.points) + 1)

    @classmethod
    def of(cls, blocks: Iterable[Points], unit: str) -> Vocabulary:
        """Take every character of a text; of bytes, all 256.

        Raises:
            DataError: there are more than 65,535.
        """
        if unit == "byte":
            return cls(range(256), unit)
        known: Points = np.zeros(0, np.uint32)
        for block in blocks:
            known = np.union1d(known, block)
        if len(known) > MOST:
            raise DataError(f"The text holds {len(known):,} different characters; {MOST:,} fit.")
        return cls(known.tolist(), unit)

    def __len__(self) -> int:
        """Return the number of codes, the unknown included."""
        return len(self.points) + 1

    def encode(self, points: Points) -> NDArray[np.uint16]:
        """Return codes; of what is not known, `UNKNOWN`.

        >>> Vocabulary([97, 99], "character").encode(np.array([99, 98, 97], np.uint32)).tolist()
        [2, 0, 1]
        """
        codes: NDArray[np.uint16] = self._codes[np.minimum(points, len(self._codes) - 1)]
        return codes

    def pieces(self) -> list[bytes]:
        """Return the bytes that each code stands for."""
        if self.unit == "byte":
            return [b"\xef\xbf\xbd", *(bytes([point]) for point in self.points)]
        return ["\N{REPLACEMENT CHARACTER}".encode(), *(chr(of).encode() for of in self.points)]
