import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gated.configuration import from_json_values, json_values
from gated.tasks.forecast.scaling import FARTHEST, Scaling


def test_each_sample_has_mean_zero_and_deviation_one():
    samples = [np.array([1.0, 2.0, 6.0]), np.array([-50.0, 50.0])]
    scaling = Scaling.of(samples)
    for i, sample in enumerate(samples):
        scaled = scaling.apply(sample, i)
        np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-12)


def test_which_says_the_series_of_each_value():
    scaling = Scaling.of([np.array([0.0, 2.0]), np.array([10.0, 14.0])])
    np.testing.assert_array_equal(
        scaling.apply(np.array([2.0, 14.0, 0.0]), np.array([0, 1, 0])), [1, 1, -1]
    )


def test_what_does_not_vary_takes_the_scale_of_the_others():
    scaling = Scaling.of([np.full(4, 0.1), np.array([0.0, 6.0]), np.array([0.0, 2.0])])
    np.testing.assert_array_equal(scaling.scale, [2, 3, 1])
    assert Scaling.of([np.full(3, 7.0)]).scale.tolist() == [1]


def test_no_columns_at_all():
    assert Scaling.of([]).location.shape == (0,)


def test_a_value_out_of_all_proportion_stays_finite():
    scaling = Scaling.of([np.array([0.0, 1e-30])])
    assert scaling.apply(np.array([1e30]), 0).tolist() == [FARTHEST]


@given(arrays(np.float64, st.integers(1, 9), elements=st.floats(-1e6, 1e6)))
def test_invert_undoes_apply(sample):
    scaling = Scaling.of([np.append(sample, sample[0] + 1e3)])
    np.testing.assert_allclose(scaling.invert(scaling.apply(sample, 0), 0), sample, atol=1e-8)


def test_goes_through_json():
    scaling = Scaling.of([np.array([1.0, 2.5]), np.array([0.1, 0.3])])
    again = from_json_values(Scaling, json.loads(json.dumps(json_values(scaling))))
    np.testing.assert_array_equal(again.location, scaling.location)
    np.testing.assert_array_equal(again.scale, scaling.scale)


LEVELS = Scaling(np.array([10.0, 100.0, 1000.0]), np.array([2.0, 10.0, 300.0]))


def test_the_typical_deviation_grows_with_the_level_of_what_is_never_negative():
    assert LEVELS.typical(np.array([50.0, 0.0])).tolist() == [10, 10]  # 0.2 of 50; the median
    around = Scaling(np.array([-10.0, 100.0, 1000.0]), LEVELS.scale)
    assert around.typical(np.array([50.0, 5.0])).tolist() == [10, 10]


def test_few_values_say_little_of_their_deviation():
    counts, variances = np.array([0.0, 4.0, 1e9, 1e9]), np.array([4.0, 4.0, 4.0, 0.0])
    found = LEVELS.shrunk(np.full(4, 50.0), variances, counts)
    np.testing.assert_allclose(found, [10, np.sqrt(2 * 10), 2, 10], rtol=1e-6)


def test_running_moments_are_those_of_what_came_before():
    values = np.array([1e6, np.nan, 1e6 + 2, 1e6 + 7, np.nan, 3.0, 5.0])
    starts = np.array([0, 4, 7])
    running, _ = LEVELS.running(values, starts, np.array([1e6, 3.0]))
    for row, begin in zip(range(7), [0] * 4 + [4] * 3, strict=True):
        seen = values[begin : row + 1]
        seen = seen[~np.isnan(seen)]
        mean = seen.mean() if len(seen) else 100.0
        variance = seen.var() if len(seen) else 0.0
        assert running.location[row] == pytest.approx(mean)
        expected = LEVELS.shrunk(
            np.array([mean]), np.array([variance]), np.array([len(seen) * 1.0])
        )
        assert running.scale[row] == pytest.approx(expected[0])
