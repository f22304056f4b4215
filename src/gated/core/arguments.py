"""Checks of arguments; their messages name the argument, what was expected and what was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.cells.cell import Cell
from gated.core.layout import Array, Weights, layout_of
from gated.errors import ConfigurationError, DataError

StoredAs: TypeAlias = Literal["float32", "bfloat16", "int8", "bfloat16x3"]
"""How packed weights are stored; sums and states stay float32."""


def check_stored_as(stored_as: Any) -> None:
    """Refuse what is not one of `StoredAs`.

    Raises:
        ConfigurationError: it is none of them.
    """
    if stored_as not in get_args(StoredAs):
        raise ConfigurationError(
            f"stored_as must be one of {', '.join(get_args(StoredAs))}, got {stored_as!r}"
        )


def check_shape(name: str, array: Any, shape: tuple[int, ...], meaning: str = "") -> None:
    """Refuse an array or tensor of another shape; `meaning` is the expected one in letters.

    Raises:
        DataError: the shape differs.
    """
    if tuple(array.shape) != shape:
        letters = f" {meaning}" if meaning else ""
        raise DataError(f"{name} must have the shape{letters} {shape}, got {tuple(array.shape)}")


def check_lengths(lengths: ArrayLike | None, steps: int, sequences: int) -> NDArray[np.int64]:
    """Return the number of real steps of each sequence, (B,), in any order; `steps` each if None.

    Raises:
        DataError: it is not one integer for each sequence, or one is not from 0 to `steps`.
    """
    if lengths is None:
        return np.full(sequences, steps, np.int64)
    given = np.asarray(lengths)
    if given.shape != (sequences,) or (sequences and given.dtype.kind not in "iu"):
        raise DataError(
            f"lengths must be {sequences} integers, one for each sequence, got {given.dtype} of "
            f"the shape {given.shape}"
        )
    for place in np.flatnonzero((given < 0) | (given > steps))[:1]:
        raise DataError(
            f"lengths must be from 0 to {steps}, the steps of the input, got {given[place]} for "
            f"sequence {place}"
        )
    return given.astype(np.int64)


def check_variant(cell: str, weights: Weights[Any]) -> None:
    """Refuse weights that the cell does not have, and incomplete layer normalisation.

    Raises:
        ConfigurationError: a weight does not fit; the message names it.
    """
    layout = layout_of(cell)
    has_cell = "cell" in layout.states
    if not has_cell and weights.weight_hr is not None:
        raise ConfigurationError(f"weight_hr is for an LSTM, not for {cell}")
    if weights.peepholes is not None and cell != "lstm":
        raise ConfigurationError(f"peepholes are for the cell lstm, not for {cell}")
    gains = ("gain_ih", "gain_hh") + (("gain_cell", "bias_cell") if has_cell else ())
    given = [name for name in gains if getattr(weights, name) is not None]
    if not has_cell and not (weights.gain_cell is None and weights.bias_cell is None):
        raise ConfigurationError(f"gain_cell and bias_cell are for an LSTM, not for {cell}")
    if given and not layout.normalised_together:
        raise ConfigurationError(
            f"there is no layer normalisation for the cell {cell}, got {given}"
        )
    if given and len(given) < len(gains):
        raise ConfigurationError(
            f"layer normalisation needs {', '.join(gains)}, got {', '.join(given)} alone"
        )


def check_gate_names(cell: str | Cell, argument: str, names: Iterable[str]) -> None:
    """Check that the cell has gates or states of these names.

    Raises:
        ConfigurationError: it has not; the message lists its gates and states.
    """
    if isinstance(cell, Cell):
        known = tuple(dict.fromkeys((*cell.gates, *cell.state_names)))
    else:
        layout = layout_of(cell)
        known = tuple(dict.fromkeys(layout.gates + layout.states))
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"{argument} must be one of {', '.join(known)} for the cell "
                f"{cell.name if isinstance(cell, Cell) else cell}, got {name!r}"
            )


def check_array(
    name: str, array: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Check the shape and dtype of an array, unless it is None.

    Raises:
        DataError: the shape or the dtype differs.
    """
    if array is not None:
        check_shape(name, array, shape)
        if array.dtype != dtype:
            raise DataError(f"{name} must have the dtype of x, {dtype}, got {array.dtype}")
