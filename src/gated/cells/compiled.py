"""The plans for which C++ is generated when the native core is built; others are interpreted."""

from __future__ import annotations

from collections.abc import Iterator

from gated.cells import library
from gated.cells.plan import Plan
from gated.cells.plans import plans

COMPILED = (
    library.rnn_tanh,
    library.rnn_relu,
    library.gru,
    library.gru_reset_before,
    library.lstm,
    library.lstm_coupled,
)


def compiled_plans() -> Iterator[Plan]:
    """Return the plans of the common cells."""
    for cell in COMPILED:
        of = plans(cell)
        yield from (of.inference, of.training, of.backward, of.backward_of_gates)
