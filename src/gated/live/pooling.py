"""Layers over time: results of the steps so far, and convolutions.

Shapes: T steps, B sequences, F features.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gated.live.entry import Entry
from gated.live.layer import Array, Form, Layer, State, Steps
from gated.live.recurrence import Product

AT_ONCE = 1 << 22
"""Numbers that a convolution multiplies at once, about."""


class _Pool(Layer):
    """Makes one result of all steps; in a stream, after each step the result so far."""

    pools: ClassVar[bool] = True
    takes = ("steps",)

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = Form("sequence", given[0].features)


class OfWhole(_Pool):
    """Makes one result of a whole sequence, all of whose steps it reads: it does not stream."""

    streams = False

    @abstractmethod
    def of_sequence(self, x: Array) -> Array:
        """Map (T, F) to (features,)."""

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Each sequence by itself: (1, B, features)."""
        values, ends = given[0].values, given[0].ends
        found = [self.of_sequence(values[:end, row]) for row, end in enumerate(ends)]
        return Steps(np.stack(found)[None], None), state

    def at_the_end(self, given: Sequence[Steps]) -> Steps:
        """Read all steps of each sequence."""
        return self.run(given, ())[0]


class Last(_Pool):
    """The last step; of `directions` = 2, the second half of the features from the first step."""

    without = "--one-way"

    def __init__(self, entry: Entry, *given: Form) -> None:
        super().__init__(entry, *given)
        self.streams = entry.whole("directions", 1, 2, 1) == 1
        if not self.streams and self.form.features % 2:
            raise entry.wrong("needs as many features forwards as backwards")

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Each step is the last one so far."""
        return given[0], state

    def at_the_end(self, given: Sequence[Steps]) -> Steps:
        """Where each direction ends."""
        found = given[0].at_the_end()
        if self.streams:
            return found
        half = self.form.features // 2
        ends = found.values[..., :half], given[0].values[:1, :, half:]
        return Steps(np.concatenate(ends, -1), None)


class Mean(_Pool):
    """The mean of all steps."""

    def begin(self, sequences: int) -> State:
        """The sum, and the number of steps."""
        return np.zeros((sequences, self.form.features)), np.zeros(sequences, np.int64)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Sum one step after the other, so that parts do not matter."""
        values, lengths = given[0]
        total, count = state
        sums = np.add.accumulate(np.concatenate([total[None], values]), axis=0)[1:]
        counts = count + np.arange(1, len(values) + 1)[:, None]
        found = (sums / counts[..., None]).astype(np.float32)
        return Steps(found, lengths), (sums[-1], counts[-1])


class Max(_Pool):
    """The maximum of each feature over all steps."""

    def begin(self, sequences: int) -> State:
        """The maximum so far."""
        return (np.full((sequences, self.form.features), -np.inf, np.float32),)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Compare one step after the other."""
        values, lengths = given[0]
        found = np.maximum.accumulate(np.concatenate([state[0][None], values]), axis=0)[1:]
        return Steps(found, lengths), (found[-1],)


class Attention(_Pool):
    """The mean weighted by the softmax over time of the second input, (T, B, 1)."""

    inputs = 2

    def __init__(self, entry: Entry, *given: Form) -> None:
        super().__init__(entry, *given)
        if given[1] != given[0]._replace(features=1):
            raise entry.wrong("takes steps, and one number for each of them")

    def begin(self, sequences: int) -> State:
        """The largest number, the sum of weights relative to it, and the weighted sum."""
        empty = np.zeros((sequences, 1))
        return empty - np.inf, empty, np.zeros((sequences, self.form.features))

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Weigh one step after the other (Milakov and Gimelshein 2018)."""
        values, lengths = given[0]
        largest, total, weighted = state
        found = np.empty(values.shape, np.float32)
        for step, (x, energy) in enumerate(zip(values, given[1].values, strict=True)):
            new = np.maximum(largest, energy)
            old, weight = np.exp(largest - new), np.exp(energy - new)
            total = total * old + weight
            weighted = weighted * old + weight * x
            largest = new
            found[step] = weighted / total
        return Steps(found, lengths), (largest, total, weighted)


class Convolution(Layer):
    """`weight` (outputs, F, K) over K steps, `bias` (outputs), with `before` steps of zeros.

    There are as many steps after it as before: the last ones see zeros beyond the end. It streams
    where it sees no later steps, that is with `before` = K - 1.
    """

    takes = ("steps",)
    without = "--filters 0"

    def __init__(self, entry: Entry, *given: Form) -> None:
        F = given[0].features
        weight = entry.array("weight", None, F, None)
        outputs, _, self.steps = weight.shape
        bias = entry.optional("bias", outputs)
        self.before = entry.whole("before", 0, self.steps - 1)
        self.streams = self.before == self.steps - 1
        self.form = given[0]._replace(features=outputs)
        self.weight, self.bias, self.features = weight, bias, F
        flat = np.ascontiguousarray(weight.reshape(outputs, -1))
        self._product = Product(flat, bias, entry.stored_as)

    def begin(self, sequences: int) -> State:
        """The steps before."""
        return (np.zeros((sequences, self.before, self.features), np.float32),)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Multiply the steps that each step sees."""
        values, lengths = np.asarray(given[0].without_padding(), np.float32), given[0].lengths
        T, B, _ = values.shape
        after = np.zeros((self.steps - 1 - self.before, B, self.features), np.float32)
        seen = np.concatenate([state[0].swapaxes(0, 1), values, after])
        found = np.empty((T, B, self.form.features), np.float32)
        windows = sliding_window_view(seen, self.steps, axis=0)  # (T, B, F, K)
        together = max(1, AT_ONCE // (B * self.features * self.steps))
        for first in range(0, T, together):
            part = windows[first : first + together]
            found[first : first + together] = self._product(part.reshape(len(part), B, -1))
        kept = seen[T : T + self.before].swapaxes(0, 1)
        return Steps(found, lengths), (np.ascontiguousarray(kept),)
