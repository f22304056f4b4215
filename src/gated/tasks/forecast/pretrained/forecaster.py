"""Forecasts of a table without any training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from gated.data.bad_rows import Bad, refuse
from gated.data.findings import Finding
from gated.data.number_columns import parse_numbers
from gated.data.raw_table import RawTable, Source, open_table
from gated.data.timestamps import UnreadableTimeError, read_times
from gated.errors import DataError, option
from gated.tasks.forecast.calibration import least_value
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Grid, Integers
from gated.tasks.forecast.panel import Floats, Panel, build_panel
from gated.tasks.forecast.predictions import forecast_table
from gated.tasks.forecast.pretrained.smoothing import profile_strength
from gated.tasks.forecast.pretrained.zero_shot import zero_shot
from gated.tasks.forecast.reading import read_table
from gated.tasks.forecast.whole_numbers import are_whole, whole_numbers

LONGEST_SEASON = 400
"""Steps of the longest season that is looked for."""
CANDIDATES = (4, 5, 7, 10, 12, 24, 30, 48, 52, 60, 96)
"""Seasons that are tried where times are counts, which no calendar goes with."""
CLEAR = 0.5
"""Strength of a season, as `profile_strength` has it, from which on it is taken for one."""
USUAL_HORIZON = 10
"""Steps ahead where neither a horizon is given nor a season known."""
COUNTS = ("time", "t", "step", "year", "ds", "date", "index", "period", "week", "day")
"""Names of columns of numbers that are taken for times, where no column holds dates."""
FEW = 20
"""Texts that tell whether a column holds times."""


def predict_untrained(
    source: Source,
    *,
    time: str | None = None,
    target: str | None = None,
    series: str | None = None,
    horizon: int | None = None,
    season: int | None = None,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    bad: Bad = refuse,
) -> tuple[pl.DataFrame, tuple[Finding, ...]]:
    """Forecast each series of a table from its end, by the network that comes with the package.

    It reads the target alone; other columns are not looked at.

    Args:
        source: path of a CSV, Parquet or sheet file, or a polars or pandas frame.
        time: column of time stamps; by default the only one that holds times.
        target: column to forecast; by default the only other one that holds numbers.
        series: column that names the series; by default the only one that holds texts.
        horizon: steps ahead; by default a season.
        season: steps of the season; by default found from the time between steps and the values.
        quantiles: what to forecast, ascending.
        bad: is given rows that cannot be used.

    Returns:
        The table that `Forecaster.predict` returns, and what was found in the data.

    Raises:
        DataError: the data cannot be used, or it is not clear which column is which; the message
            names the option.
        FileNotFoundError: there is no such file.
    """
    config = _columns(source, time, target, series, tuple(quantiles), season, horizon)
    panel = build_panel(read_table(source, config, bad=bad), config)
    histories = _histories(panel)
    found = [s for s, history in enumerate(histories) if len(history)]
    if not found:
        raise DataError(f"The target '{config.target_name}' has no value to forecast from.")
    histories = [histories[s] for s in found]
    pair = seasons_of(panel.grid, histories, season)
    horizon = horizon or (int(pair[0]) if pair[0] > 1 else USUAL_HORIZON)
    seasons = np.tile(pair, (len(histories), 1))
    forecast = zero_shot(histories, seasons, horizon, config.quantiles)
    known = np.concatenate(histories)
    forecast = that_can_be(forecast, known[~np.isnan(known)])
    times = [
        panel.grid.following(int(panel.times[panel.starts[s] + len(history) - 1]), horizon)
        for s, history in zip(found, histories, strict=True)
    ]
    names = [panel.series[s] for s in found]
    return forecast_table(config, panel.grid, names, np.array(times), forecast), panel.findings


def that_can_be(forecast: Floats, observed: Floats) -> Floats:
    """Round forecasts of whole numbers, and let none be negative where nothing can be."""
    least = least_value(observed)
    forecast = forecast if least is None else np.maximum(forecast, least)
    return whole_numbers(forecast) if are_whole(observed) else forecast


def seasons_of(grid: Grid, histories: Sequence[Floats], season: int | None) -> Integers:
    """Return `(2,)` the shorter and the longer season of a table, 1 for none.

    Args:
        grid: its steps.
        histories: its series.
        season: the season, if it is known.
    """
    if season is not None:
        return np.array([season, 1])
    longest = max(len(history) for history in histories)
    usual = [of for of in grid.seasons if of <= LONGEST_SEASON and 2 * of <= longest]
    if grid.seasons or not longest:
        chosen = sorted(usual)[:2]
    else:
        possible = [of for of in CANDIDATES if 3 * of <= longest]
        strengths = [profile_strength(histories, of) for of in possible]
        best = int(np.argmax(strengths)) if strengths else 0
        chosen = [possible[best]] if strengths and strengths[best] > CLEAR else []
    return np.array([*chosen, 1, 1][:2])


def _histories(panel: Panel) -> list[Floats]:
    """What was observed of each series, up to its last value."""
    histories = []
    for s in range(len(panel.series)):
        own = panel.target[panel.starts[s] : panel.starts[s + 1]]
        last = np.flatnonzero(~np.isnan(own))
        histories.append(own[: last[-1] + 1] if len(last) else own[:0])
    return histories


def _columns(
    source: Source,
    time: str | None,
    target: str | None,
    series: str | None,
    quantiles: tuple[float, ...],
    season: int | None,
    horizon: int | None,
) -> ForecastConfig:
    """The options that the table leaves no doubt of."""
    raw = open_table(source, index=time or "")
    others = [name for name in raw.frame.columns if name not in (time, target, series)]
    times = [name for name in others if _holds_times(raw, name)]
    if time is None:
        counts = [name for name in others if name.lower() in COUNTS]
        time = _only(raw, times or counts, "time", "times")
    others = [name for name in others if name != time and name not in times]
    parsed = parse_numbers(raw, [name for name in others if raw.frame[name].dtype != pl.Boolean])
    numbers = [name for name in parsed.columns if parsed[name].plausible]
    if target is None:
        target = _only(raw, numbers, "target", "numbers")
    texts = [name for name in others if raw.frame[name].dtype == pl.String and name not in numbers]
    if series is None and len(texts) == 1 and raw.frame[time].is_duplicated().any():
        series = texts[0]
    return ForecastConfig(
        time=time,
        target=target,
        series=series,
        horizon=1 if horizon is None else horizon,
        known=(),
        past=(),
        season=None if season is None else (season,),
        quantiles=quantiles,
    )


def _only(raw: RawTable, names: Sequence[str], role: str, what: str) -> str:
    if len(names) == 1:
        return names[0]
    found = f"{', '.join(names)} all" if names else "No column seems to"
    raise DataError(
        f"Which column of {raw.name} is the {role}? {found} hold {what}. Name it with "
        f"{option(role)}."
    )


def _holds_times(raw: RawTable, name: str) -> bool:
    column = raw.frame[name]
    if column.dtype.is_temporal():
        return True
    if column.dtype != pl.String:
        return False
    some = column.drop_nulls().head(FEW)
    dates = some.str.contains(r"^\s*\d{1,4}\.\d{1,2}\.\d{1,4}\s*$")  # thousands have three digits
    if not len(some) or (some.str.contains(r"^\s*[-+]?[\d.,]+\s*$") & ~dates).all():
        return False  # plain numbers, which may be anything
    try:
        read_times(some)
    except UnreadableTimeError:
        return False
    except DataError:
        return True  # times that can be read in two ways
    return True
