"""Kneser–Ney n-grams, for vocabularies of tens of thousands of words.

Shapes: N codes of a text, B texts, T steps, V codes that there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gated.core.ngrams import NOTHING, TIMES, Codes, Floats, often

Places = NDArray[np.int64]
PLAIN = np.array([0.0, 0.5, 1.0, 1.5])
"""Discounts where there are too few n-grams to estimate them."""
NONE = -1
"""The place of a run of codes that was not met."""


class KneserNey:
    """Interpolated modified Kneser–Ney n-grams (Chen and Goodman 1999, section 3).

    Those of the whole length count how often they came; shorter ones after how many different
    codes, where the beginning of the text is one more. A count is lowered by the discount for
    counts of 1, of 2, or of more, and what that leaves goes to the next shorter context; below
    single codes, to all V alike.

    Args:
        size: V.
        counted: for each length from single codes up, in ascending order the n-grams, and their
            counts. An n-gram is V times the place, among those that are shorter by one, of all its
            codes but the last, plus the last.

    Raises:
        ValueError: the n-grams do not ascend, have no count each, or do not fit together.
    """

    def __init__(
        self, size: int, counted: Sequence[tuple[NDArray[np.uint64], NDArray[np.int64]]]
    ) -> None:
        self.size, self.order, self.counted = size, len(counted) - 1, list(counted)
        if not counted:
            raise ValueError("no n-grams")
        suffixes = self._suffixes()
        self._seen, self._total, self._spare, self._amounts = [], [], [], []
        contexts = 1
        for length, (grams, counts) in enumerate(counted):
            adjusted = counts
            if length < self.order:
                longer, after = counted[length + 1][1], suffixes[length + 1]
                begins = counts - np.bincount(after, longer, len(grams)).astype(np.int64)
                adjusted = np.bincount(after, minlength=len(grams)) + begins
                if (begins < 0).any() or begins.sum() > 1:
                    raise ValueError("n-grams that are no part of others as often as they came")
            discounts = _discounts(adjusted)[np.minimum(adjusted, 3)]
            before = (grams // np.uint64(size)).astype(np.int64)
            self._seen.append(np.bincount(before, counts, contexts))
            self._total.append(np.bincount(before, adjusted, contexts))
            self._spare.append(np.bincount(before, discounts, contexts))
            self._amounts.append(adjusted - discounts)
            contexts = len(grams)

    @classmethod
    def of(cls, codes: Codes, size: int, order: int) -> Self:
        """Count in `codes` (N,), of a vocabulary of `size`, each with up to `order` before it."""
        ending = np.zeros(len(codes), np.uint64)  # the n-gram that ends at each code
        counted = []
        for length in range(min(order, len(codes) - 1) + 1):
            keys = codes[length:].astype(np.uint64)
            if length:
                keys += ending[:-1] * np.uint64(size)
            grams, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
            ending = places.astype(np.uint64)
            counted.append((grams, counts.astype(np.int64)))
        return cls(size, counted)

    def _suffixes(self) -> list[Places]:
        """Return, for each length, the place of each n-gram without its first code.

        Raises:
            ValueError: as the class.
        """
        size, found, contexts = np.uint64(self.size), list[Places](), 1
        for length, (grams, counts) in enumerate(self.counted):
            if (
                grams.shape != counts.shape
                or (grams[1:] <= grams[:-1]).any()
                or (counts < 1).any()
                or (len(grams) and int(grams[-1] // size) >= contexts)
            ):
                raise ValueError("n-grams ascend, and each has a count")
            if not length:
                found.append(np.zeros(len(grams), np.int64))
            else:
                shorter = self.counted[length - 1][0]
                before = found[-1][(grams // size).astype(np.int64)].astype(np.uint64)
                places = _places(shorter, before * size + grams % size)
                if (places == NONE).any():
                    raise ValueError("n-grams whose last codes are none")
                found.append(places)
            contexts = len(grams)
        return found

    def looked_up(self, codes: Codes) -> tuple[Floats, Places]:
        """Return (N,), the probability of each code, and what was met of its context.

        As `gated.core.ngrams.NGrams.looked_up` does.
        """
        probability = np.full(len(codes), 1 / self.size)
        met = np.zeros(len(codes), np.int64)
        ending = np.zeros(len(codes) + 1, np.int64)
        for length, (grams, _) in enumerate(self.counted):
            before = ending[:-1]  # of the codes from `length` on, the place of their context
            there, last = before != NONE, codes[length:].astype(np.int64)
            keys = np.maximum(before, 0) * self.size + last
            ending = np.where(there, _places(grams, keys.astype(np.uint64)), NONE)
            context = np.maximum(before, 0)
            total = np.where(there, self._total[length][context], 0.0)
            amount = np.where(ending != NONE, self._amounts[length][ending], 0.0)
            later, known = probability[length:], total > 0
            mixed = (amount + self._spare[length][context] * later) / np.maximum(total, 1)
            probability[length:] = np.where(known, mixed, later)
            kind = TIMES * length + often(self._seen[length][context])
            met[length:] = np.where(known, kind, met[length:])
        return probability, met

    def bits_of(self, codes: Codes) -> Floats:
        """Return (N,), the bits of each code of a text."""
        bits: Floats = -np.log2(self.looked_up(codes)[0])
        return bits

    def following(self, before: Codes) -> tuple[Floats, Places]:
        """Return (B, V), the probability of every code after the codes (B, T) before it.

        And (B,), what was met of the contexts; as `gated.core.ngrams.NGrams.following` does.
        """
        probability = np.full((len(before), self.size), 1 / self.size)
        met = np.zeros(len(before), np.int64)
        for row, codes in enumerate(before):
            known = [int(code) for code in codes if code != NOTHING]
            for length in range(min(self.order, len(known)) + 1):
                place = self._place(known[len(known) - length :])
                if place == NONE or not self._total[length][place]:
                    break  # a longer one was not met either
                grams = self.counted[length][0]
                ends = np.array([place, place + 1], np.uint64) * np.uint64(self.size)
                some = slice(*grams.searchsorted(ends))
                probability[row] *= self._spare[length][place]
                last = (grams[some] % np.uint64(self.size)).astype(np.int64)
                probability[row, last] += self._amounts[length][some]
                probability[row] /= self._total[length][place]
                met[row] = TIMES * length + int(often(self._seen[length][place]))
        return probability, met

    def _place(self, codes: Sequence[int]) -> int:
        """Return the place of a run of codes among those of its length."""
        place = 0
        for (grams, _), code in zip(self.counted, codes, strict=False):
            place = int(_places(grams, np.array([place * self.size + code], np.uint64))[0])
            if place == NONE:
                break
        return place

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return arrays for `from_arrays`: the steps from one n-gram to the next, and counts."""
        arrays: dict[str, NDArray[Any]] = {}
        for length, (grams, counts) in enumerate(self.counted):
            arrays[f"steps{length}"] = np.diff(grams, prepend=np.uint64(0))
            arrays[f"counts{length}"] = counts.astype(np.uint32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], size: int, order: int) -> Self:
        """Return the n-grams of `to_arrays`.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit together.
        """
        return cls(
            size,
            [
                (
                    np.cumsum(arrays[f"steps{length}"], dtype=np.uint64),
                    arrays[f"counts{length}"].astype(np.int64),
                )
                for length in range(order + 1)
            ],
        )


def _discounts(counts: Places) -> Floats:
    """Return the discounts of counts of 0, 1, 2, and 3 or more (Chen and Goodman 1999, eq. 17)."""
    of = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if not of.all():
        return PLAIN
    least = of[0] / (of[0] + 2 * of[1])
    found = np.array([0.0, *(k - (k + 1) * least * of[k] / of[k - 1] for k in (1, 2, 3))])
    return found if ((found >= 0) & (found <= np.arange(4))).all() else PLAIN


def _places(grams: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> Places:
    """Return where the wanted ones are, `NONE` for those that are not there."""
    if not len(grams):
        return np.full(len(wanted), NONE)
    places = np.minimum(np.searchsorted(grams, wanted), len(grams) - 1)
    return np.where(grams[places] == wanted, places, NONE)
