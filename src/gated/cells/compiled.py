"""The plans for which C++ is generated when the native core is built; others are interpreted."""

from __future__ import annotations

from collections.abc import Iterator

from gated.cells import library, options
from gated.cells.plan import Plan
from gated.cells.plans import plans
from gated.cells.tangent import INPUT, tangent

COMPILED = (
    library.rnn_tanh,
    library.rnn_relu,
    library.gru,
    library.gru_reset_before,
    library.lstm,
    library.lstm_coupled,
)
NORMALISED = tuple(map(options.layer_norm, (library.gru, library.lstm)))
"""Interpreted, a training step of these took 1.2 to 1.4 times as long (one thread, 128 and 256
units). With recurrent dropout or zoneout beside it they are interpreted."""


_MOVED = (library.rnn_tanh, library.rnn_relu, library.gru, library.lstm)
TANGENTS = tuple(
    tangent(cell, of)
    for cell in _MOVED
    for weights in [frozenset(matrix.name for matrix in cell.matrices)]
    for of in (frozenset({INPUT}), weights, weights | {INPUT})
)
"""Of the cells of `torch.nn`, by the input, by all weights, and by both. Interpreted, what lies
between the products of an LSTM's tangents took 2.3 times as long as the values' products."""


def compiled_plans() -> Iterator[Plan]:
    """Return the plans for which C++ is generated: those of the common cells."""
    for cell in (*COMPILED, *NORMALISED):
        of = plans(cell)
        yield from (of.inference, of.training, of.backward, of.backward_of_gates)
    for cell in TANGENTS:
        of = plans(cell)
        yield from (of.inference, of.training, of.backward)
