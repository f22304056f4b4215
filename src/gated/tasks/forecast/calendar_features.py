"""Time of day, of the week and of the year as features, which are known for future steps too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gated.tasks.forecast.grid import DAY, HOUR, MINUTE, WEEK, YEAR, Grid, Integers, wall_times

CYCLES = {"day": DAY, "week": WEEK, "year": YEAR}
SEEN = 0.5
"""Share of a cycle that the data must cover for it to be used."""


def choose_cycles(grid: Grid, span: int) -> tuple[str, ...]:
    """Return the cycles of two steps or more of which `span` (microseconds) covers half."""
    if grid.clock.unit == "count":
        return ()
    step = grid.size * (YEAR // 12 if grid.unit == "month" else 1)
    return tuple(
        name for name, cycle in CYCLES.items() if 2 * step <= cycle and span >= SEEN * cycle
    )


def calendar_features(grid: Grid, times: Integers, cycles: tuple[str, ...]) -> NDArray[np.float64]:
    """Return `(N, 2 · cycles)`: sine and cosine of the phase of each cycle at `times` `(N,)`."""
    wall = _wall(grid, times)
    phases = {"day": wall / DAY, "week": (wall - 4 * DAY) / WEEK, "year": _year_phase(wall)}
    columns = [wave(2 * np.pi * phases[c]) for c in cycles for wave in (np.sin, np.cos)]
    return np.stack(columns, axis=1) if columns else np.empty((len(times), 0))


def calendar_names(cycles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the columns of `calendar_features`.

    >>> calendar_names(("day",))
    ('sin(day)', 'cos(day)')
    """
    return tuple(f"{wave}({cycle})" for cycle in cycles for wave in ("sin", "cos"))


def repeats_the_time(grid: Grid, times: Integers, values: NDArray[np.float64]) -> bool:
    """Whether the column `values` only repeats a part of `times` (year, month, hour, …).

    Parts may differ by a constant shift, or by two different ones: a table may hold the hour of
    another zone, with summer time.
    """
    seen = ~np.isnan(values)
    if grid.clock.unit == "count" or np.any(values[seen] % 1):
        return False
    wall = _wall(grid, times)[seen]
    months = wall.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    days = wall // DAY
    month_starts = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    year_starts = (months // 12 * 12).astype("datetime64[M]").astype("datetime64[D]")
    parts = {
        2**31: months // 12,
        12: months,
        31: days - month_starts,
        366: days - year_starts.astype(np.int64),
        7: days,
        24: wall // HOUR,
        60: wall // MINUTE,
    }
    for period, part in parts.items():
        if np.ptp(values[seen]) >= period or len(np.unique(part % period)) < 5:
            continue
        _, shifts = np.unique((values[seen] - part) % period, return_counts=True)
        if np.sort(shifts)[-2:].sum() >= 0.95 * len(part):
            return True
    return False


def _wall(grid: Grid, times: Integers) -> Integers:
    """The clock on the wall at times of `grid`."""
    return times if grid.local else wall_times(times, grid.clock.zone)


def _year_phase(wall: Integers) -> NDArray[np.float64]:
    years = wall.astype("datetime64[us]").astype("datetime64[Y]")
    begin = years.astype("datetime64[us]").astype(np.int64)
    end = (years + 1).astype("datetime64[us]").astype(np.int64)
    return (wall - begin) / (end - begin)
