"""Streams: a trained network run step by step on incoming data, with NumPy alone.

Shapes: I input features, H hidden units, P units of the projected hidden state (H where nothing is
projected), B sequences side by side; a stream of a single sequence does not have this dimension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.cells.cell import Cell
from gated.core import native
from gated.core.arguments import StoredAs, check_stored_as
from gated.core.call import (
    Arrays,
    Call,
    checked_call,
    named_arrays,
    native_arrays,
    probabilities_of,
)
from gated.core.layout import Weights
from gated.core.plans import inference_cell, named_cell
from gated.core.variants import Regularisation, Zoneout
from gated.errors import ConfigurationError, DataError

Vector = NDArray[np.float32]


class Stream:
    """A stack of recurrent layers that run one step for each call.

    The weights are packed once. On one thread, a step allocates nothing and takes no lock; its time
    is that of reading the weights. The results are those of `gated.core.ops.forward` on the whole
    sequence, up to rounding.

    Args:
        cell: any cell, or the name of one of `gated.core.layout.LAYOUTS`.
        layers: the weights of each layer, float32, or those of a single layer.
        sequences: B, the number of sequences that run side by side; None for a single sequence
            without this dimension.
        threads: number of threads of a step at most; small steps use fewer. More than one is
            faster only if steps follow each other at once, since waking a thread may take
            milliseconds.
        zoneout: for a network that was trained with zoneout; its `seed` must be None.
        stored_as: how the stream stores the weights that inputs and states are multiplied by. A
            step takes about as long as to read them: "bfloat16" has half of the bytes and rounds
            each weight by at most 2^-8 of it, "int8" has a quarter and rounds by at most half of
            1/127 of the largest weight of its row. Sums, biases and states stay float32.
            "bfloat16x3" is for AMX, see `gated.nn.LSTM`.

    Raises:
        ConfigurationError: the cell or its weights cannot be streamed.
        DataError: weights do not fit together, or are not float32.
        MissingNativeError: the extension is not built.

    >>> ones = np.ones((1, 1), np.float32)
    >>> stream = Stream("rnn_relu", Weights(ones, ones))
    >>> [float(stream.step(np.ones(1, np.float32))[0]) for _ in range(3)]
    [1.0, 2.0, 3.0]
    """

    def __init__(
        self,
        cell: str | Cell,
        layers: Arrays | Sequence[Arrays],
        *,
        sequences: int | None = None,
        threads: int = 1,
        zoneout: Zoneout | None = None,
        stored_as: StoredAs = "float32",
    ) -> None:
        core = native.extension()
        alone = isinstance(layers, (Weights, Mapping))
        stack: list[Arrays] = [layers] if alone else list(layers)  # type: ignore[list-item, arg-type]
        if not stack:
            raise ConfigurationError("layers must hold the weights of at least one layer, got none")
        if zoneout is not None and zoneout.seed is not None:
            raise ConfigurationError(
                "a stream uses zoneout's probabilities and draws nothing: its seed must be None, "
                f"got {zoneout.seed}"
            )
        if sequences is not None and sequences < 1:
            raise ConfigurationError(f"sequences must be at least 1, got {sequences}")
        if threads < 1:
            raise ConfigurationError(f"threads must be at least 1, got {threads}")
        check_stored_as(stored_as)
        self._weights = [named_arrays(weights) for weights in stack]
        zoneout = zoneout or Zoneout()
        given = []
        calls: list[Call] = []
        for depth, weights in enumerate(stack):
            call = self._checked(cell, weights, depth, zoneout, calls)
            sizes = call.x.shape[2], call.units, call.outputs
            arrays = native_arrays(call.cell, call.arrays, call.units, np.float32)
            probabilities = probabilities_of(zoneout, len(call.cell.states))
            given.append((inference_cell(call.cell), *sizes, *arrays, probabilities))
            calls.append(call)
        self._native = core.Stream(given, sequences, threads, getattr(core.Format, stored_as))
        self._side_by_side = () if sequences is None else (sequences,)
        self._step = self._native.step
        views = iter([view.reshape(*self._side_by_side, -1) for view in self._native.states])
        self._names = calls[0].cell.state_names
        self._states = [tuple(next(views) for _ in call.cell.states) for call in calls]
        self._features = calls[0].x.shape[2]
        self._hidden: Vector = (
            self._states[-1][0]
            if calls[-1].cell.output_is_hidden
            else self._native.output.reshape(*self._side_by_side, -1)
        )

    def _checked(
        self,
        cell: str | Cell,
        weights: Arrays,
        depth: int,
        zoneout: Zoneout,
        below: Sequence[Call],
    ) -> Call:
        """Return the checked call of a layer for one step, for its cell and weights."""
        arrays = self._weights[depth]
        weight: Any = arrays.get("weight_ih")
        features = np.shape(weight)[-1] if np.ndim(weight) == 2 else 0
        if below and features != below[-1].outputs:
            raise DataError(
                f"weight_ih of layer {depth} must take the {below[-1].outputs} outputs of the "
                f"layer before, got the shape {np.shape(weight)}"
            )
        plain = named_cell(cell, arrays) if isinstance(cell, str) else cell
        if plain.per_step:
            raise ConfigurationError(
                f"the cell {plain.name} takes {', '.join(plain.per_step)} for each step, "
                "which a stream does not support"
            )
        one = np.zeros((1, 1, features), np.float32)
        return checked_call(cell, one, weights, None, None, False, Regularisation(zoneout=zoneout))

    def step(self, x: Vector, out: Vector | None = None) -> Vector:
        """Take one step.

        Args:
            x: (I,) or (B, I), float32, contiguous.
            out: (P,) or (B, P), float32; the hidden state is copied to it.

        Returns:
            The hidden state of the last layer, (P,) or (B, P): `out`, or without it a view of the
            stream's memory, which the next step overwrites.

        Raises:
            DataError: `x` or `out` has another shape or dtype, or `x` is not contiguous; no step
                was taken.
        """
        if out is not None and (out.shape != self._hidden.shape or out.dtype != np.float32):
            raise DataError(
                f"out must have the shape {self._hidden.shape} and the dtype float32, "
                f"got {out.dtype} of the shape {out.shape}"
            )
        if not self._step(x):
            raise DataError(self._what_is_wrong_with(x))
        if out is None:
            return self._hidden
        out[:] = self._hidden
        return out

    def steps(self, xs: Vector) -> Vector:
        """Take a step for each x of xs, (T, I) or (T, B, I); return the outputs, (T, …, P)."""
        hidden = np.empty((len(xs), *self._hidden.shape), np.float32)
        for x, row in zip(xs, hidden, strict=True):
            row[...] = self.step(x)
        return hidden

    @property
    def states(self) -> list[tuple[Vector, ...]]:
        """A copy of each layer's states: (P,) or (B, P) and, of an LSTM, (H,) or (B, H)."""
        return [tuple(state.copy() for state in layer) for layer in self._states]

    @states.setter
    def states(self, given: Sequence[Sequence[Vector]]) -> None:
        if len(given) != len(self._states):
            raise DataError(f"states must be of {len(self._states)} layers, got {len(given)}")
        for depth, (layer, new) in enumerate(zip(self._states, given, strict=True)):
            shapes = [np.shape(state) for state in new]
            if shapes != [state.shape for state in layer]:
                raise DataError(
                    f"states of layer {depth} must be {', '.join(self._names)} of the shapes "
                    f"{[state.shape for state in layer]}, got {shapes}"
                )
        for layer, new in zip(self._states, given, strict=True):
            for state, values in zip(layer, new, strict=True):
                state[:] = values

    def reset(self) -> None:
        """Set all states to zeros."""
        for layer in self._states:
            for state in layer:
                state[:] = 0

    def _what_is_wrong_with(self, x: Any) -> str:
        shape = *self._side_by_side, self._features
        wanted = f"x must be a contiguous NumPy array of float32 numbers, of the shape {shape}"
        if not isinstance(x, np.ndarray):
            return f"{wanted}, got {type(x).__name__}"
        contiguous = "" if x.flags.c_contiguous else ", not contiguous"
        return f"{wanted}, got {x.dtype} of the shape {x.shape}{contiguous}"
