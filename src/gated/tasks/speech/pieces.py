"""Long recordings in pieces, cut where nobody speaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.tasks.speech.audio import QUIET, Samples

LONGEST = 30.0
"""Seconds of a piece at most."""
SHORTEST = 1 / 3
"""The part of that from which on a piece may end."""
FRAME = 0.01
"""Seconds over which the level is measured."""
LOUD = 90
"""Percentile of the levels that counts as that of speech."""
PAUSE_DB = 20.0
"""A pause is quieter than speech by so many decibels or more,"""
PAUSE = 0.2
"""and lasts so many seconds or more."""


class Piece(NamedTuple):
    """A part of a recording."""

    begin: float
    """Seconds before it."""
    samples: Samples
    """(n,), from -1 to 1."""


def pieces_of(blocks: Iterable[Samples], rate: int, longest: float = LONGEST) -> Iterator[Piece]:
    """Cut a recording into pieces of `longest` seconds at most.

    A piece ends in the middle of the longest pause after its first third, or where there is none,
    in the middle of its quietest fifth of a second there. Silent pieces are left out. Only the
    samples of a piece are kept.

    Args:
        blocks: the samples, some at a time.
        rate: samples per second.
        longest: seconds of a piece at most.
    """
    most, begin = round(longest * rate), 0
    waiting: list[Samples] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        while count > most:
            samples = np.concatenate(waiting)
            end = _end_of_piece(samples[:most], rate)
            if np.abs(samples[:end]).max() >= QUIET:
                yield Piece(begin / rate, samples[:end])
            begin, waiting, count = begin + end, [samples[end:]], count - end
    if count:
        samples = np.concatenate(waiting)
        if np.abs(samples).max() >= QUIET:
            yield Piece(begin / rate, samples)


def levels(samples: Samples, rate: int) -> NDArray[np.float64]:
    """Return the level of each hundredth of a second, in decibels of full scale."""
    size = max(1, round(FRAME * rate))
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    found: NDArray[np.float64] = 10 * np.log10((frames**2).mean(-1) + 1e-12)
    return found


def _end_of_piece(samples: Samples, rate: int) -> int:
    """Return how many of the samples are the next piece."""
    level = levels(samples, rate)
    first, need = round(SHORTEST * len(level)), max(1, round(PAUSE / FRAME))
    quiet = level <= np.percentile(level, LOUD) - PAUSE_DB
    quiet[:first] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int)))
    begins, ends = edges[::2], edges[1::2]
    if len(begins) and (ends - begins).max() >= need:
        place = int((ends - begins).argmax())
        middle = (begins[place] + ends[place]) // 2
    else:
        mean = np.convolve(level[first:], np.ones(need) / need, "valid")
        middle = first + int(mean.argmin()) + need // 2
    return max(1, int(middle) * max(1, round(FRAME * rate)))
