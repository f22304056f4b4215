"""N-grams: counts of what comes after what, and their mixture with a network.

Shapes: T steps, B texts, N codes of a text, V codes that there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

TIMES = 4
"""Kinds of how often a context was met."""
OFTEN = (2, 4, 16)
"""From how often on a context is of the next kind."""
NOTHING = -1
"""In place of a code before the first one."""
BITS = 64
"""Of the number that a run of codes is."""
Floats = NDArray[np.float64]
Codes: TypeAlias = NDArray[Any]
"""Whole numbers."""


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
            ValueError: the n-grams do not ascend, have no count each, or are too long.
        """
        if len(counted) * _bits(size) > BITS or not counted:
            raise ValueError(f"{len(counted)} lengths of n-grams of {size:,} codes")
        self.size, self.bits = size, _bits(size)
        self.order, self.counted = len(counted) - 1, list(counted)
        self._contexts, self._seen, self._kinds = [], [], []
        self._codes, self._starts = [], []
        for grams, counts in counted:
            if grams.shape != counts.shape or (grams[1:] <= grams[:-1]).any() or (counts < 1).any():
                raise ValueError("n-grams ascend, and each has a count")
            # Those of one context stand side by side, since they ascend: no sorting.
            of = grams >> np.uint64(self.bits)
            first = np.flatnonzero(np.append(True, of[1:] != of[:-1])[: len(of)])
            self._contexts.append(of[first])
            self._seen.append(np.add.reduceat(counts.astype(float), first) if len(of) else first)
            self._starts.append(np.append(first, len(of)))
            self._kinds.append(np.diff(self._starts[-1]))
            codes = (grams & np.uint64((1 << self.bits) - 1)).astype(np.int64)
            if codes.size and codes.max() >= size:
                raise ValueError(f"n-grams of codes beyond {size:,}")
            self._codes.append(codes)

    @classmethod
    def of(cls, codes: Codes, size: int, order: int) -> NGrams:
        """Count in `codes`, of a vocabulary of `size`; a key of 64 bits bounds the order."""
        bits = _bits(size)
        lengths = range(1, min(order, BITS // bits - 1) + 2)
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
            met[length:] = np.where(known, TIMES * length + often(seen), met[length:])
        return probability, met

    def bits_of(self, codes: Codes, order: int | None = None) -> Floats:
        """Return (N,), the bits of each code of a text, with up to `order` codes before it."""
        bits: Floats = -np.log2(self.looked_up(codes, order)[0])
        return bits

    def following(self, before: Codes) -> tuple[Floats, NDArray[np.int64]]:
        """Return (B, V), the probability of every code after the codes (B, T) before it.

        `NOTHING` stands for what is before the first. And (B,), what was met of the contexts, as
        `looked_up` does.
        """
        probability = np.full((len(before), self.size), 1 / self.size)
        met = np.zeros(len(before), np.int64)
        for row, codes in enumerate(before):
            context, mine = 0, probability[row]
            for length in range(min(self.order, len(codes)) + 1):
                if length and codes[-length] == NOTHING:
                    break
                if length:
                    context |= int(codes[-length]) << (self.bits * (length - 1))
                contexts = self._contexts[length]
                place = int(contexts.searchsorted(np.uint64(context)))
                if place == len(contexts) or int(contexts[place]) != context:
                    break  # a longer one was not met either
                some = slice(*self._starts[length][place : place + 2])
                seen, kinds = self._seen[length][place], self._kinds[length][place]
                mine *= kinds
                mine[self._codes[length][some]] += self.counted[length][1][some]
                mine /= seen + kinds
                met[row] = TIMES * length + bisect_right(OFTEN, seen)
        return probability, met


def _bits(size: int) -> int:
    return max(1, (size - 1).bit_length())


def often(seen: Any) -> Any:
    """Return 0 to `TIMES` - 1: met once, 2 or 3 times, 4 to 15 times, more often."""
    return np.searchsorted(OFTEN, seen, "right")


def _keys(codes: Codes, length: int, bits: int) -> NDArray[np.uint64]:
    """Return (N - length + 1,), each code with those before it in one number."""
    keys = np.zeros(max(0, len(codes) - length + 1), np.uint64)
    for place in range(length):
        keys = (keys << np.uint64(bits)) | codes[place : place + len(keys)].astype(np.uint64)
    return keys


class Counted(Protocol):
    """N-grams of some kind."""

    size: int
    order: int

    def looked_up(self, codes: Codes) -> tuple[Floats, NDArray[np.int64]]:
        """Return (N,), the probability of each code, and what was met of its context."""

    def following(self, before: Codes) -> tuple[Floats, NDArray[np.int64]]:
        """Return (B, V), the probability of every code, and what was met of the contexts."""


class Mixture:
    """N-grams, and the network's share beside them.

    What comes next has the probability share · network + (1 - share) · n-grams; the share depends
    on the length of the context that the n-grams have met, and on how often.

    Args:
        ngrams: counted in the training part.
        shares: ((order + 1) · `TIMES`,), of the network, by what the n-grams have met.

    Raises:
        ValueError: there are more or fewer shares, or one is none.
    """

    def __init__(self, ngrams: Counted, shares: Floats) -> None:
        if (
            shares.shape != ((ngrams.order + 1) * TIMES,)
            or not ((shares >= 0) & (shares <= 1)).all()
        ):
            raise ValueError(f"shares {shares.shape} for n-grams of order {ngrams.order}")
        self.ngrams, self.shares = ngrams, shares

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], size: int) -> Self:
        """Return the n-grams of a vocabulary of `size`: `grams0`, `counts0` and so on, `shares`.

        Grams are stored as steps from one to the next, counts as they are, both as bytes: those of
        the same rank side by side.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit together.
        """
        counted = []
        for length in range(len(arrays["shares"]) // TIMES):
            steps, counts = (
                np.ascontiguousarray(arrays[f"{name}{length}"].T).view(kind)[:, 0]
                for name, kind in (("grams", "<u8"), ("counts", "<u4"))
            )
            counted.append((np.cumsum(steps, dtype=np.uint64), counts.astype(np.int64)))
        return cls(NGrams(size, counted), arrays["shares"])

    def probabilities(self, network: Floats, codes: Codes) -> Floats:
        """Return (N - 1,), of each code (N,) after the first, from the network's (N - 1,)."""
        counted, met = (of[1:] for of in self.ngrams.looked_up(codes))
        share = self.shares[met]
        mixed: Floats = share * network + (1 - share) * counted
        return mixed

    def following(self, network: Floats, before: Codes) -> Floats:
        """Return (B, V), of every code after the codes (B, T) before it, from the network's."""
        counted, met = self.ngrams.following(before)
        share = self.shares[met][:, None]
        mixed: Floats = share * network + (1 - share) * counted
        return mixed


def _found(
    keys: NDArray[np.uint64], values: NDArray[np.float64 | np.int64], wanted: NDArray[np.uint64]
) -> Floats:
    """Return the values of the keys that are wanted, 0 where there is none."""
    if not len(keys):
        return np.zeros(len(wanted))
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0).astype(float)
