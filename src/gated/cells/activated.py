"""RNN, GRU and LSTM with other activations, clipped sums and coupled gates, as ONNX and Keras have.

With the usual activations and nothing clipped they are the library's own cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gated.cells import library
from gated.cells.cell import Cell
from gated.cells.language import (
    PerUnit,
    absolute,
    cell,
    exp,
    linear,
    maximum,
    minimum,
    relu,
    sigmoid,
    softplus,
    tanh,
    where,
)
from gated.errors import CellError

Function = Callable[[Any], Any]
ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun 1964, 7.1.26: off by at most 1.5e-7."""


class Activation(NamedTuple):
    """A function of a gate's sum, with up to two numbers."""

    name: str
    """One of `FUNCTIONS`."""
    alpha: float | None = None
    """None for the function's own."""
    beta: float | None = None


class _Kind(NamedTuple):
    """A function of a value and two numbers, and what these are by default; None where unused."""

    make: Callable[[Any, float, float], Any]
    alpha: float | None = None
    beta: float | None = None


def _elu(v: Any, alpha: float, scale: float) -> Any:
    return scale * where(v > 0, v, alpha * (exp(minimum(v, 0)) - 1))


def _erf(v: Any) -> Any:
    t = 1 / (1 + 0.3275911 * absolute(v))
    sum_: Any = 0.0
    for of in reversed(ERF):
        sum_ = (sum_ + of) * t
    size = 1 - sum_ * exp(-v * v)
    return where(v > 0, size, -size)


FUNCTIONS: dict[str, _Kind] = {
    "affine": _Kind(lambda v, a, b: a * v + b, 1.0, 0.0),
    "elu": _Kind(lambda v, a, _: _elu(v, a, 1.0), 1.0),
    "exponential": _Kind(lambda v, a, b: exp(v)),
    "gelu": _Kind(lambda v, a, b: 0.5 * v * (1 + _erf(v * 0.5**0.5))),
    "gelu_tanh": _Kind(
        lambda v, a, b: 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)))
    ),
    "hard_sigmoid": _Kind(lambda v, a, b: maximum(0, minimum(1, a * v + b)), 0.2, 0.5),
    "leaky_relu": _Kind(lambda v, a, b: where(v > 0, v, a * v), 0.01),
    "linear": _Kind(lambda v, a, b: v),
    "relu": _Kind(lambda v, a, b: relu(v)),
    "relu6": _Kind(lambda v, a, b: maximum(0, minimum(6, v))),
    "scaled_tanh": _Kind(lambda v, a, b: a * tanh(b * v), 1.0, 1.0),
    "selu": _Kind(lambda v, a, b: _elu(v, 1.6732632423543772, 1.0507009873554805)),
    "sigmoid": _Kind(lambda v, a, b: sigmoid(v)),
    "silu": _Kind(lambda v, a, b: v * sigmoid(v)),
    "softplus": _Kind(lambda v, a, b: softplus(v)),
    "softsign": _Kind(lambda v, a, b: v / (1 + absolute(v))),
    "tanh": _Kind(lambda v, a, b: tanh(v)),
    "thresholded_relu": _Kind(lambda v, a, b: where(v > a, v, 0), 1.0),
}
"""The activations by name."""

USUAL = {
    "rnn": (Activation("tanh"),),
    "gru": (Activation("sigmoid"), Activation("tanh")),
    "gru_reset_before": (Activation("sigmoid"), Activation("tanh")),
    "lstm": (Activation("sigmoid"), Activation("tanh"), Activation("tanh")),
}
"""The activations of each kind: of its gates, of the candidate, and of an LSTM's cell state."""


def activated(
    kind: str,
    activations: Sequence[Activation] = (),
    *,
    clip: float | None = None,
    peepholes: bool = False,
    coupled: bool = False,
) -> Cell:
    """Return a cell with these activations.

    Args:
        kind: one of `USUAL`.
        activations: of the gates, of the candidate and, of an LSTM, of its cell state; the usual
            ones by default.
        clip: sums that activations are applied to are clipped to -clip … clip; None for not.
        peepholes: an LSTM's gates read the cell state.
        coupled: an LSTM's forget gate is 1 minus its input gate.

    Raises:
        CellError: there is no such kind or activation, or the kind has no such option.

    >>> activated("gru") is library.gru
    True
    >>> activated("lstm", [Activation("hard_sigmoid"), Activation("tanh"), Activation("relu")])
    <cell lstm_activated: states h, c; gates input_gate, forget_gate, candidate, output_gate>
    """
    if kind not in USUAL:
        raise CellError(f"kind must be one of {', '.join(USUAL)}, got {kind!r}")
    if kind != "lstm" and (peepholes or coupled):
        raise CellError(f"peepholes and coupled gates are an LSTM's, not those of {kind}")
    if clip is not None and not clip > 0:
        raise CellError(f"clip must be above 0, got {clip}")
    given = tuple(activations) or USUAL[kind]
    if len(given) != len(USUAL[kind]):
        raise CellError(f"a {kind} has {len(USUAL[kind])} activations, got {len(given)}")
    if clip is None and not coupled:
        known = _of_library(kind, given, peepholes)
        if known is not None:
            return known
    functions = [_function(of, clip) for of in given]
    if kind == "rnn":
        return _rnn(functions[0])
    if kind == "lstm":
        # The cell state is not clipped where the output reads it.
        f, g = functions[:2]
        return _lstm(f, g, _function(given[2], None), peepholes, coupled)
    f, g = functions
    return _gru(f, g, kind == "gru")


def _of_library(kind: str, given: tuple[Activation, ...], peepholes: bool) -> Cell | None:
    """The same cell in the library, for which there is compiled code."""
    if kind == "rnn":
        return {"tanh": library.rnn_tanh, "relu": library.rnn_relu}.get(given[0].name)
    if [of.name for of in given] != [of.name for of in USUAL[kind]]:
        return None
    found: Cell = getattr(library, "lstm_peephole" if peepholes else kind)
    return found


def _function(of: Activation, clip: float | None) -> Function:
    """An activation as a function of a value, behind its clip."""
    kind = FUNCTIONS.get(of.name)
    if kind is None:
        raise CellError(f"activation must be one of {', '.join(FUNCTIONS)}, got {of.name!r}")
    alpha = kind.alpha if of.alpha is None else of.alpha
    beta = kind.beta if of.beta is None else of.beta

    def function(v: Any) -> Any:
        clipped = v if clip is None else maximum(-clip, minimum(clip, v))
        return kind.make(clipped, alpha or 0.0, beta or 0.0)

    return function


def _rnn(f: Function) -> Cell:
    @cell(gates={"n": "hidden"}, name="rnn_activated")
    def rnn(x: Any, h: Any) -> Any:
        """Elman 1990, with another activation."""
        return f(x.n + h.n)

    return rnn


def _gru(f: Function, g: Function, reset_after: bool) -> Cell:
    @cell(gates=library.gru.gate_names, name="gru_activated")
    def gru(x: Any, h: Any) -> Any:
        """Cho et al. 2014, with other activations."""
        r, z = f(x.r + h.r), f(x.z + h.z)
        n = g(x.n + (r * h.n if reset_after else linear(r * h).n))
        return n + z * (h - n)

    return gru


def _lstm(f: Function, g: Function, last: Function, peepholes: bool, coupled: bool) -> Cell:
    names = library.lstm.gate_names
    if coupled:
        names = {letter: name for letter, name in names.items() if letter != "f"}

    def step(x: Any, h: Any, c: Any, p: Any) -> Any:
        i = f(x.i + h.i + p.i * c) if peepholes else f(x.i + h.i)
        forget = 1 - i
        if not coupled:
            forget = f(x.f + h.f + p.f * c) if peepholes else f(x.f + h.f)
        c = forget * c + i * g(x.g + h.g)
        o = f(x.o + h.o + p.o * c) if peepholes else f(x.o + h.o)
        return o * last(c), c

    if peepholes:

        @cell(gates=names, name="lstm_activated")
        def reading(x: Any, h: Any, c: Any, *, peepholes: PerUnit) -> Any:
            """Gers and Schmidhuber 2000, with other activations."""
            return step(x, h, c, peepholes)

        return reading

    @cell(gates=names, name="lstm_activated")
    def plain(x: Any, h: Any, c: Any) -> Any:
        """Hochreiter and Schmidhuber 1997, with other activations."""
        return step(x, h, c, None)

    return plain
