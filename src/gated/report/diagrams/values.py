"""The values of the wires of a cell's diagram at steps of a traced layer.

Shapes: S steps, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gated.core.layout import Array
from gated.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from gated.explain import LayerTrace

TOLERANCE = 1e-4


class _Step(NamedTuple):
    """All values of a layer at a step, and its states before it; each (H,)."""

    now: dict[str, Array]
    before: dict[str, Array]


def wire_values(
    layer: LayerTrace, steps: Sequence[int], *, unit: int | None = None, sequence: int = 0
) -> dict[str, list[float]]:
    """Return the value of each wire of the layer's diagram, by symbol, at each of S steps.

    Args:
        layer: an LSTM, a GRU or a plain RNN with tanh, of the equations in
            `gated.report.diagrams.equations`.
        steps: (S,), time steps.
        unit: index of one of the layer's units; None for the mean absolute value over all units
            that were traced.
        sequence: index in the batch.

    Raises:
        ConfigurationError: the cell has no diagram, or is a variant with other equations, as with
            zoneout or layer normalisation.
        DataError: a step, the unit or the sequence is not in the trace.
    """
    if layer.kind not in _WIRES:
        raise ConfigurationError(
            f"{layer.name} is of the kind {layer.kind!r}; there are diagrams only of "
            f"{', '.join(_WIRES)}. Trace one of these."
        )
    _check(layer, unit, sequence)
    found: dict[str, list[float]] = {}
    column = None if unit is None else int(np.flatnonzero(layer.units == unit)[0])
    for step in steps:
        at = _step(layer, step, sequence)
        _check_equations(layer, at)
        for symbol, values in _WIRES[layer.kind](at).items():
            value = np.abs(values).mean() if column is None else values[column]
            found.setdefault(symbol, []).append(float(value))
    return found


def _lstm(at: _Step) -> dict[str, Array]:
    now, cell = at.now, at.before["cell"]
    return {
        "h_{t-1}": at.before["hidden"],
        "c_{t-1}": cell,
        "f_t": now["forget_gate"],
        "i_t": now["input_gate"],
        "c̃_t": now["candidate"],
        "f_t ⊙ c_{t-1}": now["forget_gate"] * cell,
        "i_t ⊙ c̃_t": now["input_gate"] * now["candidate"],
        "c_t": now["cell"],
        "tanh(c_t)": np.tanh(now["cell"]),
        "o_t": now["output_gate"],
        "h_t": now["hidden"],
    }


def _gru(at: _Step) -> dict[str, Array]:
    now, hidden = at.now, at.before["hidden"]
    rest = 1 - now["update_gate"]
    return {
        "h_{t-1}": hidden,
        "r_t": now["reset_gate"],
        "z_t": now["update_gate"],
        "n_t": now["candidate"],
        "1 − z_t": rest,
        "z_t ⊙ h_{t-1}": now["update_gate"] * hidden,
        "(1 − z_t) ⊙ n_t": rest * now["candidate"],
        "h_t": now["hidden"],
    }


def _rnn(at: _Step) -> dict[str, Array]:
    return {"h_{t-1}": at.before["hidden"], "h_t": at.now["hidden"]}


_WIRES = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn}
_SUMS = {
    "lstm": (("c_t", "f_t ⊙ c_{t-1}", "i_t ⊙ c̃_t"),),
    "gru": (("h_t", "z_t ⊙ h_{t-1}", "(1 − z_t) ⊙ n_t"),),
    "rnn_tanh": (),
}


def _check_equations(layer: LayerTrace, at: _Step) -> None:
    """Refuse a layer whose values do not satisfy the equations of the diagram."""
    wires = _WIRES[layer.kind](at)
    right = all(
        np.allclose(wires[whole], wires[kept] + wires[added], atol=TOLERANCE)
        for whole, kept, added in _SUMS[layer.kind]
    )
    if layer.kind == "lstm" and right:
        shown = at.now["output_gate"] * wires["tanh(c_t)"]
        right = shown.shape == at.now["hidden"].shape and bool(
            np.allclose(at.now["hidden"], shown, atol=TOLERANCE)
        )
    if not right or any(layer.zoneout):
        raise ConfigurationError(
            f"{layer.name} is a variant of {layer.kind} that computes more than the diagram shows "
            "(zoneout, a projection, or a normalised cell state), so its values would not fit the "
            "wires. Give a trace of the plain cell."
        )


def _check(layer: LayerTrace, unit: int | None, sequence: int) -> None:
    if not 0 <= sequence < len(layer.lengths):
        raise DataError(
            f"sequence must be from 0 to {len(layer.lengths) - 1}, the batch has "
            f"{len(layer.lengths)}; got {sequence}"
        )
    if layer.projected:
        raise ConfigurationError(
            f"{layer.name} projects its hidden state, which the diagram does not show. Give a "
            "trace of the plain cell."
        )
    if unit is not None and unit not in layer.units:
        raise DataError(
            f"unit {unit} is not in the trace, which holds {len(layer.units)} of {layer.size} "
            "units. Trace it, or choose another one."
        )


def _step(layer: LayerTrace, step: int, sequence: int) -> _Step:
    length = int(layer.lengths[sequence])
    if not 0 <= step < length:
        raise DataError(f"step must be from 0 to {length - 1} in sequence {sequence}, got {step}")
    states = ("hidden", "cell") if layer.kind == "lstm" else ("hidden",)
    if step == (length - 1 if layer.reverse else 0):
        initial = (state[sequence][layer.units] for state in layer.initial)
        before = dict(zip(states, initial, strict=True))
    else:
        earlier = _place(layer, step + (1 if layer.reverse else -1))
        before = {name: layer.values[name][earlier, sequence] for name in states}
    place = _place(layer, step)
    return _Step({name: of[place, sequence] for name, of in layer.values.items()}, before)


def _place(layer: LayerTrace, step: int) -> int:
    """Return the index of a step among those that were traced."""
    found = np.flatnonzero(layer.steps == step)
    if not len(found):
        raise DataError(
            f"step {step} is not in the trace, and its values are needed. Trace it too, or all "
            "steps."
        )
    return int(found[0])
