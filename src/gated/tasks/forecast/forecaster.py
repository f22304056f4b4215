"""The face of forecasting: fit, predict, score, save."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from gated.configuration import from_json_values, json_values
from gated.data.findings import Finding
from gated.data.raw_table import Source
from gated.errors import DataError, ModelFileError
from gated.explain import Probe
from gated.tasks.forecast.baselines import Baselines
from gated.tasks.forecast.calibration import Floats, spread, spread_factors
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.network import Batch, ForecastNetwork
from gated.tasks.forecast.preparation import Prepared, prepare, prepare_new
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.probe import forecast_probe
from gated.tasks.forecast.score import Evaluation, Forecasts, Observed, evaluate
from gated.tasks.forecast.task import ForecastTask, chunks, thinned
from gated.tasks.forecast.windows import (
    forecast_origins,
    gather,
    held_out_origins,
    validation_origins,
    walk_forward,
)
from gated.training.history import History
from gated.training.loop import train
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions
from gated.training.progress import Progress

TASK = "forecast"
NO_DATA = "This forecaster holds no data: fit it, or give the data to use."
MOST_CALIBRATED = 4096
"""Validation windows that calibration looks at, evenly chosen where there are more."""


class Forecaster:
    """Learns to forecast one or many series, from a table.

    Args:
        config: the columns, the windows, the network.
        training: how to train.

    After `fit` or `load`, `config` has every choice filled in that was left to the data.
    """

    network: ForecastNetwork
    history: History
    """What happened in training."""

    def __init__(self, config: ForecastConfig, training: TrainingOptions | None = None) -> None:
        self.config = config
        self.training = training or TrainingOptions()
        self._prepared: Prepared | None = None
        self._source: Source | None = None

    @property
    def prepared(self) -> Prepared:
        """The data of `fit`, cleaned, scaled and split.

        Raises:
            DataError: nothing was fitted here, as after `load`.
        """
        if self._prepared is None:
            raise DataError(NO_DATA)
        return self._prepared

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the data of `fit` and done about it."""
        return self.prepared.findings

    @property
    def parameters(self) -> int:
        """Number of trained values in the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def prepare(self, data: Source) -> Self:
        """Read and clean `data`, and make a network that fits them; the first half of `fit`.

        Raises:
            DataError: the data cannot be used; the message names the row or the column.
            FileNotFoundError: there is no such file.
        """
        self._prepared, self._source = prepare(data, self.config), data
        self._fitted = self._prepared.preprocessing
        self.config = self._fitted.config
        # The same seed makes the same network, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            self.network = ForecastNetwork(self._fitted)
        return self

    def fit(
        self,
        data: Source,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on all of `data` before the test part.

        Args:
            data: path of a CSV or Parquet file, or a polars or pandas frame.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: told of each step.

        Raises:
            DataError: the data cannot be used; the message names the row or the column.
            FileNotFoundError: there is no such file.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        self.prepare(data)
        return self.train(directory=directory, resume=resume, progress=progress)

    def train(
        self,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the data of `prepare`; the second half of `fit`, with the same arguments."""
        task = ForecastTask(self.network, self.prepared, self.training.seed)
        self.history = train(
            task, self.training, directory=directory, resume=resume, progress=progress
        )
        split = self.prepared.split
        self._held_out_from = self._time_at(self.prepared, split.test if split else 0)
        self._baselines = Baselines.fit(self.prepared)
        self._calibrate()
        return self

    def predict(self, data: Source | None = None) -> pl.DataFrame:
        """Forecast the horizon after the last observation of each series.

        Args:
            data: the history to forecast from, at its end rows of the future where covariates are
                known ahead; by default the data of `fit`.

        Returns:
            A row for each series and step: series (where there are several), time, and a column
            for each quantile, named `q10`, `q50`, ….

        Raises:
            DataError: a series is unknown or too short, or a known covariate is missing.
        """
        prepared = prepare_new(self._or_fitted(data), self._fitted, future=True)
        origins = forecast_origins(prepared)
        forecast = self._forecast(prepared, origins)
        rows = _ahead(origins, self.config.horizon)
        times = prepared.panel.grid.to_series(prepared.panel.times[rows.ravel()], self.config.time)
        columns: list[pl.Series] = [times]
        if self.config.series is not None:
            names = np.repeat(prepared.panel.series, self.config.horizon)
            columns.insert(0, pl.Series(self.config.series, names))
        for place, quantile in enumerate(self.config.quantiles):
            columns.append(pl.Series(f"q{100 * quantile:g}", forecast[..., place].ravel()))
        return pl.DataFrame(columns)

    def score(self, data: Source | None = None) -> Evaluation:
        """Compare walk-forward forecasts of the test part with the truth and the baselines.

        Args:
            data: what to score on, from where the training data end; by default the data of `fit`.

        Raises:
            DataError: no whole horizon lies after the training data.
        """
        if data is None:
            return self._evaluate(self.prepared, held_out_origins(self.prepared))
        return self.backtest(data, start=self._held_out_from)

    def backtest(
        self,
        data: Source,
        *,
        start: str | datetime | int | None = None,
        end: str | datetime | int | None = None,
        stride: int | None = None,
    ) -> Evaluation:
        """Score forecasts of any windows; those that overlap the training data are counted.

        Args:
            data: what to score on.
            start: time of the first step forecast; by default as early as the history allows.
            end: no forecast reaches beyond; by default the end of the data.
            stride: steps from one forecast to the next; by default that of `config`.

        Raises:
            DataError: no window lies between `start` and `end`.
            ConfigurationError: `start` or `end` is no time.
        """
        prepared = prepare_new(data, self._fitted, future=False)
        ticks = prepared.panel.ticks
        begin = self.config.history or 1
        begin += int(ticks.min())
        if start is not None:
            begin = max(begin, self._tick(prepared, start, "start"))
        stop = int(ticks.max()) + 1
        if end is not None:
            stop = min(stop, self._tick(prepared, end, "end", after=True))
        return self._evaluate(
            prepared, walk_forward(prepared, begin, stop, stride or self.config.stride)
        )

    def probe(self, data: Source | None = None) -> Probe:
        """Offer the network to `gated.explain`, on windows that it was not trained on.

        Args:
            data: where windows are taken from, after the end of the training data; all are, where
                nothing comes after it. By default the data of `fit`.

        Raises:
            DataError: no whole window lies in the data.
        """
        prepared = prepare_new(self._or_fitted(data), self._fitted, future=False)
        ticks = prepared.panel.ticks
        for begin in (self._tick(prepared, self._held_out_from, "held_out_from"), int(ticks.min())):
            origins = walk_forward(prepared, begin, int(ticks.max()) + 1, 1)
            if len(origins):
                return forecast_probe(self.network, prepared, origins)
        raise DataError(
            f"There is nothing to look into: no window of {self.config.history} steps of history "
            f"and {self.config.horizon} steps to forecast lies in the data."
        )

    def windows_after_training(self, data: Source) -> tuple[Prepared, Integers]:
        """Every window of `data` whose forecast lies after the training data.

        Returns:
            The prepared data, and the rows `(N,)` of the last known step of each window, in order.

        Raises:
            DataError: there is none.
        """
        prepared = prepare_new(data, self._fitted, future=False)
        begin = self._tick(prepared, self._held_out_from, "start")
        origins = walk_forward(prepared, begin, int(prepared.panel.ticks.max()) + 1, 1)
        if not len(origins):
            raise self._no_window()
        return prepared, origins

    def in_unit(self, scaled: Tensor, which: Integers) -> Floats:
        """Return what the network gave, calibrated and in the unit of the target.

        Args:
            scaled: `(horizon, B, Q)`.
            which: `(B,)`, of the fitted series, that each window is of.

        Returns:
            `(B, horizon, Q)`.
        """
        quantiles = scaled.transpose(0, 1).double().cpu().numpy()
        forecast = self._fitted.target.invert(quantiles, which[:, None, None])
        return spread(forecast, self._spread, self.config.quantiles)

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights, and the history."""
        save_model(
            Path(directory),
            self.network,
            {
                "task": TASK,
                "preprocessing": json_values(self._fitted),
                "training": self.training.to_dict(),
                "spread": self._spread.tolist(),
                "held_out_from": self._held_out_from,
                "baselines": json_values(self._baselines),
            },
        )

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelFileError: there is no model of this kind, or it is damaged.
        """
        weights, description = load_model(Path(directory), TASK)
        try:
            fitted = from_json_values(Preprocessing, description["preprocessing"])
            forecaster = cls(fitted.config, TrainingOptions.from_dict(description["training"]))
            forecaster._fitted = fitted
            forecaster._spread = np.array(description["spread"], float)
            forecaster._held_out_from = int(description["held_out_from"])
            forecaster._baselines = from_json_values(Baselines, description["baselines"])
            forecaster.network = ForecastNetwork(fitted)
            forecaster.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        forecaster.network.eval()
        return forecaster

    def _or_fitted(self, data: Source | None) -> Source:
        """Return `data`, by default those of `fit`."""
        source = self._source if data is None else data
        if source is None:
            raise DataError(NO_DATA)
        return source

    def _calibrate(self) -> None:
        self._spread = np.ones(len(self.config.quantiles))
        origins = thinned(validation_origins(self.prepared, stride=1), MOST_CALIBRATED)
        if len(origins):
            truth = _truth(self.prepared, origins, self.config.horizon)
            forecast = self._forecast(self.prepared, origins)
            self._spread = spread_factors(forecast, truth, self.config.quantiles)

    @torch.no_grad()
    def _forecast(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the unit of the target."""
        self.network.eval()
        device = next(self.network.parameters()).device
        parts = []
        for some in chunks(origins):
            batch = Batch.of(gather(prepared, some))
            scaled = self.network(Batch(*(tensor.to(device) for tensor in batch)))
            parts.append(self.in_unit(scaled, prepared.series_of[some]))
        return np.concatenate(parts)

    def _evaluate(self, prepared: Prepared, origins: Integers) -> Evaluation:
        if not len(origins):
            raise self._no_window()
        panel, rows = prepared.panel, _ahead(origins, self.config.horizon)
        forecasts = Forecasts(
            series=tuple(self._fitted.series[s] for s in prepared.series_of[origins]),
            times=self._fitted.grid.stamps(panel.times[rows]),
            truth=_truth(prepared, origins, self.config.horizon),
            quantiles=self.config.quantiles,
            methods={
                self.config.cell.upper(): self._forecast(prepared, origins),
                **self._baselines.forecast(prepared, origins),
            },
            scales=self._baselines.scales[prepared.series_of[origins]],
            observed=self._observed(prepared, origins),
        )
        seen = panel.times[rows[:, 0]] < self._held_out_from
        return evaluate(forecasts, self.config.target, overlap=int(seen.sum()))

    def _no_window(self) -> DataError:
        return DataError(
            f"There is nothing to score: no window of {self.config.history} steps of history "
            f"and {self.config.horizon} steps to forecast lies in the time asked for (the model "
            f"was trained on what came before {self._label(self._held_out_from)})."
        )

    def _observed(self, prepared: Prepared, origins: Integers) -> tuple[Observed, ...]:
        """What was observed from one history before the first window to the end of the last."""
        panel = prepared.panel
        series_of = panel.series_of[origins]
        observed = []
        for s in np.unique(series_of):
            own = origins[series_of == s]
            around = slice(
                max(own.min() - (self.config.history or 1) + 1, panel.starts[s]),
                own.max() + self.config.horizon + 1,
            )
            observed.append(
                Observed(
                    series=panel.series[s],
                    times=self._fitted.grid.stamps(panel.times[around]),
                    values=panel.target[around],
                )
            )
        return tuple(observed)

    def _label(self, time: int) -> str:
        return self._fitted.grid.label(time)

    def _time_at(self, prepared: Prepared, tick: int) -> int:
        """Time of the first step at `tick` or later."""
        panel = prepared.panel
        later = panel.times[panel.ticks >= tick]
        return int(later.min()) if len(later) else int(panel.times.max()) + 1

    def _tick(
        self, prepared: Prepared, time: str | datetime | int, name: str, *, after: bool = False
    ) -> int:
        """First tick at `time` or later; with `after`, the first one later than it."""
        if not isinstance(time, int):
            time = self._fitted.grid.parse(time, name)
        panel = prepared.panel
        later = panel.ticks[panel.times > time if after else panel.times >= time]
        return int(later.min()) if len(later) else int(panel.ticks.max()) + 1


def _ahead(origins: Integers, horizon: int) -> Integers:
    """Rows `(N, horizon)` of the steps after `origins`."""
    return origins[:, None] + np.arange(1, horizon + 1)


def _truth(prepared: Prepared, origins: Integers, horizon: int) -> Floats:
    return prepared.panel.target[_ahead(origins, horizon)]
