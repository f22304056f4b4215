"""Zoneout's draws, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.layers import RandomLayer, keeps

from gated.core import reference
from gated.core.variants import Regularisation, Zoneout
from gated.errors import ConfigurationError, DataError


def test_zoneout_draws_what_its_hash_says() -> None:
    zoneout = Zoneout((0.25, 0.8), seed=2**64 - 3)
    sequences = np.array([0, 3, 700])
    for state in (0, 1):
        drawn = zoneout.kept(state, 11, sequences, 9, np.dtype("float32"))
        wanted = [[keeps(zoneout, state, 11, b, u) for u in range(9)] for b in sequences.tolist()]
        np.testing.assert_array_equal(drawn, np.array(wanted, "float32"))


def test_zoneout_keeps_as_often_as_it_should_and_independently() -> None:
    zoneout = Zoneout((0.3, 0.3), seed=7)
    steps = [zoneout.kept(0, t, np.arange(64), 128, np.dtype("float64")) for t in range(64)]
    drawn = np.stack(steps)
    spread = np.sqrt(0.3 * 0.7)
    assert abs(drawn.mean() - 0.3) < 5 * spread / np.sqrt(drawn.size)
    for axis, (steps_apart) in enumerate([(1,), (1,), (1, 2, 8, 64)]):
        for apart in steps_apart:
            shifted = np.roll(drawn, apart, axis=axis)
            correlation = ((drawn - 0.3) * (shifted - 0.3)).mean() / spread**2
            assert abs(correlation) < 5 / np.sqrt(drawn.size), (axis, apart)
    other = zoneout.kept(1, 0, np.arange(64), 128, np.dtype("float64"))
    assert abs(((other - 0.3) * (drawn[0] - 0.3)).mean() / spread**2) < 5 / np.sqrt(other.size)


def test_without_a_seed_zoneout_mixes_by_its_probability() -> None:
    kept = Zoneout((0.25,)).kept(0, 3, np.arange(2), 5, np.dtype("float64"))
    np.testing.assert_array_equal(kept, np.full((2, 5), 0.25))


@pytest.mark.parametrize(
    ("regularisation", "message"),
    [
        (Regularisation(zoneout=Zoneout((1.5,))), "zoneout of hidden must be from 0 to 1, got 1.5"),
        (Regularisation(zoneout=Zoneout((0, -0.1))), "zoneout of cell must be from 0 to 1"),
        (Regularisation(zoneout=Zoneout((0, 0), -1)), "seed must be from 0 to 2"),
        (Regularisation(zoneout=Zoneout((0, 0, 0.1))), r"3 rates, but .* \(hidden, cell\)"),
        (Regularisation(np.ones((2, 3))), r"hidden_mask must have the shape \(2, 4\), got"),
        (Regularisation(np.ones((2, 4), "f")), "hidden_mask must have the dtype of x, float64"),
        (Regularisation(None, np.ones((4, 4))), r"weight_mask must have the shape \(16, 4\)"),
    ],
)
def test_what_cannot_be_meant_is_refused(regularisation: Regularisation, message: str) -> None:
    layer = RandomLayer("lstm", (3, 2, 3, 4))
    with pytest.raises((ConfigurationError, DataError), match=message):
        reference.forward(**layer.given() | {"regularisation": regularisation})


def test_layer_normalisation_is_whole_or_not_there() -> None:
    layer = RandomLayer("lstm", (3, 2, 3, 4), layer_norm=True)
    half = layer.weights._replace(gain_cell=None)
    with pytest.raises(ConfigurationError, match=r"needs gain_ih, gain_hh, gain_cell, bias_cell"):
        reference.forward(**layer.given() | {"weights": half})
    layer = RandomLayer("gru", (3, 2, 3, 4), layer_norm=True)
    with pytest.raises(ConfigurationError, match="no layer normalisation for the cell gru_reset_b"):
        reference.forward(**layer.given() | {"cell": "gru_reset_before"})
    extra = layer.weights._replace(gain_cell=np.ones(4))
    with pytest.raises(ConfigurationError, match="gain_cell and bias_cell are for an LSTM"):
        reference.forward(**layer.given() | {"weights": extra})
