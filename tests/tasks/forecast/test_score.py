import json
import re

import numpy as np
import pytest
from scipy import stats

from gated.tasks.forecast.baselines import Baselines
from gated.tasks.forecast.score import METRICS, Forecasts, evaluate
from gated.tasks.forecast.windows import held_out_origins
from gated.tasks.learner import document

NAN = np.nan
TRUTH = [[10.0, NAN], [0.0, 4.0], [NAN, NAN]]
MEDIAN = [[13.0, 5.0], [0.0, 12.0], [1.0, 1.0]]


def forecasts_of(
    truth, quantiles=(0.1, 0.5, 0.9), scales=None, series=None, starts=None, **methods
):
    """Forecasts whose interval reaches 4 below and 5 above the median."""
    truth = np.array(truth, float)
    N, horizon = truth.shape
    reach = np.select([np.array(quantiles) < 0.5, np.array(quantiles) > 0.5], [-4.0, 5.0], 0.0)
    starts = horizon * np.arange(N) if starts is None else np.array(starts)
    return Forecasts(
        series=tuple(series or ["a"] * N),
        times=starts[:, None] + np.arange(horizon),
        truth=truth,
        quantiles=quantiles,
        methods={m.replace("_", " "): np.array(v)[..., None] + reach for m, v in methods.items()},
        scales=np.ones(N) if scales is None else np.array(scales, float),
        observed=(),
    )


@pytest.fixture
def scored():
    """By hand: errors 3, 0 and 8; series `c` was never observed."""
    return evaluate(
        forecasts_of(TRUTH, scales=[2, 4, 1], series="abc", LSTM=MEDIAN, naive=MEDIAN), "temp"
    )


def test_scores_are_those_computed_by_hand(scored):
    # Of the truth minus 0.1, 0.5 and 0.9 quantile.
    pinball = [
        (0.1 * 1 + 0.5 * 3 + 0.1 * 8) / 3,  # 10 - (9, 13, 18)
        (0.1 * 4 + 0.0 + 0.1 * 5) / 3,  # 0 - (-4, 0, 5)
        (0.9 * 4 + 0.5 * 8 + 0.1 * 13) / 3,  # 4 - (8, 12, 17)
    ]
    expected = {
        "mae": 11 / 3,
        "rmse": np.sqrt((9 + 0 + 64) / 3),
        "smape": (200 * 3 / 23 + 0 + 200 * 8 / 16) / 3,
        "mase": (3 / 2 + 0 + 8 / 4) / 3,
        "pinball": np.mean(pinball),
        "coverage": 2 / 3,
        "width": 9,
    }
    assert tuple(scored.overall["LSTM"]) == METRICS
    assert scored.overall["LSTM"] == pytest.approx(expected)


def test_scores_by_step(scored):
    steps = scored.by_step["naive"]
    assert tuple(steps) == METRICS
    assert steps["mae"] == [1.5, 8]
    assert steps["rmse"] == pytest.approx([np.sqrt(4.5), 8])
    assert steps["mase"] == [0.75, 2]
    assert steps["coverage"] == [1, 0]


def test_scores_by_series_and_one_without_observation(scored):
    assert list(scored.by_series) == ["a", "b", "c"]
    assert [scored.by_series[s]["LSTM"]["mae"] for s in "ab"] == [3, 4]
    assert all(np.isnan(scored.by_series["c"]["LSTM"][metric]) for metric in METRICS)


def test_a_step_never_observed_scores_nan():
    scored = evaluate(forecasts_of([[1, NAN]], LSTM=[[2, 2]], naive=[[3, 3]]), "y")
    np.testing.assert_array_equal(scored.by_step["LSTM"]["rmse"], [1, NAN])


def test_smape_is_at_most_200():
    scored = evaluate(forecasts_of([[5, -5]], LSTM=[[-5, 0]], naive=[[5, -5]]), "y")
    assert scored.overall["LSTM"]["smape"] == 200
    assert scored.overall["naive"]["smape"] == 0


def test_a_series_without_a_scale_is_left_out_of_mase_alone():
    given = forecasts_of(
        [[1], [1]], scales=[NAN, 2], series="ab", LSTM=[[3], [4]], naive=[[1], [1]]
    )
    scored = evaluate(given, "y")
    assert scored.overall["LSTM"]["mase"] == 1.5
    assert scored.overall["LSTM"]["mae"] == 2.5
    assert np.isnan(scored.by_series["a"]["LSTM"]["mase"])


def test_a_missing_forecast_is_not_overlooked():
    scored = evaluate(forecasts_of([[1, 2]], LSTM=[[1, NAN]], naive=[[1, 1]]), "y")
    assert all(np.isnan(scored.overall["LSTM"][metric]) for metric in METRICS)
    assert scored.overall["naive"]["mae"] == 0.5


def test_the_ends_of_the_interval_are_inside_and_the_outermost_quantiles_count():
    quantiles = (0.5, 0.75, 0.9, 0.1)
    given = forecasts_of([[6, 15, 5.9, 15.1]], quantiles, LSTM=[[10, 10, 10, 10]])
    assert evaluate(given, "y").overall["LSTM"]["coverage"] == 0.5


def test_a_median_alone_has_no_interval():
    scored = evaluate(forecasts_of([[1, 2]], (0.5,), LSTM=[[2, 2]]), "y").overall["LSTM"]
    assert np.isnan(scored["coverage"])
    assert np.isnan(scored["width"])
    assert scored["pinball"] == 0.25


def errors_of(windows, seed, level):
    """Forecasts of zeros, wrong by about `level`, in each window by another amount."""
    rng = np.random.default_rng(seed)
    return level * rng.uniform(0.5, 1.5, (windows, 1)) * rng.choice([-1, 1], (windows, 3))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_verdict_does_not_depend_on_the_unit(unit):
    methods = {"LSTM": errors_of(40, 0, unit), "naive": errors_of(40, 1, 2 * unit)}
    verdict = evaluate(forecasts_of(np.zeros((40, 3)), **methods), "y").verdict
    assert verdict.better
    assert str(verdict).startswith("LSTM beats the best baseline (naive): MAE ")
    assert not re.search(r"\de[-+]\d", str(verdict))


def test_verdict_where_the_network_is_better():
    given = forecasts_of(
        np.zeros((84, 1)),
        quantiles=(0.5,),
        LSTM=[[4.3], [4.52]] * 42,
        naive=[[8.0]] * 84,
        seasonal_naive=[[6.7], [6.8]] * 42,
    )
    verdict = evaluate(given, "temp").verdict
    assert verdict.better
    assert str(verdict) == (
        "LSTM beats the best baseline (seasonal naive): MAE 4.41 against 6.75, 35 % less (95% "
        "interval of the difference −2.36 to −2.33), over 84 windows."
    )


def test_verdict_where_the_network_is_worse():
    medians = {"GRU": [[110.0]] * 1000, "naive": [[99.0], [101.0]] * 500}
    given = forecasts_of(np.zeros((1000, 1)), quantiles=(0.5,), **medians)
    verdict = evaluate(given, "y").verdict
    assert verdict.outcome == "worse"
    assert str(verdict) == (
        "GRU does NOT beat the best baseline (naive): MAE 110 against 100, 10 % more (95% interval "
        "of the difference 9.94 to 10.1), over 1,000 windows. Use the baseline, or give the "
        "network more informative columns."
    )


def test_verdict_within_chance_tells_close_scores_apart():
    # Differences -1 and 0.998 in turn: mean -0.001, standard error 0.999 / 3, t of 9 is 2.262.
    given = forecasts_of(np.zeros((10, 1)), LSTM=[[4.0], [5.998]] * 5, naive=[[5.0]] * 10)
    assert str(evaluate(given, "y").verdict) == (
        "LSTM does NOT clearly beat the best baseline (naive): MAE 4.999 against 5.000, 0.020 % "
        "less (95% interval of the difference −0.754 to 0.752), over 10 windows."
    )


@pytest.mark.parametrize(
    ("mean", "outcome"),
    [(-1.2, "better"), (-0.7, "undecided"), (0.7, "undecided"), (1.2, "worse")],
)
def test_what_chance_does_not_explain_is_called(mean, outcome):
    # Differences mean ± 1 in turn over 10 windows: standard error 1 / 3, t of 9 is 2.262.
    given = forecasts_of(np.zeros((10, 1)), LSTM=[[4 + mean], [6 + mean]] * 5, naive=[[5.0]] * 10)
    assert evaluate(given, "y").verdict.outcome == outcome


def test_verdict_of_equal_forecasts_and_of_few_windows():
    same = forecasts_of(np.zeros((12, 1)), LSTM=[[2.0]] * 12, naive=[[2.0]] * 12)
    assert evaluate(same, "y").verdict.outcome == "undecided"
    one = forecasts_of([[0.0, 0.0]], LSTM=[[1.0, 1.0]], naive=[[9.0, 9.0]])
    assert str(evaluate(one, "y").verdict) == (
        "Too few independent times to judge LSTM against the best baseline (naive): MAE 1.00 "
        "against 9.00, 89 % less, over 1 window; it takes 10. Hold back more for the test."
    )


def test_verdict_against_a_perfect_baseline_gives_no_percentage():
    given = forecasts_of(np.zeros((12, 1)), LSTM=[[2.0]] * 12, naive=[[0.0]] * 12)
    assert str(evaluate(given, "y").verdict).startswith(
        "LSTM does NOT beat the best baseline (naive): MAE 2.00 against 0 (no interval: the "
        "difference is the same 12 times)"
    )


def test_verdict_counts_observed_windows_and_tells_the_overlap():
    truth = np.zeros((16, 1))
    truth[2] = NAN
    given = forecasts_of(truth, LSTM=[[1.0], [1.5]] * 8, naive=[[4.0]] * 16)
    verdict = str(evaluate(given, "y", overlap=3).verdict)
    assert "over 15 windows. 3 of them overlap the training data" in verdict


def test_verdict_without_baseline_or_observation():
    alone = forecasts_of([[1.0]], LSTM=[[3.0]])
    assert str(evaluate(alone, "y").verdict) == "LSTM: MAE 2.00 over 1 window, without a baseline."
    unknown = evaluate(forecasts_of([[NAN]], LSTM=[[3.0]], naive=[[3.0]]), "y").verdict
    assert (unknown.outcome, unknown.examples) == ("undecided", 0)
    assert "no score" in str(unknown)


def judged(errors, starts=None, truth=None):
    """Errors `(N, horizon)` against a baseline without any."""
    truth = np.zeros_like(errors) if truth is None else truth
    given = forecasts_of(truth, LSTM=errors, naive=np.zeros_like(errors), starts=starts)
    return evaluate(given, "y").verdict


def test_the_interval_of_full_windows_is_that_of_their_means():
    errors = np.random.default_rng(0).uniform(1, 2, (50, 4))
    verdict = judged(errors, starts=4 * np.arange(50))
    usual = stats.ttest_1samp(errors.mean(axis=1), 0).confidence_interval(0.95)
    assert verdict.difference == pytest.approx(errors.mean())
    assert verdict.low <= usual.low < usual.high <= verdict.high
    assert verdict.high - verdict.low < 1.3 * (usual.high - usual.low)


def test_windows_are_weighed_by_what_was_observed():
    errors = np.tile([[1.0, 1.0], [4.0, 4.0]], (10, 1))
    truth = np.tile([[0.0, 0.0], [0.0, NAN]], (10, 1))
    assert judged(errors, 2 * np.arange(20), truth).difference == pytest.approx(2)


def test_series_that_err_together_are_not_counted_as_independent():
    once = np.random.default_rng(0).uniform(1, 2, (20, 4))
    starts = 4 * np.arange(20)
    alone, copied = judged(once, starts), judged(np.tile(once, (3, 1)), np.tile(starts, 3))
    assert (copied.low, copied.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert (copied.clusters, copied.examples) == (20, 60)
    assert "over 60 windows at 20 times" in str(copied)


def test_windows_that_overlap_are_not_counted_as_independent():
    errors = np.random.default_rng(0).uniform(1, 2, (120, 4))
    # Each begins a step after the one before: nine begin within three spans of three steps.
    verdict = judged(errors, np.arange(120))
    assert verdict.clusters == -(-120 // 9)
    assert "over 120 windows in 14 stretches" in str(verdict)
    assert judged(errors, np.zeros(120)).outcome == "too few"


def test_saved_as_numbers(scored):
    saved = document(scored)
    assert json.loads(json.dumps(saved))["overall"] == scored.overall
    assert (saved["windows"], saved["overlap"], saved["target"]) == (3, 0, "temp")
    assert saved["quantiles"] == [0.1, 0.5, 0.9]
    assert saved["verdict"] == str(scored.verdict)
    assert saved["judged"]["outcome"] == "too few"
    assert saved["by_step"]["LSTM"]["mae"] == [1.5, 8]
    assert saved["by_series"]["a"]["LSTM"]["mae"] == 3
    assert "forecasts" not in saved


def test_weather_baselines_are_scored_on_84_windows(weather):
    origins, learned = held_out_origins(weather), Baselines.fit(weather)
    rows = origins[:, None] + np.arange(1, 25)
    methods = learned.forecast(weather, origins)
    series = weather.series_of[origins]
    forecasts = Forecasts(
        series=tuple(weather.preprocessing.series[s] for s in series),
        times=weather.panel.times[rows].astype("datetime64[us]"),
        truth=weather.panel.target[rows],
        quantiles=weather.preprocessing.config.quantiles,
        methods={"seasonal naive": methods["seasonal naive"], "naive": methods["naive"]},
        scales=learned.scales[series],
        observed=(),
    )
    scored = evaluate(forecasts, "temp")
    assert 6.5 < scored.overall["seasonal naive"]["mae"] < 7.0
    assert scored.verdict.outcome == "worse"
    assert "over 84 windows at 28 times" in str(scored.verdict)
    assert list(scored.by_series) == ["EWR", "JFK", "LGA"]
    for method in methods:
        steps = np.array(scored.by_step[method]["mae"])
        observed = (~np.isnan(forecasts.truth)).sum(axis=0)
        weighted = (steps * observed).sum() / observed.sum()
        assert scored.overall[method]["mae"] == pytest.approx(weighted)
        assert 0.6 < scored.overall[method]["coverage"] < 0.9
