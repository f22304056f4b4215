"""A node LSTM, GRU or RNN of ONNX, run by the native core on NumPy arrays.

Shapes: T steps, B sequences, I input features, H hidden units, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.core import ops
from gated.core.onnx_nodes import OnnxNode
from gated.errors import DataError
from gated.live.recurrence import Stack

Array = NDArray[Any]
_COMPUTED = {"float16": np.float32, "float32": np.float32, "float64": np.float64}


class OnnxLayer:
    """A recurrent node, called with ONNX's inputs, giving ONNX's outputs.

    Args:
        node: what it computes.
        weights: W, R, and B and P where the node has them; constant, so that they are packed once.
    """

    def __init__(self, node: OnnxNode, weights: Mapping[str, Array]) -> None:
        self.node = node
        kept = {name: np.asarray(of) for name, of in weights.items()}
        self.dtype = kept["W"].dtype
        """Of the weights, and so of all inputs and outputs."""
        if self.dtype.name not in _COMPUTED:
            raise DataError(
                f"weights of a node {node.operation} must be float16, float32 or float64, got "
                f"{self.dtype}"
            )
        self._in = np.dtype(_COMPUTED[self.dtype.name])
        self.weights = node.weights(**{name: of.astype(self._in) for name, of in kept.items()})
        """Of each direction, by the names of its cell."""
        self._stacks = [
            Stack(cell, [arrays]) if self._in == np.float32 else None
            for cell, arrays in zip(node.cells, self.weights, strict=True)
        ]
        self.units = kept["R"].shape[2]
        self.features = kept["W"].shape[2]

    def __call__(
        self,
        X: Array,
        sequence_lens: Array | None = None,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
    ) -> tuple[Array, ...]:
        """Run over whole sequences, or over the next steps of some.

        Args:
            X: (T, B, I), or with `layout=1` (B, T, I).
            sequence_lens: (B,), the real steps of each sequence; T by default.
            initial_h: (D, B, H), or with `layout=1` (B, D, H); zeros by default.
            initial_c: likewise, of an LSTM.

        Returns:
            Y (T, D, B, H), or with `layout=1` (B, T, D, H), zeros in the padding; Y_h; and of an
            LSTM Y_c, both like `initial_h`.

        Raises:
            DataError: an array has another shape.
        """
        node, X = self.node, np.asarray(X)
        if X.ndim != 3 or X.shape[2] != self.features:
            wanted = "(B, T, I)" if node.batch_first else "(T, B, I)"
            raise DataError(
                f"X of a node {node.operation} must have the shape {wanted} with I = "
                f"{self.features}, got {X.shape}"
            )
        x = np.ascontiguousarray(X.swapaxes(0, 1) if node.batch_first else X, self._in)
        B = x.shape[1]
        states = [initial_h, initial_c][: len(node.cells[0].states)]
        initial = [self._state(of, B, name) for of, name in zip(states, _STATES, strict=False)]
        outputs, finals = [], []
        for at, backwards in enumerate(node.backwards):
            start = tuple(np.ascontiguousarray(of[at]) for of in initial)
            output, final = self._run(at, x, sequence_lens, start, backwards)
            outputs.append(output)
            finals.append(final)
        Y = np.stack(outputs, 2 if node.batch_first else 1)  # (T, B, D, H) or (T, D, B, H)
        if node.batch_first:
            Y = Y.swapaxes(0, 1)
        axis = 1 if node.batch_first else 0
        last = [np.stack(of, axis) for of in zip(*finals, strict=True)]
        return tuple(np.ascontiguousarray(of, self.dtype) for of in (Y, *last))

    def _run(
        self, at: int, x: Array, lengths: Array | None, start: tuple[Array, ...], backwards: bool
    ) -> tuple[Array, Sequence[Array]]:
        """One direction."""
        if not len(x):
            return np.zeros((0, x.shape[1], self.units), self._in), start
        stack = self._stacks[at]
        if stack is not None:
            return stack.run(x, lengths, start, reverse=backwards)
        cell, weights = self.node.cells[at], self.weights[at]
        found = ops.forward(cell, x, weights, lengths=lengths, initial=start, reverse=backwards)
        return found.output, found.final

    def _state(self, given: Array | None, sequences: int, name: str) -> Array:
        """A state as (D, B, H)."""
        D = len(self.node.cells)
        if given is None:
            return np.zeros((D, sequences, self.units), self._in)
        state = np.asarray(given)
        state = state.swapaxes(0, 1) if self.node.batch_first and state.ndim == 3 else state
        if state.shape != (D, sequences, self.units):
            wanted = "(B, D, H)" if self.node.batch_first else "(D, B, H)"
            raise DataError(
                f"{name} of a node {self.node.operation} must have the shape {wanted} with D = "
                f"{D}, B = {sequences}, H = {self.units}, got {np.shape(given)}"
            )
        return state.astype(self._in)


_STATES = ("initial_h", "initial_c")
