"""The learner of forecasts of one or many series."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, cast

import numpy as np
import polars as pl
import torch
from torch import Tensor

from gated.configuration import demand_numbers
from gated.data.findings import Finding
from gated.data.manifest import Bad, BadRows
from gated.data.raw_table import Source
from gated.errors import ConfigurationError, DataError, ModelFileError, option
from gated.explain import Probe
from gated.tasks.forecast.baselines import Baselines
from gated.tasks.forecast.budget import FEWEST_STEPS, usual_budget
from gated.tasks.forecast.calibration import (
    FEW,
    Calibration,
    Floats,
    least_value,
    scaled_errors,
    spread,
)
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.distributions import check_target, piecewise_linear, whole_numbers
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.mixture import choose_shares, choose_trust, mixed, trust
from gated.tasks.forecast.network import Batch, Ensemble, ForecastNetwork
from gated.tasks.forecast.partners import (
    MOST_REFITTED,
    are_refitted,
    beside,
    demand_partners,
    usual_shares,
)
from gated.tasks.forecast.paths import (
    Dependence,
    generators,
    normal_scores,
    paths_table,
    smoothing_scores,
)
from gated.tasks.forecast.predictions import forecast_table
from gated.tasks.forecast.preparation import Prepared, continued, prepare, prepare_new
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.probe import forecast_probe
from gated.tasks.forecast.score import (
    Evaluation,
    Forecasts,
    Observed,
    evaluate,
)
from gated.tasks.forecast.targets import TARGET, target_places, told_apart
from gated.tasks.forecast.task import (
    ForecastTask,
    chunks,
    held_out_batch,
    windows_batch,
)
from gated.tasks.forecast.update import (
    HIGHEST_RATE,
    SHARE,
    Stretches,
    carried_over,
    held_out_again,
    times_of,
)
from gated.tasks.forecast.windows import (
    forecast_origins,
    held_out_origins,
    padded,
    training_origins,
    validation_origins,
    walk_forward,
)
from gated.tasks.learner import Learner, Parts, Purpose
from gated.training.model_files import load_model

MOST_CALIBRATED = 1024
"""Windows whose errors calibration looks at, drawn where there are more."""
NOT_TAKEN = ("trust", "series.")
"""Of the weights of `init_from`, where the series are others."""
BatchOf = Callable[[Prepared, Integers], Batch]


@dataclass(frozen=True)
class PreparedWindows:
    """Windows of prepared data, given by their origins."""

    prepared: Prepared
    origins: Integers
    """(N,), the row of the last known step of each, in order."""

    def __len__(self) -> int:
        return len(self.origins)


class Forecaster(Learner[ForecastConfig, PreparedWindows, Evaluation]):
    """Learns to forecast one or many series, from a table.

    Args:
        config: the columns, the windows, the network.
        training: how to train.

    Data are the path of a CSV, Parquet or sheet file, or a polars or pandas frame. After `fit` or
    `load`, options of `config` that were left to be found from the data are filled in.
    """

    task = "forecast"
    config_type = ForecastConfig
    learned = (
        *("preprocessing", "calibration", "held_out_from", "validated"),
        *("baselines", "shares", "dependence"),
    )
    adopts = (
        *("cell", "hidden", "layers", "distribution", "quantiles"),
        *("history", "season", "country", "members"),
    )
    does = "forecast a table of time series"
    data = (
        "CSV, Parquet or sheet file. To predict, the history; covariates known ahead stand in rows "
        "of the future, with an empty target."
    )
    made_of = "windows"

    network: ForecastNetwork | Ensemble
    preprocessing: Preprocessing
    calibration: Calibration
    """The width of the intervals, by the errors in the validation part."""
    held_out_from: int
    """Time of the first step of the test part, as the grid counts it."""
    validated: Stretches = ()
    """Times at which the stretches of the validation part begin and end."""
    baselines: Baselines
    shares: Floats
    """`(S + 1, M)`: how much the network and its partners count in each series, and, at the end, in
    series that training has not seen; see `stacking`."""
    dependence: Dependence | None = None
    """How the errors of the steps go together; None of a model of before there were paths."""

    @property
    def first_network(self) -> ForecastNetwork:
        """The network, or the first of several: what can be looked into."""
        network = self.network
        return (
            cast(ForecastNetwork, network.members[0]) if isinstance(network, Ensemble) else network
        )

    @property
    def chosen(self) -> str:
        """What the training part and the validation part chose, as a sentence."""
        smoothing, members = self.preprocessing.smoothing, self.config.members or 1
        seasons = ", ".join(f"{season:,}" for season in smoothing.seasons)
        network = self.first_network
        unseen = ""
        if self.config.static:
            unseen = f", and of series that training has not seen by {network.trust_unseen:.0%}"
        return (
            f"Chosen by the data: history of {self.config.history:,} steps; exponential smoothing "
            f"of {'logarithms' if smoothing.logs else 'values'} "
            f"{f'with seasons of {seasons} steps' if seasons else 'without a season'}; "
            f"{'one network' if members == 1 else f'the mean of {members} networks'}, whose "
            f"corrections of it count by {float(network.trust):.0%}{unseen}."
        )

    @property
    def prepared(self) -> Prepared:
        """The data of `fit`, cleaned and scaled; raises as `parts` does."""
        return self.parts.test.prepared

    @classmethod
    def load(cls, directory: Path | str, **given: Any) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelFileError: there is no forecaster, it is damaged, or an earlier version wrote it.
        """
        _, description = load_model(Path(directory), cls.task)
        learned, config = (description.get(name) for name in ("preprocessing", "config"))
        lacks = []
        if isinstance(learned, dict) and "smoothing" not in learned:
            lacks.append("exponential smoothing")
        if isinstance(config, dict) and isinstance(config.get("partner"), str):
            lacks.append("several partners")
        if lacks:
            raise ModelFileError(
                f"The model in {directory} was fitted by an earlier version of gated, without "
                f"{lacks[0]}. Fit it anew, or use the version that wrote it."
            )
        return super().load(directory, **given)

    def adopt(self) -> Self:
        """Take the options that belong to the weights of `init_from`, and the columns."""
        super().adopt()
        theirs: Preprocessing | None = self.adopted("preprocessing")
        if theirs:
            static = self.config.static or theirs.config.static
            other = {*static, *self.config.targets, *theirs.config.targets, TARGET}
            known = tuple(name for name in theirs.known_names if name not in other)
            past = (*theirs.past_numbers, *theirs.past_texts)
            past = tuple(name for name in past if name not in other)
            known, past = self.config.known or known, self.config.past or past
            self.config = replace(self.config, known=known, static=static, past=past)
        return self

    def split(self, source: Source, bad: BadRows) -> Parts[PreparedWindows]:
        """Read and clean a table, and split it by time; its end is the test part."""
        demand_partners(self.config.partner or ())
        theirs: Preprocessing | None = self.adopted("preprocessing")
        if self.config.continues and theirs is None:
            raise ConfigurationError(
                f"{option('continues')} goes with {option('init_from')}, the run to go on from."
            )
        prepared = prepare(source, self.config, theirs, bad)
        if self.config.continues and theirs:
            since, validated = self.adopted("held_out_from"), self.adopted("validated")
            prepared = held_out_again(prepared, theirs, since, validated or ())
        if theirs:
            # How far the run trusted its network was its own matter: with 0 nothing would train.
            new = ("trust",) if theirs.series == prepared.preprocessing.series else NOT_TAKEN
            members = range(prepared.preprocessing.config.members or 1)
            several = [f"members.{member}.{name}" for member in members for name in new]
            self.anew = (*new, *several)
        check_target(prepared.panel, self.config)
        self.preprocessing, self.findings = prepared.preprocessing, prepared.findings
        self.config = self.preprocessing.config
        split, panel = prepared.split, prepared.panel
        self.held_out_from = self._time_at(prepared, split.test if split else 0)
        self.validated = times_of(panel, split.validation if split else ())
        self.baselines = Baselines.fit(prepared)
        if self.config.partner is None:
            alone = prepared.preprocessing.reads_target_alone
            self.config = replace(self.config, partner=("pretrained",) if alone else ())
            self.preprocessing = replace(self.preprocessing, config=self.config)
        usual = usual_shares(self.config.partner or ())
        self.shares = np.tile(usual, (len(self.preprocessing.series) + 1, 1))
        self.calibration = self._uncalibrated(prepared)
        training = training_origins(prepared)
        # Until there are errors of the network.
        some, series = _drawn(training), prepared.panel.series_of
        scores = smoothing_scores(prepared, some)
        windows = len(training) / self.config.horizon / len(np.unique(series[some])) ** 0.5
        self.dependence = self._dependence(prepared, scores, series[some], windows)
        if not {"steps", "epochs", "minutes"} & self.training.given:
            steps, batch = usual_budget(self.training, len(training), self.config.horizon)
            if self.config.continues:
                steps = max(round(steps * SHARE), FEWEST_STEPS)
            self.training = replace(self.training, steps=steps, batch_size=batch)
        return Parts(
            PreparedWindows(prepared, training),
            PreparedWindows(prepared, validation_origins(prepared, stride=1)),
            PreparedWindows(prepared, held_out_origins(prepared)),
        )

    def read(self, source: Source, purpose: Purpose, bad: BadRows) -> PreparedWindows:
        """Read a table to forecast beyond its end, or its windows after the training data."""
        if purpose == "predict":
            prepared = prepare_new(source, self.preprocessing, future=True, bad=bad)
            self.findings = prepared.findings
            return PreparedWindows(prepared, forecast_origins(prepared))
        if purpose == "score":
            return self._some(self._windows(source, bad, start=self.held_out_from))
        after = self._windows(source, bad, start=self.held_out_from, stride=1)
        # Where nothing comes after the training data, any window will do to look into.
        return after if len(after) else self._some(self._windows(source, bad, stride=1))

    def check_test_part(self) -> None:
        """Check, before the training, that there is a window to score on, if any was asked for."""
        split = self.prepared.split
        if split is None or split.test < split.end:
            super().check_test_part()

    def check_learned(self) -> None:
        """Refuse a calibration and scales that do not match the quantiles and series."""
        config, series = self.config, len(self.preprocessing.series)
        quantiles = len(config.quantiles)
        self.calibration.check(quantiles)
        if self.calibration.borrowed not in self.baselines.offsets:
            raise DataError(f"There is no baseline '{self.calibration.borrowed}' to borrow from.")
        demand_numbers("A share", self.shares.ravel(), count=self.shares.size)
        if self.shares.shape != (series + 1, 1 + len(config.partner or ())):
            raise DataError(f"The shares of the forecasts are not of {series} series.")
        for offsets in self.baselines.offsets.values():
            demand_numbers("A baseline's offset", offsets.ravel(), count=config.horizon * quantiles)
        if len(self.baselines.scales) != series:
            raise DataError(f"The baselines' scales are not of {series} series.")
        if self.dependence is not None:
            self.dependence.check(config.horizon)

    def new_network(self) -> ForecastNetwork | Ensemble:
        """Make a network for the columns that the preprocessing gives."""
        one = (self.config.members or 1) == 1
        network = ForecastNetwork(self.preprocessing) if one else Ensemble(self.preprocessing)
        if self.config.continues and self.origin:
            weights, _ = load_model(self.origin.run, self.task)
            theirs: Preprocessing = self.adopted("preprocessing")
            carried_over(network, weights, self.preprocessing.series, theirs.series)
        return network

    def following(self, run: Path | str, **training: Any) -> Self:
        """Return a forecaster that `fit` makes go on from this one with new rows; see `update`.

        Args:
            run: where this one is saved.
            **training: options of the training that are not as they were. The budget is by default
                a third of that of a training from random weights.
        """
        kept = {of.name: getattr(self.training, of.name) for of in fields(self.training)}
        for name in ("steps", "epochs", "minutes", "goal"):
            del kept[name]
        kept |= {
            "init_from": Path(run),
            "learning_rate": min(self.training.learning_rate, HIGHEST_RATE),
        }
        options = type(self.training)(**kept | training)
        return type(self)(replace(self.config, continues=True), options)

    def update(self, data: Source, **training: Any) -> Self:
        """Return a forecaster that goes on from this one with new rows; this one stays as it is.

        Its weights are trained on, for few steps. Series that are known keep their scales, new ones
        get theirs; intervals and shares are set anew, and the test part is the end of the new data.

        Args:
            data: the table that this one was trained on, with the new rows: its data are not kept.
                Of the old rows at least history and horizon are needed.
            **training: options of the training that are not as they were.

        Raises:
            DataError: the table holds no new rows, or them alone; or as `fit`.
        """
        with TemporaryDirectory() as place:
            self.save(place)
            updated = self.following(place, **training).fit(data)
        updated.training = replace(updated.training, init_from=None, thaw_every=0)
        return updated

    def new_task(self) -> ForecastTask:
        """Return the training task on windows of the training part."""
        return ForecastTask(self.network, self.prepared, self.seed)

    def settle(self) -> None:
        """Set shares and intervals on the validation part, and say where it is too short."""
        held, config = self.parts.validation, self.config
        prepared, panel = held.prepared, held.prepared.panel
        origins = _drawn(held.origins)
        truth = _truth(prepared, origins, config.horizon)
        if len(origins):

            def medians() -> Floats:
                return self._raw(prepared, origins, held_out_batch)[..., self._middle]

            choose_trust(self.network, medians, truth, prepared, origins)
        elif config.validation:
            trust(self.network, 0.0)  # nothing that could be held out vouches for the network
        if prepared.pieces is not None:
            self._choose_trust_of_unseen(prepared.pieces)
        if are_refitted(config.partner or ()):
            origins = _drawn(origins, MOST_REFITTED)
            truth = _truth(prepared, origins, config.horizon)
        forecasts = self._raw_forecasts(prepared, origins, held_out_batch)
        own, *theirs = forecasts.values()
        unfitted = [(of == own).all(axis=(1, 2)).sum() for of in theirs]
        self.findings += tuple(
            Finding(
                kind="partner",
                count=int(count),
                what=f"validation windows that {name} could not be fitted to",
                action="the network's forecast stands in its place",
            )
            for name, count in zip(config.partner or (), unfitted, strict=True)
            if count
        )
        self.shares = choose_shares(
            forecasts,
            truth,
            self.baselines.scales,
            prepared,
            origins,
            held.origins,
            whole=self._whole,
        )
        # Forecast rows that overlapping windows share are counted once.
        rows = np.unique(_ahead(held.origins, config.horizon))
        series = max(len(np.unique(panel.series_of[rows])), 1)
        windows = len(rows) / config.horizon / series**0.5
        self.calibration = replace(self._uncalibrated(prepared), windows=windows)
        if windows:
            together = mixed(forecasts, self.shares, prepared, origins)
            errors = self._errors(prepared, origins, together)
            self.calibration = Calibration.of(
                errors, windows, self.calibration.borrowed, self.calibration.at_least
            )
            error = _truth(prepared, origins, config.horizon) - together[..., self._middle]
            distances = self._distances(together, prepared, origins)
            scores = normal_scores(error, distances, config.quantiles)
            which = panel.series_of[origins]
            self.dependence = self._dependence(prepared, scores, which, windows)
        if prepared.pieces is not None:
            unseen = self._uncertainty_of_unseen(prepared.pieces)
            self.calibration = replace(self.calibration, unseen=unseen)
        if windows < FEW and len(config.quantiles) > 1:
            self.findings += (
                Finding(
                    kind="calibration",
                    count=1,
                    what=f"{windows:.1f} independent validation windows to set the interval by",
                    action=f"{1 - self.calibration.own:.0%} of its width is that of "
                    f"{self.calibration.borrowed}",
                ),
            )

    def _uncertainty_of_unseen(self, pieces: Prepared) -> Calibration | None:
        """The calibration for series that training has not seen, by pieces taken as such."""
        origins = _drawn(validation_origins(pieces, stride=1, settled=False))
        if not len(origins):
            return None
        forecasts = self._raw_forecasts(pieces, origins, held_out_batch)
        together = mixed(forecasts, self.shares, pieces, origins)
        errors = self._errors(pieces, origins, together)
        independent = len(np.unique(pieces.panel.series_of[origins])) ** 0.5
        return Calibration.of(errors, independent, self.calibration.borrowed, None)

    def scored(self, data: PreparedWindows, known: Parts[PreparedWindows] | None) -> Evaluation:
        """Compare walk-forward forecasts with the observed values and the baselines."""
        prepared, origins = data.prepared, data.origins
        panel, rows = prepared.panel, _ahead(origins, self.config.horizon)
        least = self._least(prepared, origins)
        baselines = self.baselines.forecast(prepared, origins)
        alone = self._raw_forecasts(prepared, origins)
        together = mixed(alone, self.shares, prepared, origins)
        forecasts = Forecasts(
            series=tuple(panel.series[s] for s in panel.series_of[origins]),
            times=self.preprocessing.grid.stamps(panel.times[rows]),
            truth=_truth(prepared, origins, self.config.horizon),
            quantiles=self.config.quantiles,
            methods={
                self.name: self._calibrated(together, prepared, origins),
                **{name: np.maximum(of, least) for name, of in baselines.items()},
            },
            scales=np.append(self.baselines.scales, np.nan)[prepared.series_of[origins]],
            observed=self._observed(prepared, origins),
            targets=_targets_of(prepared, origins),
        )
        seen = panel.times[rows[:, 0]] < self.held_out_from
        evaluation = evaluate(forecasts, self.config.target_name, overlap=int(seen.sum()))
        if len(alone) == 1 or np.isnan(forecasts.truth).all():
            return evaluation
        if self._whole:
            alone = {name: whole_numbers(of) for name, of in alone.items()}
        return evaluation.with_parts(alone, self.shares[prepared.series_of[origins]])

    def predicted(self, data: PreparedWindows) -> pl.DataFrame:
        """Return a row for each series and step of the horizon.

        The columns are series (where there are several), `target` (where there are several), time,
        and one for each quantile, named `q10`, `q50`, ….
        """
        prepared, origins = data.prepared, data.origins
        forecast = self._forecast(prepared, origins)
        rows = _ahead(origins, self.config.horizon)
        panel = prepared.panel
        series, targets = told_apart(panel)
        times = panel.times[rows]
        return forecast_table(self.config, panel.grid, series, times, forecast, targets)

    def sample_paths(
        self, source: Source | None = None, count: int = 100, seed: int = 0
    ) -> pl.DataFrame:
        """Draw what may come after a table, by default that of `fit`: whole paths, for sums.

        Each step's values have the distribution of its forecast, and the steps go together as the
        errors in the validation part did. Paths of different series are independent.

        Args:
            source: what `predict` takes.
            count: paths of each series.
            seed: of the random numbers; those of a series do not depend on which others there are.

        Returns:
            A row for each series, path and step. The columns are series (where there are several),
            `target` (where there are several), time, `path`, counted from 0, and `value`.

        Raises:
            ConfigurationError: `count` is below 1, or the model has no interval to draw from.
            DataError: a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        if count < 1:
            raise ConfigurationError(f"{count} paths were asked for; there must be 1 or more.")
        data = self._asked(self._or_fitted(source), "predict")
        prepared, origins = data.prepared, data.origins
        panel, rows = prepared.panel, _ahead(origins, self.config.horizon)
        paths = self.paths_from(data, count, seed)
        names, _ = told_apart(panel)
        names = tuple(names[s] for s in panel.series_of[origins])
        targets = _targets_of(prepared, origins)
        return paths_table(self.config, panel.grid, names, panel.times[rows], paths, targets)

    def no_predictions(self) -> pl.DataFrame:
        """Return the table of `predicted`, without a row."""
        none = np.zeros((0, self.config.horizon))
        forecast = np.zeros((*none.shape, len(self.config.quantiles)))
        grid = self.preprocessing.grid
        return forecast_table(self.config, grid, (), none.astype(np.int64), forecast)

    def ahead(self, series: Collection[str]) -> Forecasts:
        """Forecast some series beyond the end of the data of `fit`: nothing is known there yet.

        Raises:
            DataError: a known column has no value there, or nothing was fitted here.
        """
        prepared = continued(self.prepared)
        panel, origins = prepared.panel, forecast_origins(prepared)
        origins = origins[[name in series for name in panel.series]]
        rows = _ahead(origins, self.config.horizon)
        return Forecasts(
            series=tuple(panel.series[s] for s in panel.series_of[origins]),
            times=self.preprocessing.grid.stamps(panel.times[rows]),
            truth=np.full(rows.shape, np.nan),
            quantiles=self.config.quantiles,
            methods={self.name: self._forecast(prepared, origins)},
            scales=np.full(len(origins), np.nan),
            observed=self._observed(prepared, origins),
            targets=_targets_of(prepared, origins),
        )

    def probed(self, data: PreparedWindows) -> Probe:
        """Return the network for `gated.explain`, on windows not trained on, if there are some."""
        return forecast_probe(self.first_network, data.prepared, data.origins)

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
            start: time of the first step forecast; by default the earliest after a full history.
            end: time by which every horizon ends; by default the end of the data.
            stride: steps from one forecast to the next; by default that of `config`.

        Raises:
            DataError: no window lies between `start` and `end`.
            ConfigurationError: `start` or `end` is not a time.
        """
        return self.scored(self._some(self._windows(data, self._bad(), start, end, stride)), None)

    def windows_after_training(self, data: Source) -> PreparedWindows:
        """Return every window of `data` whose forecast lies after the training data.

        Those whose history is padded are left out.

        Raises:
            DataError: there is none.
        """
        found = self._windows(data, self._bad(), start=self.held_out_from, stride=1)
        whole = found.origins[~padded(found.prepared, found.origins)]
        return self._some(PreparedWindows(found.prepared, whole))

    def in_unit(self, scaled: Tensor, prepared: Prepared, origins: Integers) -> Floats:
        """Return a forecast from the network's output, in the unit of the target, as for a score.

        Args:
            scaled: output of the network, `(horizon, B, size)`.
            prepared: the data of the windows.
            origins: `(B,)`, the row of the last known step of each window.

        Returns:
            `(B, horizon, Q)`.
        """
        quantiles = self.first_network.distribution.quantiles(
            scaled, windows_batch(prepared, origins)
        )
        own = prepared.unscaled(quantiles.transpose(0, 1).double().cpu().numpy(), origins)
        forecasts = self._with_partner(own, prepared, origins)
        return self._calibrated(mixed(forecasts, self.shares, prepared, origins), prepared, origins)

    def _windows(
        self,
        source: Source,
        bad: Bad,
        start: str | datetime | int | None = None,
        end: str | datetime | int | None = None,
        stride: int | None = None,
    ) -> PreparedWindows:
        """Return the windows of a table, as `backtest` takes them."""
        prepared = prepare_new(source, self.preprocessing, future=False, bad=bad)
        self.findings = prepared.findings
        ticks = prepared.panel.ticks
        begin = int(ticks.min()) + (self.config.history or 1)
        if start is not None:
            begin = max(begin, self._tick(prepared, start, "start"))
        stop = int(ticks.max()) + 1
        if end is not None:
            stop = min(stop, self._tick(prepared, end, "end", after=True))
        origins = walk_forward(prepared, begin, stop, stride or self.config.stride)
        return PreparedWindows(prepared, origins)

    def _some(self, windows: PreparedWindows) -> PreparedWindows:
        if not len(windows):
            trained = self.preprocessing.grid.label(self.held_out_from)
            raise DataError(
                f"There is no window of {self.config.history} steps of history and "
                f"{self.config.horizon} steps to forecast in the time asked for (the model was "
                f"trained on what came before {trained})."
            )
        return windows

    def _forecast(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the target's unit, calibrated by what is known then."""
        return self._calibrated(self._mixed(prepared, origins), prepared, origins)

    def _mixed(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the target's unit: network and partners together."""
        return mixed(self._raw_forecasts(prepared, origins), self.shares, prepared, origins)

    def _raw_forecasts(
        self, prepared: Prepared, origins: Integers, batch_of: BatchOf = windows_batch
    ) -> dict[str, Floats]:
        """Forecasts `(N, horizon, Q)` in the unit of the target, the network's own first."""
        return self._with_partner(self._raw(prepared, origins, batch_of), prepared, origins)

    def _with_partner(
        self, own: Floats, prepared: Prepared, origins: Integers
    ) -> dict[str, Floats]:
        """Forecasts `(N, horizon, Q)` of the network and of its partners."""
        partners = beside(own, self.config.partner or (), prepared, origins)
        return {f"{self.name} alone": own} | partners

    @torch.no_grad()
    def _raw(
        self,
        prepared: Prepared,
        origins: Integers,
        batch_of: BatchOf = windows_batch,
        levels: Floats | None = None,
    ) -> Floats:
        """Forecast `(N, horizon, Q)` in the unit of the target, as the network has it.

        With `levels` `(N, horizon, L)`, these in place of the quantiles.
        """
        self.network.eval()
        device = next(self.network.parameters()).device
        parts = [np.zeros((0, self.config.horizon, len(self.config.quantiles)))]
        for places in chunks(np.arange(len(origins))):
            some = origins[places]
            batch = Batch(*(tensor.to(device) for tensor in batch_of(prepared, some)))
            wanted = None if levels is None else levels[places].swapaxes(0, 1)
            scaled = self.network.quantiles(batch, wanted)
            quantiles = scaled.transpose(0, 1).double().cpu().numpy()
            parts.append(prepared.unscaled(quantiles, some))
        return np.concatenate(parts[len(parts) > 1 :])

    def paths_from(self, data: PreparedWindows, count: int, seed: int = 0) -> Floats:
        """Draw `(N, count, horizon)` in the target's unit from windows, as `sample_paths` does.

        The network's own distribution gives the shape. It is moved to the calibrated quantiles, in
        between and beyond on a line.
        """
        prepared, origins = data.prepared, data.origins
        panel, config, dependence = prepared.panel, self.config, self.dependence
        if dependence is None:
            raise ConfigurationError(
                "This forecaster was fitted by an earlier version of gated, and has not learned "
                "how the errors of its steps go together. Fit it anew to draw paths."
            )
        known = np.array(config.quantiles)
        if len(known) < 2:
            raise ConfigurationError(
                f"{option('quantiles')} of the model are {config.quantiles}: paths are drawn from "
                "an interval. Fit it with two or more."
            )
        calibrated = self._widened(self._mixed(prepared, origins), prepared, origins)
        names = [panel.series[s] for s in panel.series_of[origins]]
        random = generators(seed, names, panel.times[origins].tolist())
        parts = [np.zeros((0, count, config.horizon))]
        for places in chunks(np.arange(len(origins))):
            drawn = np.stack([dependence.uniforms(count, random[place]).T for place in places])
            fixed = np.broadcast_to(known, (*drawn.shape[:2], len(known)))
            levels = np.concatenate([fixed, drawn], axis=-1)
            shape = self._raw(prepared, origins[places], levels=levels)
            knots, at = np.split(shape, [len(known)], axis=-1)
            values = piecewise_linear(at, knots, calibrated[places])
            least = self._least(prepared, origins[places])
            values = self._possible(values, least, whole=dependence.whole)
            parts.append(values.swapaxes(1, 2))
        return np.concatenate(parts)

    def _distances(self, forecast: Floats, prepared: Prepared, origins: Integers) -> Floats:
        baseline = self.baselines.forecast(prepared, origins)[self.calibration.borrowed]
        return self.calibration.distances(forecast, baseline, self.config.quantiles)

    def _errors(self, prepared: Prepared, origins: Integers, forecast: Floats) -> Floats:
        """`(N, horizon, Q)`, see `scaled_errors`."""
        distances = self._distances(forecast, prepared, origins)
        truth = _truth(prepared, origins, self.config.horizon)
        quantiles = self.config.quantiles
        return scaled_errors(forecast, truth, distances, quantiles, whole=self._whole)

    def _calibrated(self, forecast: Floats, prepared: Prepared, origins: Integers) -> Floats:
        values, least = self._widened(forecast, prepared, origins), self._least(prepared, origins)
        return self._possible(values, least, whole=self._whole)

    def _widened(self, forecast: Floats, prepared: Prepared, origins: Integers) -> Floats:
        """The calibrated quantiles, before values that cannot be are made such that can."""
        distances = self._distances(forecast, prepared, origins)
        factors = self._factors(prepared, origins)[:, None]
        return spread(forecast, distances, factors, self.config.quantiles)

    def _possible(self, values: Floats, least: Floats, *, whole: bool) -> Floats:
        values = np.maximum(values, least)
        return whole_numbers(values) if whole else values

    @property
    def _whole(self) -> bool:
        """Whether reported quantiles are whole numbers, as all that the training part holds are."""
        whole = self.dependence is not None and self.dependence.whole
        return whole or self.first_network.distribution.whole

    @property
    def _middle(self) -> int:
        """The place of the median among the quantiles."""
        return self.config.quantiles.index(0.5)

    def _dependence(
        self, prepared: Prepared, scores: Floats, series: Integers, windows: float
    ) -> Dependence:
        panel = prepared.panel
        trained = panel.target[panel.times < self.held_out_from]
        seen = trained[~np.isnan(trained)]
        whole = bool(np.all(seen == np.round(seen)))
        return Dependence.of(scores, windows, whole=whole, series=series)

    def _factors(self, prepared: Prepared, origins: Integers) -> Floats:
        """`(N, Q)`, by the errors after the training that are known at each of `origins` `(N,)`.

        They are those of forecasts that begin one after the other when the training data end.
        """
        panel, config = prepared.panel, self.config
        start = self._tick(prepared, self.held_out_from, "start")
        # How many steps of the time after the training are known at each origin.
        known = np.maximum(panel.ticks[origins] + 1 - start, 0)
        steps = int(known.max(initial=0))
        named, places = np.unique(panel.series_of[origins], return_inverse=True)
        errors = np.full((len(named), steps, len(config.quantiles)), np.nan)
        made = walk_forward(prepared, start, start + steps + config.horizon, config.horizon)
        made = made[np.isin(panel.series_of[made], named)]
        if len(made):
            found = self._errors(prepared, made, self._mixed(prepared, made))
            when = panel.ticks[made][:, None] + np.arange(1, config.horizon + 1) - start
            row = np.searchsorted(named, panel.series_of[made])[:, None]
            inside = when < steps
            errors[np.broadcast_to(row, when.shape)[inside], when[inside]] = found[inside]
        factors = self.calibration.factors(errors, config.quantiles, config.horizon)
        at: Floats = factors[places, known]
        if self.calibration.unseen is not None:
            others = self.calibration.unseen.factors(errors, config.quantiles, config.horizon)
            unseen = prepared.series_of[origins] < 0
            at = np.where(unseen[:, None], others[places, known], at)
        return at

    def _uncalibrated(self, prepared: Prepared) -> Calibration:
        """The calibration before there are errors of the network."""
        panel, count = prepared.panel, len(self.config.targets)
        known = (panel.times < self.held_out_from) & ~np.isnan(panel.target)
        which = np.repeat(target_places(panel), np.diff(panel.starts))
        least = tuple(least_value(panel.target[known & (which == k)]) for k in range(count))
        return Calibration.of(
            np.zeros((0, self.config.horizon, len(self.config.quantiles))),
            windows=0.0,
            borrowed=self.baselines.narrowest,
            at_least=least if count > 1 else least[0],
        )

    def _least(self, prepared: Prepared, origins: Integers) -> Floats:
        """`(N, 1, 1)` the least value that a forecast can have, -∞ where there is none."""
        least = self.calibration.at_least
        each = least if isinstance(least, tuple) else (least,)
        bounds = np.array([-np.inf if value is None else value for value in each])
        at: Floats = bounds[target_places(prepared.panel)[prepared.panel.series_of[origins]]]
        return at[:, None, None]

    def _choose_trust_of_unseen(self, pieces: Prepared) -> None:
        """Set `trust_unseen` by pieces of series that are taken for series of their own."""
        some = _drawn(validation_origins(pieces, stride=1, settled=False))
        if len(some):

            def medians() -> Floats:
                return self._raw(pieces, some, held_out_batch)[..., self._middle]

            truth = _truth(pieces, some, self.config.horizon)
            choose_trust(self.network, medians, truth, pieces, some, "trust_unseen")
        elif self.config.validation:
            trust(self.network, 0.0, "trust_unseen")

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
                    times=self.preprocessing.grid.stamps(panel.times[around]),
                    values=panel.target[around],
                )
            )
        return tuple(observed)

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
            time = self.preprocessing.grid.parse(time, name)
        panel = prepared.panel
        later = panel.ticks[panel.times > time if after else panel.times >= time]
        return int(later.min()) if len(later) else int(panel.ticks.max()) + 1


def _ahead(origins: Integers, horizon: int) -> Integers:
    """Rows `(N, horizon)` of the steps after `origins`."""
    return origins[:, None] + np.arange(1, horizon + 1)


def _drawn(origins: Integers, most: int = MOST_CALIBRATED) -> Integers:
    """Return `origins`, or a random part where there are too many to forecast from."""
    if len(origins) <= most:
        return origins
    # Every k-th might be the same hour of the day.
    return np.sort(np.random.default_rng(0).choice(origins, most, replace=False))


def _targets_of(prepared: Prepared, origins: Integers) -> tuple[str, ...]:
    """`(N,)` what is forecast from each of `origins`, where there are several targets."""
    _, targets = told_apart(prepared.panel)
    return tuple(targets[s] for s in prepared.panel.series_of[origins]) if targets else ()


def _truth(prepared: Prepared, origins: Integers, horizon: int) -> Floats:
    return prepared.panel.target[_ahead(origins, horizon)]
