"""Truncated backpropagation through time: which stretches of a long sequence a step reads.

A sequence, a text say, is cut into streams that are read side by side, stretch by stretch; states
go on from each stretch to the next one, and gradients go back as far as the stretch does (Williams
and Peng 1990). With an overlap, the last steps of a stretch are read once more by the next one, so
that gradients go back through so many steps at least; they are counted the first time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
SHORT = 1.5
"""What is left of a document or stream is read with the stretch before it, where both together have
fewer steps than this times the usual."""
SPREAD = 5.0
"""Standard deviation of the length of a stretch (Merity et al. 2018)."""
HALF = 0.05
"""How often a stretch is half as long."""


class Stretches(NamedTuple):
    """The next stretch of each of B streams."""

    at: Places
    """(B,), where it begins."""
    steps: Places
    """(B,), 1 or more."""
    anew: NDArray[np.bool_]
    """(B,), whether nothing of what came before it is remembered."""
    known: Places
    """(B,), how many of its first steps the stretch before has counted; fewer than `steps`."""
    again: Places
    """(B,), how many of its last steps the next stretch reads again; fewer than `steps`."""

    def rows(self, which: slice) -> Stretches:
        """Return those of some streams."""
        at, steps, anew, known, again = self
        return Stretches(at[which], steps[which], anew[which], known[which], again[which])


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
        self._known = np.zeros(len(starts), np.int64)

    def advance(self, window: int, overlap: int = 0) -> Stretches:
        """Read `window` steps, or to the end of the document or the stream.

        Where neither ends, the next stretch begins `overlap` steps before the end of this one.
        """
        at, known = self._at, self._known
        following = np.searchsorted(self.ends, at, "right")
        anew = at == self.starts
        until = self.stops
        if len(self.ends):
            anew = anew | (self.ends[np.maximum(following - 1, 0)] == at)
            beyond = following == len(self.ends)
            next_end = self.ends[np.where(beyond, 0, following)]
            until = np.where(beyond, until, np.minimum(until, next_end))
        left, usual = until - at, np.maximum(window, known + 1)
        ending = left < SHORT * usual
        steps = np.where(ending, left, usual)
        again = np.where(ending, 0, np.minimum(overlap, steps - 1))
        done = at + steps >= self.stops
        self._at = np.where(done, self.starts, at + steps - again)
        self._known = np.where(done, 0, again)
        self.rounds = self.rounds + done
        return Stretches(at, steps, anew, known, again)


class StretchPlan:
    """The stretches of each training step, over a text and over again; a function of the step.

    Args:
        length: N, places of the text, of which each stream gets an equal part.
        ends: of documents, as `Streams` takes them.
        window: T, steps of a stretch.
        overlap: how many of them the next one reads again.
        fixed: all stretches have T steps; otherwise some more or fewer, and now and then half.
        seed: of their lengths.
    """

    def __init__(
        self, length: int, ends: Places, window: int, overlap: int, *, fixed: bool, seed: int
    ) -> None:
        self._length, self._ends = length, ends
        self._usual, self._overlap, self._fixed, self._seed = window, overlap, fixed, seed
        self._made: dict[int, tuple[Streams, list[Stretches]]] = {}

    def steps_per_epoch(self, batch_size: int) -> int:
        """Steps in which each place is read once, with stretches of the usual length."""
        places = np.concatenate([[0], self._ends, [self._length]])
        stretches = np.ceil(np.diff(places) / (self._usual - self._overlap)).sum()
        return max(1, int(stretches) // batch_size)

    def at(self, step: int, batch_size: int) -> Stretches:
        """Return where in the streams a step begins, and how long it is.

        Made in order from the seed, and kept, so that it is a function of the step.
        """
        if batch_size not in self._made:
            length = self._length // batch_size
            starts = np.arange(batch_size) * length
            self._made[batch_size] = Streams(starts, starts + length, self._ends), []
        streams, made = self._made[batch_size]
        while len(made) <= step:
            made.append(streams.advance(self._window(len(made)), self._overlap))
        return made[step]

    def _window(self, step: int) -> int:
        """Return how many steps the stretches of a step have."""
        if self._fixed:
            return self._usual
        random = np.random.default_rng((self._seed, step))
        usual = self._usual // 2 if random.random() < HALF else self._usual
        return max(1, round(random.normal(usual, min(SPREAD, self._usual / 8))))
