"""What callers hand in, checked; in words that name the argument, what was expected, what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.core.layout import Array, Weights, layout_of, weight_shapes
from gated.errors import ConfigurationError, DataError


def check_shape(name: str, array: Any, shape: tuple[int, ...], meaning: str = "") -> None:
    """Refuse an array or tensor of another shape; `meaning` spells the expected one in letters.

    Raises:
        DataError: the shape differs.
    """
    if tuple(array.shape) != shape:
        letters = f" {meaning}" if meaning else ""
        raise DataError(f"{name} must have the shape{letters} {shape}, got {tuple(array.shape)}")


def check_lengths(lengths: ArrayLike | None, steps: int, sequences: int) -> NDArray[np.int64]:
    """The real steps of each sequence, (B): any order, zeros allowed; all of `steps` if None.

    Raises:
        DataError: not one integer a sequence, or one is negative or beyond the steps.
    """
    if lengths is None:
        return np.full(sequences, steps, np.int64)
    given = np.asarray(lengths)
    if given.shape != (sequences,) or (sequences and given.dtype.kind not in "iu"):
        raise DataError(
            f"lengths must be {sequences} integers, one a sequence, got {given.dtype} of the "
            f"shape {given.shape}"
        )
    for place in np.flatnonzero((given < 0) | (given > steps))[:1]:
        raise DataError(
            f"lengths must lie between 0 and {steps}, the steps of the input, got {given[place]} "
            f"for sequence {place}"
        )
    return given.astype(np.int64)


def check_layer(
    cell: str, x: Array, weights: Weights[Array], initial: Sequence[Array] | None
) -> tuple[Array, ...]:
    """The initial states of a layer whose input, weights and states fit together.

    Raises:
        ConfigurationError: there is no such cell, or it has no use for one of the weights.
        DataError: a shape or dtype does not fit.
    """
    gates, _, states = layout_of(cell)
    if x.ndim != 3:
        raise DataError(f"x must have the shape (T, B, I), got {x.shape}")
    if x.dtype not in (np.float32, np.float64):
        raise DataError(f"x must be float32 or float64, got {x.dtype}")
    if weights.weight_hh.ndim != 2 or not weights.weight_hh.size:
        raise DataError(
            f"weight_hh must have the shape ({len(gates)}·H, H), got {weights.weight_hh.shape}"
        )
    if cell != "lstm" and not (weights.weight_hr is None and weights.peepholes is None):
        raise ConfigurationError(f"weight_hr and peepholes are for the cell lstm, not for {cell}")
    _, B, inputs = x.shape
    units = len(weights.weight_hh) // len(gates)
    projected = units if weights.weight_hr is None else weights.weight_hh.shape[1]
    for name, shape in weight_shapes(cell, inputs, units, projected)._asdict().items():
        _check_array(name, getattr(weights, name), shape, x.dtype)

    widths = (projected, units)[: len(states)]
    if initial is None:
        return tuple(np.zeros((B, width), x.dtype) for width in widths)
    if len(initial) != len(states):
        raise DataError(f"initial must be the states {states}, got {len(initial)} of them")
    for name, state, width in zip(states, initial, widths, strict=True):
        _check_array(f"initial {name}", state, (B, width), x.dtype)
    return tuple(initial)


def _check_array(
    name: str, array: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    if array is not None:
        check_shape(name, array, shape)
        if array.dtype != dtype:
            raise DataError(f"{name} must have the dtype of x, {dtype}, got {array.dtype}")
