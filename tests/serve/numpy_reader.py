"""What the page computes of a text, once more: by NumPy and the native core.

Shapes: T steps, V characters in the vocabulary, H hidden units, D distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.serve.reading import MOMENTS, Clamp, Passage, Reading

from gated.core import ops
from gated.core.layout import Array, Weights, gate_rows, layout_of
from gated.serve.character_model import CharacterModel, Floats

SATURATED = 30.0
"""Input of a sigmoid that is 1 (or, negated, 0) up to rounding in float32."""


@dataclass(frozen=True)
class TextReader:
    """A network over characters that reads texts."""

    model: CharacterModel

    @property
    def name(self) -> str:
        """`rnn`, `gru` or `lstm`."""
        return self.model.name

    @property
    def cell(self) -> str:
        """As `CharacterModel.cell`."""
        return self.model.cell

    @property
    def units(self) -> int:
        """H, the number of hidden units."""
        return self.model.units

    def read(self, passage: Passage, clamp: Clamp | None) -> Reading:
        """Run over a text.

        `outputs` are the probabilities (T, V) of the next character after each step, `score` is
        the cross-entropy of the text in bits a character, of those in the vocabulary: the others
        share one probability. It is None where no such character follows another. `gradient` is of
        the loss of predicting the next character.
        """
        text = passage.text
        model = self.model
        characters = model.encode(text)
        x = model.one_hot(characters)
        pieces = planned(model, len(text), clamp)
        kept = run(model.cell, x, pieces)
        layout = layout_of(model.cell)
        values = {
            name: np.concatenate([part.gate(name)[:, 0] for part in kept])
            for name in dict.fromkeys(layout.gates + layout.states)
        }
        probabilities = softmax(values["hidden"] @ model.output_weight.T + model.output_bias)
        known = np.flatnonzero(characters[1:])
        following = probabilities[known, characters[1:][known]]
        return Reading(
            values,
            gradient_by_distance(model, pieces, x, probabilities),
            {"probabilities": probabilities},
            float(-np.log2(following).mean()) if len(known) else None,
        )


Piece = tuple[slice, Weights[Floats]]
"""Steps, and the weights that they run with."""


def planned(model: CharacterModel, steps: int, clamp: Clamp | None) -> list[Piece]:
    """Return the pieces in which so many steps are run: with a clamp up to three, none empty."""
    if clamp is None:
        return [(slice(0, steps), model.weights)]
    held = clamp.within(steps)
    parts = [
        (slice(0, held.start), model.weights),
        (slice(held.start, held.stop), clamped(model, clamp)),
        (slice(held.stop, steps), model.weights),
    ]
    return [(part, weights) for part, weights in parts if part.stop > part.start]


def run(cell: str, x: Floats, pieces: Sequence[Piece]) -> list[ops.Kept]:
    """Run pieces of `x` (T, B, V), each from the last states of the one before; return values."""
    kept = []
    state = None
    for part, weights in pieces:
        result = ops.forward(cell, x[part], weights, initial=state, keep=True)
        state = result.final
        assert result.kept is not None
        kept.append(result.kept)
    return kept


def clamped(model: CharacterModel, clamp: Clamp) -> Weights[Floats]:
    """Return weights with which a gate has a constant value v: none, and the bias logit(v)."""
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
    bias[rows] = np.clip(logit, -SATURATED, SATURATED)
    return changed


def gradient_by_distance(
    model: CharacterModel, pieces: Sequence[Piece], x: Floats, probabilities: Array
) -> Array:
    """Return the gradient of the loss at a step with respect to the input d steps before, (D,).

    It is the back-propagated signal of Hochreiter (1991): the mean of the norms of ∂ℓ_t/∂x_{t-d}
    over steps t in the last quarter of the text, for the loss ℓ_t of predicting the character after
    t; empty for a text of one character.
    """
    T = len(x)
    first = 3 * (T - 1) // 4
    if T < 2:
        return np.zeros(0, np.float32)
    moments = np.unique(np.linspace(first, T - 2, MOMENTS).astype(np.int64))
    B = len(moments)
    kept = run(model.cell, np.repeat(x, B, axis=1), pieces)
    grad_hidden = (probabilities[moments] - x[moments + 1, 0]) @ model.output_weight
    grad_output = np.zeros((T, B, model.units), np.float32)
    grad_output[moments, np.arange(B)] = grad_hidden
    after = None
    parts: list[Array] = []
    for (part, _), kept_part in reversed(list(zip(pieces, kept, strict=True))):
        grads = ops.backward(kept_part, grad_output[part], after)
        after = grads.initial
        parts.insert(0, np.linalg.norm(grads.x, axis=-1))
    norms = np.concatenate(parts)
    distances = np.arange(int(moments[0]) + 1)
    back: Array = norms[moments[:, None] - distances, np.arange(B)[:, None]].mean(axis=0)
    return back.astype(np.float32)


def softmax(logits: Array) -> Array:
    """Return probabilities from logits (…, V)."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares
