"""A sequence has the same bits alone, in any batch, among other lengths, in pieces, streamed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import gated
from gated.cells import library
from gated.core import native


def layer_of(kind: str, inputs: int, units: int, layers: int) -> Any:
    torch.manual_seed(units)
    if kind in ("RNN", "GRU", "LSTM"):
        return getattr(gated.nn, kind)(inputs, units, num_layers=layers)
    return gated.nn.Recurrent(getattr(library, kind), inputs, units, num_layers=layers)


def states_of(final: Any) -> tuple[torch.Tensor, ...]:
    return final if isinstance(final, tuple) else (final,)


@pytest.mark.parametrize("isa", native.instruction_sets())
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("sizes", [(3, 5), (17, 32), (64, 100), (40, 257)], ids=str)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "gru_reset_before", "lem"])
def test_one_answer(kind: str, sizes: tuple[int, int], layers: int, isa: str) -> None:
    used = native.instruction_set()
    native.set_instruction_set(isa)
    try:
        layer = layer_of(kind, *sizes, layers)
        x = torch.randn(9, 6, sizes[0])
        with torch.no_grad():
            expected, final = layer(x)
            for gradients in (False, True):
                with torch.set_grad_enabled(gradients):
                    alone, of_alone = layer(x[:, 2:3])
                    assert torch.equal(alone, expected[:, 2:3])
                    for state, whole in zip(states_of(of_alone), states_of(final), strict=True):
                        assert torch.equal(state, whole[:, 2:3])
                    ragged, _ = layer(x, lengths=[3, 9, 9, 0, 1, 5])
                    assert torch.equal(ragged[:, 2], expected[:, 2])
            packed, _ = layer(pack_sequence([x[:4, 1], x[:, 2], x[:6, 5]], enforce_sorted=False))
            assert torch.equal(pad_packed_sequence(packed)[0][:, 1], expected[:, 2])
            for batch in (slice(2, 3), slice(0, 6)):  # in pieces, of one step too
                pieces, state = [], None
                for begin, end in ((0, 1), (1, 2), (2, 6), (6, 9)):
                    piece, state = layer(x[begin:end, batch], state)
                    pieces.append(piece)
                assert torch.equal(torch.cat(pieces), expected[:, batch])
            stream = layer.stream()
            for step, row in zip(x[:, 2], expected[:, 2], strict=True):
                assert torch.equal(torch.from_numpy(stream.step(step.numpy())), row)
    finally:
        native.set_instruction_set(used)
