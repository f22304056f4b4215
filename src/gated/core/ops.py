"""The door to the native core: NumPy arrays in, NumPy arrays out.

Shapes: T steps, B sequences, I input features, H hidden units, G gates of the cell, N the real
steps of all sequences together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.core import native
from gated.core.arguments import check_lengths, check_shape
from gated.core.layout import Array, Weights, layout_of, weight_shapes
from gated.errors import ConfigurationError, DataError

CELLS = ("rnn_tanh", "rnn_relu", "gru", "lstm")
"""The cells that the native core knows; `gated.core.reference` knows all of `LAYOUTS`."""


@dataclass(frozen=True)
class Kept:
    """What a forward pass leaves for the backward pass, and for whoever looks inside.

    The gates and cell states are those of real steps alone, by time and then by falling length, as
    in a `PackedSequence`: padding takes no memory.
    """

    cell: str
    x: Array
    """(T, B, I)"""
    weights: Weights[Array]
    initial: tuple[Array | None, Array | None]
    lengths: NDArray[np.int64]
    """(B)"""
    output: Array
    """(T, B, H)"""
    gates: Array
    """(N, K, H), after their activation, in the order of the weights; for the GRU then the hidden
    state's part of the candidate, before the reset gate acts on it."""
    cells: Array | None
    """(N, H), of an LSTM."""
    layer: Any
    """The same for the native core."""

    def gate(self, name: str) -> Array:
        """A gate or state of every sequence at every step, (T, B, H); zeros in the padding.

        Raises:
            ConfigurationError: the cell has no gate or state of this name.
        """
        gates, _, states = layout_of(self.cell)
        if name == "hidden":
            return self.output
        if name == "cell" and self.cells is not None:
            return self._padded(self.cells)
        if name not in gates:
            raise ConfigurationError(
                f"gate must be one of {', '.join(dict.fromkeys(gates + states))} for the cell "
                f"{self.cell}, got {name!r}"
            )
        return self._padded(self.gates[:, gates.index(name)])

    def _padded(self, rows: Array) -> Array:
        running = np.arange(len(self.x))[:, None] < np.sort(self.lengths)[::-1]
        by_rank = np.zeros((*running.shape, rows.shape[-1]), rows.dtype)
        by_rank[running] = rows
        padded = np.empty_like(by_rank)
        padded[:, np.argsort(-self.lengths, kind="stable")] = by_rank
        return padded


class Forward(NamedTuple):
    """What a layer makes of its sequences in one direction."""

    output: Array
    """(T, B, H), the hidden state at every step; zeros in the padding."""
    final: tuple[Array, ...]
    """The states after each sequence's last step, each (B, H)."""
    kept: Kept | None
    """With `keep=True`."""


class Backward(NamedTuple):
    """The gradients of everything that `forward` took."""

    x: Array
    """(T, B, I); zeros in the padding."""
    weights: Weights[Array]
    initial: tuple[Array, ...]


def forward(
    cell: str,
    x: Array,
    weights: Weights[Array],
    *,
    lengths: ArrayLike | None = None,
    initial: Sequence[Array] | None = None,
    reverse: bool = False,
    keep: bool = False,
    threads: int | None = None,
) -> Forward:
    """One recurrent layer over whole sequences, in one direction.

    The equations, and their papers, are those of `gated.core.reference`.

    Args:
        cell: one of `CELLS`.
        x: (T, B, I), float32 or float64; its features lie side by side, its steps and sequences
            anywhere, so that a transposed (B, T, I) array is read as it is.
        weights: in PyTorch's order, of the dtype of `x`.
        lengths: (B), the real steps of each sequence, in any order; T where not given. Padding
            costs nothing, and is never read.
        initial: the states to start from, each (B, H); zeros where not given.
        reverse: from each sequence's last real step to its first.
        keep: also return what `backward` needs.
        threads: at most so many; as `gated.core.native.threads` says where not given. Results do
            not depend on it.

    Raises:
        ConfigurationError: `cell` is none of these, or the weights have parts that the native core
            does not know.
        DataError: an array has another shape, dtype or layout than asked for.
        MissingNativeError: the extension is not built.

    >>> ones = np.ones((1, 1), np.float32)
    >>> result = forward("rnn_relu", np.ones((3, 1, 1), np.float32), Weights(ones, ones))
    >>> result.output.ravel()
    array([1., 2., 3.], dtype=float32)
    """
    core = native.extension()
    _check_input(x)
    steps, sequences, _ = x.shape
    units = _check_weights(cell, weights, x)
    spans = check_lengths(lengths, steps, sequences)
    states = layout_of(cell).states
    start = _checked_states("initial", initial, states, (sequences, units), x.dtype)

    kind = getattr(core.Cell, cell)
    layer = (core.Layer32 if x.dtype == np.float32 else core.Layer64)(
        kind, x, None if lengths is None else spans, reverse, *weights[:4], *start
    )
    output = np.empty((steps, sequences, units), x.dtype)
    final = tuple(np.empty((sequences, units), x.dtype) for _ in states)
    gates = cells = kept = None
    if keep:
        rows = int(spans.sum())
        gates = np.empty((rows, core.kept_gates(kind), units), x.dtype)
        cells = np.empty((rows, units), x.dtype) if cell == "lstm" else None
        kept = Kept(cell, x, weights, start, spans, output, gates, cells, layer)
    layer.forward(output, *_pair(final), gates, cells, threads or native.threads())
    return Forward(output, final, kept)


def backward(
    kept: Kept,
    grad_output: Array,
    grad_final: Sequence[Array] | None = None,
    *,
    threads: int | None = None,
) -> Backward:
    """The gradients of a loss, given those of what `forward` gave.

    Args:
        kept: from `forward` with `keep=True`; what it holds must not have changed since.
        grad_output: (T, B, H), laid out like `x`; padding is never read.
        grad_final: of each final state, (B, H); zeros where not given.
        threads: as for `forward`.

    Raises:
        DataError: a gradient has another shape, dtype or layout than what it is the gradient of.
    """
    check_shape("grad_output", grad_output, kept.output.shape, "(T, B, H)")
    _check_dtype("grad_output", grad_output, kept.x.dtype)
    _check_side_by_side("grad_output", grad_output)
    states = layout_of(kept.cell).states
    shape = (kept.output.shape[1], kept.output.shape[2])
    last = _checked_states("grad_final", grad_final, states, shape, kept.x.dtype)

    grad_x = np.empty(kept.x.shape, kept.x.dtype)
    grad_weights: Weights[Any]
    grad_weights = Weights(*(None if w is None else np.empty_like(w) for w in kept.weights))
    grad_initial = tuple(np.empty(shape, kept.x.dtype) for _ in states)
    kept.layer.backward(
        kept.output,
        kept.gates,
        kept.cells,
        grad_output,
        *last,
        grad_x,
        *grad_weights[:4],
        *_pair(grad_initial),
        threads or native.threads(),
    )
    return Backward(grad_x, grad_weights, grad_initial)


def _pair(states: tuple[Array, ...]) -> tuple[Array, Array | None]:
    """The hidden state and, if there is one, the cell state."""
    return states[0], states[1] if len(states) == 2 else None


def _check_input(x: Array) -> None:
    if not isinstance(x, np.ndarray):
        raise DataError(f"x must be a NumPy array, got {type(x).__name__}")
    if x.ndim != 3:
        raise DataError(f"x must have the shape (T, B, I), got {x.shape}")
    if x.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DataError(f"x must be float32 or float64, got {x.dtype}")
    _check_side_by_side("x", x)


def _check_side_by_side(name: str, array: Array) -> None:
    side_by_side = array.shape[2] < 2 or array.strides[2] == array.itemsize
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.size and not (side_by_side and whole and array.flags.aligned):
        raise DataError(
            f"the features of {name} (its last axis) must lie side by side in memory, got the "
            f"strides {array.strides} bytes; numpy.ascontiguousarray({name}) makes such a copy"
        )


def _check_weights(cell: str, weights: Weights[Array], x: Array) -> int:
    """H, by weights that fit together and to `x`."""
    gates = len(layout_of(cell).gates)
    for name in ("weight_hr", "peepholes"):
        if getattr(weights, name) is not None:
            raise ConfigurationError(
                f"the native core does not know {name} yet; gated.core.reference does"
            )
    if cell not in CELLS:
        raise ConfigurationError(
            f"the native core does not know the cell {cell} yet; gated.core.reference does"
        )
    recurrent = weights.weight_hh
    if np.ndim(recurrent) != 2 or recurrent.shape[1] < 1:
        raise DataError(
            f"weight_hh must have the shape ({gates}·H, H) with H of at least 1, "
            f"got {np.shape(recurrent)}"
        )
    units = int(recurrent.shape[1])
    shapes = weight_shapes(cell, x.shape[2], units)
    for name, shape in list(shapes._asdict().items())[:4]:
        weight = getattr(weights, name)
        if weight is not None or name.startswith("weight"):
            _check_block(name, weight, shape, x.dtype)
    return units


def _checked_states(
    name: str,
    given: Sequence[Array] | None,
    states: tuple[str, ...],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
) -> tuple[Array | None, Array | None]:
    if given is None:
        return None, None
    if not isinstance(given, (tuple, list)) or len(given) != len(states):
        raise DataError(
            f"{name} must be the states ({', '.join(states)}), got {type(given).__name__}"
            + (f" of {len(given)}" if isinstance(given, (tuple, list)) else "")
        )
    for state, array in zip(states, given, strict=True):
        _check_block(f"{name} {state}", array, shape, dtype)
    return _pair(tuple(given))


def _check_block(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what the core cannot read as one block."""
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} must be a NumPy array, got {type(array).__name__}")
    check_shape(name, array, shape)
    _check_dtype(name, array, dtype)
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise DataError(
            f"{name} must be contiguous in memory, got the strides {array.strides} bytes; "
            f"numpy.ascontiguousarray({name}) makes such a copy"
        )


def _check_dtype(name: str, array: Array, dtype: np.dtype[Any]) -> None:
    if array.dtype != dtype:
        raise DataError(f"{name} must have the dtype of x, {dtype}, got {array.dtype}")
