"""The baselines: n-grams of characters, and compressors.

All are measured in bits for each character of the same text.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gated.texts.text import Codes
from gated.texts.vocabulary import Vocabulary

MOST_ORDER = 7
"""Characters before the next one that are counted at most."""
MOST_COUNTED = 5_000_000
"""Characters that are counted or compressed at most, the last ones of the training part."""
FILE_UNIT = 4
"""Bytes by which compressed files grow: those of xz."""
Floats = NDArray[np.float64]


class NGrams:
    """An n-gram model: counts of characters after the `order` characters before them, and fewer.

    Interpolated as Witten and Bell (1991) do: the weight of the longer context is c / (c + d), with
    c how often it came, and d how many different characters came after it.
    """

    def __init__(self, codes: Codes, size: int, order: int) -> None:
        """Count in `codes`, of a vocabulary of `size`; a key of 64 bits bounds the order."""
        self.size, self.bits = size, max(1, (size - 1).bit_length())
        self.order = min(order, 64 // self.bits - 1)
        self._grams, self._counts = [], []
        self._contexts, self._seen, self._kinds = [], [], []
        for length in range(self.order + 1):
            grams, counts = np.unique(self._keys(codes, length + 1), return_counts=True)
            contexts, place = np.unique(grams >> np.uint64(self.bits), return_inverse=True)
            self._grams.append(grams)
            self._counts.append(counts)
            self._contexts.append(contexts)
            self._seen.append(np.bincount(place, counts))
            self._kinds.append(np.bincount(place))

    def bits_of(self, codes: Codes, order: int | None = None) -> Floats:
        """Return (N,), the bits of each code of a text, with up to `order` codes before it."""
        probability = np.full(len(codes), 1 / self.size)
        for length in range((self.order if order is None else order) + 1):
            keys = self._keys(codes, length + 1)
            together = _found(self._grams[length], self._counts[length], keys)
            before = keys >> np.uint64(self.bits)
            seen = _found(self._contexts[length], self._seen[length], before)
            kinds = _found(self._contexts[length], self._kinds[length], before)
            later = probability[length:]
            known = seen > 0
            mixed = (together + kinds * later) / np.maximum(seen + kinds, 1)
            probability[length:] = np.where(known, mixed, later)
        bits: Floats = -np.log2(probability)
        return bits

    def _keys(self, codes: Codes, length: int) -> NDArray[np.uint64]:
        """Return (N - length + 1,), each code with those before it in one number."""
        keys = np.zeros(max(0, len(codes) - length + 1), np.uint64)
        for place in range(length):
            keys = (keys << np.uint64(self.bits)) | codes[place : place + len(keys)].astype(
                np.uint64
            )
        return keys


def best_ngrams(training: Codes, validation: Codes, size: int) -> tuple[NGrams, int]:
    """Count n-grams, and choose the order with the fewest bits on the validation part.

    Without a validation part it is the largest.
    """
    counted = NGrams(np.asarray(training[-MOST_COUNTED:]), size, MOST_ORDER)
    if len(validation) < 2:
        return counted, counted.order
    said = np.asarray(validation)
    orders = range(counted.order + 1)
    return counted, min(orders, key=lambda order: float(counted.bits_of(said, order).mean()))


class Compressor:
    """Bits of a text by a compressor: how much the compressed training text grows by it."""

    def __init__(self, compress: Callable[[bytes], bytes], before: bytes, pieces: list[bytes]):
        """Take the training text, and the characters of the test, each as its bytes."""
        self._compress, self._before, self._pieces = compress, before, pieces
        self._alone = len(compress(before))

    def bits(self, first: int | None = None) -> float:
        """Return the bits of the `first` characters, by default of all.

        A compressed file grows by whole units and holds a header: a difference below a unit, or
        below 0, is no measurement, and counts as one unit.
        """
        text = self._before + b"".join(self._pieces[:first])
        return 8.0 * max(len(self._compress(text)) - self._alone, FILE_UNIT)

    def of_parts(self, ends: Sequence[int]) -> Floats:
        """Return (G,), the bits of the G parts of the text that end at `ends`, in characters."""
        return np.diff([0.0, *(self.bits(end) for end in ends)])


def compressors_of(
    training: Codes, test: Codes, count: int, vocabulary: Vocabulary
) -> dict[str, Compressor]:
    """Return the compressors, by name, for the last `count` characters of the test part."""
    pieces = vocabulary.pieces()
    known = [*training[-MOST_COUNTED:].tolist(), *test[: len(test) - count].tolist()]
    before = b"".join(pieces[code] for code in known)
    after = [pieces[code] for code in test[len(test) - count :].tolist()]
    return {
        "xz": Compressor(
            lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), before, after
        ),
        "bzip2": Compressor(lambda data: bz2.compress(data, 9), before, after),
    }


def _found(
    keys: NDArray[np.uint64], values: NDArray[np.float64 | np.int64], wanted: NDArray[np.uint64]
) -> Floats:
    """Return the values of the keys that are wanted, 0 where there is none."""
    if not len(keys):
        return np.zeros(len(wanted))
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0).astype(float)
