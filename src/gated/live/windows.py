"""Layers that read the steps around each step: their results come when later steps have.

Shapes: T steps, B sequences, F features, C maps, K steps of a window.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gated.live.entry import MOST_STEPS, Entry
from gated.live.layer import Array, Form, Layer, State, Steps, checked_width
from gated.live.recurrence import Product

AT_ONCE = 1 << 22
"""Numbers that a convolution multiplies at once, about."""


class Windows(Layer):
    """A result for each window of `width` steps, `stride` steps apart.

    There are `before` steps of zeros before a sequence and `after` behind it. A stream gives a
    result when the last step of its window has come, and those that are left at its end.
    """

    takes = ("steps",)
    waits = True
    width: int
    stride: int
    before: int
    after: int
    features: int
    """F of the input."""

    @abstractmethod
    def of_windows(self, steps: Array, count: int) -> Array:
        """Map steps (L, B, F) to the results of the first `count` windows, (count, B, features)."""

    def begin(self, sequences: int) -> State:
        """The steps that are read again, and how many there are."""
        kept = np.zeros((sequences, self.width - 1, self.features), np.float32)
        return kept, np.full(sequences, self.before, np.int64)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Read those windows that are whole; with lengths, all of them."""
        values, lengths = np.asarray(given[0].without_padding(), np.float32), given[0].lengths
        B = values.shape[1]
        if lengths is not None:  # whole sequences: nothing is left for later
            first = np.zeros((self.before, B, self.features), np.float32)
            last = np.zeros((self.after, B, self.features), np.float32)
            counts = self._count(lengths + self.before + self.after)
            steps = np.concatenate([first, values, last])
            return Steps(self.of_windows(steps, int(counts.max())), counts), state
        kept, there = state[0], int(state[1][0])
        steps = np.concatenate([kept[:, :there].swapaxes(0, 1), values])
        count = int(self._count(np.int64(len(steps))))
        left = steps[count * self.stride :].swapaxes(0, 1)
        after = np.zeros_like(kept)
        after[:, : left.shape[1]] = left
        found = Steps(self.of_windows(steps, count), None) if count else self.nothing(given)
        return found, (after, np.full(B, left.shape[1], np.int64))

    def finish(self, given: Sequence[Steps], state: State) -> Steps:
        """Read the windows that reach beyond the end."""
        values = given[0].values
        behind = np.zeros((self.after, values.shape[1], self.features), np.float32)
        return self.run([Steps(np.concatenate([values, behind]), None)], state)[0]

    def _count(self, steps: Any) -> Array:
        """How many windows there are in so many steps."""
        found: Array = np.maximum(0, (steps - self.width) // self.stride + 1)
        return found


class Convolution2d(Windows):
    """`weight` (outputs, C, K, K) over C maps of F / C bands and over steps, `bias` (outputs).

    `stride` steps and bands apart, with (K - 1) / 2 zeros on each side of both.
    """

    def __init__(self, entry: Entry, *given: Form) -> None:
        weight = entry.array("weight", None, None, None, None)
        outputs, maps, K, across = weight.shape
        self.features = given[0].features
        self.stride = entry.whole("stride", 1, MOST_STEPS, 1)
        if across != K or not K % 2 or self.stride > K or self.features % maps:
            raise entry.wrong(
                f"has a weight {weight.shape} and stride {self.stride} for {self.features} "
                "features: windows are square, of an odd number of steps, at least the stride, and "
                "maps have as many bands each"
            )
        self.width, self.before, self.after, self.maps = K, K // 2, K // 2, maps
        self.bands = self.features // maps
        self.bands_after = (self.bands - 1) // self.stride + 1
        bias = entry.optional("bias", outputs)
        self.weight, self.bias = weight, bias
        self.form = Form(
            "steps",
            checked_width(entry, outputs * self.bands_after),
            (*given[0].rate, self.stride)
            if self.after == self.stride - 1  # results come when those of a patch would
            else (*given[0].rate, 0, self.stride, self.after),
        )
        self._product = Product(
            np.ascontiguousarray(weight.reshape(outputs, -1)), bias, entry.stored_as
        )

    def of_windows(self, steps: Array, count: int) -> Array:
        """Multiply each window."""
        B, outputs = steps.shape[1], len(self.weight)
        maps = steps.reshape(len(steps), B, self.maps, self.bands)
        side = self.before
        maps = np.pad(maps, ((0, 0), (0, 0), (0, 0), (side, side)))
        windows = sliding_window_view(sliding_window_view(maps, self.width, 3), self.width, 0)
        windows = windows[:: self.stride, :, :, :: self.stride]  # (count, B, C, bands, K, K)
        found = np.empty((count, B, outputs, self.bands_after), np.float32)
        together = max(1, AT_ONCE // (B * self.bands_after * self.weight[0].size))
        for first in range(0, count, together):
            part = windows[first : min(first + together, count)].swapaxes(2, 3)
            flat = part.reshape(len(part), B * self.bands_after, -1)
            said = self._product(flat).reshape(len(part), B, self.bands_after, outputs)
            found[first : first + len(part)] = said.swapaxes(2, 3)
        return found.reshape(count, B, -1)


class LookAhead(Windows):
    """Each step plus `bias` (F) and a sum over it and the next ones, times `weight` (F, K).

    Feature by feature (Wang et al. 2016, "Lookahead convolution layer"); in a stream K - 1 steps
    later.
    """

    without = "--look-ahead 0"
    stride, before = 1, 0

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.features = given[0].features
        weight = entry.array("weight", self.features, 1, None)
        self.weight = np.ascontiguousarray(weight[:, 0].T)  # (K, F)
        self.bias = entry.optional("bias", self.features)
        self.width = len(self.weight)
        self.after = self.width - 1
        self.form = given[0]._replace(rate=(*given[0].rate, 0, 1, self.after))

    def of_windows(self, steps: Array, count: int) -> Array:
        """Sum one step of the window after the other, so that parts do not matter."""
        found = np.array(steps[:count], np.float32)
        if self.bias is not None:
            found += self.bias
        for ahead, weight in enumerate(self.weight):
            found += weight * steps[ahead : ahead + count]
        return found
