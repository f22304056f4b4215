"""What one recurrent layer in one direction did, step by step.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected); K of the T steps and U of the H units, those that were chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gated.core import reference
from gated.core.cells import norm
from gated.core.layout import Array, Weights, gate_rows, layout_of
from gated.errors import DataError


class Taken(NamedTuple):
    """What a layer took, for what can still be asked of it."""

    time: int
    """T"""
    steps: NDArray[np.int64]
    """(K)"""
    units: NDArray[np.int64]
    """(U)"""
    taken: dict[str, Array]
    """Of all units at the steps chosen: `x` (K, B, I), `before` (K, B, P), the hidden state that
    each step started from; of a GRU `reset_gate` (K, B, H); and where a projection hides what is
    shown of a normalised cell state, `cell` (K, B, H)."""
    weights: Weights[Array]
    versions: tuple[tuple[Tensor, int], ...]
    """The weights, whose memory the arrays are, and how often each had been written to."""

    def sums(self, kind: str, gate: str, rows: slice) -> Array:
        """(K, B, H), what a gate's activation is applied to."""
        w, spans = self.weights, layout_of(kind).normalised_together

        def product(weight: Array, vectors: Array, bias: Array | None, gain: Array | None) -> Array:
            K, B, width = vectors.shape
            flat = vectors.reshape(K * B, width)
            return reference.sums(weight, flat, bias, gain, spans)[0].reshape(K, B, len(weight))

        before, reset = self.taken["before"], self.taken.get("reset_gate")
        if reset is not None and (kind, gate) == ("gru_reset_before", "candidate"):
            before = reset * before
        from_input = product(w.weight_ih, self.taken["x"], w.bias_ih, w.gain_ih)[..., rows]
        from_hidden = product(w.weight_hh, before, w.bias_hh, w.gain_hh)[..., rows]
        if reset is not None and (kind, gate) == ("gru", "candidate"):
            from_hidden = reset * from_hidden
        return from_input + from_hidden


def version_of(tensor: Tensor) -> int:
    """How often a tensor has been written to; of one made in inference mode torch does not say."""
    return 0 if tensor.is_inference() else tensor._version


def layer_title(name: str, layer: int, reverse: bool) -> str:
    """What to call a layer: the module's name, and which layer and direction of it."""
    return f"{name}, layer {layer}{', backwards' if reverse else ''}"


@dataclass(frozen=True)
class LayerTrace:
    """One layer in one direction: its gates and states by name, as attributes.

    An LSTM has `input_gate`, `forget_gate`, `candidate`, `output_gate`, `cell` and `hidden`, a GRU
    `reset_gate`, `update_gate`, `candidate` and `hidden`, each (T, B, H); of a projected LSTM
    `hidden` is (T, B, P). Padding is zeros.
    """

    name: str
    """The module's name in the model; its class where the model is the layer itself."""
    kind: str
    """The cell's name in `gated.core.layout.LAYOUTS`."""
    layer: int
    """Among the layers of its module, from 0."""
    reverse: bool
    """Whether it runs from each sequence's end to its beginning."""
    lengths: NDArray[np.int64]
    """(B), the real steps of each sequence."""
    values: dict[str, Array] = field(repr=False)
    """The gates and states themselves, for the steps and units that were asked for."""
    initial: tuple[Array, ...] = field(repr=False)
    """The states before the first step, (B, P) and, of an LSTM, (B, H); all units."""
    zoneout: tuple[float, float]
    """The share of the hidden and of the cell state that each step keeps as it was."""
    _run: Taken = field(repr=False)

    def __getattr__(self, name: str) -> Array:
        """A gate or state by its name."""
        values = self.__dict__.get("values", {})
        if name in values:
            found: Array = values[name]
            return found
        there = ", ".join(values)
        raise AttributeError(f"a trace of {self.__dict__.get('kind')} has {there}, no {name!r}")

    def pre_activation(self, gate: str) -> Array:
        """What the gate's activation was applied to, (T, B, H), for the steps and units chosen.

        Raises:
            ConfigurationError: the cell has no such gate.
            DataError: the weights have been written to since, as by training.
        """
        if any(version_of(weight) != version for weight, version in self._run.versions):
            raise DataError(
                f"the weights of {self.name} have changed since it was traced, and pre-activations "
                "are computed from them when they are asked for: trace again"
            )
        found = self._run.sums(self.kind, gate, gate_rows(self.kind, gate, self.size))
        found[self.steps[:, None] >= self.lengths] = 0
        return found if len(self.units) == self.size else found.take(self.units, axis=2)

    @property
    def size(self) -> int:
        """H, the units that the layer has."""
        return len(self._run.weights.weight_hh) // len(layout_of(self.kind).gates)

    @property
    def time(self) -> int:
        """T, the steps that the layer ran."""
        return self._run.time

    @property
    def units(self) -> NDArray[np.int64]:
        """Which of the H units the values are of."""
        return self._run.units

    @property
    def steps(self) -> NDArray[np.int64]:
        """Which of the T steps the values are of."""
        return self._run.steps

    def shown_cell(self, step: int, sequence: int) -> Array | None:
        """(H), the cell state as a projected LSTM with layer normalisation shows it; else None."""
        cell, w = self._run.taken.get("cell"), self._run.weights
        if cell is None or w.gain_cell is None or w.bias_cell is None:
            return None
        shown: Array = w.gain_cell * norm(cell[step, sequence]).values + w.bias_cell
        return shown

    @property
    def projection(self) -> Array:
        """(P, H), the weights that project what the units show."""
        weight = self._run.weights.weight_hr
        if weight is None:
            raise DataError(f"{self.name} projects nothing")
        return weight

    @property
    def projected(self) -> bool:
        """Whether `hidden` is a projection: then it has all P units, whichever were chosen."""
        return self._run.weights.weight_hr is not None
