"""Layers that are run again and again in memory of their own."""

from __future__ import annotations

import numpy as np
import pytest

from gated.core.plans import named_cell
from gated.live.recurrence import Stack
from gated.live.repeated import RepeatedStack
from gated.nn import LSTM


@pytest.mark.parametrize("sequences", [1, 5])
def test_a_repeated_stack_is_the_stack_to_the_bit(sequences: int) -> None:
    rng = np.random.default_rng(0)
    state = {name: of.detach().numpy() for name, of in LSTM(3, 7, 2).state_dict().items()}
    weights = [
        {name[:-3]: of for name, of in state.items() if name.endswith(f"_l{k}")} for k in (0, 1)
    ]
    stack = Stack(named_cell("lstm", dict.fromkeys(weights[0])), weights)
    x = np.zeros((6, sequences, 3), np.float32)
    begin = [rng.normal(size=(sequences, 7)).astype(np.float32) for _ in range(4)]
    repeated = RepeatedStack(stack, x, begin)
    for _ in range(3):
        x[:] = rng.normal(size=x.shape)
        begin[0][:] += 1  # what states begin with is read anew
        expected, final = stack.run(x.copy(), None, tuple(begin))
        assert (repeated.run(1) == expected).all()
        for found, of in zip(repeated.final, final, strict=True):
            assert (found == of).all()
