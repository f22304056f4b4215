"""The learner of forecasts of one or many series."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import polars as pl
from torch import Tensor

from gated.data.bad_rows import Bad, BadRows
from gated.data.findings import Finding
from gated.data.raw_table import Source
from gated.errors import ConfigurationError, DataError, GatedError, ProgramError, option
from gated.explain import Probe
from gated.model_files import attached_file
from gated.tasks.forecast.baselines import Baselines
from gated.tasks.forecast.budget import FEWEST_STEPS, usual_budget
from gated.tasks.forecast.calibration import (
    FEW,
    Calibration,
    Floats,
    least_value,
)
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.distributions import check_target
from gated.tasks.forecast.fitted_outlook import FittedOutlook, at_runtime
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared, last_rows
from gated.tasks.forecast.live import LiveForecaster
from gated.tasks.forecast.live_state import identity_in, identity_of
from gated.tasks.forecast.mixture import choose_shares, choose_trust, trust
from gated.tasks.forecast.network import Ensemble, ForecastNetwork
from gated.tasks.forecast.outlook import check_learned
from gated.tasks.forecast.panel import Panel, first_tick
from gated.tasks.forecast.partners import (
    MOST_REFITTED,
    are_refitted,
    demand_partners,
    usual_shares,
)
from gated.tasks.forecast.paths import Dependence, normal_scores, smoothing_scores
from gated.tasks.forecast.predictions import forecast_table, paths_table
from gated.tasks.forecast.preparation import continued, prepare, prepare_new
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.probe import forecast_probe
from gated.tasks.forecast.runtime import PAST, check_version
from gated.tasks.forecast.score import (
    Evaluation,
    Forecasts,
    Observed,
    evaluate,
)
from gated.tasks.forecast.stacking import mixed
from gated.tasks.forecast.targets import TARGET, target_places, told_apart
from gated.tasks.forecast.task import (
    ForecastTask,
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
from gated.tasks.forecast.whole_numbers import are_whole, whole_numbers
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
MOST_KEPT = 1 << 26
"""Bytes of the last rows that a run keeps at most."""
NOT_TAKEN = ("trust", "series.")
"""Of the weights of `init_from`, where the series are others."""


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
    _past: bytes | None = None
    """The state of a live forecaster that the run of `load` keeps."""

    @property
    def outlook(self) -> FittedOutlook:
        """What is fitted, as it is now."""
        return FittedOutlook(
            name=self.name,
            network=self.network,
            config=self.config,
            baselines=self.baselines,
            shares=self.shares,
            calibration=self.calibration,
            dependence=self.dependence,
            held_out_from=self.held_out_from,
        )

    @property
    def first_network(self) -> ForecastNetwork:
        """The network, or the first of several: what can be looked into."""
        return self.outlook.first_network

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
            f"{'' if network.trust else ' With 0% the network moves no median.'}"
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
        check_version(directory, description)
        learner = super().load(directory, **given)
        if kept := attached_file(Path(directory), PAST):
            learner._past = kept.read_bytes()
        return learner

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
        check_learned(
            self.config,
            len(self.preprocessing.series),
            calibration=self.calibration,
            baselines=self.baselines,
            shares=self.shares,
            dependence=self.dependence,
        )

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

    def program(self) -> dict[str, Any]:
        """Raise `ProgramError`: forecasts take more than a network."""
        raise ProgramError(
            "a forecaster takes more than a network: gated.load(RUN) takes rows as they come, and "
            "gated serve RUN does so over HTTP"
        )

    def live(self, data: Source | None = None) -> LiveForecaster:
        """Return a forecaster that takes rows as they come; see `LiveForecaster`.

        Args:
            data: the past to begin with, as `LiveForecaster.update` takes it; by default none.

        Raises:
            DataError: a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        weights = {
            name: tensor.detach().cpu().numpy()
            for name, tensor in self.network.state_dict().items()
        }
        identity = identity_of(weights, self.preprocessing)
        live = LiveForecaster(at_runtime(self.outlook), self.preprocessing, identity)
        if data is not None:
            live.update(data)
        return live

    def attached(self) -> dict[str, bytes]:
        """The state of a live forecaster after the data of `fit`, unless `no_keep_rows` is set.

        Of a forecaster that was loaded, that of its run.
        """
        if self.config.no_keep_rows:
            return {}
        if self._parts is None:
            past = self._past
            known = past is not None and identity_in(past) == self.live().identity
            return {PAST: past} if past is not None and known else {}
        if not hasattr(self, "history"):  # of a network that has not learned yet
            return {}
        live = self.live()
        try:
            live.take(_observed_part(self.prepared.panel, self.preprocessing))
            state = live.state()
            why = f"they take {len(state) / 1e6:,.0f} MB, more than {MOST_KEPT / 1e6:,.0f}"
        except GatedError as error:  # a trained network is saved all the same
            state, why = b"", str(error)
        if state and len(state) <= MOST_KEPT:
            return {PAST: state}
        self.findings += (
            Finding(
                kind="past",
                count=len(live.series),
                what=f"series whose last rows are not kept: {why}",
                action="forecasts without the table begin with the rows that they are given",
            ),
        )
        return {}

    def new_task(self) -> ForecastTask:
        """Return the training task on windows of the training part."""
        return ForecastTask(self.network, self.prepared, self.seed)

    def settle(self) -> None:
        """Set shares and intervals on the validation part, and say where it is too short."""
        held, config = self.parts.validation, self.config
        prepared, panel = held.prepared, held.prepared.panel
        origins = _drawn(held.origins)
        truth = prepared.truth(origins)
        if len(origins):

            def medians() -> Floats:
                return self.outlook.raw(prepared, origins, held_out_batch)[..., self.outlook.middle]

            choose_trust(self.network, medians, truth, prepared, origins)
        elif config.validation:
            trust(self.network, 0.0)  # nothing that could be held out vouches for the network
        if prepared.pieces is not None:
            self._choose_trust_of_unseen(prepared.pieces)
        if are_refitted(config.partner or ()):
            origins = _drawn(origins, MOST_REFITTED)
            truth = prepared.truth(origins)
        forecasts = self.outlook.parts(prepared, origins, held_out_batch)
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
            whole=self.outlook.whole,
        )
        # Forecast rows that overlapping windows share are counted once.
        rows = np.unique(prepared.ahead(held.origins))
        series = max(len(np.unique(panel.series_of[rows])), 1)
        windows = len(rows) / config.horizon / series**0.5
        self.calibration = replace(self._uncalibrated(prepared), windows=windows)
        if windows:
            together = mixed(forecasts, self.shares, prepared, origins)
            errors = self.outlook.errors(prepared, origins, together)
            self.calibration = Calibration.of(
                errors, windows, self.calibration.borrowed, self.calibration.at_least
            )
            error = prepared.truth(origins) - together[..., self.outlook.middle]
            distances = self.outlook.distances(together, prepared, origins)
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
        forecasts = self.outlook.parts(pieces, origins, held_out_batch)
        together = mixed(forecasts, self.shares, pieces, origins)
        errors = self.outlook.errors(pieces, origins, together)
        independent = len(np.unique(pieces.panel.series_of[origins])) ** 0.5
        return Calibration.of(errors, independent, self.calibration.borrowed, None)

    def scored(self, data: PreparedWindows, known: Parts[PreparedWindows] | None) -> Evaluation:
        """Compare walk-forward forecasts with the observed values and the baselines."""
        prepared, origins = data.prepared, data.origins
        panel, rows = prepared.panel, prepared.ahead(origins)
        least = self.outlook.least(prepared, origins)
        baselines = self.baselines.forecast(prepared, origins)
        alone = self.outlook.parts(prepared, origins)
        together = mixed(alone, self.shares, prepared, origins)
        forecasts = Forecasts(
            series=tuple(panel.series[s] for s in panel.series_of[origins]),
            times=self.preprocessing.grid.stamps(panel.times[rows]),
            truth=prepared.truth(origins),
            quantiles=self.config.quantiles,
            methods={
                self.name: self.outlook.calibrated(together, prepared, origins),
                **{name: np.maximum(of, least) for name, of in baselines.items()},
            },
            scales=np.append(self.baselines.scales, np.nan)[prepared.series_of[origins]],
            observed=self._observed(prepared, origins),
            targets=_targets_of(prepared, origins),
        )
        seen = panel.times[rows[:, 0]] < self.held_out_from
        credit = self.outlook.credit(prepared, origins)
        evaluation = evaluate(forecasts, self.config.target_name, int(seen.sum()), credit)
        if len(alone) == 1 or np.isnan(forecasts.truth).all():
            return evaluation
        if self.outlook.whole:
            alone = {name: whole_numbers(of) for name, of in alone.items()}
        return evaluation.with_parts(alone, self.shares[prepared.series_of[origins]])

    def predicted(self, data: PreparedWindows) -> pl.DataFrame:
        """Return a row for each series and step of the horizon.

        The columns are series (where there are several), `target` (where there are several), time,
        and one for each quantile, named `q10`, `q50`, ….
        """
        prepared, origins = data.prepared, data.origins
        forecast = self.outlook.forecast(prepared, origins)
        rows = prepared.ahead(origins)
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
        panel, rows = prepared.panel, prepared.ahead(origins)
        paths = self.outlook.paths(prepared, origins, count, seed)
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
        rows = prepared.ahead(origins)
        return Forecasts(
            series=tuple(panel.series[s] for s in panel.series_of[origins]),
            times=self.preprocessing.grid.stamps(panel.times[rows]),
            truth=np.full(rows.shape, np.nan),
            quantiles=self.config.quantiles,
            methods={self.name: self.outlook.forecast(prepared, origins)},
            scales=np.full(len(origins), np.nan),
            observed=self._observed(prepared, origins),
            targets=_targets_of(prepared, origins),
        )

    def probed(self, data: PreparedWindows) -> Probe:
        """Return the network for `gated.explain`, on windows not trained on, if there are some."""
        said = self.outlook.credit(data.prepared, data.origins).sentence
        return forecast_probe(self.first_network, data.prepared, data.origins, said)

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
        return self.outlook.around(prepared, origins).forecast(own, self.config.quantiles)

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
        if start is not None and end is not None and self._tick(prepared, start, "start") >= stop:
            raise ConfigurationError(
                f"{option('start')} = {start} is not before {option('end')} = {end}."
            )
        origins = walk_forward(prepared, begin, stop, stride or self.config.stride)
        return PreparedWindows(prepared, origins)

    def _some(self, windows: PreparedWindows) -> PreparedWindows:
        if not len(windows):
            trained = f"what came before {self.preprocessing.grid.label(self.held_out_from)}"
            if self.config.test == 0:
                trained = f"all of its table, since {option('test')} was 0"
            raise DataError(
                f"There is no window of {self.config.history} steps of history and "
                f"{self.config.horizon} steps to forecast in the time asked for (the model was "
                f"trained on {trained})."
            )
        return windows

    def _dependence(
        self, prepared: Prepared, scores: Floats, series: Integers, windows: float
    ) -> Dependence:
        panel = prepared.panel
        trained = panel.target[panel.times < self.held_out_from]
        seen = trained[~np.isnan(trained)]
        return Dependence.of(scores, windows, whole=are_whole(seen), series=series)

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

    def _choose_trust_of_unseen(self, pieces: Prepared) -> None:
        """Set `trust_unseen` by pieces of series that are taken for series of their own."""
        some = _drawn(validation_origins(pieces, stride=1, settled=False))
        if len(some):

            def medians() -> Floats:
                return self.outlook.raw(pieces, some, held_out_batch)[..., self.outlook.middle]

            truth = pieces.truth(some)
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
        return first_tick(prepared.panel, time, after=after)


def _observed_part(panel: Panel, fitted: Preprocessing) -> Panel:
    """The rows up to the last value of each series, of several targets of any; others are plans.

    Of the columns those that a forecast reads.
    """
    several = fitted.config.targets if len(fitted.config.targets) > 1 else ()
    numbers = (*several, *fitted.number_columns)
    texts = (*((TARGET,) if several else ()), *fitted.text_columns)
    panel = replace(
        panel,
        numbers={name: panel.numbers[name] for name in numbers},
        codes={name: panel.codes[name] for name in texts},
        values={name: panel.values[name] for name in texts},
        static=tuple(name for name in panel.static if name in (*numbers, *texts)),
        findings=(),
    )
    names = np.array(told_apart(panel)[0])
    last = last_rows(panel)
    ticks = np.where(last < 0, panel.ticks[panel.starts[:-1]] - 1, panel.ticks[last])
    _, of = np.unique(names, return_inverse=True)
    ends = np.full(len(names), np.iinfo(np.int64).min)
    np.maximum.at(ends, of, ticks)
    lengths = np.diff(panel.starts)
    kept = panel.ticks <= np.repeat(ends[of], lengths)
    counts = np.add.reduceat(kept, panel.starts[:-1], dtype=np.int64)
    some = counts > 0
    starts = np.append(0, np.cumsum(counts[some]))
    return panel.taken(np.flatnonzero(kept), starts, np.array(panel.series)[some].tolist())


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
