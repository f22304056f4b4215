"""Training, validation and test part by time, and a history that fits into them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gated.data.findings import Finding
from gated.errors import ConfigurationError, DataError, option
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Grid, Integers, duration
from gated.tasks.forecast.panel import Panel

MOST_STRETCHES = 8
"""Stretches that are held out for validation, where there is room."""
LEAST_CYCLES, SHORTEST_SEASON = 2.5, 4
"""Cycles in half of the series, and steps, of a season beside the usual one."""
FEW_STEPS, USUAL_MEMBERS = 60_000, 4
"""Steps in all training windows, below which several networks are averaged; and how many."""
LEAST_HISTORY = 2
"""Steps before a training window without which no test part is held back by default."""
SHORTEST_STRETCH = 2
"""Horizons that a stretch has at least, where there is more than one."""


@dataclass(frozen=True)
class Split:
    """Ticks at which the parts begin, the same for all series."""

    first: int
    """First tick of the training part."""
    validation: tuple[tuple[int, int], ...]
    """Stretches of the training part that are held out, each as its first tick and the one after
    its last; empty without validation."""
    test: int
    """First tick of the test part."""
    end: int
    """The tick after the last observation of the target."""


def plan_split(panel: Panel, config: ForecastConfig) -> tuple[Split, ForecastConfig, list[Finding]]:
    """Split by time, and fill in history, season and stride where they are not given.

    Raises:
        DataError: the target was never observed, or all series are too short.
        ConfigurationError: the test part is longer than the data, or shorter than a horizon.
    """
    observed = panel.ticks[~np.isnan(panel.target)]
    if not len(observed):
        raise DataError(f"The target '{config.target_name}' has no value at all.")
    first, end = int(panel.ticks.min()), int(observed.max()) + 1
    test = _test_start(panel, config, first, end)
    before, all_of = (
        np.add.reduceat(panel.ticks < tick, panel.starts[:-1], dtype=np.int64)
        for tick in (test, end)
    )
    findings, longest = [], int(all_of.max())
    needed = config.horizon + (config.history or LEAST_HISTORY)
    if config.test is None and before.max() < needed <= longest:
        findings.append(
            Finding(
                kind="test",
                count=1,
                what=f"{longest:,} steps are too few to hold a test part of {end - test:,} back",
                action="all are learned from, and there is no score",
            )
        )
        config, test, before = replace(config, test=0), end, all_of
    seasons = config.season or _seasons(panel.grid, before)
    history = config.history or max(3 * config.horizon, seasons[0])
    room = (int(before.max()) - config.horizon) // 2
    if config.history is None and 1 <= room < history:
        findings.append(
            Finding(
                kind="history",
                count=1,
                what=f"history of {room:,} steps instead of {history:,}",
                action="shortened so that enough training windows remain",
            )
        )
        history = room
    least = config.history or LEAST_HISTORY
    _demand_length(panel, before, least, config.horizon, tested=test < end)
    windows = int(np.maximum(before - history - config.horizon + 1, 0).sum())
    few = windows * (history + config.horizon) < FEW_STEPS
    members = config.members or (USUAL_MEMBERS if few else 1)
    blocks = _blocks(first + history, test, members, config.horizon)
    if config.validation > 0 and members > 1 and len(blocks) > 1:
        members = min(members, len(blocks))
        config = replace(
            config,
            history=history,
            season=seasons,
            members=members,
            stride=config.stride or config.horizon,
        )
        return Split(first, blocks, test, end), config, findings
    held_out = max(round(config.validation * (test - first)), config.horizon)
    spare = int(before.max()) - held_out - history - config.horizon
    if config.validation == 0 or spare < 0:
        held_out = 0
    if config.validation > 0 and held_out == 0:
        findings.append(
            Finding(
                kind="validation",
                count=1,
                what="training part too short to hold windows out",
                action="the last weights are kept instead of the best",
            )
        )
    config = replace(
        config,
        history=history,
        season=seasons,
        members=config.members or 1,
        stride=config.stride or config.horizon,
    )
    stretches = _stretches(first, test, held_out, config.horizon)
    return Split(first, stretches, test, end), config, findings


def _seasons(grid: Grid, before: Integers) -> tuple[int, ...]:
    """The usual season, and what else the calendar suggests and half of the series hold.

    Args:
        grid: gives the seasons.
        before: `(S,)`, steps of each series before the test part.
    """
    usual = grid.season
    others = [
        season
        for season in grid.seasons
        if season >= SHORTEST_SEASON and np.mean(before >= LEAST_CYCLES * season) >= 0.5
    ]
    return (usual, *(season for season in others if season != usual))


def _blocks(first: int, test: int, members: int, horizon: int) -> tuple[tuple[int, int], ...]:
    """Divide the steps from `first` to `test` into blocks, each for one of the members in turn.

    What a member has not seen says how good it is, and all of it together is most of the data.
    """
    return divided(first, test, max(0, min(2 * members, (test - first) // horizon)))


def divided(first: int, end: int, count: int) -> tuple[tuple[int, int], ...]:
    """Divide the ticks from `first` to before `end` into `count` stretches, none if that is 0."""
    ends = [first + (end - first) * place // count for place in range(count + 1)] if count else []
    return tuple(pairwise(ends))


def _stretches(first: int, test: int, held_out: int, horizon: int) -> tuple[tuple[int, int], ...]:
    """Spread `held_out` ticks evenly over the training part, the last stretch at its end.

    One month at the end would stand for one season only, and the network would never learn from
    the latest data (blocked cross-validation, Bergmeir and Benítez 2012).
    """
    count = min(MOST_STRETCHES, held_out // (SHORTEST_STRETCH * horizon)) or min(1, held_out)
    if count == 0:
        return ()
    ends = [first + (test - first) * (place + 1) // count for place in range(count)]
    return tuple((end - held_out // count, end) for end in ends)


def _test_start(panel: Panel, config: ForecastConfig, first: int, end: int) -> int:
    if config.test is None:
        steps = max((end - first) // 10, config.horizon)
    elif isinstance(config.test, int) or config.test.isdecimal():
        steps = int(config.test)
    else:
        steps = _steps_of(panel, config.test, end)
    if steps < 0 or 0 < steps < config.horizon:
        raise ConfigurationError(
            f"{option('test')} is {config.test}, {steps} steps: expected at least one horizon of "
            f"{config.horizon} steps, or 0 for no test."
        )
    if steps >= end - first and config.test is None:
        raise ConfigurationError(
            f"{option('horizon')} is {config.horizon:,}, but the data have {end - first:,} steps: "
            "nothing is left to learn from."
        )
    if steps >= end - first:
        raise ConfigurationError(
            f"{option('test')} takes {steps:,} steps, but the data have {end - first:,}: "
            f"nothing is left to "
            "learn from."
        )
    return end - steps


def _steps_of(panel: Panel, length: str, end: int) -> int:
    """Steps in the last `length` (`28d`) before `end`."""
    unit, size = duration(length)
    if panel.grid.clock.unit == "count":
        raise ConfigurationError(
            f"{option('test')} is '{length}', but the time column holds plain counts: give steps."
        )
    if unit == panel.grid.unit == "month":
        return size // panel.grid.size
    ticks, rows = np.unique(panel.ticks, return_index=True)
    ticks, times = ticks[ticks < end], panel.times[rows][ticks < end]
    import polars as pl  # a month or a year back: only where a table is read

    cut = pl.Series(times[-1:]).cast(pl.Datetime("us")).dt.offset_by(f"-{length}")
    return end - int(ticks[np.searchsorted(times, int(cut.to_physical()[0]), side="right")])


def _demand_length(
    panel: Panel, before: Integers, history: int, horizon: int, *, tested: bool
) -> None:
    longest = int(before.argmax())
    if before[longest] >= history + horizon:
        return
    name = panel.series[longest]
    found = f"'{name}', the longest, has" if name and len(before) > 1 else "there are"
    part, less = "", ""
    if tested:
        part, less = "before the test part ", f", or hold back less: {option('test')}"
    raise DataError(
        f"Too few steps {part}to learn from: {found} {before[longest]:,}, but history ({history}) "
        f"and horizon ({horizon}) need {history + horizon:,}. Lower {option('history')} or "
        f"{option('horizon')}{less}."
    )
