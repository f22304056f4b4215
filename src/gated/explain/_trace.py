"""Every gate and state of every recurrent layer, while a model runs.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.core import reference
from gated.core.cells import norm
from gated.core.layout import Array, Weights, gate_rows, layout_of
from gated.errors import DataError
from gated.explain._equations import as_arrays
from gated.explain._looking import Run, as_lines, evaluating, looking, nothing_ran, refusing
from gated.nn.backends import Result


@dataclass
class _Selection:
    """Which part is wanted."""

    layers: Sequence[int] | None
    units: Sequence[int] | slice | None
    steps: Sequence[int] | slice | None
    seen: int = 0
    """Layers and directions that ran."""

    def wants(self, place: int) -> bool:
        """Whether a layer is to be kept."""
        return self.layers is None or place in self.layers

    def of(self, array: Array, all_units: bool = False) -> Array:
        """The wanted part of (T, B, H), in memory of its own where it is not all."""
        units = None if all_units else self.units
        if self.steps is None and units is None:
            return array
        array = self._along(array, 0, "steps", self.steps)
        return np.array(self._along(array, 2, "units", units))

    @staticmethod
    def _along(array: Array, axis: int, what: str, chosen: Sequence[int] | slice | None) -> Array:
        if chosen is None:
            return array
        if isinstance(chosen, slice):
            return array[chosen] if axis == 0 else array[..., chosen]
        size, places = array.shape[axis], np.asarray(chosen, np.int64)
        if places.size and not -size <= places.min() <= places.max() < size:
            raise DataError(f"{what}: there are {size}, got {places.tolist()}")
        return array.take(places, axis)


class _Run(NamedTuple):
    """What a layer took."""

    x: Array
    """(T, B, I)"""
    hidden: Array
    """(T, B, P)"""
    reset_gate: Array | None
    """(T, B, H), of a GRU."""
    weights: Weights[Array]
    selection: _Selection
    cell: Array | None
    """(T, B, H), where a projection hides what is shown of a normalised cell state."""
    versions: tuple[tuple[Tensor, int], ...]
    """The weights, whose memory the arrays are, and how often each had been written to."""

    def sums(self, kind: str, gate: str, rows: slice, before: Array) -> Array:
        """(T, B, H), what a gate's activation is applied to; `before` is (T, B, P)."""
        T, B, _ = self.x.shape
        w, spans = self.weights, layout_of(kind).normalised_together

        def product(weight: Array, vectors: Array, bias: Array | None, gain: Array | None) -> Array:
            flat = vectors.reshape(T * B, vectors.shape[2])
            return reference.sums(weight, flat, bias, gain, spans)[0].reshape(T, B, len(weight))

        from_input = product(w.weight_ih, self.x, w.bias_ih, w.gain_ih)[..., rows]
        if self.reset_gate is not None and gate == "candidate":
            if kind == "gru":
                reset = self.reset_gate
                return (
                    from_input
                    + reset * product(w.weight_hh, before, w.bias_hh, w.gain_hh)[..., rows]
                )
            before = self.reset_gate * before
        return from_input + product(w.weight_hh, before, w.bias_hh, w.gain_hh)[..., rows]


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
    values: dict[str, Array]
    """The gates and states themselves, for the steps and units that were asked for."""
    initial: tuple[Array, ...] = field(repr=False)
    """The states before the first step, (B, P) and, of an LSTM, (B, H); all units."""
    zoneout: tuple[float, float]
    """The share of the hidden and of the cell state that each step keeps as it was."""
    _run: _Run = field(repr=False)

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
        if any(_version(weight) != version for weight, version in self._run.versions):
            raise DataError(
                f"the weights of {self.name} have changed since it was traced, and pre-activations "
                "are computed from them when they are asked for: trace again"
            )
        of_gate = gate_rows(self.kind, gate, self.size)
        found = self._run.sums(self.kind, gate, of_gate, self._before())
        found[np.arange(len(found))[:, None] >= self.lengths] = 0
        return self._run.selection.of(found)

    @property
    def size(self) -> int:
        """H, the units that the layer has."""
        return len(self._run.weights.weight_hh) // self._gates

    @property
    def time(self) -> int:
        """T, the steps that the layer ran."""
        return len(self._run.hidden)

    @property
    def units(self) -> NDArray[np.int64]:
        """Which of the H units the values are of."""
        return _chosen(self.size, self._run.selection.units)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Which of the T steps the values are of."""
        return _chosen(self.time, self._run.selection.steps)

    def shown_cell(self, step: int, sequence: int) -> Array | None:
        """(H), the cell state as a projected LSTM with layer normalisation shows it; else None."""
        cell, w = self._run.cell, self._run.weights
        if cell is None or w.gain_cell is None or w.bias_cell is None:
            return None
        shown: Array = w.gain_cell * norm(cell[step, sequence]).values + w.bias_cell
        return shown

    @property
    def projected(self) -> bool:
        """Whether `hidden` is a projection: then it has all P units, whichever were chosen."""
        return self._run.weights.weight_hr is not None

    @property
    def _gates(self) -> int:
        return len(layout_of(self.kind).gates)

    def _before(self) -> Array:
        """(T, B, P), the hidden state that each step started from."""
        hidden = self._run.hidden
        before = np.roll(hidden, -1 if self.reverse else 1, axis=0)
        first = self.lengths - 1 if self.reverse else np.zeros_like(self.lengths)
        real = np.flatnonzero(self.lengths)
        before[first[real], real] = self.initial[0][real]
        return before


@dataclass(frozen=True)
class Trace:
    """What a model's recurrent layers did in one run."""

    layers: list[LayerTrace]
    """In the order in which they ran; of one module layer k, direction d at k·D + d, PyTorch's
    order."""
    output: Any
    """What the model gave."""
    left: dict[str, str]
    """The recurrent layers and cells that were not looked into, by name, and why."""


def trace(
    model: nn.Module,
    x: Any,
    *,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
    layers: Sequence[int] | None = None,
    units: Sequence[int] | slice | None = None,
    steps: Sequence[int] | slice | None = None,
) -> Trace:
    """Run a model once and keep every gate and state of its recurrent layers.

    Layers of `torch.nn` and of `gated.nn` anywhere in the model run in the fused core, which has
    the gates in hand. The model runs in evaluation mode, without gradients, and is left as it was:
    same classes, weights and mode.

    Args:
        model: a recurrent layer, or any module that contains some.
        x: its input, as it takes it; of a layer (T, B, I), or (B, T, I) with `batch_first`.
        lengths: (B), the real steps of each sequence, for a model that takes them.
        initial: the states to start from, for a layer.
        layers: which to keep, by their place in `Trace.layers`; all by default.
        units: which to keep, indices or a slice; all by default.
        steps: which to keep, indices or a slice of time; all by default.

    Raises:
        ConfigurationError: the model has no recurrent layer, or one that cannot be looked into.
        DataError: a selection does not fit.
        MissingNativeError: the core is not built.

    >>> lstm = torch.nn.LSTM(3, 4)
    >>> trace(lstm, torch.zeros(5, 2, 3)).layers[0].forget_gate.shape
    (5, 2, 4)
    """
    found: list[LayerTrace] = []
    selection = _Selection(layers, units, steps)
    options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    before = (initial,) if initial is not None else ()

    def watched(name: str, layer: Any, run: Run) -> Run:
        return _watched(name, layer, run, found, selection)

    with evaluating(model), looking(model, watched) as left, torch.no_grad():
        output = model(x, *before, **options)
    if selection.seen == 0:
        raise nothing_ran(left)
    absent = [place for place in layers or () if not 0 <= place < selection.seen]
    if absent:
        raise DataError(
            f"layers: {absent[0]} was asked for, the model has {selection.seen}{as_lines(left)}"
        )
    return Trace(found, output, left)


def _watched(
    name: str, module: Any, run: Run, found: list[LayerTrace], selection: _Selection
) -> Run:
    kind = module._cell

    def watched(x: Tensor, hx: Any, lengths: Any, return_gates: bool) -> Result:
        result: Result = run(x, hx, lengths, True)
        # A model may write to what it gets, which may be the memory of the hidden state.
        result = result._replace(output=result.output.clone())
        T, B, _ = x.shape
        real = np.full(B, T) if lengths is None else torch.as_tensor(lengths).numpy()
        tensors = [of_way for of_layer in module._weights() for of_way in of_layer]
        weights = [as_arrays(of_way) for of_way in tensors]
        ran = [{gate: value.numpy() for gate, value in of.items()} for of in result.gates or ()]
        before = _initial(module, hx, B, weights[0].weight_hh)
        ways = 2 if module.bidirectional else 1
        inputs: Array = x.detach().to(result.output.dtype).numpy()
        if any(selection.wants(selection.seen + way) for way in range(ways)):
            inputs = inputs.copy()  # as the model may write to this, too
        for place, values in enumerate(ran):
            layer, way = divmod(place, ways)
            if layer > 0 and way == 0:
                inputs = np.concatenate([of["hidden"] for of in ran[place - ways : place]], -1)
            selection.seen += 1
            if not selection.wants(selection.seen - 1):
                continue
            names = dict.fromkeys((*layout_of(kind).gates, *layout_of(kind).states))
            with refusing():
                chosen = {
                    gate: selection.of(values[gate], bool(module.proj_size) and gate == "hidden")
                    for gate in names
                }
            found.append(
                LayerTrace(
                    name,
                    kind,
                    layer,
                    way == 1,
                    real.astype(np.int64),
                    chosen,
                    tuple(state[place] for state in before),
                    (module.variant.zoneout_hidden, module.variant.zoneout_cell),
                    _Run(
                        inputs,
                        values["hidden"],
                        values.get("reset_gate"),
                        weights[place],
                        selection,
                        values["cell"] if module.proj_size and module.layer_norm else None,
                        tuple((w, _version(w)) for w in tensors[place] if w is not None),
                    ),
                )
            )
        return result if return_gates else result._replace(gates=None)

    return watched


def _version(tensor: Tensor) -> int:
    """How often a tensor has been written to; of one made in inference mode torch does not say."""
    return 0 if tensor.is_inference() else tensor._version


def _chosen(size: int, places: Sequence[int] | slice | None) -> NDArray[np.int64]:
    return np.arange(size)[slice(None) if places is None else places]


def _initial(module: Any, hx: Any, sequences: int, like: Array) -> tuple[Array, ...]:
    """The states before the first step, (L·D, B, ·) each."""
    if hx is not None:
        given = (hx,) if isinstance(hx, Tensor) else hx
        return tuple(state.detach().numpy().copy() for state in given)
    rows = module.num_layers * (2 if module.bidirectional else 1)
    widths = (module.proj_size or module.hidden_size, module.hidden_size)
    states = len(layout_of(module._cell).states)
    return tuple(np.zeros((rows, sequences, width), like.dtype) for width in widths[:states])
