"""Layers over sequences of one shape, again and again: checked once, and run without allocation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gated.core import ops
from gated.core.call import checked_call
from gated.core.variants import Regularisation
from gated.live.layer import Array
from gated.live.recurrence import Stack


class RepeatedStack:
    """What `Stack.run` computes of sequences without lengths, to the bit, in memory of its own.

    One thread at a time uses it.

    Args:
        stack: the layers.
        x: (T, B, I), float32, which is read anew by each run.
        initial: for each layer, each state (B, ·), which is read anew by each run; zeros if empty.
    """

    def __init__(
        self,
        stack: Stack,
        x: Array,
        initial: Sequence[Array] = (),
    ) -> None:
        self.x, (steps, sequences, _) = x, x.shape
        """(T, B, I), to be written before a run."""
        self.final: list[Array] = []
        """For each layer, each state (B, ·) after the last step; written by a run."""
        self._calls = []
        count = len(stack.cell.states)
        regularisation = Regularisation(zoneout=stack.zoneout) if stack.zoneout else None
        for depth, weights in enumerate(stack.layers):
            begin = [*initial[depth * count : (depth + 1) * count]] or None
            call = checked_call(
                stack.cell,
                x,
                weights,
                None,
                begin,
                False,
                regularisation,
                stored_as=stack.stored_as,
            )
            widths = call.state_widths
            x = np.empty((steps, sequences, widths[0]), np.float32)
            final = [np.empty((sequences, width), np.float32) for width in widths]
            self.final += final
            self._calls.append((call, x, final))
        self.output = x
        """(T, B, P) of the last layer, written by a run."""

    def run(self, threads: int | None = None) -> Array:
        """Run all layers over `x`; return `output`, which the next run overwrites."""
        for call, output, final in self._calls:
            ops.forward_into(call, output, final, {}, threads)
        return self.output
