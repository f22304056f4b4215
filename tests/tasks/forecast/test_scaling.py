import json

import numpy as np
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
