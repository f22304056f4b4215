"""The door to the native core: NumPy arrays in, NumPy arrays out.

Shapes: T steps, B sequences, I input features, H hidden units, G gates of the cell, N the real
steps of all sequences together.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import ConfigurationError, DataError, MissingNativeError

Cell: TypeAlias = Literal["rnn_tanh", "rnn_relu", "gru", "lstm"]
Array: TypeAlias = NDArray[np.floating[Any]]

GATES: dict[str, tuple[str, ...]] = {
    "rnn_tanh": ("hidden",),
    "rnn_relu": ("hidden",),
    "gru": ("reset_gate", "update_gate", "candidate"),
    "lstm": ("input_gate", "forget_gate", "candidate", "output_gate"),
}
"""The gates of each cell, in the order of the rows of its weights."""


class Weights(NamedTuple):
    """One layer and direction, as PyTorch names, orders and shapes it."""

    weight_ih: Array
    """(G·H, I)"""
    weight_hh: Array
    """(G·H, H)"""
    bias_ih: Array | None = None
    """(G·H)"""
    bias_hh: Array | None = None
    """(G·H)"""


@dataclass(frozen=True)
class Kept:
    """What a forward pass leaves for the backward pass, and for whoever looks inside.

    The arrays hold real steps alone, by time and then by falling length, as a `PackedSequence`
    does: padding takes no memory.
    """

    cell: Cell
    gates: Array
    """(N, K, H), the gates after their activation, in the order of `GATES`; for the GRU then the
    hidden state's part of the candidate, before the reset gate acts on it."""
    cells: Array | None
    """(N, H), the cell states (LSTM)"""
    steps: int
    lengths: NDArray[np.int64]
    """(B)"""

    def gate(self, name: str) -> Array:
        """One gate of every sequence at every step, (T, B, H); zeros in the padding.

        Raises:
            ConfigurationError: the cell has no gate of this name.
        """
        names = GATES[self.cell]
        if name not in names:
            raise ConfigurationError(
                f"gate must be one of {', '.join(names)} for the cell {self.cell}, got {name!r}"
            )
        return self._padded(self.gates[:, names.index(name)])

    def _padded(self, rows: Array) -> Array:
        running = np.arange(self.steps)[:, None] < np.sort(self.lengths)[::-1]
        by_rank = np.zeros((*running.shape, rows.shape[-1]), rows.dtype)
        by_rank[running] = rows
        padded = np.empty_like(by_rank)
        padded[:, np.argsort(-self.lengths, kind="stable")] = by_rank
        return padded


class Forward(NamedTuple):
    """What a layer makes of its sequences in one direction."""

    output: Array
    """(T, B, H), the hidden state at every step; zeros in the padding"""
    final: tuple[Array, ...]
    """the hidden state, and the cell state of an LSTM, after each sequence's last step: (B, H)"""
    kept: Kept | None
    """with `keep=True`"""


def forward(
    cell: Cell,
    x: Array,
    weights: Weights,
    *,
    lengths: ArrayLike | None = None,
    initial: Sequence[Array] | None = None,
    reverse: bool = False,
    keep: bool = False,
) -> Forward:
    """One recurrent layer over whole sequences, in one direction.

    Args:
        cell: `lstm` (Gers, Schmidhuber and Cummins 2000), `gru` (Cho et al. 2014, its reset gate
            after the product, as in PyTorch), `rnn_tanh` or `rnn_relu` (Elman 1990).
        x: (T, B, I), float32 or float64; its features lie side by side, its steps and sequences
            anywhere, so that a transposed (B, T, I) array is read as it is.
        weights: in PyTorch's order, of the dtype of `x`.
        lengths: (B), the real steps of each sequence, in any order; T where not given. Padding
            costs nothing, and is never read.
        initial: the hidden state, and for the LSTM the cell state, to start from: (B, H). Zeros
            where not given.
        reverse: from each sequence's last real step to its first.
        keep: also return the gates and the cell states of every step.

    Raises:
        ConfigurationError: `cell` is none of these.
        DataError: an array has another shape, dtype or layout than asked for.
        MissingNativeError: the extension is not built.

    >>> ones = np.ones((1, 1), np.float32)
    >>> result = forward("rnn_relu", np.ones((3, 1, 1), np.float32), Weights(ones, ones))
    >>> result.output.ravel()
    array([1., 2., 3.], dtype=float32)
    """
    native = _native()
    gates = len(_gates_of(cell))
    x = _checked_input(x)
    steps, sequences, inputs = x.shape
    units = _units(weights, gates)
    layer: dict[str, tuple[int, ...]]
    layer = {"weight_ih": (gates * units, inputs), "weight_hh": (gates * units, units)}
    layer |= {"bias_ih": (gates * units,), "bias_hh": (gates * units,)}
    for name, shape in layer.items():
        _check(name, getattr(weights, name), shape, x.dtype)
    spans = _checked_lengths(lengths, steps, sequences)
    states = 2 if cell == "lstm" else 1
    start = _checked_initial(initial, states, (sequences, units), x.dtype)

    kind = getattr(native.Cell, cell)
    rows = int(spans.sum())
    output = np.empty((steps, sequences, units), x.dtype)
    final = tuple(np.empty((sequences, units), x.dtype) for _ in range(states))
    kept = None
    if keep:
        kept_gates = np.empty((rows, native.kept_gates(kind), units), x.dtype)
        cells = np.empty((rows, units), x.dtype) if states == 2 else None
        kept = Kept(cell, kept_gates, cells, steps, spans)
    native.forward(
        kind,
        x,
        None if lengths is None else spans,
        reverse,
        *weights,
        *start,
        output,
        final[0],
        final[1] if states == 2 else None,
        kept.gates if kept else None,
        kept.cells if kept else None,
        threads(),
    )
    return Forward(output, final, kept)


def _gates_of(cell: str) -> tuple[str, ...]:
    if cell not in GATES:
        raise ConfigurationError(f"cell must be one of {', '.join(GATES)}, got {cell!r}")
    return GATES[cell]


def _units(weights: Weights, gates: int) -> int:
    """H, by the recurrent weights: (G·H, H)."""
    recurrent = weights.weight_hh
    if np.ndim(recurrent) != 2 or recurrent.shape[1] < 1:
        raise DataError(
            f"weight_hh must have the shape ({gates}·H, H) with H of at least 1, "
            f"got {np.shape(recurrent)}"
        )
    return int(recurrent.shape[1])


def _check(name: str, array: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """An array that the core reads as one block, or None."""
    if array is None and name.startswith(("bias", "initial")):
        return
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if array.shape != shape:
        raise DataError(f"{name} must have the shape {shape}, got {array.shape}")
    if array.dtype != dtype:
        raise DataError(f"{name} must have the dtype of x, {dtype}, got {array.dtype}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise DataError(
            f"{name} must be contiguous in memory, got the strides {array.strides} bytes; "
            f"numpy.ascontiguousarray({name}) makes such a copy"
        )


def _checked_input(x: Array) -> Array:
    if not isinstance(x, np.ndarray):
        raise DataError(f"x must be a NumPy array, got {type(x).__name__}")
    if x.ndim != 3:
        raise DataError(f"x must have the shape (T, B, I), got {x.shape}")
    if x.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DataError(f"x must be float32 or float64, got {x.dtype}")
    side_by_side = x.shape[2] < 2 or x.strides[2] == x.itemsize
    if not (side_by_side and x.flags.aligned) and x.size:
        raise DataError(
            "the features of x (its last axis) must lie side by side in memory, got the strides "
            f"{x.strides} bytes; numpy.ascontiguousarray(x) makes such a copy"
        )
    return x


def _checked_lengths(lengths: ArrayLike | None, steps: int, sequences: int) -> NDArray[np.int64]:
    if lengths is None:
        return np.full(sequences, steps, np.int64)
    given = np.asarray(lengths)
    if given.shape != (sequences,) or not (np.issubdtype(given.dtype, np.integer) or not sequences):
        raise DataError(
            f"lengths must be {sequences} integers, one a sequence, got {given.dtype} of the "
            f"shape {given.shape}"
        )
    for place in np.flatnonzero((given < 0) | (given > steps))[:1]:
        raise DataError(
            f"lengths must lie between 0 and {steps}, the steps of x, got {given[place]} for "
            f"sequence {place}"
        )
    return np.ascontiguousarray(given, np.int64)


def _checked_initial(
    initial: Sequence[Array] | None, states: int, shape: tuple[int, int], dtype: np.dtype[Any]
) -> tuple[Array | None, Array | None]:
    if initial is None:
        return None, None
    if not isinstance(initial, (tuple, list)) or len(initial) != states:
        wanted = "(hidden, cell)" if states == 2 else "(hidden,)"
        raise DataError(f"initial must be the tuple {wanted}, got {type(initial).__name__}")
    for name, state in zip(("initial hidden", "initial cell"), initial, strict=False):
        _check(name, state, shape, dtype)
    return initial[0], initial[1] if states == 2 else None


class _Setting:
    """What `set_threads` sets; None until then."""

    threads: int | None = None


def threads() -> int:
    """The threads that a call may use: what `set_threads` said, or the processors there are.

    Processors count as far as the process may use them, by its affinity and by the quota of its
    container.

    Raises:
        MissingNativeError: the extension is not built.
    """
    if _Setting.threads is None:
        return int(_native().available_threads())
    return _Setting.threads


def set_threads(count: int | None) -> None:
    """Lets every later call use `count` threads; None lets it use all processors there are.

    Results do not depend on it.

    Raises:
        ConfigurationError: `count` is below 1.
    """
    if count is not None and count < 1:
        raise ConfigurationError(f"threads must be at least 1, got {count}")
    _Setting.threads = count


def instruction_sets() -> list[str]:
    """The instruction sets that this processor can run, slowest first.

    Raises:
        MissingNativeError: the extension is not built.
    """
    return list(_native().instruction_sets())


def instruction_set() -> str:
    """The instruction set in use: the fastest, unless the variable GATED_ISA names another.

    Raises:
        ConfigurationError: GATED_ISA names one that this processor does not have.
        MissingNativeError: the extension is not built.
    """
    return str(_native().instruction_set())


def set_instruction_set(name: str) -> None:
    """Lets every later call run on one of `instruction_sets()`.

    Raises:
        ConfigurationError: this processor does not have it.
        MissingNativeError: the extension is not built.
    """
    try:
        _native().set_instruction_set(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


@cache
def _native() -> Any:
    """The extension module, which an uncompiled source tree lacks."""
    try:
        native = importlib.import_module("gated._native")
    except ImportError as error:
        raise MissingNativeError(
            f"the native core of gated cannot be loaded ({error}). Install a wheel with: "
            "pip install gated, or, in a source tree with a C++ compiler: pip install -e ."
        ) from error
    try:
        native.instruction_set()
    except ValueError as error:
        raise ConfigurationError(f"GATED_ISA={os.environ.get('GATED_ISA')}: {error}") from None
    return native
