import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gated.errors import DataError
from gated.training.bucketing import LengthBuckets


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    batch_size=st.integers(1, 9),
    pool=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_an_epoch_shows_every_sequence_once(lengths, batch_size, pool, epoch) -> None:
    buckets = LengthBuckets(np.array(lengths), seed=3, pool=pool)
    steps = buckets.steps_per_epoch(batch_size)
    shown = [buckets.batch(epoch * steps + step, batch_size) for step in range(steps)]
    assert sorted(np.concatenate(shown)) == list(range(len(lengths)))
    assert all(0 < len(batch) <= batch_size for batch in shown)
    for batch in shown:
        assert (np.diff(buckets.lengths[batch]) <= 0).all()


def test_a_batch_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 200)
    first, again, other = (LengthBuckets(lengths, seed) for seed in (1, 1, 2))
    late = first.batch(57, 16)  # asked for before any earlier one
    assert np.array_equal(late, again.batch(57, 16))
    assert not np.array_equal(late, other.batch(57, 16))
    assert not np.array_equal(first.batch(0, 16), first.batch(13, 16))


def test_little_is_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 101, 1000)

    def padded(pool: int) -> float:
        buckets = LengthBuckets(lengths, seed=0, pool=pool)
        steps = range(buckets.steps_per_epoch(20))
        room = sum(lengths[buckets.batch(k, 20)].max() * 20 for k in steps)
        return 1 - lengths.sum() / room

    assert padded(pool=1) > 0.4
    assert padded(pool=32) < 0.05


def test_no_sequence_is_an_error() -> None:
    with pytest.raises(DataError, match="no sequence"):
        LengthBuckets(np.array([], int), seed=0)
