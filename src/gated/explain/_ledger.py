"""The memory of a gated unit as a sum: which step wrote what it holds.

What an LSTM remembers is a sum over the steps that wrote it (Hochreiter and Schmidhuber 1997, with
the forget gate of Gers, Schmidhuber and Cummins 2000),

    c_t = Σ_k (Π_{k<j≤t} f_j) · i_k · C̃_k  +  (Π_{0<j≤t} f_j) · c_0,

and a GRU's hidden state one with its update gate z in place of f and 1 - z in place of i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.errors import ConfigurationError, DataError
from gated.explain._layer_trace import LayerTrace
from gated.explain._trace import trace

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ledger:
    """What one unit of one sequence holds after a step, by the steps that wrote it.

    Entries are in the order of the layer's time: the first to write is first, which of a layer that
    runs backwards is the end of the sequence.
    """

    steps: NDArray[np.int64]
    """(K), when each entry was written; K is `step + 1`, for a layer that runs forwards."""
    written: Floats
    """(K), what each step wrote, as far as it is still there."""
    kept: Floats
    """(K), the share of what each step wrote that is still there, between 0 and 1."""
    initial: float
    """What is left of the first state."""
    state: float
    """The state as the network has it: the sum of `written` and `initial`, to rounding."""
    hidden: float
    """What the unit shows, before any projection: of a GRU the state itself, of an LSTM
    o_t · tanh(c_t), with c_t normalised where the layer does that."""

    @property
    def shown(self) -> Floats:
        """(K), the part of `hidden` that each step accounts for.

        An LSTM shows o · tanh(c), which is its state times a factor: each entry passes through that
        same factor, so that the parts, and that of the first state, add up.
        """
        factor = self.hidden / self.state if self.state else 0.0
        return self.written * factor


def ledger(
    model: nn.Module,
    x: Any,
    *,
    layer: int = 0,
    unit: int,
    step: int,
    sequence: int = 0,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
) -> Ledger:
    """Who wrote what a unit remembers.

    Args:
        model: a recurrent layer, or a model with some, as for `gated.explain.trace`.
        x: its input.
        layer: its place in `Trace.layers`.
        unit: of the H.
        step: the time after which to look, from 0; negative counts from the sequence's end.
        sequence: of the B.
        lengths: as for `trace`.
        initial: as for `trace`.

    Raises:
        ConfigurationError: the layer keeps no sum (an RNN), or mixes it (zoneout).
        DataError: there is no such layer, unit, step or sequence.

    >>> import torch
    >>> lstm = torch.nn.LSTM(3, 4)
    >>> found = ledger(lstm, torch.randn(6, 1, 3), unit=2, step=4)
    >>> len(found.written), bool(abs(found.written.sum() + found.initial - found.state) < 1e-6)
    (5, True)
    """
    traced = trace(model, x, lengths=lengths, initial=initial, layers=[layer], units=[unit])
    return ledger_of(traced.layers[0], unit=unit, step=step, sequence=sequence)


def ledger_of(traced: LayerTrace, *, unit: int, step: int, sequence: int = 0) -> Ledger:
    """The same of a layer that has been traced, at all its steps.

    Args:
        traced: from `gated.explain.trace`.
        unit: of the H, one of those that the trace has.
        step: as for `ledger`.
        sequence: as for `ledger`.

    Raises:
        ConfigurationError: as for `ledger`.
        DataError: as for `ledger`, or the trace has not all steps.
    """
    columns = np.flatnonzero(traced.units == (unit + traced.size if unit < 0 else unit))
    if len(columns) == 0:
        raise DataError(f"unit: the trace has {traced.units.tolist()}, got {unit}")
    column = int(columns[0])
    if not np.array_equal(traced.steps, np.arange(traced.time)):
        raise DataError("a ledger adds up all steps: trace without steps=")
    if not 0 <= sequence < len(traced.lengths):
        raise DataError(f"sequence: there are {len(traced.lengths)}, got {sequence}")
    length = int(traced.lengths[sequence])
    at = step + length if step < 0 else step
    if not 0 <= at < length:
        raise DataError(f"step: sequence {sequence} has {length} steps, got {step}")

    written_by, kept_by, states = sums_of(traced)
    order = np.arange(length - 1, at - 1, -1) if traced.reverse else np.arange(at + 1)
    keeps = kept_by[order, sequence, column].astype(np.float64)
    wrote = written_by[order, sequence, column].astype(np.float64)
    # What was written at one step has gone through the gates of all later ones.
    kept = np.append(np.cumprod(keeps[:0:-1])[::-1], 1.0)
    first = float(traced.initial[-1][sequence, unit])
    return Ledger(
        steps=order,
        written=kept * wrote,
        kept=kept,
        initial=float(kept[0] * keeps[0]) * first,
        state=float(states[at, sequence, column]),
        hidden=_shown(traced, at, sequence, column, unit),
    )


def sums_of(traced: LayerTrace) -> tuple[Any, Any, Any]:
    """What each step writes, what it keeps, and the sum of both: (T, B, units) each."""
    of = traced.values
    if any(traced.zoneout):
        raise ConfigurationError("a ledger of a layer with zoneout is not known")
    if traced.kind == "lstm":
        return of["input_gate"] * of["candidate"], of["forget_gate"], of["cell"]
    if traced.kind == "lstm_coupled":
        return (1 - of["forget_gate"]) * of["candidate"], of["forget_gate"], of["cell"]
    if traced.kind.startswith("gru"):
        return (1 - of["update_gate"]) * of["candidate"], of["update_gate"], of["hidden"]
    raise ConfigurationError(
        f"{traced.kind} computes its state anew at each step: only a gated state is a sum"
    )


def _shown(traced: LayerTrace, step: int, sequence: int, column: int, unit: int) -> float:
    if not traced.projected:
        return float(traced.hidden[step, sequence, column])
    output = traced.values["output_gate"][step, sequence, column]
    normalised = traced.shown_cell(step, sequence)
    cell = traced.values["cell"][step, sequence, column] if normalised is None else normalised[unit]
    return float(output * np.tanh(cell))
