import numpy as np
import pytest

from gated.data.typed_columns import Clock
from gated.errors import ConfigurationError
from gated.tasks.forecast.grid import DAY, HOUR, WEEK, Grid
from gated.tasks.forecast.holidays import holiday_features, holiday_names

TIME = Clock("time", "typed")
DAILY = Grid("microsecond", DAY, 0, TIME)


def micros(*texts):
    return np.array(texts, "datetime64[us]").astype(np.int64)


def test_the_day_of_german_unity_and_the_day_before_it():
    assert holiday_names(DAILY, "DE") == ("holiday", "holiday on the next day")
    days = micros("2024-10-01", "2024-10-02", "2024-10-03", "2024-10-04")
    assert holiday_features(DAILY, days, "DE").T.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert not holiday_features(DAILY, days, "FR").any()
    # Around the turn of a year the next day is of another one.
    assert holiday_features(DAILY, micros("2024-12-31"), "DE").tolist() == [[0, 1]]


def test_a_part_of_a_country():
    epiphany = micros("2024-01-06")
    assert holiday_features(DAILY, epiphany, "DE-BY")[0, 0] == 1
    assert holiday_features(DAILY, epiphany, "DE")[0, 0] == 0


def test_hours_are_of_the_day_of_their_zone():
    hours = Grid("microsecond", HOUR, 0, Clock("time", "typed", "Europe/Berlin"))
    times = micros("2024-10-02T21:00", "2024-10-02T22:00", "2024-10-03T22:00")
    assert holiday_features(hours, times, "DE")[:, 0].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("grid", "time", "count"),
    [
        (Grid("microsecond", WEEK, 0, TIME), "2024-12-23", 2),  # 25 and 26 December
        (Grid("month", 1, 0, TIME), "2024-05-01", 3),  # Labour Day, Ascension, Whit Monday
        (Grid("month", 1, -1, TIME), "2024-05-31", 3),
        (Grid("month", 3, -1, TIME), "2024-12-31", 3),  # 3 October, 25 and 26 December
        (Grid("month", 12, 0, TIME), "2024-01-01", 9),
    ],
)
def test_longer_steps_count_their_holidays(grid, time, count):
    assert holiday_names(grid, "DE") == ("holidays",)
    assert holiday_features(grid, micros(time), "DE").tolist() == [[count]]


def test_no_country_no_columns():
    assert holiday_names(DAILY, None) == ()
    assert holiday_features(DAILY, micros("2024-01-01"), None).shape == (1, 0)


@pytest.mark.parametrize("country", ["XX", "DE-XX", "Atlantis"])
def test_a_country_that_is_not_known(country):
    with pytest.raises(ConfigurationError, match=f"country is '{country}'.*DE, US, DE-BY"):
        holiday_features(DAILY, micros("2024-01-01"), country)


def test_counts_have_no_holidays():
    with pytest.raises(ConfigurationError, match="plain counts"):
        holiday_features(Grid("count", 1, 0, Clock("count", "count")), np.arange(3), "DE")
