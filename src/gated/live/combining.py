"""Layers that combine, normalise and activate features.

Shapes: T steps, B sequences, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from gated.cells.activated import ERF
from gated.live.entry import Entry
from gated.live.layer import Array, Form, Pointwise, checked_width


def _sigmoid(x: Array) -> Array:
    found: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return found.astype(x.dtype, copy=False)


def _elu(x: Array, alpha: float) -> Array:
    found: Array = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return found


def _gelu(x: Array) -> Array:
    """X / 2 · (1 + erf(x / √2)), by Abramowitz and Stegun 1964, 7.1.26: erf to 1.5e-7."""
    v = x.astype(np.float64) * 0.5**0.5
    t = 1 / (1 + 0.3275911 * np.abs(v))
    sum_ = np.zeros_like(v)
    for of in reversed(ERF):
        sum_ = (sum_ + of) * t
    found: Array = 0.5 * x * (1 + np.sign(v) * (1 - sum_ * np.exp(-v * v)))
    return found


FUNCTIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "elu": lambda x, a, b: _elu(x, a),
    "exponential": lambda x, a, b: np.exp(x),
    "gelu": lambda x, a, b: _gelu(x),
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "leaky_relu": lambda x, a, b: np.where(x > 0, x, a * x),
    "relu": lambda x, a, b: np.maximum(x, x.dtype.type(0)),
    "relu6": lambda x, a, b: np.clip(x, 0, 6),
    "selu": lambda x, a, b: 1.0507009873554805 * _elu(x, 1.6732632423543772),
    "sigmoid": lambda x, a, b: _sigmoid(x),
    "silu": lambda x, a, b: x * _sigmoid(x),
    "softplus": lambda x, a, b: np.logaddexp(x, 0),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "tanh": lambda x, a, b: np.tanh(x),
}
NUMBERS = {"elu": (1.0, 0.0), "hard_sigmoid": (0.2, 0.5), "leaky_relu": (0.01, 0.0)}
"""Numbers of those functions that take some, by default."""


class Activation(Pointwise):
    """A `function` of each number; some take the numbers `alpha` and `beta`."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = given[0]
        self.name = entry.text("function", [*FUNCTIONS])
        self.alpha, self.beta = NUMBERS.get(self.name, (0.0, 0.0))
        if self.name in NUMBERS:
            self.alpha = entry.number("alpha", default=self.alpha)
            self.beta = entry.number("beta", default=self.beta)
        self._function = FUNCTIONS[self.name]

    def apply(self, *values: Array) -> Array:
        """Activate."""
        found = self._function(values[0], self.alpha, self.beta)
        return found.astype(values[0].dtype, copy=False)


class Softmax(Pointwise):
    """Probabilities from logits, in float64."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form = given[0]

    def apply(self, *values: Array) -> Array:
        """Exponentials, divided by their sum."""
        x = values[0].astype(np.float64)
        found = np.exp(x - x.max(axis=-1, keepdims=True))
        # Sums over rows one by one, whose order does not depend on how many rows there are.
        total: Array = np.add.accumulate(found, axis=-1)[..., -1:]
        shares: Array = found / total
        return shares


class _Joint(Pointwise):
    """Several inputs of the same kind."""

    inputs: ClassVar[int | None] = None

    def __init__(self, entry: Entry, *given: Form) -> None:
        for of in given[1:]:
            if of.kind != given[0].kind or of.rate != given[0].rate:
                raise entry.wrong("has inputs of different steps")


class Concatenate(_Joint):
    """The features of all inputs, one after the other."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        super().__init__(entry, *given)
        self.form = given[0]._replace(
            features=checked_width(entry, sum(of.features for of in given))
        )
        self.sizes = [of.features for of in given]

    def apply(self, *values: Array) -> Array:
        """Join."""
        return np.concatenate(values, axis=-1)


class Add(_Joint):
    """The sum of all inputs, each times its number of `factors`, where there are some."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        super().__init__(entry, *given)
        if len({of.features for of in given}) > 1:
            raise entry.wrong("adds inputs of different features")
        self.form = given[0]
        ones = [1.0] * len(given)
        self.factors = entry.numbers("factors", len(given), default=ones).astype(np.float32)

    def apply(self, *values: Array) -> Array:
        """Add, from the first on."""
        total: Array = self.factors[0] * values[0]
        for factor, of in zip(self.factors[1:], values[1:], strict=True):
            total = total + factor * of
        return total


class Scale(Pointwise):
    """Each step, times one number for each feature of the sequence: the second input."""

    inputs = 2
    streams = False

    def __init__(self, entry: Entry, *given: Form) -> None:
        if [of.kind for of in given] != ["steps", "sequence"]:
            raise entry.wrong("takes steps, and one result for each sequence")
        if given[0].features != given[1].features:
            raise entry.wrong("multiplies inputs of different features")
        self.form = given[0]

    def apply(self, *values: Array) -> Array:
        """Multiply."""
        found: Array = values[0] * values[1]
        return found


class BatchNorm(Pointwise):
    """(x - `mean`) / √(`variance` + `epsilon`) · `weight` + `bias`, by feature, as trained."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form, F = given[0], given[0].features
        mean, variance = entry.array("mean", F), entry.array("variance", F)
        weight, bias = entry.array("weight", F), entry.array("bias", F)
        epsilon = entry.number("epsilon", above=0)
        if (variance < 0).any():
            raise entry.wrong("has a variance below 0")
        factor = weight / np.sqrt(variance.astype(np.float64) + epsilon)
        self.factor = factor.astype(np.float32)
        self.shift = (bias - mean * factor).astype(np.float32)

    def apply(self, *values: Array) -> Array:
        """Normalise."""
        found: Array = values[0] * self.factor + self.shift
        return found


class LayerNorm(Pointwise):
    """(x - mean) / √(variance + `epsilon`) · `weight` + `bias`, over the features of a step."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        self.form, F = given[0], given[0].features
        self.weight, self.bias = entry.array("weight", F), entry.array("bias", F)
        self.epsilon = entry.number("epsilon", above=0)

    def apply(self, *values: Array) -> Array:
        """Normalise, with sums in float64."""
        x = values[0].astype(np.float64)
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon)
        found: Array = (x * self.weight + self.bias).astype(np.float32)
        return found
