"""N-grams: counts of what comes after what, and their mixture with a network.

Shapes: N codes of a text, B texts, T steps, V codes that there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

TIMES = 4
"""Kinds of how often a context was met."""
OFTEN = (2, 4, 16)
"""From how often on a context is of the next kind."""
NOTHING = -1
"""In place of a code before the first one."""
LONGEST = 16
"""Codes of an n-gram, at the most."""
Floats = NDArray[np.float64]
Codes: TypeAlias = NDArray[Any]
"""Whole numbers."""
Places = NDArray[np.int64]
Counted = Sequence[tuple[NDArray[np.uint64], NDArray[np.int64]]]
PLAIN = np.array([0.0, 0.5, 1.0, 1.5])
"""Discounts where there are too few n-grams to estimate them."""
NONE = -1
"""The place of a run of codes that was not met."""


@dataclass(frozen=True)
class _Level:
    """What n-grams of one length give to their last codes."""

    amounts: Floats
    """(G,), of each n-gram: its count less the discount."""
    total: Floats
    """(C,), the counts after each context."""
    spare: Floats
    """(C,), what the discounts leave to the next shorter context."""

    @classmethod
    def of(cls, counts: Places, starts: Places) -> _Level:
        """Discount (G,) counts of n-grams, of which those of each context begin at (C + 1,)."""
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        total, spare = (_sums(of.astype(float), starts) for of in (counts, discounts))
        return cls(counts - discounts, total, spare)


class NGrams:
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
        ValueError: the n-grams do not ascend, have no count each, do not fit together, or are
            longer than `LONGEST`.
    """

    def __init__(self, size: int, counted: Counted) -> None:
        self.size, self.order, self.counted = size, len(counted) - 1, list(counted)
        if not 0 < len(counted) <= LONGEST:
            raise ValueError(f"n-grams of {len(counted)} lengths")
        self._shorter = self._suffixes()
        self._starts = [
            _starts(grams // np.uint64(size), contexts)
            for (grams, _), contexts in zip(counted, (1, *map(len, self._shorter)), strict=False)
        ]
        self._seen = [
            _sums(counts, starts) for (_, counts), starts in zip(counted, self._starts, strict=True)
        ]
        self._levels = [self._level(length) for length in range(len(counted))]

    @classmethod
    def of(cls, codes: Codes, size: int, order: int) -> Self:
        """Count in `codes` (N,), of a vocabulary of `size`, each with up to `order` before it."""
        ending = np.zeros(len(codes), np.uint64)  # the n-gram that ends at each code
        counted = []
        for length in range(min(order, len(codes) - 1, LONGEST - 1) + 1):
            keys = codes[length:].astype(np.uint64)
            if length:
                keys += ending[:-1] * np.uint64(size)
            rows = _ascending(keys)
            keys = keys[rows]
            first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
            ending = np.empty(len(keys), np.uint64)
            ending[rows] = np.cumsum(first) - 1
            starts = np.flatnonzero(first)
            counted.append((keys[starts], np.diff(np.append(starts, len(keys)))))
        return cls(size, counted)

    def up_to(self, order: int) -> Self:
        """Return those with up to `order` codes before the counted one."""
        if order >= self.order:
            return self
        found = copy(self)
        found.order, found.counted = order, self.counted[: order + 1]
        found._levels = [*self._levels[:order], found._level(order)]
        return found

    def _level(self, length: int) -> _Level:
        """Discount the counts of one length."""
        counts = self.counted[length][1]
        if length < self.order:
            longer, after = self.counted[length + 1][1], self._shorter[length + 1]
            begins = counts - np.bincount(after, longer, len(counts)).astype(np.int64)
            counts = np.bincount(after, minlength=len(counts)) + begins
            if (begins < 0).any() or begins.sum() > 1:
                raise ValueError("n-grams that are no part of others as often as they came")
        return _Level.of(counts, self._starts[length])

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
        """Return (N,), the probability of each code, with up to `order` codes before it.

        And (N,), what was met of its context: `TIMES` · its longest length that was met, and up to
        `TIMES` - 1 more for how often.
        """
        probability = np.full(len(codes), 1 / self.size)
        met = np.zeros(len(codes), np.int64)
        ending = np.zeros(len(codes) + 1, np.int64)
        for length, ((grams, _), level) in enumerate(zip(self.counted, self._levels, strict=True)):
            before = ending[:-1]  # of the codes from `length` on, the place of their context
            there, last = before != NONE, codes[length:].astype(np.int64)
            keys = np.maximum(before, 0) * self.size + last
            ending = np.where(there, _places(grams, keys.astype(np.uint64)), NONE)
            context = np.maximum(before, 0)
            total = np.where(there, level.total[context], 0.0)
            amount = np.where(ending != NONE, level.amounts[ending], 0.0)
            later, known = probability[length:], total > 0
            mixed = (amount + level.spare[context] * later) / np.maximum(total, 1)
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

        `NOTHING` stands for what is before the first. And (B,), what was met of the contexts, as
        `looked_up` does.
        """
        probability = np.full((len(before), self.size), 1 / self.size)
        met = np.zeros(len(before), np.int64)
        for row, codes in enumerate(before):
            mine = probability[row]
            for length, place in enumerate(self._contexts(codes)):
                level, (begin, end) = self._levels[length], self._starts[length][place : place + 2]
                if begin == end:
                    break  # nothing came after it, nor after a longer one
                mine *= level.spare[place] / level.total[place]
                last = self.counted[length][0][begin:end] - np.uint64(place * self.size)
                mine[last.view(np.int64)] += level.amounts[begin:end] / level.total[place]
                met[row] = TIMES * length + bisect_right(OFTEN, self._seen[length][place])
        return probability, met

    def _contexts(self, codes: Codes) -> list[int]:
        """Return the places of the last 0, 1, … codes, up to the longest that was met."""
        known = [int(code) for code in codes if code != NOTHING]
        for length in range(min(self.order, len(known)), -1, -1):
            place = 0
            for (grams, _), code in zip(self.counted, known[len(known) - length :], strict=False):
                wanted = np.uint64(place * self.size + code)
                place = int(grams.searchsorted(wanted))
                if place == len(grams) or grams[place] != wanted:
                    break
            else:
                break
        found = [place]
        for shorter in range(length, 0, -1):
            found.append(int(self._shorter[shorter - 1][found[-1]]) if shorter > 1 else 0)
        return found[::-1]

    def to_arrays(self) -> dict[str, NDArray[np.uint8]]:
        """Return arrays for `from_arrays`: steps from one n-gram to the next, and counts.

        Both are bytes, those of the same rank side by side: they are alike, and so compress.
        """
        arrays = {}
        for length, (grams, counts) in enumerate(self.counted):
            steps = np.diff(grams, prepend=np.uint64(0))
            for name, of, kind in (("steps", steps, "<u8"), ("counts", counts, "<u4")):
                numbers = of.astype(kind)
                arrays[f"{name}{length}"] = numbers.view(np.uint8).reshape(-1, numbers.itemsize).T
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], size: int, order: int) -> Self:
        """Return the n-grams of `to_arrays`.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit together.
        """
        counted = []
        for length in range(order + 1):
            steps, counts = (
                np.ascontiguousarray(arrays[f"{name}{length}"].T).view(kind)[:, 0]
                for name, kind in (("steps", "<u8"), ("counts", "<u4"))
            )
            counted.append((np.cumsum(steps, dtype=np.uint64), counts.astype(np.int64)))
        return cls(size, counted)


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

    def __init__(self, ngrams: NGrams, shares: Floats) -> None:
        if (
            shares.shape != ((ngrams.order + 1) * TIMES,)
            or not ((shares >= 0) & (shares <= 1)).all()
        ):
            raise ValueError(f"shares {shares.shape} for n-grams of order {ngrams.order}")
        self.ngrams, self.shares = ngrams, shares

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], size: int) -> Self:
        """Return the n-grams of a vocabulary of `size` (`NGrams.to_arrays`), and `shares`.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit together.
        """
        order = len(arrays["shares"]) // TIMES - 1
        return cls(NGrams.from_arrays(arrays, size, order), arrays["shares"])

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


def often(seen: Any) -> Any:
    """Return 0 to `TIMES` - 1: met once, 2 or 3 times, 4 to 15 times, more often."""
    return np.searchsorted(OFTEN, seen, "right")


def _starts(contexts: NDArray[np.uint64], count: int) -> Places:
    """Return (C + 1,), where the n-grams of each of C contexts begin, which ascend, (G,)."""
    return np.searchsorted(contexts, np.arange(count + 1, dtype=np.uint64)).astype(np.int64)


def _sums(values: NDArray[Any], starts: Places) -> NDArray[Any]:
    """Return (C,), the sum of the values (G,) from each start to the next."""
    return np.diff(np.append(values.dtype.type(0), np.cumsum(values))[starts])


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


def _ascending(keys: NDArray[np.uint64]) -> Places:
    """Return the order (N,) of keys: a stable sort by sixteen bits at a time counts, in N steps."""
    rows = np.arange(len(keys))
    for shift in range(0, int(keys.max(initial=0)).bit_length(), 16):
        part = (keys >> np.uint64(shift)).astype(np.uint16)
        rows = rows[np.argsort(part[rows], kind="stable")]
    return rows
