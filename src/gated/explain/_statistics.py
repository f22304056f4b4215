"""Statistics of gates and units over a data set.

Shapes: T steps, B sequences, H hidden units, P units of the projected hidden state (H where nothing
is projected), N real steps of all sequences together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from gated.errors import ConfigurationError, DataError
from gated.explain._layer_trace import LayerTrace
from gated.explain._trace import trace

Floats = NDArray[np.float64]

LEFT = 0.1
"""A sigmoid gate is left-saturated below this (Karpathy, Johnson and Fei-Fei 2015)."""
RIGHT = 0.9
"""A sigmoid gate is right-saturated above this."""
DEAD = 1e-3
"""A unit is dead if the standard deviation of its hidden state is smaller than this."""
ALIKE = 0.99
"""Two units are redundant if the absolute correlation of their hidden states exceeds this."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of one layer in one direction, over N steps."""

    name: str
    """The module's name in the model; its class where the model is the layer itself."""
    layer: int
    """Index among the layers of its module, from 0."""
    reverse: bool
    """Whether it runs from each sequence's end to its beginning."""
    kind: str
    """The cell's name, as in a trace."""
    keeping_gate: str | None
    """Name of the gate that keeps the cell's memory; None where no single gate does."""
    steps: int
    """N"""
    mean: dict[str, Floats]
    """(H,), the mean of each sigmoid gate, by name."""
    left: dict[str, Floats]
    """(H,), the share of steps in which a sigmoid gate is below 0.1, by name."""
    right: dict[str, Floats]
    """(H,), the share of steps in which a sigmoid gate is above 0.9, by name."""
    saturated_candidate: Floats
    """(H,), the share of steps in which the candidate is beyond ±0.99; of an RNN, the state."""
    memory: Floats | None
    """(H,), the number of steps in which a state decays to 1/e, from the mean logarithm of the gate
    that keeps it; None without such a gate."""
    deviation: Floats
    """(P,), the standard deviation of each unit's hidden state."""
    correlation: Floats
    """(P, P), of the units' hidden states; 0 for units that never change."""

    @property
    def dead(self) -> NDArray[np.int64]:
        """Indices of units that hardly change (`DEAD`)."""
        return np.flatnonzero(self.deviation < DEAD)

    @property
    def redundant(self) -> list[tuple[int, int]]:
        """Pairs of units that are nearly the same (`ALIKE`), the smaller index first."""
        pairs = np.argwhere(np.triu(np.abs(self.correlation) > ALIKE, k=1))
        return [(int(a), int(b)) for a, b in pairs]


def statistics(
    model: nn.Module, batches: Iterable[Any], *, layers: Sequence[int] | None = None
) -> list[Statistics]:
    """Compute the statistics of recurrent layers in one pass over a data set.

    Args:
        model: as for `gated.explain.trace`.
        batches: inputs of the model, each alone (also packed) or as a pair (input, lengths).
        layers: indices in `Trace.layers`; all by default.

    Returns:
        One for each layer and direction, in the order of `Trace.layers`.

    Raises:
        ConfigurationError: as for `trace`.
        DataError: there is no batch, no such layer, or one batch runs more layers than another.
    """
    sums: list[_Sums] = []
    for batch in batches:
        x, lengths = input_and_lengths(batch)
        traced = trace(model, x, lengths=lengths, layers=layers).layers
        sums = sums or [_Sums(of) for of in traced]
        if [_place(of) for of in traced] != [of.place for of in sums]:
            raise DataError(
                "statistics: every batch must run the same layers; one ran "
                f"{', '.join(of.name for of in traced)}, the first "
                f"{', '.join(of.place[0] for of in sums)}"
            )
        for of_layer, one in zip(sums, traced, strict=True):
            of_layer.add(one)
    if not sums or sums[0].count == 0:
        raise DataError("statistics: the data set has no step")
    return [of_layer.statistics() for of_layer in sums]


def input_and_lengths(batch: Any) -> tuple[Any, Any]:
    """Return a batch's input and its lengths, None if the batch is no pair.

    A packed sequence is a tuple, too, but no such pair.
    """
    if isinstance(batch, tuple) and not isinstance(batch, PackedSequence):
        x, lengths = batch
        return x, lengths
    return batch, None


def tied_to(
    traced: LayerTrace, property_: ArrayLike, *, state: str | None = None
) -> NDArray[np.float64]:
    """Return the correlation of each unit with a property of the input, (H,), from -1 to 1.

    The units with the largest values are candidates; confirm them with `gated.explain.intervene`.

    Args:
        traced: from `gated.explain.trace`.
        property_: (T, B), for the steps of the trace, or (T,) where it is the same for all
            sequences: numbers or booleans, such as the position in a line or whether a quote is
            open.
        state: name of the traced value to use; by default the cell state, or the hidden state of a
            cell without one.

    Raises:
        ConfigurationError: the cell has no such state.
        DataError: the property has another shape.
    """
    name = state or ("cell" if "cell" in traced.values else traced.definition.state_names[0])
    if name not in traced.values:
        raise ConfigurationError(f"state must be one of {', '.join(traced.values)}, got {name!r}")
    values = traced.values[name]
    wanted = np.asarray(property_, np.float64)
    if wanted.ndim == 1 and len(wanted) == len(values):
        wanted = np.broadcast_to(wanted[:, None], values.shape[:2])
    if wanted.shape != values.shape[:2]:
        raise DataError(f"the property must have the shape {values.shape[:2]}, got {wanted.shape}")
    real = traced.steps[:, None] < traced.lengths
    units = values[real].astype(np.float64)
    units -= units.mean(axis=0)
    centred = wanted[real] - wanted[real].mean()
    scale = np.sqrt((units**2).sum(axis=0) * (centred**2).sum())
    found: Floats = np.divide(units.T @ centred, scale, out=np.zeros_like(scale), where=scale > 0)
    return found


def _place(of: LayerTrace) -> tuple[str, int, bool, int | None]:
    return of.name, of.layer, of.reverse, of.call


class _Sums:
    """Sums over batches, of one layer."""

    def __init__(self, like: LayerTrace) -> None:
        self.place = _place(like)
        self.kind = like.kind
        self.keeping_gate = like.keeping_gate
        self.count = 0
        cell = like.definition
        self.names = [
            name for name, place in cell.gates.items() if cell.tape[place].operation == "sigmoid"
        ]
        self.of_gates: dict[tuple[str, str], Any] = {}
        self.hidden: Any = 0.0
        self.products: Any = 0.0

    def add(self, traced: LayerTrace) -> None:
        real = np.arange(len(traced.output))[:, None] < traced.lengths
        self.count += int(real.sum())
        for name in self.names:
            gate = traced.values[name][real].astype(np.float64)
            self._add("mean", name, gate)
            self._add("left", name, gate < LEFT)
            self._add("right", name, gate > RIGHT)
            if name == self.keeping_gate:
                with np.errstate(divide="ignore"):
                    self._add("log", name, np.log(gate))
        candidate = traced.values.get("candidate", traced.output)[real]
        self._add("far", "candidate", np.abs(candidate) > 0.99)
        hidden = traced.output[real].astype(np.float64)
        self.hidden = self.hidden + hidden.sum(axis=0)
        self.products = self.products + hidden.T @ hidden

    def _add(self, what: str, name: str, values: Any) -> None:
        before = self.of_gates.get((what, name), 0.0)
        self.of_gates[what, name] = before + values.sum(axis=0)

    def _mean(self, what: str) -> dict[str, Floats]:
        return {name: of / self.count for (kind, name), of in self.of_gates.items() if kind == what}

    def statistics(self) -> Statistics:
        mean = self.hidden / self.count
        covariance = self.products / self.count - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
        scale = np.outer(deviation, deviation)
        correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > DEAD**2)
        logarithms = self._mean("log")
        memory = None
        if logarithms:
            # Not -1 / mean: a gate that is always 1 has the mean 0, and its memory is infinite.
            with np.errstate(divide="ignore"):
                memory = 1 / np.abs(next(iter(logarithms.values())))
        name, layer, reverse, _ = self.place
        return Statistics(
            name=name,
            layer=layer,
            reverse=reverse,
            kind=self.kind,
            keeping_gate=self.keeping_gate,
            steps=self.count,
            mean=self._mean("mean"),
            left=self._mean("left"),
            right=self._mean("right"),
            saturated_candidate=self._mean("far")["candidate"],
            memory=memory,
            deviation=deviation,
            correlation=correlation,
        )
