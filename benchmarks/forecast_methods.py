"""The methods of the forecast bench: each forecasts the same windows from the same history.

A new one is an entry of `METHODS`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.forecast_rows import Row
from gated.tasks.forecast import ForecastConfig, Forecaster, baselines
from gated.tasks.forecast.baselines import Baselines
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.preparation import prepare
from gated.tasks.forecast.pretrained.zero_shot import two_seasons, zero_shot
from gated.tasks.forecast.windows import (
    held_out_origins,
    training_origins,
    validation_origins,
    walk_forward,
)
from gated.training.options import TrainingOptions

Floats = NDArray[np.float64]

MOST_SECONDS = 1200.0
"""A method that needs longer for a row is left out of it."""
MOST_BEFORE = 10
"""Times in the stretch before the test part that choose the statistical method, at most."""
MOST_WINDOWS_BEFORE = 300
"""Windows in it, at most, where there are several times: a bound on time."""
MOST_SHIFTED = 2000
"""Windows by which `Problem.shift` is measured, drawn where there are more."""
FEWEST = 4
"""Observed steps below which nothing is fitted: the naive forecast stands."""
PEER = "GATED_NEURALFORECAST"
"""Environment variable: the Python of an environment that has neuralforecast."""


class TooSlowError(Exception):
    """A method has used up its time."""


@dataclass
class Problem:
    """A row as every method gets it: a panel, and the windows to forecast."""

    row: Row
    table: pl.DataFrame
    fallbacks: int = 0
    """Windows for which a method gave nothing, so that the naive forecast stands."""
    deadline: float = field(default_factory=lambda: time.process_time() + MOST_SECONDS)

    @cached_property
    def prepared(self) -> Prepared:
        """The panel, split by time as `gated fit` splits it."""
        return prepare(self.table, self.row.config)

    @cached_property
    def baselines(self) -> Baselines:
        """Naive and seasonal-naive forecasts with intervals, learned before the test part."""
        return Baselines.fit(self.prepared)

    @cached_property
    def origins(self) -> Integers:
        """(N,) rows of the last known step of each window of the test part."""
        return held_out_origins(self.prepared)

    @cached_property
    def before(self) -> Integers:
        """Those of the stretch before it that is as long, or `MOST_BEFORE` horizons."""
        split, horizon = self.split, self.row.horizon
        most = max(1, MOST_WINDOWS_BEFORE // len(self.prepared.panel.series))
        times = min(MOST_BEFORE, most, (split.end - split.test) // horizon)
        return walk_forward(self.prepared, split.test - times * horizon, split.test, horizon)

    @property
    def split(self) -> Any:
        """The ticks at which the parts begin."""
        assert self.prepared.split  # noqa: S101 - `prepare` splits
        return self.prepared.split

    @property
    def quantiles(self) -> tuple[float, ...]:
        """0.1, 0.5 and 0.9."""
        return self.prepared.preprocessing.config.quantiles

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps of each season, the shortest first; (1,) without any."""
        return self.row.seasons or self.prepared.preprocessing.config.season or (1,)

    @cached_property
    def scales(self) -> Floats:
        """(S,), as `seasonal_scale`, but also of series that gated has not learned from.

        NaN where a series has no change before the test part.
        """
        panel, season = self.prepared.panel, self.prepared.preprocessing.config.usual_season
        change = np.abs(panel.target[season:] - panel.target[:-season])
        series = panel.series_of[season:]
        counts = (series == panel.series_of[:-season]) & ~np.isnan(change)
        counts &= panel.ticks[season:] < self.split.test
        size = len(panel.series)
        total = np.bincount(series[counts], change[counts], size)
        number = np.bincount(series[counts], minlength=size)
        return np.divide(total, number, out=np.full(size, np.nan), where=total > 0)

    @cached_property
    def shift(self) -> float | None:
        """How many times as large the better naive forecast's error is in the test part.

        As in the validation part, or the training part where nothing is held out for validation.
        """
        earlier = validation_origins(self.prepared, stride=1)
        if not len(earlier):
            earlier = training_origins(self.prepared)
        before, after = (self._naive_error(origins) for origins in (earlier, self.origins))
        return after / before if before > 0 else None

    def _naive_error(self, origins: Integers) -> float:
        if len(origins) > MOST_SHIFTED:
            origins = np.random.default_rng(0).choice(origins, MOST_SHIFTED, replace=False)
        truth = self.prepared.truth(origins)
        scales = self.scales[self.prepared.panel.series_of[origins]][:, None]
        if self.row.compared_by != "mase":
            scales = np.ones_like(scales)
        found = self.baselines.forecast(self.prepared, origins).values()
        middle = self.quantiles.index(0.5)
        return min(float(np.nanmean(np.abs(of[..., middle] - truth) / scales)) for of in found)

    def history(self, origin: int, most: int | None = None) -> Floats:
        """Return the values of a series up to row `origin`, the `most` latest.

        Gaps are filled on a line between their neighbours; steps before the first observation are
        left out.
        """
        panel = self.prepared.panel
        begin = panel.starts[panel.series_of[origin]]
        values = panel.target[begin : origin + 1]
        seen = np.flatnonzero(~np.isnan(values))
        if not len(seen):
            return values[:0]
        whole = np.interp(np.arange(seen[0], len(values)), seen, values[seen])
        return whole[-most:] if most else whole

    def fallback(self, origins: Integers) -> Floats:
        """(N, horizon, Q), the naive forecast with its intervals."""
        return self.baselines.forecast(self.prepared, origins)["naive"]

    def together(self, origins: Integers) -> Iterator[tuple[int, Integers]]:
        """Yield each tick and the places of the windows whose last known step it is."""
        ticks = self.prepared.panel.ticks[origins]
        for tick in np.unique(ticks):
            yield int(tick), np.flatnonzero(ticks == tick)

    def check_time(self) -> None:
        """Raise `TooSlowError` after the deadline, which is one of processor time."""
        if time.process_time() > self.deadline:
            raise TooSlowError(f"more than {MOST_SECONDS / 60:.0f} minutes")


@dataclass(frozen=True)
class Method:
    """A way to forecast the windows from `origins` `(N,)`: (N, horizon, Q)."""

    forecast: Callable[[Problem, Integers], Floats]
    needs: tuple[str, ...] = ()
    """Packages."""
    statistical: bool = False
    """Whether it is among those of which the best is sought."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Those that are imported here."""
        return tuple(name for name in self.needs if name != PEER)

    @property
    def missing(self) -> str | None:
        """What is not installed of what it needs."""
        absent = [name for name in self.packages if not importlib.util.find_spec(name)]
        if PEER in self.needs and not os.environ.get(PEER):
            absent.append(f"the environment named by {PEER}")
        return " and ".join(absent) or None


TRAINING = TrainingOptions(threads=1)
"""Of gated's networks: the defaults, on one thread."""


def gated(problem: Problem, origins: Integers) -> Floats:
    """The defaults, trained once."""
    return _trained(problem, origins, problem.row.config)


def gated_alone(problem: Problem, origins: Integers) -> Floats:
    """The network alone, without a partner."""
    return _trained(problem, origins, replace(problem.row.config, partner="none"))


def gated_with_ets(problem: Problem, origins: Integers) -> Floats:
    """The defaults with AutoETS as one more partner, refitted at each window."""
    names = ("pretrained", "ets") if problem.prepared.preprocessing.reads_target_alone else ("ets",)
    return _trained(problem, origins, replace(problem.row.config, partner=names))


def gated_pretrained(problem: Problem, origins: Integers) -> Floats:
    """The network that comes with the package, not trained on the row."""
    histories = [problem.history(int(origin)) for origin in origins]
    seasons = np.tile(two_seasons(problem.seasons), (len(origins), 1))
    return zero_shot(histories, seasons, problem.row.horizon, problem.quantiles)


def _trained(problem: Problem, origins: Integers, config: ForecastConfig) -> Floats:
    forecaster = Forecaster(config, TRAINING).fit(problem.table)
    forecasts = forecaster.score().forecasts
    rows = origins[:, None] + np.arange(1, problem.row.horizon + 1)
    if not np.array_equal(forecasts.truth, problem.prepared.panel.target[rows], equal_nan=True):
        raise ValueError("The windows are not those of the other methods.")
    return forecasts.methods[forecaster.name]


def naive(problem: Problem, origins: Integers) -> Floats:
    """The last value."""
    return problem.fallback(origins)


def seasonal_naive(problem: Problem, origins: Integers) -> Floats:
    """The last season, of the length that was best before the test part."""
    found = problem.baselines.forecast(problem.prepared, origins)
    return found[next(reversed(found))]  # where there is no season, this is the naive forecast


def statistical(model_of: Callable[[tuple[int, ...], int], Any]) -> Callable[..., Floats]:
    """Refit a model of statsforecast at each window.

    `model_of` makes it from the seasons and the length of the history.
    """

    def forecast(problem: Problem, origins: Integers) -> Floats:
        values = problem.fallback(origins)
        for place, origin in enumerate(origins):
            problem.check_time()
            history = problem.history(int(origin), problem.row.recent)
            found = _fitted(model_of, problem, history)
            if found is None:
                problem.fallbacks += 1
            else:
                values[place] = found
        return values

    return forecast


def _fitted(
    model_of: Callable[[tuple[int, ...], int], Any], problem: Problem, history: Floats
) -> Floats | None:
    """(horizon, 3), or None where the model cannot be fitted."""
    if len(history) < FEWEST:
        return None
    level = round(100 * (problem.quantiles[-1] - problem.quantiles[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = model_of(problem.seasons, len(history))
            found = model.forecast(y=history, h=problem.row.horizon, level=[level])
        except Exception:  # whatever a model does not like about a series
            return None
    values = np.stack([found[f"lo-{level}"], found["mean"], found[f"hi-{level}"]], axis=-1)
    return values if np.isfinite(values).all() else None


def auto_ets(seasons: tuple[int, ...], steps: int) -> Any:
    from statsforecast.models import AutoETS

    return AutoETS(season_length=seasons[0])


def auto_theta(seasons: tuple[int, ...], steps: int) -> Any:
    from statsforecast.models import AutoTheta

    return AutoTheta(season_length=seasons[0])


def mstl(seasons: tuple[int, ...], steps: int) -> Any:
    from statsforecast.models import MSTL, AutoETS

    whole = [season for season in seasons if season > 1 and steps >= 2 * season]
    return MSTL(season_length=whole) if whole else AutoETS(model="ZZN")


def lightgbm(problem: Problem, origins: Integers) -> Floats:
    """Trees on lags of the differenced series, trained once; intervals from cross-validation."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean
    from mlforecast.target_transforms import Differences, LocalStandardScaler
    from mlforecast.utils import PredictionIntervals

    horizon, seasons = problem.row.horizon, [of for of in problem.seasons if of > 1]
    shortest = min(_before(problem))
    seasons = [of for of in seasons if 2 * of + horizon < shortest]
    season = _better_difference(problem, seasons[:1])
    lags = {*range(1, 1 + min(max([horizon, *seasons[:1]]), 24, max(shortest // 3, 1))), *seasons}
    regressor = LGBMRegressor(objective="mae", n_jobs=1, verbosity=-1, seed=0)
    model = MLForecast(
        {"trees": regressor},
        freq=1,
        lags=sorted(lags),
        lag_transforms={1: [RollingMean(of) for of in seasons]},
        date_features=[_place_in(of) for of in seasons],
        target_transforms=[Differences([season]), LocalStandardScaler()],
        num_threads=1,
    )
    spare = (shortest - max(lags) - season - 2) // horizon
    intervals = PredictionIntervals(n_windows=min(spare, 5), h=horizon) if spare >= 2 else None
    level = round(100 * (problem.quantiles[-1] - problem.quantiles[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(
            _frame(problem, problem.split.test), static_features=[], prediction_intervals=intervals
        )
        values = problem.fallback(origins)
        if intervals is None:
            values[..., [0, -1]] = np.nan
        known = problem.split.test
        for tick, places in problem.together(origins):
            if tick + 1 > known:
                model.update(_frame(problem, tick + 1, known))
                known = tick + 1
            found = model.predict(horizon, level=[level] if intervals else None)
            by_series = dict(iter(found.groupby("unique_id")))
            names = ["trees"]
            if intervals:
                names = [f"trees-lo-{level}", "trees", f"trees-hi-{level}"]
            for place in places:
                of = by_series.get(problem.prepared.panel.series_of[origins[place]])
                if of is None:
                    problem.fallbacks += 1
                else:
                    values[place][:, [1] if len(names) == 1 else [0, 1, 2]] = of[names].to_numpy()
    return values


def _better_difference(problem: Problem, seasons: list[int]) -> int:
    """1 or the season: what the series repeats better in the stretch before the test part."""
    prepared, origins = problem.prepared, problem.before
    if not seasons or not len(origins):
        return 1
    ahead = origins[:, None] + np.arange(1, problem.row.horizon + 1)
    scales = problem.scales[prepared.panel.series_of[origins]][:, None]

    def error(steps: int) -> float:
        forecast = baselines.seasonal_naive(prepared, origins, steps)
        return float(np.nanmean(np.abs(prepared.panel.target[ahead] - forecast) / scales))

    return min((1, seasons[0]), key=error)


def _place_in(season: int) -> Callable[[Any], Any]:
    """The step of the season, as the hour of the day or the month."""

    def place(steps: Any) -> Any:
        return steps % season

    place.__name__ = f"place_in_{season}"
    return place


def _before(problem: Problem) -> list[int]:
    """Steps of each series before the test part, of those that have any."""
    panel = problem.prepared.panel
    counts = np.add.reduceat(panel.ticks < problem.split.test, panel.starts[:-1], dtype=np.int64)
    return [int(count) for count in counts if count > FEWEST]


def _frame(problem: Problem, end: int, begin: int | None = None) -> Any:
    """The steps from tick `begin` to before `end` as mlforecast takes them, without gaps."""
    import pandas

    panel, parts = problem.prepared.panel, []
    for series, (first, last) in enumerate(zip(panel.starts[:-1], panel.starts[1:], strict=True)):
        ticks = panel.ticks[first:last]
        rows = first + np.flatnonzero(ticks < end)
        if not len(rows) or (ticks < problem.split.test).sum() <= FEWEST:
            continue
        whole = problem.history(int(rows[-1]))
        ticks = panel.ticks[rows[-len(whole) :]] if len(whole) else rows[:0]
        keep = ticks >= begin if begin is not None else slice(None)
        parts.append(pandas.DataFrame({"unique_id": series, "ds": ticks[keep], "y": whole[keep]}))
    return pandas.concat(parts, ignore_index=True)


def fracast(problem: Problem, origins: Integers) -> Floats:
    """A network that was trained on other series, and never on these."""
    import torch
    from fracast import FracastModel

    torch.set_num_threads(1)
    model = FracastModel.from_pretrained(weights="fp32")
    chosen = [model.quantiles.index(quantile) for quantile in problem.quantiles]
    values = problem.fallback(origins)
    histories = [problem.history(int(origin), model.context_length) for origin in origins]
    enough = [place for place, history in enumerate(histories) if len(history) >= 8]
    problem.fallbacks += len(origins) - len(enough)
    for begin in range(0, len(enough), 64):
        problem.check_time()
        some = enough[begin : begin + 64]
        context = np.full((len(some), max(len(histories[place]) for place in some)), np.nan)
        for line, place in zip(context, some, strict=True):
            line[-len(histories[place]) :] = histories[place]
        found = model.forecast_batch(context, horizon=problem.row.horizon)
        values[some] = found[..., chosen]
    return values


def peer_lstm(problem: Problem, origins: Integers) -> Floats:
    """neuralforecast's LSTM with its defaults, trained once, in an environment of its own."""
    with tempfile.TemporaryDirectory() as directory:
        given, found = Path(directory, "given.npz"), Path(directory, "found.npy")
        panel = problem.prepared.panel
        histories = [problem.history(int(origin)) for origin in origins]
        training = _frame(problem, problem.split.test)
        np.savez(
            given,
            series=training["unique_id"].to_numpy(),
            steps=training["ds"].to_numpy(),
            values=training["y"].to_numpy(),
            horizon=problem.row.horizon,
            season=problem.seasons[0],
            lengths=[len(history) for history in histories],
            histories=np.concatenate(histories),
            series_of=panel.series_of[origins],
        )
        script = Path(__file__).with_name("forecast_peer.py")
        done = subprocess.run(
            # -P: modules beside the script are not to hide those of Python.
            [os.environ[PEER], "-P", str(script), str(given), str(found)],
            timeout=MOST_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
        values: Floats = np.load(found)
    return values


METHODS = {
    "gated": Method(gated),
    "gated alone": Method(gated_alone),
    "gated with ETS": Method(gated_with_ets, ("statsforecast",)),
    "gated pretrained": Method(gated_pretrained),
    "naive": Method(naive, statistical=True),
    "seasonal naive": Method(seasonal_naive, statistical=True),
    "AutoETS": Method(statistical(auto_ets), ("statsforecast",), statistical=True),
    "AutoTheta": Method(statistical(auto_theta), ("statsforecast",), statistical=True),
    "MSTL": Method(statistical(mstl), ("statsforecast",), statistical=True),
    "LightGBM": Method(lightgbm, ("mlforecast", "lightgbm")),
    "fracast": Method(fracast, ("fracast",)),
    "peer LSTM": Method(peer_lstm, (PEER, "pandas")),
}
