"""Traces: every gate and state of a model's recurrent layers in one run.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.core import reference
from gated.core.layout import LAYOUTS, Array
from gated.errors import DataError
from gated.explain._layer_trace import LayerTrace, Taken, states_asked_for, version_of
from gated.explain._looking import as_lines, evaluating, looking, nothing_ran
from gated.nn.backends import LayerResult, Run, RunLayer
from gated.nn.operators import LayerCall, as_array

CHUNK = 128
"""Steps that run at a time where units or steps are chosen."""


@dataclass(frozen=True)
class Trace:
    """The gates and states of a model's recurrent layers in one run."""

    layers: list[LayerTrace]
    """In the order in which they ran; layer k, direction d of a module is at k·D + d, as in
    PyTorch."""
    output: Any = field(repr=False)
    """The model's output."""
    left_out: dict[str, str]
    """Recurrent layers and cells that could not be examined: from name to reason."""


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

    Layers of `torch.nn` and of `gated.nn` anywhere in the model run in the fused core, which
    returns the gates. The model runs in evaluation mode, without gradients, and keeps its classes,
    weights and mode.

    Args:
        model: a recurrent layer, or any module that contains some.
        x: the model's input; of a layer (T, B, I), or (B, T, I) with `batch_first`.
        lengths: (B,), the number of real steps of each sequence, for a model that takes them.
        initial: the initial states, for a layer.
        layers: indices in `Trace.layers` to keep; all by default.
        units: indices of units to keep, or a slice; all by default.
        steps: time steps to keep, or a slice; all by default. Where units or steps are chosen, a
            layer runs 128 steps at a time, so that memory never holds the gates of more.

    Raises:
        ConfigurationError: the model has no recurrent layer that can be examined.
        DataError: there is no such layer, unit or step.
        MissingNativeError: the core is not built.

    >>> lstm = torch.nn.LSTM(3, 4)
    >>> trace(lstm, torch.zeros(5, 2, 3)).layers[0].forget_gate.shape
    (5, 2, 4)
    """
    found: list[LayerTrace] = []
    selection = _Selection(layers, units, steps)
    options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    before = (initial,) if initial is not None else ()

    def watched(name: str, module: Any) -> RunLayer:
        return _Watched(name, module, found, selection)

    with evaluating(model), looking(model, watched) as left_out, torch.no_grad():
        output = model(x, *before, **options)
    if selection.seen == 0:
        raise nothing_ran(left_out)
    absent = [place for place in layers or () if not 0 <= place < selection.seen]
    if absent:
        raise DataError(
            f"layers: the model has {selection.seen}, from 0 on, got {absent[0]}"
            f"{as_lines(left_out)}"
        )
    return Trace(found, output, left_out)


@dataclass
class _Selection:
    """The layers, units and steps to keep."""

    layers: Sequence[int] | None
    units: Sequence[int] | slice | None
    steps: Sequence[int] | slice | None
    seen: int = 0
    """Layers and directions that ran."""

    def next(self) -> bool:
        """Whether the next layer and direction is to be kept."""
        self.seen += 1
        return self.layers is None or self.seen - 1 in self.layers


class _Part(NamedTuple):
    """The kept values of some steps."""

    values: dict[str, Array]
    given: dict[str, dict[Any, Array]]


@dataclass
class _Watched:
    """The observer that keeps the gates and states of a module's layers."""

    name: str
    module: Any
    found: list[LayerTrace]
    selection: _Selection

    def __call__(self, place: int, call: LayerCall, return_gates: bool, run: Run) -> LayerResult:
        selection = self.selection
        if not selection.next():
            return run(call, return_gates)
        T, B, _ = call.x.shape
        steps = _chosen("steps", selection.steps, T)
        units = _chosen("units", selection.units, call.sizes["H"])
        real = np.full(B, T) if call.lengths is None else call.lengths.numpy()
        in_parts = selection.units is not None or selection.steps is not None
        # Other observers of the module expect to see all steps in one call.
        alone = len(self.module.observers) == 1
        size = CHUNK if in_parts and alone and not return_gates else max(T, 1)
        parts: list[_Part] = []
        outputs: list[Tensor] = []
        states = call.initial
        pieces = list(_pieces(call, size))
        for start, piece in reversed(pieces) if call.reverse else pieces:
            piece = piece._replace(initial=list(states))
            here = np.sort(steps[(steps >= start) & (steps < start + size)]) - start
            wanted = not outputs or len(here) > 0
            result = run(piece, wanted)
            if wanted:
                parts.append(_part(piece, result, here, selection, units))
            outputs.append(result.output)
            states = list(result.final)
        if call.reverse:
            parts, outputs = parts[::-1], outputs[::-1]
        order = None if selection.steps is None else np.argsort(np.argsort(steps, kind="stable"))
        cell = call.changed_cell
        weights = {name: as_array(of) for name, of in call.named_weights.items()}
        given: dict[str, Any] = {
            kind: _joined([part.given[kind] for part in parts], order)
            for kind in ("input", "state", "per_step")
        }
        zoneout = (call.zoneout_hidden, call.zoneout_cell)
        given |= {"input": given["input"][None], "draw": dict(enumerate(zoneout))}
        self.found.append(
            LayerTrace(
                self.name,
                call.cell if call.cell in LAYOUTS else call.plain_cell.name,
                place // (1 + self.module.bidirectional),
                call.reverse,
                real.astype(np.int64),
                _joined([part.values for part in parts], order),
                tuple(as_array(state).copy() for state in call.initial),
                zoneout,
                Taken(
                    T,
                    steps,
                    units,
                    reference.equations(cell, weights, call.sizes),
                    given,
                    tuple((weight, version_of(weight)) for weight in call.weights),
                ),
            )
        )
        output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return LayerResult(output, result.final, result.gates if return_gates else None)


def _pieces(call: LayerCall, size: int) -> Iterator[tuple[int, LayerCall]]:
    """Yield the call in pieces of `size` steps, each with its first step."""
    for start in range(0, max(len(call.x), 1), size):
        x = call.x[start : start + size]
        lengths = None if call.lengths is None else (call.lengths - start).clamp(0, len(x))
        per_step = [of[start : start + size] for of in call.per_step]
        yield start, call._replace(x=x, lengths=lengths, per_step=per_step)


def _part(
    call: LayerCall,
    result: LayerResult,
    steps: NDArray[np.int64],
    selection: _Selection,
    units: NDArray[np.int64],
) -> _Part:
    """Return the chosen values of a piece, in memory that the model cannot write to."""
    cell, T = call.changed_cell, len(call.x)
    lengths = np.full(call.x.shape[1], T) if call.lengths is None else call.lengths.numpy()
    gates = {name: as_array(of) for name, of in (result.gates or {}).items()}

    def at_steps(array: Array) -> Array:
        return array if selection.steps is None else array[steps]

    values, before = {}, {}
    for k, name in enumerate(cell.state_names):
        if k in states_asked_for(cell):
            start = as_array(call.initial[k])
            gates[name], begins = _with_before(gates[name], start, lengths, call.reverse)
            before[k] = at_steps(begins)
        elif k == 0:  # the model gets this array as its output
            gates[name] = gates[name].copy()
    for name in cell.named:
        values[name] = at_steps(gates[cell.one_name[name]])
        if selection.units is not None and cell.tape[cell.named[name]].width == "H":
            values[name] = values[name].take(units, axis=2)
    inputs = {None: at_steps(as_array(call.x).copy())}
    steps_given = {
        name: at_steps(as_array(of)[..., None]) for name, of in call.named_per_step.items()
    }
    return _Part(values, {"input": inputs, "state": before, "per_step": steps_given})


def _with_before(
    hidden: Array, initial: Array, lengths: NDArray[np.int64], reverse: bool
) -> tuple[Array, Array]:
    """Return the states after and before each step, (T, B, ·), sharing memory where possible."""
    if not reverse:
        states = np.concatenate([initial[None], hidden])
        return states[1:], states[:-1]
    states = np.concatenate([hidden, initial[None]])
    before = states[1:]
    if (lengths < len(hidden)).any():
        before, real = before.copy(), np.flatnonzero(lengths)
        before[lengths[real] - 1, real] = initial[real]
    return states[:-1], before


def _joined(parts: list[dict[Any, Array]], order: NDArray[np.int64] | None) -> dict[Any, Array]:
    """Concatenate the parts, then put the steps into this order."""
    joined = parts[0]
    if len(parts) > 1:
        joined = {name: np.concatenate([part[name] for part in parts]) for name in joined}
    if order is None or np.array_equal(order, np.arange(len(order))):
        return joined
    return {name: array[order] for name, array in joined.items()}


def _chosen(name: str, places: Sequence[int] | slice | None, size: int) -> NDArray[np.int64]:
    """Return the chosen indices of `size`."""
    everything = np.arange(size)
    if places is None or isinstance(places, slice):
        return everything[slice(None) if places is None else places]
    wanted = np.asarray(places, np.int64)
    if wanted.size and not -size <= wanted.min() <= wanted.max() < size:
        raise DataError(f"{name}: there are {size}, got {wanted.tolist()}")
    return everything[wanted]
