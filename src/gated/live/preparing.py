"""Layers that prepare what comes in: scaling, missing values, patches, embeddings.

Shapes: T steps, B sequences, F features, V codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gated.live.entry import MOST_STEPS, Entry
from gated.live.layer import Array, Form, Layer, Pointwise, State, Steps, checked_width


class Standardise(Pointwise):
    """(x - `mean`) / `deviation` of each feature, in float64, rounded to float32."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = given[0]
        self.mean = entry.numbers("mean", self.form.features)
        self.deviation = entry.numbers("deviation", self.form.features, above=0)

    def apply(self, *values: Array) -> Array:
        """Scale."""
        return ((values[0] - self.mean) / self.deviation).astype(np.float32)


class Rescale(Pointwise):
    """`mean` + `deviation` · x of each feature, in float64: back to the unit of the data."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = given[0]
        self.mean = entry.numbers("mean", self.form.features)
        self.deviation = entry.numbers("deviation", self.form.features, above=0)

    def apply(self, *values: Array) -> Array:
        """Scale back."""
        scaled: Array = self.mean + self.deviation * values[0].astype(np.float64)
        return scaled


class Missing(Pointwise):
    """1 where a value is missing (NaN), else 0."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = given[0]

    def apply(self, *values: Array) -> Array:
        """Mark."""
        return np.isnan(values[0]).astype(np.float32)


class Fill(Layer):
    """The last known value in place of a missing one; 0 before the first."""

    takes = ("steps",)

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = given[0]

    def begin(self, sequences: int) -> State:
        """The last known values."""
        return (np.zeros((sequences, self.form.features), np.float32),)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Fill."""
        values, lengths = given[0]
        missing = np.isnan(values)
        if missing.any():
            whole = np.concatenate([state[0][None], values])
            known = np.concatenate([np.ones_like(missing[:1]), ~missing])
            places = np.where(known, np.arange(len(whole))[:, None, None], 0)
            last = np.maximum.accumulate(places, axis=0)
            values = np.take_along_axis(whole, last, axis=0)[1:]
        return Steps(values, lengths), (values[-1].astype(np.float32),)


class Patch(Layer):
    """`steps` of them joined into one; at the end of a sequence, its last step fills a patch up.

    A stream gives a patch when its last step has come.
    """

    takes = ("steps",)
    waits = True

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.steps = self.stride = entry.whole("steps", 1, MOST_STEPS)
        self.features = given[0].features
        wide = checked_width(entry, self.features * self.steps)
        self.form = Form("steps", wide, (*given[0].rate, self.steps))

    def begin(self, sequences: int) -> State:
        """The steps of a patch that has begun, and how many there are."""
        begun = np.zeros((sequences, self.steps, self.features), np.float32)
        return begun, np.zeros(sequences, np.int64)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Join those patches that are whole; a sequence's last one is filled up with lengths."""
        values, lengths = np.asarray(given[0].values, np.float32), given[0].lengths
        B = values.shape[1]
        if lengths is not None:  # whole sequences: nothing is left for later
            count = -(-lengths // self.steps)
            places = np.minimum(
                np.arange(int(count.max()) * self.steps)[:, None], (lengths - 1)[None]
            )
            return Steps(self._joined(values[places, np.arange(B)]), count), state
        begun, count = state
        there = int(count[0])
        steps = np.concatenate([begun[:, :there].swapaxes(0, 1), values])
        whole = len(steps) // self.steps * self.steps
        left = steps[whole:].swapaxes(0, 1)
        after = np.zeros_like(begun)
        after[:, : left.shape[1]] = left
        state = after, np.full(B, left.shape[1], np.int64)
        return Steps(self._joined(steps[:whole]), None), state

    def finish(self, given: Sequence[Steps], state: State) -> Steps:
        """Fill the last patch up, as that of a whole sequence."""
        values, there = given[0].values, int(state[1][0])
        if lacking := -(there + len(values)) % self.steps:
            last = values[-1:] if len(values) else state[0][:, there - 1][None]
            values = np.concatenate([values, np.repeat(last, lacking, axis=0)])
        return super().finish([Steps(values, None)], state)

    def _joined(self, steps: Array) -> Array:
        B = steps.shape[1]
        parts = steps.reshape(-1, self.steps, B, self.features).swapaxes(1, 2)
        return np.ascontiguousarray(parts.reshape(-1, B, self.form.features))


class AveragePool(Patch):
    """The mean of `steps` of them; the last is filled up, and waited for, as a patch is."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        super().__init__(entry, *given)
        self.form = self.form._replace(features=self.features)

    def _joined(self, steps: Array) -> Array:
        parts = steps.reshape(-1, self.steps, steps.shape[1], self.features)
        mean: Array = parts.mean(axis=1, dtype=np.float32)
        return mean


class Unpatch(Layer):
    """Each step divided into `steps` again: what undoes a patch."""

    takes = ("steps",)

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.steps = entry.whole("steps", 1, MOST_STEPS)
        if given[0].features % self.steps:
            raise entry.wrong(f"divides {given[0].features} features into {self.steps} steps")
        features = given[0].features // self.steps
        self.form = Form("steps", features, (*given[0].rate, -self.steps))

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Divide."""
        values, lengths = given[0]
        T, B, _ = values.shape
        parts = values.reshape(T, B, self.steps, self.form.features).swapaxes(1, 2)
        found = parts.reshape(T * self.steps, B, self.form.features)
        return Steps(found, None if lengths is None else lengths * self.steps), state


class Embedding(Layer):
    """The row of `weight` (V, F) with the number of each code."""

    takes = ("codes",)

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.weight = entry.array("weight", given[0].features, None)
        self.form = Form("steps", self.weight.shape[1], given[0].rate)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Look up."""
        return Steps(self.weight[given[0].values], given[0].lengths), state
