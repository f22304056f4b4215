"""Traces: every gate and state of a model's recurrent layers in one run.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from gated.explain._looking import (
    Part,
    Placed,
    Watch,
    as_lines,
    evaluating,
    laid_together,
    looking,
    nothing_ran,
    real_steps,
)
from gated.explain._notebook import paragraphs
from gated.nn.backends import LayerResult, Run
from gated.nn.operators import LayerCall, as_array

CHUNK = 128
"""Steps that run at a time where units or steps are chosen."""


@dataclass(frozen=True)
class Trace:
    """The gates and states of a model's recurrent layers in one run."""

    layers: list[LayerTrace]
    """In the order in which they ran; layer k, direction d of a module is at k·D + d, as in
    PyTorch. Calls of a layer that go on from the states in which a former one ended, as where a
    model calls it one step at a time, are one; any other call is one more, with its number in
    `call`."""
    output: Any = field(repr=False)
    """The model's output."""
    left_out: dict[str, str]
    """Recurrent layers and cells that could not be examined: from name to reason."""

    def _repr_html_(self) -> str:
        """Gates and states of each layer's first sequence, for notebooks."""
        layers = "".join(layer._repr_html_() for layer in self.layers)
        left = (f"{name} is left out: {why}" for name, why in self.left_out.items())
        return f"{layers}{paragraphs(left)}"


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

    Layers and cells of `torch.nn` and of `gated.nn` anywhere in the model run in the fused core,
    which returns the gates. The model runs in evaluation mode, without gradients, and keeps its
    classes, weights and mode.

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
    found: dict[int, _Read] = {}
    selection = _Selection(layers, units, steps)
    options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    before = (initial,) if initial is not None else ()

    def watched(name: str, module: Any) -> Watch:
        return _Watched(name, module, found, selection)

    with evaluating(model), looking(model, watched) as (left_out, (calls,)), torch.no_grad():
        output = model(x, *before, **options)
    if calls.count == 0:
        raise nothing_ran(left_out)
    absent = [place for place in layers or () if not 0 <= place < calls.count]
    if absent:
        raise DataError(
            f"layers: the model has {calls.count}, from 0 on, got {absent[0]}{as_lines(left_out)}"
        )
    traces = [of.traced(selection, calls.turns) for _, of in sorted(found.items())]
    return Trace(traces, output, left_out)


class _Selection(NamedTuple):
    """The layers, units and steps to keep."""

    layers: Sequence[int] | None
    units: Sequence[int] | slice | None
    steps: Sequence[int] | slice | None

    def may_have(self, before: NDArray[np.int64], time: int) -> NDArray[np.int64]:
        """Return the steps of a call that are chosen, or will be if it is the last, or is not."""
        everything = np.arange(time)
        if self.steps is None:
            return everything
        ends = set((before + time).tolist())
        if isinstance(self.steps, slice):
            bounds = [bound for bound in (self.steps.start, self.steps.stop) if bound is not None]
            if (self.steps.step or 1) < 0 or any(bound < 0 for bound in bounds):
                return everything
            places = np.arange(max(ends, default=0))[self.steps]
        else:
            wanted = np.asarray(self.steps, np.int64)
            # What counts from the end may be any step from there on, if further calls follow.
            from_end = -int(wanted.min(initial=0))
            late = [np.arange(max(end - from_end, 0), end) for end in ends]
            places = np.concatenate([wanted[wanted >= 0], *late])
        chosen = np.zeros(time, bool)
        for start in set(before.tolist()):
            here = places - start
            chosen[here[(here >= 0) & (here < time)]] = True
        return np.flatnonzero(chosen)


class _Part(NamedTuple):
    """The kept values of some steps of a call."""

    values: dict[str, Array]
    given: dict[str, dict[Any, Array]]


class _Kept(NamedTuple):
    """What is kept of a call, and where it belongs in what its layer reads."""

    before: NDArray[np.int64]
    real: NDArray[np.int64]
    at: NDArray[np.int64]
    """As in `Placed`."""
    part: _Part


@dataclass
class _Read:
    """What a layer reads in one direction, in one call or in several that go on from each other."""

    name: str
    layer: int
    """Index among the layers of its module."""
    first: Part
    call: LayerCall
    """The first one."""
    kept: list[_Kept] = field(default_factory=list)

    def traced(self, selection: _Selection, turns: Mapping[tuple[str, int], int]) -> LayerTrace:
        """Return the trace, when all calls have been made."""
        call = self.call
        real = self.kept[-1].before + self.kept[-1].real
        time = len(call.x) if len(self.kept) == 1 else int(real.max(initial=0))
        steps = _chosen("steps", selection.steps, time)

        def joined(kind: Callable[[_Part], dict[Any, Array]]) -> dict[Any, Array]:
            return {
                name: _at_steps(
                    [Placed(*kept[:3], kind(kept.part)[name]) for kept in self.kept], steps, time
                )
                for name in kind(self.kept[0].part)
            }

        given: dict[str, Any] = {
            kind: joined(lambda part, kind=kind: part.given[kind])  # type: ignore[misc]
            for kind in ("input", "state", "per_step")
        }
        zoneout = tuple(call.zoneout)
        given |= {"input": given["input"][None], "draw": dict(enumerate(zoneout))}
        weights = {name: as_array(of) for name, of in call.named_weights.items()}
        return LayerTrace(
            self.name,
            call.cell if call.cell in LAYOUTS else call.plain_cell.name,
            self.layer,
            call.reverse,
            real,
            joined(lambda part: part.values),
            tuple(as_array(state).copy() for state in call.initial),
            zoneout,
            Taken(
                time,
                steps,
                _chosen("units", selection.units, call.sizes["H"]),
                reference.equations(call.changed_cell, weights, call.sizes),
                given,
                tuple((weight, version_of(weight)) for weight in call.weights),
            ),
            self.first.turn if turns[self.name, self.first.place] > 1 else None,
        )


@dataclass
class _Watched:
    """The observer that keeps the gates and states of a module's layers."""

    name: str
    module: Any
    found: dict[int, _Read]
    selection: _Selection

    def __call__(self, here: Part, call: LayerCall, return_gates: bool, run: Run) -> LayerResult:
        selection = self.selection
        if selection.layers is not None and here.number not in selection.layers:
            return run(call, return_gates)
        T = len(call.x)
        at = selection.may_have(here.before, T)
        units = _chosen("units", selection.units, call.sizes["H"])
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
            steps = at[(at >= start) & (at < start + size)] - start
            wanted = not outputs or len(steps) > 0
            result = run(piece, wanted)
            if wanted:
                parts.append(_part(piece, result, steps, selection, units))
            outputs.append(result.output)
            states = list(result.final)
        if call.reverse:
            parts, outputs = parts[::-1], outputs[::-1]
        read = self.found.get(here.number)
        if read is None:
            initial = [state.clone() for state in call.initial]
            layer = here.place // (1 + self.module.bidirectional)
            read = _Read(self.name, layer, here, call._replace(initial=initial))
            self.found[here.number] = read
        read.kept.append(_Kept(here.before, real_steps(call), at, _in_order(parts)))
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
    cell, lengths = call.changed_cell, real_steps(call)
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
        name: at_steps(as_array(of if of.dim() == 3 else of[..., None]))
        for name, of in call.named_per_step.items()
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


def _in_order(parts: list[_Part]) -> _Part:
    """Concatenate the parts of a call."""

    def joined(pieces: list[dict[Any, Array]]) -> dict[Any, Array]:
        if len(pieces) == 1:
            return pieces[0]
        return {name: np.concatenate([of[name] for of in pieces]) for name in pieces[0]}

    values = joined([part.values for part in parts])
    kinds = parts[0].given
    return _Part(values, {kind: joined([part.given[kind] for part in parts]) for kind in kinds})


def _at_steps(parts: list[Placed], steps: NDArray[np.int64], time: int) -> Array:
    """Return the values at the chosen steps, (K, B, ·), of those that were kept."""
    if len(parts) > 1:
        return laid_together(parts, time)[steps]
    ((_, _, at, values),) = parts
    return values if np.array_equal(at, steps) else values[np.searchsorted(at, steps)]


def _chosen(name: str, places: Sequence[int] | slice | None, size: int) -> NDArray[np.int64]:
    """Return the chosen indices of `size`."""
    everything = np.arange(size)
    if places is None or isinstance(places, slice):
        return everything[slice(None) if places is None else places]
    wanted = np.asarray(places, np.int64)
    if wanted.size and not -size <= wanted.min() <= wanted.max() < size:
        raise DataError(f"{name}: there are {size}, got {wanted.tolist()}")
    return everything[wanted]
