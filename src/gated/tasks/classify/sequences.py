"""Sequences as arrays, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError

Floats = NDArray[np.float64]
Values = NDArray[Any]
"""(N,) labels or numbers, or (N, O) numbers of several targets."""


@dataclass(frozen=True)
class Sequences:
    """N sequences and their targets."""

    arrays: list[Floats]
    """Each `(T, channels)`, NaN where a value is missing."""
    values: Values
    """(N,), labels or numbers, or (N, O) numbers of several targets; (0,) where unknown."""
    names: list[str]
    """Name, or place in the file, of each; for messages."""
    columns: tuple[str, ...] = ()
    """Names of the channel columns of a table; `.ts` files do not name theirs."""
    rows: tuple[int, ...] = ()
    """(N,), the row where each begins in its file; empty where there is no file."""
    weights: Floats = field(default_factory=lambda: np.zeros(0))
    """(N,), how much each counts in training; empty where all count alike."""
    clusters: Values = field(default_factory=lambda: np.zeros(0))
    """(N,), equal for sequences that belong together; empty where each stands alone."""
    labels: tuple[str, ...] = ()
    """(O,), names of the targets, where there are several or (N, 1) numbers were given."""

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.arrays[0].shape[1])

    def and_also(self, others: Sequences) -> Sequences:
        """Return these sequences followed by `others`, which have the same channels."""
        return replace(
            self,
            arrays=[*self.arrays, *others.arrays],
            values=np.concatenate([self.values, others.values]),
            names=[*self.names, *others.names],
            rows=(),
            weights=np.concatenate([self.weights, others.weights]),
            clusters=np.concatenate([self.clusters, others.clusters]),
        )

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Sequences:
        """Return some of the sequences."""
        rows = np.asarray(rows, np.int64)
        return replace(
            self,
            arrays=[self.arrays[k] for k in rows],
            values=self.values[rows] if len(self.values) else self.values,
            names=[self.names[k] for k in rows],
            rows=tuple(self.rows[k] for k in rows) if self.rows else (),
            weights=self.weights[rows] if len(self.weights) else self.weights,
            clusters=self.clusters[rows] if len(self.clusters) else self.clusters,
        )


def usable(array: Any, name: str, channels: int | None) -> Floats:
    """Return a sequence as an array `(T, channels)`.

    Raises:
        DataError: it has no steps, only missing or some infinite values, or other channels than the
            rest.
        TypeError: its values are not numbers.
    """
    try:
        numbers = np.asarray(array, np.float64)
    except ValueError as error:
        raise DataError(f"{name} holds what is not a number: {error}.") from error
    if numbers.ndim == 1:
        numbers = numbers[:, None]
    if numbers.ndim != 2 or not numbers.size:
        raise DataError(
            f"{name} has the shape {numbers.shape}; a sequence is (steps, channels) or (steps,), "
            "with one step or more."
        )
    if np.isinf(numbers).any():
        step, channel = np.argwhere(np.isinf(numbers))[0]
        raise DataError(f"{name} is infinite at step {step}, channel {channel}.")
    if np.isnan(numbers).all():
        raise DataError(f"{name} holds no value: all of it is missing.")
    if channels is not None and numbers.shape[1] != channels:
        raise DataError(
            f"{name} has {numbers.shape[1]} channels; the others, {channels}. Each sequence needs "
            "the same, in the same order."
        )
    return numbers


def key_of(array: Floats) -> bytes:
    """Return the content of a sequence as bytes: equal for equal sequences."""
    return np.ascontiguousarray(array, np.float64).tobytes() + str(array.shape).encode()


def sequences_of(data: Any, channels: int | None = None) -> list[Floats]:
    """Return arrays given in Python as sequences of `(T, channels)`.

    Args:
        data: (N, T), one channel; (N, T, channels); or N arrays of (T,) or (T, channels), of any
            lengths.
        channels: required number of channels.

    Raises:
        DataError: there is no sequence, or one that cannot be used.
    """
    if hasattr(data, "toarray"):
        raise DataError("Sparse data are no sequences; give X.toarray().")
    if not isinstance(data, (list, tuple)):
        data = _dense(data)
    if not len(data):
        raise DataError(
            "There is no sequence: 0 sample(s) were given, and a minimum of 1 is needed."
        )
    arrays: list[Floats] = []
    for place, array in enumerate(data):
        arrays.append(usable(array, f"Sequence {place}", channels))
        channels = arrays[0].shape[1]
    return arrays


def _dense(data: Any) -> NDArray[Any]:
    array = np.asarray(data)
    if array.dtype.kind == "c":
        raise DataError("Complex data not supported: give real numbers.")
    if array.ndim == 2 and not array.shape[1]:
        raise DataError(
            f"X has sequences without steps: 0 feature(s) (shape={array.shape}) while a minimum of "
            "1 is required."
        )
    if array.ndim not in (2, 3) and array.dtype != object:
        raise DataError(
            f"X has the shape {array.shape}: give (sequences, steps), (sequences, steps, channels) "
            "or a list of arrays. Reshape your data, with X.reshape(1, -1) if it is one sequence."
        )
    return array
