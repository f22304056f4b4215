"""The baselines: n-grams of characters, and compressors.

All are measured in bits for each character of the same text.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.texts.text import Codes
from gated.texts.vocabulary import Points, Vocabulary

MOST_ORDER = 7
"""Characters before the next one that are counted at most."""
MOST_COUNTED = 5_000_000
"""Characters that are counted or compressed at most, the last ones of the training part."""
FILE_UNIT = 4
"""Bytes by which compressed files grow: those of xz."""
TIMES = 4
"""Kinds of how often a context was met."""
Floats = NDArray[np.float64]


class NGrams:
    """An n-gram model: counts of characters after the `order` characters before them, and fewer.

    Interpolated as Witten and Bell (1991) do: the weight of the longer context is c / (c + d), with
    c how often it came, and d how many different characters came after it.
    """

    def __init__(
        self, size: int, counted: Sequence[tuple[NDArray[np.uint64], NDArray[np.int64]]]
    ) -> None:
        """Take the n-grams, as ascending numbers, and their counts, from single codes up.

        Raises:
            ValueError: the n-grams do not ascend, or have no count each.
        """
        self.size, self.bits = size, _bits(size)
        self.order, self.counted = len(counted) - 1, list(counted)
        self._contexts, self._seen, self._kinds = [], [], []
        for grams, counts in counted:
            if grams.shape != counts.shape or (grams[1:] <= grams[:-1]).any() or (counts < 1).any():
                raise ValueError("n-grams ascend, and each has a count")
            contexts, place = np.unique(grams >> np.uint64(self.bits), return_inverse=True)
            self._contexts.append(contexts)
            self._seen.append(np.bincount(place, counts))
            self._kinds.append(np.bincount(place))

    @classmethod
    def of(cls, codes: Codes, size: int, order: int) -> NGrams:
        """Count in `codes`, of a vocabulary of `size`; a key of 64 bits bounds the order."""
        bits = _bits(size)
        lengths = range(1, min(order, 64 // bits - 1) + 2)
        return cls(size, [np.unique(_keys(codes, of, bits), return_counts=True) for of in lengths])

    def up_to(self, order: int) -> NGrams:
        """Return those with up to `order` codes before the counted one."""
        return NGrams(self.size, self.counted[: order + 1])

    def looked_up(self, codes: Codes, order: int | None = None) -> tuple[Floats, NDArray[np.int64]]:
        """Return (N,), the probability of each code, with up to `order` codes before it.

        And (N,), what was met of its context: `TIMES` · its longest length that was met, and up to
        `TIMES` - 1 more for how often.
        """
        probability = np.full(len(codes), 1 / self.size)
        met = np.zeros(len(codes), np.int64)
        for length in range((self.order if order is None else order) + 1):
            keys = _keys(codes, length + 1, self.bits)
            grams, counts = self.counted[length]
            together = _found(grams, counts, keys)
            before = keys >> np.uint64(self.bits)
            seen = _found(self._contexts[length], self._seen[length], before)
            kinds = _found(self._contexts[length], self._kinds[length], before)
            later = probability[length:]
            known = seen > 0
            mixed = (together + kinds * later) / np.maximum(seen + kinds, 1)
            probability[length:] = np.where(known, mixed, later)
            met[length:] = np.where(known, TIMES * length + _often(seen), met[length:])
        return probability, met

    def bits_of(self, codes: Codes, order: int | None = None) -> Floats:
        """Return (N,), the bits of each code of a text, with up to `order` codes before it."""
        bits: Floats = -np.log2(self.looked_up(codes, order)[0])
        return bits

    def following(self, before: Codes) -> tuple[Floats, NDArray[np.int64]]:
        """Return (B, V), the probability of every code after the codes (B, T) before it.

        And (B,), what was met of the contexts, as `looked_up` does.
        """
        probability = np.full((len(before), self.size), 1 / self.size)
        met, bits = np.zeros(len(before), np.int64), np.uint64(self.bits)
        for row, codes in enumerate(before):
            context = 0
            for length in range(min(self.order, len(codes)) + 1):
                if length:
                    context |= int(codes[-length]) << (self.bits * (length - 1))
                place = int(np.searchsorted(self._contexts[length], np.uint64(context)))
                if place == len(self._contexts[length]) or self._contexts[length][place] != context:
                    continue
                grams, counts = self.counted[length]
                first = np.uint64(context) << bits
                begin, end = np.searchsorted(grams, [first, first + np.uint64(self.size)])
                seen, kinds = self._seen[length][place], self._kinds[length][place]
                probability[row] *= kinds
                probability[row, (grams[begin:end] - first).astype(np.int64)] += counts[begin:end]
                probability[row] /= seen + kinds
                met[row] = TIMES * length + int(_often(seen))
        return probability, met


def _bits(size: int) -> int:
    return max(1, (size - 1).bit_length())


def _often(seen: Any) -> Any:
    """Return 0 to `TIMES` - 1: met once, 2 or 3 times, 4 to 15 times, more often."""
    return np.searchsorted([2, 4, 16], seen, "right")


def _keys(codes: Codes, length: int, bits: int) -> NDArray[np.uint64]:
    """Return (N - length + 1,), each code with those before it in one number."""
    keys = np.zeros(max(0, len(codes) - length + 1), np.uint64)
    for place in range(length):
        keys = (keys << np.uint64(bits)) | codes[place : place + len(keys)].astype(np.uint64)
    return keys


def best_ngrams(training: Codes, validation: Codes, size: int) -> tuple[NGrams, int]:
    """Count n-grams, and choose the order with the fewest bits on the validation part.

    Without a validation part it is the largest.
    """
    counted = NGrams.of(np.asarray(training[-MOST_COUNTED:]), size, MOST_ORDER)
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
    training: Codes, test: Points, count: int, vocabulary: Vocabulary
) -> dict[str, Compressor]:
    """Return the compressors, by name, for the last `count` characters of the test part.

    The test part is its characters, or bytes, and not its codes: what the vocabulary does not hold
    has to be compressed too.
    """
    pieces = vocabulary.pieces()
    text = [bytes([of]) if vocabulary.unit == "byte" else chr(of).encode() for of in test.tolist()]
    known = [pieces[code] for code in training[-MOST_COUNTED:].tolist()]
    before = b"".join((*known, *text[: len(text) - count]))
    after = text[len(text) - count :]
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
