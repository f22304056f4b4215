"""A network reads a text once: every gate and state, its predictions, its gradient's reach.

Shapes: T steps, V characters in the vocabulary, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.core import ops
from gated.core.layout import Array, Weights, gate_rows, layout_of
from gated.errors import ConfigurationError
from gated.serve.character_model import CharacterModel, Floats

MOMENTS = 16
"""Gradients are followed back from so many moments, in the last quarter of the text."""
SURE = 30.0
"""σ(±30) is 1 or 0 to the last bit but a few that float32 shows."""


@dataclass(frozen=True)
class Clamp:
    """A gate held at a value while the whole text is read."""

    gate: str
    """A gate with a sigmoid."""
    value: float
    """From 0, closed, to 1, open."""
    unit: int | None = None
    """None for every unit."""


@dataclass(frozen=True)
class Reading:
    """What a network computed while it read a text."""

    values: dict[str, Array]
    """Gates and states by the names of `gated.core.layout`, each (T, H)."""
    probabilities: Array
    """(T, V), of the next character after each step."""
    gradient: Array
    """(D), the mean norm of ∂ℓ_t/∂x_{t-d} over distances d of 0 to D - 1 steps, for the loss ℓ_t
    of predicting the character after t; empty for a text of one character."""
    bits: float
    """Mean surprise at the text's own characters, in bits; 0 for a text of one character."""


def read_text(model: CharacterModel, text: str, clamp: Clamp | None = None) -> Reading:
    """Run `model` over `text` and keep everything.

    Raises:
        ConfigurationError: `clamp` names a gate or unit that the cell has not, or a value out of
            range.
    """
    weights = model.weights if clamp is None else clamped(model, clamp)
    characters = model.encode(text)
    x = model.one_hot(characters)
    result = ops.forward(model.cell, x, weights, keep=True)
    assert result.kept is not None  # noqa: S101 - keep=True
    layout = layout_of(model.cell)
    names = dict.fromkeys(layout.gates + layout.states)
    values = {name: np.ascontiguousarray(result.kept.gate(name)[:, 0]) for name in names}
    probabilities = softmax(values["hidden"] @ model.output_weight.T + model.output_bias)
    following = probabilities[np.arange(len(text) - 1), characters[1:]]
    bits = float(-np.log2(following).mean()) if len(text) > 1 else 0.0
    gradient = gradient_by_distance(model, weights, x, probabilities)
    return Reading(values, probabilities, gradient, bits)


def clamped(model: CharacterModel, clamp: Clamp) -> Weights[Floats]:
    """The weights with which a gate has one value whatever it reads: no products, bias logit(v).

    Raises:
        ConfigurationError: see `read_text`.
    """
    gates = clampable(model.cell)
    if clamp.gate not in gates:
        raise ConfigurationError(
            f"gate must be one of {', '.join(gates) or 'none'} for a {model.name}, "
            f"got {clamp.gate!r}"
        )
    if not 0 <= clamp.value <= 1:
        raise ConfigurationError(f"value must be from 0 to 1, got {clamp.value}")
    if clamp.unit is not None and not 0 <= clamp.unit < model.units:
        raise ConfigurationError(f"unit must be from 0 to {model.units - 1}, got {clamp.unit}")
    rows = gate_rows(model.cell, clamp.gate, model.units)
    if clamp.unit is not None:
        rows = slice(rows.start + clamp.unit, rows.start + clamp.unit + 1)
    parts = [np.array(part) for part in model.weights[:4]]
    for part in parts:
        part[rows] = 0
    changed: Weights[Floats] = Weights(*parts)
    with np.errstate(divide="ignore"):
        logit = np.log(clamp.value) - np.log1p(-clamp.value)
    bias: Any = changed.bias_ih
    bias[rows] = np.clip(logit, -SURE, SURE)
    return changed


def clampable(cell: str) -> tuple[str, ...]:
    """The gates of a cell that a sigmoid opens and closes.

    >>> clampable("gru")
    ('reset_gate', 'update_gate')
    """
    return tuple(gate for gate in layout_of(cell).gates if gate.endswith("_gate"))


def gradient_by_distance(
    model: CharacterModel, weights: Weights[Floats], x: Floats, probabilities: Array
) -> Array:
    """How strongly the loss of a moment depends on what was read d steps before (D).

    The back-propagated signal of Hochreiter (1991), as a mean of norms over several moments.
    """
    T = len(x)
    first = 3 * (T - 1) // 4
    if T < 2:
        return np.zeros(0, np.float32)
    moments = np.unique(np.linspace(first, T - 2, MOMENTS).astype(np.int64))
    B = len(moments)
    kept = ops.forward(model.cell, np.repeat(x, B, axis=1), weights, keep=True).kept
    assert kept is not None  # noqa: S101 - keep=True
    surprise = (probabilities[moments] - x[moments + 1, 0]) @ model.output_weight
    grad_output = np.zeros((T, B, model.units), np.float32)
    grad_output[moments, np.arange(B)] = surprise
    norms = np.linalg.norm(ops.backward(kept, grad_output).x, axis=-1)
    distances = np.arange(int(moments[0]) + 1)
    back: Array = norms[moments[:, None] - distances, np.arange(B)[:, None]].mean(axis=0)
    return back.astype(np.float32)


def softmax(scores: Array) -> Array:
    """Probabilities from scores (…, V)."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares
