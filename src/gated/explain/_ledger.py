"""The ledger of a gated unit: its state as a sum over the steps that wrote it.

The cell state of an LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers,
Schmidhuber and Cummins 2000) is a sum over all past steps,

    c_t = Σ_k (Π_{k<j≤t} f_j) · i_k · C̃_k  +  (Π_{0<j≤t} f_j) · c_0,

and the hidden state of a GRU is such a sum with its update gate z in place of f and 1 - z in place
of i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.cells.affine import Affine, memory
from gated.cells.evaluate import needed_nodes
from gated.errors import CellError, ConfigurationError, DataError
from gated.explain._layer_trace import LayerTrace, layer_title, shown
from gated.explain._looking import (
    Part,
    Placed,
    Watch,
    evaluating,
    laid_together,
    looking,
    real_steps,
)
from gated.explain._notebook import bars, paragraphs
from gated.explain._trace import trace
from gated.nn.backends import LayerResult, Run
from gated.nn.operators import LayerCall

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ledger:
    """The state of one unit of one sequence after a step, as a sum over the steps that wrote it.

    Entries are in the order in which the layer ran: for a layer that runs backwards the first entry
    is the end of the sequence.
    """

    steps: NDArray[np.int64]
    """(K,), the step that wrote each entry; for a layer that runs forwards K is `step + 1`."""
    written: Floats
    """(K,), what each step wrote, times the gates of all later steps."""
    kept: Floats
    """(K,), the product of the gates of all later steps: the share that is left, from 0 to 1."""
    initial: float
    """What is left of the first state."""
    state: float
    """The state of the network: the sum of `written` and `initial`, up to rounding."""
    hidden: float
    """The unit's output before any projection: for a GRU the state itself, for an LSTM
    o_t · tanh(c_t), with c_t normalised if the layer does so."""

    @property
    def shown(self) -> Floats:
        """(K,), the part of `hidden` that is due to each step.

        `hidden` is `state` times a factor (of an LSTM o · tanh(c) / c); each entry is multiplied by
        the same factor, so that the parts and that of the first state add up to `hidden`.
        """
        factor = self.hidden / self.state if self.state else 0.0
        return self.written * factor

    def _repr_html_(self) -> str:
        """The state and the largest entries, for notebooks."""
        rows = [(f"step {step}", part) for step, part in zip(self.steps, self.written, strict=True)]
        said = f"The state is {self.state:.4g}. The steps that wrote most of it:"
        return paragraphs([said]) + bars([("before the first step", self.initial), *rows])


@dataclass(frozen=True)
class OutputLedger:
    """An output of a model as a sum over the steps that wrote the memory of a layer.

    The part of an entry is the output's gradient with respect to the hidden state, times the
    entry's part of the hidden state (`Ledger.shown`). If the output is linear in the hidden states,
    `rest` is its bias; otherwise also its nonlinear part.
    """

    steps: NDArray[np.int64]
    """(K,), the step that wrote each entry, as in `Ledger`."""
    parts: Floats
    """(K, H), the part of the output that is due to each step's entry in each unit."""
    initial: float
    """The part that is due to what is left of the first states."""
    rest: float
    """The part from elsewhere: other steps, inputs and layers, and the bias."""
    output: float
    """The output itself: the sum of `parts`, `initial` and `rest`."""

    @property
    def written(self) -> Floats:
        """(K,), the part of the output that is due to each step, over all units."""
        total: Floats = self.parts.sum(axis=1)
        return total

    def _repr_html_(self) -> str:
        """The output and the largest entries, for notebooks."""
        rows = [(f"step {step}", part) for step, part in zip(self.steps, self.written, strict=True)]
        said = f"The output is {self.output:.4g}. The steps that wrote most of it:"
        return paragraphs([said]) + bars([("from elsewhere", self.rest), *rows])


@overload
def ledger(
    model: nn.Module,
    x: Any,
    *,
    layer: int | None = None,
    unit: int,
    output: None = None,
    step: int,
    sequence: int = 0,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
) -> Ledger: ...


@overload
def ledger(
    model: nn.Module,
    x: Any,
    *,
    layer: int | None = None,
    unit: None = None,
    output: Callable[[Any], Tensor],
    step: int,
    sequence: int = 0,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
) -> OutputLedger: ...


def ledger(
    model: nn.Module,
    x: Any,
    *,
    layer: int | None = None,
    unit: int | None = None,
    output: Callable[[Any], Tensor] | None = None,
    step: int,
    sequence: int = 0,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
) -> Ledger | OutputLedger:
    """Decompose the state of a unit, or an output of the model, into a sum over past steps.

    Args:
        model: a recurrent layer, or a model with some, as for `gated.explain.trace`.
        x: the model's input.
        layer: index in `Trace.layers`; the first by default, which must not be one of several calls
            of the same layer that each begin anew.
        unit: index of one of the H units; or give `output`.
        output: function from the model's output to a scalar, such as a logit. The layer must be the
            last of its module, whose states the model reads.
        step: the time step whose state is decomposed, from 0; negative counts from the end.
        sequence: index of one of the B sequences; negative counts from the last.
        lengths: as for `trace`.
        initial: as for `trace`.

    Raises:
        ConfigurationError: no state of the cell is a sum over past steps (an RNN's is not), or the
            output reads another value than the state (an LSTM with zoneout); or neither or both of
            `unit` and `output` are given.
        DataError: there is no such layer, unit, step or sequence; the output is not a scalar that
            depends on the layer's output, or the layer is below another one of its module; or
            `layer` is not given, and the first layer was called several times, each anew.

    >>> lstm = torch.nn.LSTM(3, 4)
    >>> found = ledger(lstm, torch.randn(6, 1, 3), unit=2, step=4)
    >>> len(found.written), bool(abs(found.written.sum() + found.initial - found.state) < 1e-6)
    (5, True)
    >>> found = ledger(lstm, torch.randn(6, 1, 3), output=lambda o: o[0][4].sum(), step=4)
    >>> found.parts.shape, bool(abs(found.rest) < 1e-6)  # a sum of hidden states has no bias
    ((5, 4), True)
    """
    if output is None and unit is not None:
        (of,) = _traced(model, x, layer, lengths, initial, [unit])
        return ledger_of(of, unit=unit, step=step, sequence=sequence)
    if output is None or unit is not None:
        raise ConfigurationError("ledger: give either unit or output")
    (of,) = _traced(model, x, layer, lengths, initial)
    found = _ledgers(of, step, sequence)
    value, gradients = _gradient(model, x, output, layer or 0, of.time, lengths, initial)
    by_hidden = gradients[found.at, found.sequence].double().numpy()
    if of.projected:
        by_hidden = by_hidden @ of.projection
    shows = _shown(of, found.at, found.sequence)
    # An entry is multiplied by the same factor as the whole state.
    factors = np.divide(shows, found.state, out=np.zeros_like(shows), where=found.state != 0)
    parts = found.written * (factors * by_hidden)
    first = float(found.initial @ (factors * by_hidden))
    return OutputLedger(
        steps=found.steps,
        parts=parts,
        initial=first,
        rest=value - float(parts.sum()) - first,
        output=value,
    )


def _traced(
    model: nn.Module,
    x: Any,
    layer: int | None,
    lengths: ArrayLike | Tensor | None,
    initial: Any,
    units: list[int] | None = None,
) -> list[LayerTrace]:
    """Return the trace of the layer that is asked for; refuse to choose among its calls."""
    found = trace(model, x, lengths=lengths, initial=initial, layers=[layer or 0], units=units)
    of = found.layers[0]
    if layer is None and of.call is not None:
        raise DataError(
            f"layer: {of.name} is called several times, each from states of its own, and each call "
            "has its own ledger: give the index of one in Trace.layers; this is "
            f"{layer_title(of.name, of.layer, of.reverse, of.call)}, index 0"
        )
    return found.layers


def _gradient(
    model: nn.Module,
    x: Any,
    output: Callable[[Any], Tensor],
    layer: int,
    time: int,
    lengths: ArrayLike | Tensor | None,
    initial: Any,
) -> tuple[float, Tensor]:
    """Return the output, and its gradient with respect to a layer's output at each step, (T, B, P).

    The layer's output is detached from its past, so that the gradient at a step does not include
    paths through later steps.
    """
    leaves: list[Tensor] = []
    parts: list[tuple[Part, LayerCall]] = []

    def watched(name: str, module: Any) -> Watch:
        directions = 1 + module.bidirectional

        def cut(here: Part, call: LayerCall, return_gates: bool, run: Run) -> LayerResult:
            result = run(call, return_gates)
            if here.number != layer:
                return result
            top = module.num_layers * directions - directions
            if here.place < top:
                first = layer - here.place + top
                raise DataError(
                    f"output: layer {layer} is read by the layer above it in {name}, not by "
                    f"the model; take one from {first} to {first + directions - 1}"
                )
            ends = [of.detach().requires_grad_() for of in (result.output, result.final[0])]
            leaves.extend(ends)
            parts.append((here, call))
            return result._replace(output=ends[0], final=(ends[1], *result.final[1:]))

        return cut

    options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    before = (initial,) if initial is not None else ()
    with evaluating(model), looking(model, watched), torch.enable_grad():
        value = output(model(x, *before, **options))
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            what = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise DataError(
                f"output must return a tensor of one number that depends on layer {layer}, "
                f"got {what}"
            )
        found = torch.autograd.grad(value.sum(), leaves, allow_unused=True, materialize_grads=True)
    of_outputs, of_finals = found[::2], found[1::2]
    gradients = torch.from_numpy(
        laid_together(
            [
                Placed(here.before, real_steps(call), np.arange(len(call.x)), of.numpy())
                for (here, call), of in zip(parts, of_outputs, strict=True)
            ],
            time,
        )
    )
    for (here, call), of in zip(parts, of_finals, strict=True):
        real = real_steps(call)
        ran = np.flatnonzero(real)
        last = here.before + (0 if call.reverse else real - 1)
        gradients[last[ran], ran] += of[ran]
    return float(value.detach()), gradients


def ledger_of(traced: LayerTrace, *, unit: int, step: int, sequence: int = 0) -> Ledger:
    """Decompose the state of a unit as `ledger` does, from a trace of all steps.

    Args:
        traced: from `gated.explain.trace`.
        unit: index of one of the H units, which must be in the trace.
        step: as for `ledger`.
        sequence: as for `ledger`.

    Raises:
        ConfigurationError: as for `ledger`.
        DataError: as for `ledger`, or the trace does not have all steps.
    """
    columns = np.flatnonzero(traced.units == (unit + traced.size if unit < 0 else unit))
    if len(columns) == 0:
        raise DataError(f"unit must be one of the trace's, {traced.units.tolist()}, got {unit}")
    column = int(columns[0])
    found = _ledgers(traced, step, sequence)
    return Ledger(
        steps=found.steps,
        written=found.written[:, column],
        kept=found.kept[:, column],
        initial=float(found.initial[column]),
        state=float(found.state[column]),
        hidden=float(_shown(traced, found.at, found.sequence)[column]),
    )


class _Ledgers(NamedTuple):
    """The ledgers of all units that were traced."""

    at: int
    """The step."""
    sequence: int
    steps: NDArray[np.int64]
    """(K,)"""
    written: Floats
    """(K, U)"""
    kept: Floats
    """(K, U)"""
    initial: Floats
    """(U,)"""
    state: Floats
    """(U,)"""


def _ledgers(traced: LayerTrace, step: int, sequence: int) -> _Ledgers:
    if not np.array_equal(traced.steps, np.arange(traced.time)):
        raise DataError("a ledger is a sum over all steps: trace without steps=")
    count = len(traced.lengths)
    if not -count <= sequence < count:
        raise DataError(f"sequence: there are {count}, got {sequence}")
    sequence %= count
    length = int(traced.lengths[sequence])
    at = step + length if step < 0 else step
    if not 0 <= at < length:
        raise DataError(f"step: sequence {sequence} has {length} steps, got {step}")

    written_by, kept_by, states = sums_of(traced)
    order = np.arange(length - 1, at - 1, -1) if traced.reverse else np.arange(at + 1)
    keeps = kept_by[order, sequence].astype(np.float64)
    # What a step wrote was multiplied by the gates of all later steps.
    kept = np.ones_like(keeps)
    kept[:-1] = np.cumprod(keeps[:0:-1], axis=0)[::-1]
    return _Ledgers(
        at=at,
        sequence=sequence,
        steps=order,
        written=kept * written_by[order, sequence].astype(np.float64),
        kept=kept,
        initial=kept[0] * keeps[0] * first_of(traced)[sequence].astype(np.float64),
        state=states[at, sequence].astype(np.float64),
    )


def sums_of(traced: LayerTrace) -> tuple[Any, Any, Any]:
    """Return what each step writes, the factor by which it keeps the state, and the state.

    Each is (T, B, U). With zoneout in evaluation, which keeps a share z of the state, the state is
    a sum of the same kind: c_t = z c_{t-1} + (1 - z)(f c_{t-1} + i c̃).

    Raises:
        ConfigurationError: no state of the cell is such a sum; the message says why.
    """
    of = _memory(traced)
    writes, keeps = traced.computed(of.tape, [of.write, of.keep])
    return writes, keeps, traced.values[traced.definition.state_names[of.state]]


def first_of(traced: LayerTrace) -> Floats:
    """Return the state before the first step, (B, U)."""
    return traced.initial[_memory(traced).state][:, traced.units].astype(np.float64)


def _memory(traced: LayerTrace) -> Affine:
    try:
        return memory(traced.definition)
    except CellError as error:
        raise ConfigurationError(f"there is no ledger: {error}") from error


def _shown(traced: LayerTrace, step: int, sequence: int) -> Floats:
    """Return the units' output before any projection, (U,)."""
    cell = traced.definition
    state = cell.states[_memory(traced).state].after
    # Apart from the new state, the output must not read any older one.
    past = needed_nodes(cell.tape, [shown(cell)], {state, *cell.gates.values()})
    if any(cell.tape[place].operation == "state" for place in past):
        raise ConfigurationError(
            f"the output of {traced.kind} is not computed from its new state alone (with zoneout, "
            "from the state before zoneout), so that its ledger does not explain the output; "
            "gated.explain.entries explains the state"
        )
    (values,) = traced.computed(cell.tape, [shown(cell)])
    found: Floats = values[step, sequence].astype(np.float64)
    return found
