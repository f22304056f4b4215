"""One mask for all steps."""

from __future__ import annotations

import pytest
import torch

from gated.errors import ConfigurationError
from gated.nn import VariationalDropout


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_same_features_are_dropped_at_every_step(batch_first: bool) -> None:
    x = torch.ones(50, 40, 30, requires_grad=True)
    y = VariationalDropout(0.25, batch_first)(x)
    by_step = y.transpose(0, 1) if batch_first else y
    assert torch.equal(by_step, by_step[:1].expand_as(by_step))
    kept = by_step[0] != 0
    assert (by_step[0][kept] == 1 / 0.75).all()
    assert 0.7 < kept.double().mean() < 0.8
    assert not torch.equal(kept[0], kept[1])  # each sequence has a mask of its own
    y.sum().backward()
    assert torch.equal(x.grad, y)


def test_unbatched_sequences() -> None:
    y = VariationalDropout(0.5, batch_first=True)(torch.ones(9, 100))
    assert torch.equal(y, y[:1].expand_as(y))
    assert 0 < y.count_nonzero() < y.numel()


def test_nothing_is_dropped_in_evaluation_or_with_no_probability() -> None:
    x = torch.randn(4, 3, 2)
    assert VariationalDropout(0.5).eval()(x) is x
    assert VariationalDropout(0.0)(x) is x
    assert not VariationalDropout(1.0)(x).any()


def test_a_probability_lies_between_0_and_1() -> None:
    with pytest.raises(ConfigurationError, match=r"p must be a probability, 0 to 1, got 1\.5"):
        VariationalDropout(1.5)
