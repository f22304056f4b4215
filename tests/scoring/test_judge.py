"""The judge: right in simulation, and saying what it says."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.judging import CASES, Case, errors, shares
from scipy import stats

from gated.configuration import json_values
from gated.scoring.judge import FEWEST, judge
from gated.scoring.verdict import Measure, Scope, Verdict, both, percent

MAE = Measure("MAE {}", relative=True)
RIGHT = Measure("{} right", percent, higher_is_better=True, largest=1)
WINDOWS = Scope("windows", "at {} times")


def of_shares(network: int, baseline: int, *, disjoint: bool, count: int = 1000) -> Verdict:
    """Judge so many right of `count`; errors as different, or as equal, as they can be."""
    ours, theirs = np.zeros(count), np.zeros(count)
    ours[:network] = 1
    theirs[slice(count - baseline, count) if disjoint else slice(baseline)] = 1
    return judge({"GRU": ours, "words": theirs}, RIGHT, Scope("texts"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", [2, 12, 60])
def test_without_a_difference_the_judge_seldom_sees_one(name: str, count: int) -> None:
    found = shares(CASES[name], count, times=100)
    # 5 %, and three standard errors of 100 draws more.
    assert found["better"] + found["worse"] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)


def test_a_difference_is_seen_where_there_are_examples_enough() -> None:
    case = Case(errors)
    powers = [shares(case, count, times=60, gain=0.5)["better"] for count in (9, 20, 100)]
    assert powers[0] == 0
    assert 0.2 < powers[1] < 0.8
    assert powers[2] > 0.95


def test_disjoint_errors_of_a_thousand_are_no_win_and_shared_ones_are() -> None:
    apart = of_shares(900, 880, disjoint=True)
    assert apart.outcome == "undecided"
    assert not apart.better
    assert str(apart) == (
        "GRU does NOT clearly beat the best baseline (words): 90.0% right against 88.0% (95% "
        "interval of the difference −0.9% to 4.9%), over 1,000 texts."
    )
    assert of_shares(900, 880, disjoint=False).better


@pytest.mark.parametrize(("gained", "outcome"), [(5, "undecided"), (6, "better")])
def test_right_and_wrong_is_judged_as_by_mcnemar(gained: int, outcome: str) -> None:
    # The exact test of 5 to nothing gives 0.0625, of 6 to nothing 0.03125.
    assert (stats.binomtest(gained, gained).pvalue <= 0.05) == (outcome == "better")
    assert of_shares(500 + gained, 500, disjoint=False).outcome == outcome


def test_the_interval_is_students_where_nothing_is_lopsided() -> None:
    ours = np.arange(20.0)
    theirs = ours + np.tile([1.0, 3.0], 10)
    found = judge({"LSTM": ours, "naive": theirs}, MAE, Scope("windows"))
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.difference == pytest.approx(-2)


def test_a_lopsided_difference_has_a_wider_interval_on_its_long_side() -> None:
    gains = -np.append(np.full(29, 0.1), 9.0)
    found = judge({"LSTM": gains, "naive": np.zeros(30)}, MAE, Scope("windows"))
    usual = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert found.low < usual.low - 0.1
    assert found.high == pytest.approx(max(usual.high, found.high))


def test_clusters_are_what_is_counted() -> None:
    random = np.random.default_rng(0)
    losses = {"LSTM": random.random(84), "naive": random.random(84) + 1}
    assert judge(losses, MAE, WINDOWS, clusters=np.arange(84) // 3).better
    few = judge(losses, MAE, WINDOWS, clusters=np.arange(84) // 12)
    assert (few.outcome, few.clusters, few.examples) == ("too few", 7, 84)
    assert few.low == -np.inf
    assert str(few).startswith("Too few independent times to judge LSTM against the best baseline")
    assert str(few).endswith("over 84 windows at 7 times; it takes 10.")
    # Eleven, and one of them nearly everything.
    lone = judge(losses, MAE, WINDOWS, clusters=np.minimum(np.arange(84), 10))
    assert (lone.outcome, lone.clusters) == ("too few", 11)
    assert str(lone).endswith("it takes 10 of equal weight.")


def test_repeating_the_examples_makes_nothing_surer() -> None:
    random = np.random.default_rng(1)
    ours, theirs = random.random(20), random.random(20) + 0.3
    once = judge({"LSTM": ours, "naive": theirs}, MAE, WINDOWS)
    often = judge(
        {"LSTM": np.tile(ours, 9), "naive": np.tile(theirs, 9)},
        MAE,
        WINDOWS,
        clusters=np.tile(np.arange(20), 9),
    )
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_sizes_make_it_a_ratio_of_sums() -> None:
    errors_of, words = np.array([1.0, 0, 4] * 5), np.array([10.0, 2, 8] * 5)
    found = judge({"LSTM": errors_of, "nearest": words}, MAE, Scope("recordings"), sizes=words)
    assert (found.ours, found.theirs) == (0.25, 1.0)


def test_worse_is_said_with_more_care_the_more_baselines_there_are() -> None:
    gaps = np.array([0.5, 1.5] * 8)
    gaps[:6] -= 1.8
    losses = {"LSTM": gaps, "first": np.zeros(16)}
    assert (
        judge(losses, MAE, WINDOWS).low
        > judge(losses | {f"other {k}": np.ones(16) for k in range(5)}, MAE, WINDOWS).low
    )


def test_better_is_said_with_more_care_of_the_best_of_several_networks() -> None:
    losses = {"LSTM": np.tile([0.0, 1.0], 8), "naive": np.full(16, 1.0)}
    alone, chosen = (judge(losses, MAE, WINDOWS, networks=count) for count in (1, 3))
    assert alone.high < chosen.high
    assert alone.low == chosen.low


def test_what_cannot_be_compared_is_not() -> None:
    values = {"LSTM": np.ones(12), "naive": np.full(12, 2.0), "seasonal": np.full(12, np.nan)}
    assert judge(values, MAE, WINDOWS).baseline == "naive"
    alone = judge({"LSTM": [1.0, 2.0]}, MAE, WINDOWS)
    assert (alone.outcome, alone.baseline) == ("undecided", "")
    assert str(alone) == "LSTM: MAE 1.50 over 2 windows, without a baseline."
    with pytest.raises(ValueError, match="no example"):
        judge({"LSTM": []}, MAE, WINDOWS)


def test_a_difference_that_is_the_same_everywhere_has_no_interval_without_width() -> None:
    same = judge({"LSTM": np.ones(30), "naive": np.ones(30)}, MAE, WINDOWS)
    assert (same.outcome, same.low, same.high) == ("undecided", -np.inf, np.inf)
    assert "MAE 1.00 against 1.00 (no interval: the difference is the same 30 times)" in str(same)
    less = judge({"LSTM": np.ones(FEWEST), "naive": np.full(FEWEST, 2.0)}, MAE, WINDOWS)
    assert less.better
    assert "MAE 1.00 against 2.00, 50 % less (no interval" in str(less)
    by_rounding = np.linspace(0, 1, 40)
    assert judge({"LSTM": by_rounding, "naive": by_rounding + 0.1}, MAE, WINDOWS).low == -np.inf


@pytest.mark.parametrize("count", [FEWEST, 30, 1000])
def test_right_and_wrong_that_never_differ_may_differ_in_what_was_not_seen(count: int) -> None:
    # So many in a row without a difference have a probability of 2.5 % with this share of them.
    unseen = 1 - 0.025 ** (1 / count)
    for value in (0.0, 1.0):
        found = judge(
            {"LSTM": np.full(count, value), "words": np.full(count, value)}, RIGHT, Scope("texts")
        )
        assert (found.outcome, found.low) == ("undecided", pytest.approx(-unseen))
        assert found.high == pytest.approx(unseen)
    always = judge({"LSTM": np.ones(count), "words": np.zeros(count)}, RIGHT, Scope("texts"))
    assert (always.outcome, always.low) == ("better", pytest.approx(1 - 2 * unseen))
    assert always.high == pytest.approx(1)
    assert judge({"LSTM": np.zeros(count), "words": np.ones(count)}, RIGHT, WINDOWS).high < 0


def test_two_measures_must_agree() -> None:
    good = judge({"LSTM": np.zeros(20), "nearest": np.ones(20)}, MAE, WINDOWS)
    bad = judge({"LSTM": np.ones(20), "nearest": np.zeros(20)}, Measure("RMSE {}"), WINDOWS)
    assert both([good, good], WINDOWS).better
    split = both([good, bad], WINDOWS)
    assert split.outcome == "undecided"
    assert str(split) == (
        "LSTM does NOT clearly beat the best baseline (nearest): better in MAE 0 against 1.00, 100 "
        "% less (no interval: the difference is the same 20 times); worse in RMSE 1.00 against 0 "
        "(no interval: the difference is the same 20 times); over 20 windows."
    )


def test_a_verdict_is_json_and_takes_more_sentences() -> None:
    found = judge({"LSTM": [1.0], "naive": [2.0]}, MAE, WINDOWS)
    assert json_values(found)["low"] is None
    assert json_values(found)["outcome"] == "too few"
    told = found.without({"1-NN": "would take too long"}).adding("", "One was known.")
    assert str(told).endswith("Left out: 1-NN (would take too long). One was known.")
    assert told.outcome == found.outcome


def test_a_difference_of_shares_is_never_more_than_all() -> None:
    """Student's interval ends beyond 100 %: 11 of 12 right, against one of them."""
    found = of_shares(11, 1, disjoint=True, count=12)
    assert found.outcome == "better"
    assert 0 < found.low < found.difference < found.high == 1
    assert "to 100.0%)" in str(found)
    lost = of_shares(1, 11, disjoint=True, count=12)
    assert -1 == lost.low < lost.difference < lost.high < 0
