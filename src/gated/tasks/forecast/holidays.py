"""Public holidays of a country as features, which are known for future steps too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gated.errors import ConfigurationError, option, require
from gated.tasks.forecast.grid import DAY, Grid, Integers, wall_times

NAMES = ("holiday", "holiday on the next day")
LONGER = ("holidays",)
"""The feature where a step is longer than a day: how many fall into it."""


def holiday_names(grid: Grid, country: str | None) -> tuple[str, ...]:
    """Return the names of the columns of `holiday_features`."""
    if country is None:
        return ()
    return LONGER if _longer(grid) else NAMES


def holiday_features(grid: Grid, times: Integers, country: str | None) -> NDArray[np.float64]:
    """Return `(N, names)`: whether the local day of `times` `(N,)` is a holiday, and the next.

    Where a step is longer than a day, it is the number of holidays in the step.

    Args:
        grid: what `times` are of.
        times: microseconds, as `grid` has them.
        country: code of a country, perhaps with one of its parts (`DE`, `DE-BY`); None for none.

    Raises:
        ConfigurationError: there is no such country, or `times` are plain counts.
        MissingExtraError: the library `holidays` is not installed.
    """
    if country is None or not len(times):
        return np.empty((len(times), len(holiday_names(grid, country))))
    if grid.clock.unit == "count":
        raise ConfigurationError(
            f"{option('country')} is '{country}', but the time column holds plain counts: holidays "
            "need dates."
        )
    wall = times if grid.local else wall_times(times, grid.clock.zone)
    begin, end = _days(grid, wall)
    dates = _holidays(country, begin.min(), end.max() + 1)
    if _longer(grid):
        counts = np.searchsorted(dates, end) - np.searchsorted(dates, begin)
        return counts[:, None].astype(np.float64)
    return np.stack([np.isin(begin, dates), np.isin(end, dates)], axis=1).astype(np.float64)


def _longer(grid: Grid) -> bool:
    return grid.unit == "month" or (grid.unit == "microsecond" and grid.size > DAY)


def _days(grid: Grid, wall: Integers) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64]]:
    """The day on which each step begins, and the first after its end (or the next day)."""
    days = (wall // DAY).astype("datetime64[D]")
    if grid.unit != "month":
        return days, days + max(grid.size // DAY, 1)
    months = days.astype("datetime64[M]")
    # A quarter that is called by its last day ends with that month.
    first = months - (grid.size - 1 if grid.phase == -1 else 0)
    return first.astype("datetime64[D]"), (first + grid.size).astype("datetime64[D]")


def _holidays(country: str, first: np.datetime64, last: np.datetime64) -> NDArray[np.datetime64]:
    """Return the days from `first` to `last` that are holidays, sorted."""
    library = require("holidays", extra="forecast")
    years = range(first.astype(object).year, last.astype(object).year + 1)
    code, _, part = country.partition("-")
    try:
        found = library.country_holidays(code, subdiv=part or None, years=years)
    except NotImplementedError as error:
        raise ConfigurationError(
            f"{option('country')} is '{country}': {error}. Expected the code of a country, in "
            "capitals, perhaps with one of its parts: DE, US, DE-BY."
        ) from error
    return np.array(sorted(found), "datetime64[D]")
