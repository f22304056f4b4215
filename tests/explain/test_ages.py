"""The ledger of all units, by age: it adds up, and agrees with the ledger of one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gated.nn
from gated.errors import ConfigurationError, DataError
from gated.explain import LayerTrace, by_age, entries, ledger_of, shares_by_age, trace

T, B, I, H = 17, 3, 4, 5  # noqa: E741
AGES = [0, 1, 3, 6]


def traces(cell: str = "LSTM") -> list[LayerTrace]:
    torch.manual_seed(1)
    layer = getattr(gated.nn, cell)(I, H, bidirectional=True).double()
    x = torch.randn(T, B, I, dtype=torch.float64)
    states = [torch.randn(2, B, H, dtype=torch.float64) for _ in range(2)]
    initial = tuple(states) if cell == "LSTM" else states[0]
    return trace(layer, x, lengths=torch.tensor([T, 9, 1]), initial=initial).layers


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_after_every_step_each_unit_has_its_ledger(cell: str) -> None:
    for traced in traces(cell):
        for sequence, length in enumerate((T, 9, 1)):
            found = list(entries(traced, sequence=sequence))
            assert sorted(of.step for of in found) == list(range(length))
            for of in found:
                for unit in range(H):
                    alone = ledger_of(traced, unit=unit, step=of.step, sequence=sequence)
                    assert of.steps.tolist() == alone.steps.tolist()
                    np.testing.assert_allclose(of.written[:, unit], alone.written, atol=1e-14)
                    assert of.initial[unit] == pytest.approx(alone.initial, abs=1e-14)
                    assert of.state[unit] == pytest.approx(alone.state, abs=1e-14)


def test_classes_of_age_add_up_to_the_state() -> None:
    for traced in traces():
        for of in entries(traced, sequence=0):
            held = by_age(of, AGES)
            assert held.shape == (len(AGES) + 1, H)
            np.testing.assert_allclose(held.sum(axis=0), of.state, atol=1e-14)
            np.testing.assert_array_equal(held[0], of.written[-1])
            older = max(len(of.steps) - AGES[-1], 0)
            np.testing.assert_allclose(held[-2], of.written[:older].sum(axis=0), atol=1e-14)


def test_shares_are_of_magnitudes_and_add_up_to_one() -> None:
    of = list(entries(traces()[0], sequence=0))[-1]
    shares = shares_by_age(of, AGES)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-12)
    total = np.abs(of.written).sum(axis=0) + np.abs(of.initial)
    np.testing.assert_allclose(shares[1], np.abs(of.written[-3:-1]).sum(axis=0) / total)
    np.testing.assert_allclose(shares[-1], np.abs(of.initial) / total)


def test_a_unit_that_holds_nothing_has_no_shares() -> None:
    lstm = nn.LSTM(I, H)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
    of = next(entries(trace(lstm, torch.zeros(2, 1, I)).layers[0]))
    assert not shares_by_age(of, [0]).any()


def test_what_cannot_be_meant_is_refused() -> None:
    traced = traces()[0]
    with pytest.raises(DataError, match="sequence must be from 0 to 2, got 3"):
        next(entries(traced, sequence=3))
    of = next(entries(traced))
    for ages in ([], [1, 2], [0, 2, 2]):
        with pytest.raises(DataError, match="ascend from 0"):
            by_age(of, ages)
    some = trace(nn.LSTM(I, H), torch.zeros(4, 1, I), steps=[0, 1]).layers[0]
    with pytest.raises(DataError, match="all steps"):
        next(entries(some))
    with pytest.raises(ConfigurationError, match="anew at each step"):
        next(entries(trace(nn.RNN(I, H), torch.zeros(4, 1, I)).layers[0]))
