import numpy as np
import polars as pl
import pytest

from gated.errors import ConfigurationError, DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.panel import build_panel
from gated.tasks.forecast.reading import read_table
from gated.tasks.forecast.split import Split, plan_split


def plan(columns, **options):
    config = ForecastConfig(time="t", target="y", **{"horizon": 2, "members": 1, **options})
    return plan_split(build_panel(read_table(pl.DataFrame(columns), config), config), config)


def counted(rows, **options):
    return plan({"t": range(rows), "y": np.arange(rows) * 1.0}, **options)


def test_parts_follow_each_other():
    split, config, findings = counted(100, history=3, test=20, validation=0.25)
    stretches = ((12, 16), (28, 32), (44, 48), (60, 64), (76, 80))
    assert split == Split(first=0, validation=stretches, test=80, end=100)
    assert (config.history, config.stride, config.season) == (3, 2, (1,))
    assert findings == []


def test_by_default_a_tenth_and_at_least_a_horizon():
    assert counted(100, history=3)[0] == Split(0, ((41, 45), (86, 90)), 90, 100)
    assert counted(100, history=3, horizon=15)[0] == Split(0, ((70, 85),), 85, 100)


def test_validation_is_spread_over_at_most_eight_stretches():
    split = counted(2000, history=3, test=400)[0]
    assert len(split.validation) == 8
    assert sum(end - begin for begin, end in split.validation) == 160
    assert split.validation[-1] == (1580, 1600)
    assert split.validation[0] == (180, 200)


def test_no_test_and_no_validation():
    assert counted(100, history=3, test=0, validation=0)[0] == Split(0, (), 100, 100)


def test_rows_of_the_future_are_no_part_of_the_test():
    columns = {"t": range(100), "y": [1.0, 2.0] * 40 + [None] * 20}
    assert plan(columns, history=3, test=10)[0] == Split(0, ((63, 70),), 70, 80)


def test_history_is_three_horizons_and_a_season_where_it_fits():
    assert counted(400)[1].history == 6
    assert counted(400, season=30)[1].history == 30
    _, config, findings = counted(30, horizon=8)
    assert config.history == 7
    assert [finding.kind for finding in findings] == ["history", "validation"]


@pytest.mark.parametrize(
    ("begin", "every", "rows", "test", "steps"),
    [
        ("2024-01-01", "1h", 24 * 60, "28d", 28 * 24),
        ("2024-01-01", "1d", 200, "2w", 14),
        ("2024-01-01", "1d", 200, "1mo", 30),
        ("2023-01-31", "1mo", 40, "1y", 12),
        ("2023-01-02", "1w", 100, "28d", 4),
    ],
)
def test_a_length_of_time_as_steps(begin, every, rows, test, steps):
    start = pl.Series([begin]).str.to_datetime("%Y-%m-%d")
    times = pl.select(
        pl.lit(start[0]).dt.offset_by(pl.format(f"{{}}{every[1:]}", pl.int_range(rows)))
    )
    split, _, _ = plan({"t": times.to_series(), "y": np.arange(rows) * 1.0}, history=2, test=test)
    assert split.end - split.test == steps


def test_lengths_of_time_on_working_days():
    days = np.arange("2024-01-01", "2024-06-01", dtype="M8[D]")
    days = days[np.is_busday(days)]
    split, _, _ = plan({"t": days, "y": np.arange(len(days)) * 1.0}, history=2, test="28d")
    assert split.end - split.test == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 1}, "test is 1, 1 steps: expected at least one horizon of 2"),
        ({"test": -1}, "test is -1"),
        ({"test": 100}, "nothing is left"),
        ({"test": "28d"}, "plain counts"),
        ({"test": "soon"}, "'soon' is not a length of time"),
    ],
)
def test_tests_that_cannot_be(options, message):
    with pytest.raises(ConfigurationError, match=message):
        counted(100, history=3, **options)


def test_one_short_series_stops_nothing_but_a_short_table_does():
    columns = {"t": [*range(100), *range(88, 100)], "y": range(112), "s": ["a"] * 100 + ["b"] * 12}
    assert plan(columns, series="s", history=6, test=10)[0].test == 90
    with pytest.raises(
        DataError, match=r"before the test part to learn from: 'a', the longest, has 90.* need 95\."
    ):
        plan(columns, series="s", history=93, test=10)
    with pytest.raises(
        DataError, match=r"there are 5, but history \(9\) and horizon \(2\) need 11"
    ):
        counted(5, history=9, test=0)


def test_a_target_that_was_never_observed():
    with pytest.raises(DataError, match="'y' has no value at all"):
        plan({"t": range(9), "y": [None] * 9})


def test_the_usual_season_and_others_that_the_data_hold_are_found():
    hours = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 2, 1), "1h", eager=True)
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2023, 1, 1), "1d", eager=True)
    for times, seasons in ((hours, (24, 168)), (hours[:300], (24,)), (days[:400], (7,))):
        found = plan({"t": times, "y": np.arange(len(times)) * 1.0}, test=0)[1]
        assert found.season == seasons
    assert plan({"t": days, "y": np.arange(len(days)) * 1.0}, test=0)[1].season == (7, 364, 365)


def test_few_windows_are_learned_from_by_several_networks():
    few = counted(100, history=3, members=None)
    assert few[1].members == 4
    assert len(few[0].validation) == 8
    assert counted(20_000, history=3, members=None)[1].members == 1
    # Two blocks of a horizon are all that there is room for.
    assert counted(30, history=3, horizon=10, test=0, members=None)[1].members == 2


def test_without_room_for_a_test_part_all_is_learned_from():
    split, config, findings = counted(24, horizon=12)
    assert (split.test, split.end, config.test) == (24, 24, 0)
    assert "24 steps are too few to hold a test part of 12 back" in str(findings[0])
    assert counted(26, horizon=12)[0].test == 14
    assert counted(14, horizon=12)[0].test == 14
    with pytest.raises(
        DataError, match=r"there are 1, but history \(2\) and horizon \(12\) need 14"
    ):
        counted(13, horizon=12)
    with pytest.raises(DataError, match=r"hold back less: test"):  # what was asked for stands
        counted(24, horizon=12, test=12)
