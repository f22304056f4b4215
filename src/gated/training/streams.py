"""Truncated backpropagation through time: which segments of a long sequence a step reads.

A sequence, such as a text, is cut into B streams, which form a batch and are read stretch by
stretch, a segment of up to T steps at a time; states are carried over from each stretch to the next
one, and gradients go back to the start of the stretch (Williams and Peng 1990). With an overlap,
the last steps of a stretch are read once more by the next one, so that gradients go back through at
least as many steps; in the loss they count the first time.
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
"""The probability that a stretch is half as long (Merity et al. 2018)."""


class Stretches(NamedTuple):
    """The next stretch of each of B streams."""

    at: Places
    """(B,), the index of its first step in the text."""
    steps: Places
    """(B,), its length, 1 or more."""
    anew: NDArray[np.bool_]
    """(B,), whether it starts from initial states, not from those of the stretch before."""
    known: Places
    """(B,), how many of its first steps count in the loss of the stretch before; below `steps`."""
    again: Places
    """(B,), how many of its last steps the next stretch reads again; below `steps`."""

    def rows(self, which: slice) -> Stretches:
        """Return the stretches of some streams."""
        at, steps, anew, known, again = self
        return Stretches(at[which], steps[which], anew[which], known[which], again[which])


class Streams:
    """B streams through a text, each repeated without end.

    Args:
        starts: (B,), the first index of each stream in the text.
        stops: (B,), the index at which each stream ends, exclusive; it then starts again.
        ends: sorted, the indices of the last codes of documents. Reading such a code begins the
            next document.
    """

    def __init__(self, starts: Places, stops: Places, ends: Places) -> None:
        self.starts, self.stops, self.ends = starts, stops, ends
        self.rounds = np.zeros(len(starts), np.int64)
        """(B,), how often each stream has been read to its end."""
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
    """The stretches of each training step, over repeated passes of a text; a function of the step.

    Args:
        length: N, the length of the text, of which each stream gets an equal part.
        ends: of documents, as `Streams` takes them.
        window: T, steps of a stretch.
        overlap: how many of them the next one reads again.
        fixed: all stretches have T steps; otherwise lengths vary at random, and some are half.
        seed: of their lengths.
    """

    def __init__(
        self, length: int, ends: Places, window: int, overlap: int, *, fixed: bool, seed: int
    ) -> None:
        self._length, self._ends = length, ends
        self._usual, self._overlap, self._fixed, self._seed = window, overlap, fixed, seed
        self._made: dict[int, tuple[Streams, list[Stretches]]] = {}

    def steps_per_epoch(self, batch_size: int) -> int:
        """Steps in which the whole text is read once, with stretches of the usual length."""
        places = np.concatenate([[0], self._ends, [self._length]])
        stretches = np.ceil(np.diff(places) / (self._usual - self._overlap)).sum()
        return max(1, int(stretches) // batch_size)

    def at(self, step: int, batch_size: int) -> Stretches:
        """Return the stretches of a step.

        They are computed in order from the seed, and cached: a function of the step.
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
        """Return the length of the stretches of a step."""
        if self._fixed:
            return self._usual
        random = np.random.default_rng((self._seed, step))
        usual = self._usual // 2 if random.random() < HALF else self._usual
        return max(1, round(random.normal(usual, min(SPREAD, self._usual / 8))))
