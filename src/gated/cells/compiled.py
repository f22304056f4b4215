"""Which plans the native core is built with; any other is interpreted."""

from __future__ import annotations

from collections.abc import Iterator

from gated.cells import library
from gated.cells.plan import Plan, plans

COMPILED = (
    library.rnn_tanh,
    library.rnn_relu,
    library.gru,
    library.gru_reset_before,
    library.lstm,
    library.lstm_coupled,
)


def compiled_plans() -> Iterator[Plan]:
    """The plans of the cells that most people use."""
    for cell in COMPILED:
        of = plans(cell)
        yield from (of.inference, of.training, of.backward, of.backward_of_gates)
