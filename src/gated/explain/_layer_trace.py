"""The gates and states of one recurrent layer in one direction, step by step.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected); K chosen steps of the T, U chosen units of the H.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gated.cells.affine import memory
from gated.cells.cell import Cell
from gated.cells.evaluate import Equations, needed_nodes
from gated.cells.tape import ACTIVATIONS, Place, Tape
from gated.core.arguments import check_gate_names
from gated.core.layout import Array
from gated.errors import CellError, DataError
from gated.explain._notebook import heat_map, paragraphs

_ACROSS_UNITS = frozenset({"input", "state", "per_sequence", "parameter", "product", "sum"})
"""Operations that cannot be computed for some units without the others."""


class Taken(NamedTuple):
    """What a layer was given in a run, to compute further values of its trace later."""

    time: int
    """T"""
    steps: NDArray[np.int64]
    """(K,)"""
    units: NDArray[np.int64]
    """(U,)"""
    equations: Equations
    given: dict[str, Any]
    """The arguments of `Equations.values`, of all units at the chosen steps, (K, B, ·) each; of the
    previous states only those from which a value of the trace may be computed."""
    versions: tuple[tuple[Tensor, int], ...]
    """The weights, whose memory the equations share, and how often each had been written to."""


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor has been written to; 0 for one made in inference mode."""
    return 0 if tensor.is_inference() else tensor._version


def layer_title(name: str, layer: int, reverse: bool, call: int | None) -> str:
    """Return a layer's title: the module's name, which layer and direction of it, which call."""
    which = "" if call is None else f", call {call}"
    return f"{name}, layer {layer}{', backwards' if reverse else ''}{which}"


def summed(cell: Cell, gate: str) -> Place:
    """Return the node that a gate's activation is applied to; the gate itself without one."""
    place = cell.gates[gate]
    node = cell.tape[place]
    return node.arguments[0] if node.operation in ACTIVATIONS else place


def shown(cell: Cell) -> Place:
    """Return the node of the cell's output before any projection."""
    node = cell.tape[cell.output]
    return node.arguments[0] if node.operation == "product" else cell.output


@cache
def states_asked_for(cell: Cell) -> frozenset[int]:
    """Return the indices of the states of which a trace needs the values before each step."""
    tape, wanted = cell.tape, [summed(cell, gate) for gate in cell.gates]
    try:
        of = memory(cell)
        tape, wanted = of.tape, [*wanted, of.keep, of.write]
    except CellError:
        pass
    needed = needed_nodes(tape, wanted)
    if _is_wide(tape, needed_nodes(tape, [shown(cell)], cell.named.values())):
        needed |= needed_nodes(tape, [shown(cell)])
    return frozenset(tape[p].about for p in needed if tape[p].operation == "state")


def _is_wide(tape: Tape, places: set[Place]) -> bool:
    return any(tape[place].operation in _ACROSS_UNITS for place in places)


@dataclass(frozen=True)
class LayerTrace:
    """The gates and states of one layer in one direction, by name as attributes.

    An LSTM has `input_gate`, `forget_gate`, `candidate`, `output_gate`, `cell` and `hidden`, a GRU
    `reset_gate`, `update_gate`, `candidate` and `hidden`, any other cell those that its definition
    names. Each is (T, B, H), or (K, B, U) if steps and units were chosen; `hidden` of a projected
    layer is (T, B, P). Padding is zeros.
    """

    name: str
    """The module's name in the model; its class where the model is the layer itself."""
    kind: str
    """The cell's name: one of `gated.core.layout.LAYOUTS`, or that of its definition."""
    layer: int
    """Index among the layers of its module, from 0."""
    reverse: bool
    """Whether it runs from each sequence's end to its beginning."""
    lengths: NDArray[np.int64]
    """(B,), the number of real steps of each sequence."""
    values: dict[str, Array] = field(repr=False)
    """The gates and states by name, for the chosen steps and units."""
    initial: tuple[Array, ...] = field(repr=False)
    """The states before the first step, of all units: (B, P), and any others (B, H)."""
    zoneout: tuple[float, ...]
    """Zoneout rates: of each state, the share that each step leaves as is; empty without."""
    _run: Taken = field(repr=False)
    call: int | None = None
    """Which of the layer's calls in this run, from 0, where it had several of which each began from
    states of its own; calls that go on from each other are one."""

    def __getattr__(self, name: str) -> Array:
        """Return a gate or state by its name."""
        values = self.__dict__.get("values", {})
        if name in values:
            found: Array = values[name]
            return found
        there = ", ".join(values)
        raise AttributeError(f"a trace of {self.__dict__.get('kind')} has {there}, not {name!r}")

    def _repr_html_(self) -> str:
        """Gates and states of the first sequence, for notebooks."""
        title = layer_title(self.name, self.layer, self.reverse, self.call)
        maps = (heat_map(name, values[:, 0]) for name, values in self.values.items())
        return f"{paragraphs([f'{title}: {self.kind}'])}{''.join(maps)}"

    @property
    def definition(self) -> Cell:
        """The cell's definition, with options such as zoneout applied."""
        return self._run.equations.cell

    @property
    def states(self) -> dict[str, Array]:
        """The states by name, the hidden state first."""
        return {name: self.values[name] for name in self.definition.state_names}

    @property
    def output(self) -> Array:
        """The first state, which is the output of most cells."""
        return self.values[self.definition.state_names[0]]

    @property
    def keeping_gate(self) -> str | None:
        """Name of the gate that keeps the cell's memory; None where no single gate does."""
        try:
            return memory(self.definition).keeping_gate(self.definition)
        except CellError:
            return None

    def pre_activation(self, gate: str) -> Array:
        """Return the value that the gate's activation was applied to, (T, B, H).

        If steps and units were chosen, it is (K, B, U).

        Raises:
            ConfigurationError: the cell has no such gate.
            DataError: it is a state, or the weights have changed since the trace, as by training.
        """
        cell = self.definition
        check_gate_names(cell, "gate", [gate])
        if gate not in cell.gates:
            raise DataError(f"{gate} is a state of {self.kind}, not a gate: it has no activation")
        (found,) = self.computed(cell.tape, [summed(cell, gate)], known=False)
        return found

    def computed(self, tape: Tape, places: Sequence[Place], known: bool = True) -> list[Array]:
        """Return the values of nodes of a tape for the chosen steps and units, (K, B, U) each.

        Args:
            tape: the cell's, or one that begins with the same nodes.
            places: of the nodes.
            known: whether to use the traced gates and states, or compute them again.

        Raises:
            DataError: the weights have changed since the trace, as by training.
        """
        run, named = self._run, self.definition.named
        values = {
            place: self.values[name]
            for name, place in named.items()
            if known and tape[place].width == "H"
        }
        everything = len(run.units) == self.size
        if not everything and _is_wide(tape, needed_nodes(tape, places, values)):
            values = {}
        if _is_wide(tape, needed_nodes(tape, places, values)):
            self._check_weights()
        with np.errstate(all="ignore"):  # padding, which is zeros, may give NaN
            found = run.equations.values(run.given, tape, wanted=places, known=values)
        return [self._of_units(np.asarray(found[place])) for place in places]

    def _of_units(self, values: Array) -> Array:
        """Return values of the chosen units only, with zeros as padding."""
        width = values.shape[-1] if values.ndim else 1
        if width == self.size and len(self.units) < self.size:
            values, width = values.take(self.units, axis=-1), len(self.units)
        shape = (len(self.steps), len(self.lengths), max(width, len(self.units)))
        values = np.broadcast_to(values, shape)
        padding = self.steps[:, None] >= self.lengths
        return (
            np.where(padding[..., None], values.dtype.type(0), values) if padding.any() else values
        )

    def _check_weights(self) -> None:
        if any(version_of(weight) != version for weight, version in self._run.versions):
            raise DataError(
                f"the weights of {self.name} have changed since it was traced, and pre-activations "
                "are computed from the weights on request: trace again"
            )

    @property
    def size(self) -> int:
        """H, the number of units of the layer."""
        return self._run.equations.sizes["H"]

    @property
    def time(self) -> int:
        """T, the number of steps that the layer ran."""
        return self._run.time

    @property
    def units(self) -> NDArray[np.int64]:
        """(U,), indices of the units that were traced."""
        return self._run.units

    @property
    def steps(self) -> NDArray[np.int64]:
        """(K,), the steps that were traced."""
        return self._run.steps

    @property
    def projection(self) -> Array:
        """(P, H), the weights that project the hidden state.

        Raises:
            DataError: the layer has no projection.
        """
        if not self.projected:
            raise DataError(f"{self.name} has no projection; see `projected`")
        cell = self.definition
        weight: Array = self._run.equations.blocks[cell.tape[cell.output].about][0]
        return weight

    @property
    def projected(self) -> bool:
        """Whether `hidden` is a projection; if so it has all P units, whichever were chosen."""
        return shown(self.definition) != self.definition.output
