"""Places of a text that are read side by side, each document from its own beginning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
SHORT = 1.5
"""What is left of a document or stream is read with the stretch before it, where both together have
fewer steps than this times the usual."""


class Stretches(NamedTuple):
    """The next stretch of each of B streams."""

    at: Places
    """(B,), where it begins."""
    steps: Places
    """(B,), 1 or more."""
    anew: NDArray[np.bool_]
    """(B,), whether nothing of what came before it is remembered."""

    def rows(self, which: slice) -> Stretches:
        """Return those of some streams."""
        return Stretches(self.at[which], self.steps[which], self.anew[which])


class Streams:
    """B streams through a text, over and over.

    Args:
        starts: (B,), where each begins.
        stops: (B,), before which place each ends, and begins again.
        ends: sorted, the places of the last codes of documents. To read such a code is to begin the
            document after it.
    """

    def __init__(self, starts: Places, stops: Places, ends: Places) -> None:
        self.starts, self.stops, self.ends = starts, stops, ends
        self.rounds = np.zeros(len(starts), np.int64)
        """(B,), how often each came to its end."""
        self._at = starts.copy()

    def advance(self, window: int) -> Stretches:
        """Go on by `window` steps, or to the end of the document or the stream."""
        at = self._at
        following = np.searchsorted(self.ends, at, "right")
        anew = at == self.starts
        until = self.stops
        if len(self.ends):
            anew = anew | (self.ends[np.maximum(following - 1, 0)] == at)
            beyond = following == len(self.ends)
            next_end = self.ends[np.where(beyond, 0, following)]
            until = np.where(beyond, until, np.minimum(until, next_end))
        left = until - at
        steps = np.where(left < SHORT * window, left, window)
        done = at + steps >= self.stops
        self._at = np.where(done, self.starts, at + steps)
        self.rounds = self.rounds + done
        return Stretches(at, steps, anew)
