"""What a fitted forecaster says of windows: network, partners, calibration, one after the other.

Windows are given by prepared data and `origins` `(N,)`, the row of the last known step of each.
Forecasts are `(N, horizon, Q)` in the unit of the target.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gated.configuration import demand_numbers
from gated.errors import DataError
from gated.tasks.forecast.baselines import Baselines
from gated.tasks.forecast.calibration import (
    Calibration,
    Floats,
    scaled_errors,
    spread,
)
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.panel import first_tick
from gated.tasks.forecast.partners import beside
from gated.tasks.forecast.paths import Dependence
from gated.tasks.forecast.runtime_network import Network
from gated.tasks.forecast.stacking import mixed
from gated.tasks.forecast.targets import target_places
from gated.tasks.forecast.whole_numbers import whole_numbers
from gated.tasks.forecast.windows import chunks, gather, walk_forward

OF_COUNTS = ("negative-binomial",)
"""Distributions whose values are whole numbers."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """What is done with the network's own forecast of windows, none of which depends on it."""

    share: Floats
    """`(N,)`, how much it counts beside its partners; also in place of those without a forecast."""
    rest: Floats
    """`(N, horizon, Q)`, the partners' forecasts in their shares, added up."""
    own: float
    """Of a distance from the median, the share that is its own."""
    borrowed: Floats
    """`(N, horizon, Q)`, the rest of the distances, of a baseline."""
    factors: Floats
    """`(N, Q)`, by what distances are multiplied."""
    least: Floats
    """`(N, 1, 1)`, the least value that a forecast can have, -∞ where there is none."""
    whole: bool
    """Whether quantiles are rounded."""

    def forecast(self, own: Floats, quantiles: Sequence[float]) -> Floats:
        """Return the forecast that is shown, from the network's own; `(N, horizon, Q)` both."""
        mixed = self.share[:, None, None] * own + self.rest
        apart = np.abs(mixed - mixed[..., quantiles.index(0.5), None])
        distances = self.own * apart + self.borrowed
        values = spread(mixed, distances, self.factors[:, None], quantiles, self.least)
        return whole_numbers(values) if self.whole else values


@dataclass(frozen=True, kw_only=True)
class Outlook(ABC):
    """All that was fitted, and how it forecasts; see `Forecaster` for the attributes.

    What computes the network is a matter of `RuntimeOutlook` and of `FittedOutlook`.
    """

    name: str
    config: ForecastConfig
    baselines: Baselines
    shares: Floats
    calibration: Calibration
    dependence: Dependence | None
    held_out_from: int

    def forecast(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the target's unit, calibrated by what is known then."""
        return self.calibrated(self.mixed(prepared, origins), prepared, origins)

    def mixed(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the target's unit: network and partners together."""
        return mixed(self.parts(prepared, origins), self.shares, prepared, origins)

    @abstractmethod
    def raw(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the unit of the target, as the network has it."""

    @property
    @abstractmethod
    def trusted(self) -> bool:
        """Whether the network's corrections of smoothing count."""

    def parts(self, prepared: Prepared, origins: Integers) -> dict[str, Floats]:
        """Forecasts `(N, horizon, Q)` in the unit of the target, the network's own first."""
        return self.beside(self.raw(prepared, origins), prepared, origins)

    def beside(self, own: Floats, prepared: Prepared, origins: Integers) -> dict[str, Floats]:
        """Forecasts `(N, horizon, Q)` of the network and of its partners.

        Where the network's corrections of smoothing do not count, its name is that of smoothing.
        """
        partners = beside(own, self.config.partner or (), prepared, origins)
        return {f"{self.name} alone" if self.trusted else "smoothing alone": own} | partners

    def around(self, prepared: Prepared, origins: Integers) -> Around:
        """Return what is done with the network's own forecast, by what is known at the origins."""
        config, calibration = self.config, self.calibration
        none = np.full((len(origins), config.horizon, len(config.quantiles)), np.nan)
        parts = np.stack([*self.beside(none, prepared, origins).values()])
        absent = np.asarray(np.isnan(parts).any(axis=(2, 3)))
        shares = self.shares[prepared.series_of[origins]].T
        rest = np.where(absent[..., None, None], 0, parts) * shares[..., None, None]
        baseline = self.baselines.forecast(prepared, origins)[calibration.borrowed]
        return Around(
            share=(shares * absent).sum(0),
            rest=rest.sum(0),
            own=calibration.own,
            borrowed=calibration.distances(np.zeros_like(none), baseline, config.quantiles),
            factors=self._factors(prepared, origins),
            least=self.least(prepared, origins),
            whole=self.whole,
        )

    def errors(self, prepared: Prepared, origins: Integers, forecast: Floats) -> Floats:
        """`(N, horizon, Q)`, see `scaled_errors`."""
        distances = self.distances(forecast, prepared, origins)
        return self.errors_in(distances, forecast, prepared.truth(origins))

    def errors_in(self, distances: Floats, forecast: Floats, truth: Floats) -> Floats:
        """`(N, horizon, Q)` errors of forecasts of that shape in units `distances`."""
        quantiles = self.config.quantiles
        return scaled_errors(forecast, truth, distances, quantiles, whole=self.whole)

    def distances(self, forecast: Floats, prepared: Prepared, origins: Integers) -> Floats:
        """`(N, horizon, Q)` units of the calibration, see `Calibration.distances`."""
        baseline = self.baselines.forecast_by(self.calibration.borrowed, prepared, origins)
        return self.calibration.distances(forecast, baseline, self.config.quantiles)

    def calibrated(
        self,
        forecast: Floats,
        prepared: Prepared,
        origins: Integers,
        factors: Floats | None = None,
    ) -> Floats:
        """Quantiles of which as many values are below as they promise, and that can be.

        `factors` `(N, Q)` are on the distances from the median; by default by all later errors that
        the data hold.
        """
        values = self.widened(forecast, prepared, origins, factors)
        return self.possible(values, self.least(prepared, origins), whole=self.whole)

    def widened(
        self,
        forecast: Floats,
        prepared: Prepared,
        origins: Integers,
        factors: Floats | None = None,
    ) -> Floats:
        """The calibrated quantiles, before values that cannot be are made such that can."""
        distances = self.distances(forecast, prepared, origins)
        if factors is None:
            factors = self._factors(prepared, origins)
        return spread(forecast, distances, factors[:, None], self.config.quantiles)

    def least(self, prepared: Prepared, origins: Integers) -> Floats:
        """`(N, 1, 1)` the least value that a forecast can have, -∞ where there is none."""
        least = self.calibration.at_least
        each = least if isinstance(least, tuple) else (least,)
        bounds = np.array([-np.inf if value is None else value for value in each])
        at: Floats = bounds[target_places(prepared.panel)[prepared.panel.series_of[origins]]]
        return at[:, None, None]

    @property
    def least_of_one(self) -> float:
        """The least value that a forecast of the only target can have, -∞ where there is none."""
        least = self.calibration.at_least
        (value,) = least if isinstance(least, tuple) else (least,)
        return -np.inf if value is None else value

    @property
    def whole(self) -> bool:
        """Whether reported quantiles are whole numbers, as all that the training part holds are."""
        whole = self.dependence is not None and self.dependence.whole
        return whole or self.config.distribution in OF_COUNTS

    @property
    def middle(self) -> int:
        """The place of the median among the quantiles."""
        return self.config.quantiles.index(0.5)

    def possible(self, values: Floats, least: Floats, *, whole: bool) -> Floats:
        """Return values that can be: not below `least`, and whole numbers where all are."""
        values = np.maximum(values, least)
        return whole_numbers(values) if whole else values

    def _factors(self, prepared: Prepared, origins: Integers) -> Floats:
        """`(N, Q)`, by the errors after the training that are known at each of `origins` `(N,)`.

        They are those of forecasts that begin one after the other when the training data end.
        """
        panel, config = prepared.panel, self.config
        start = first_tick(prepared.panel, self.held_out_from)
        # How many steps of the time after the training are known at each origin.
        known = np.maximum(panel.ticks[origins] + 1 - start, 0)
        steps = int(known.max(initial=0))
        named, places = np.unique(panel.series_of[origins], return_inverse=True)
        errors = np.full((len(named), steps, len(config.quantiles)), np.nan)
        made = walk_forward(prepared, start, start + steps + config.horizon, config.horizon)
        made = made[np.isin(panel.series_of[made], named)]
        if len(made):
            found = self.errors(prepared, made, self.mixed(prepared, made))
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


@dataclass(frozen=True, kw_only=True)
class RuntimeOutlook(Outlook):
    """What forecasts with NumPy and the native core alone: for few windows, in half the time."""

    runtime: Network

    @property
    def trusted(self) -> bool:
        """Whether the network's corrections of smoothing count."""
        return self.runtime.trusted

    def raw(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the unit of the target, as the network has it."""
        parts = [np.zeros((0, self.config.horizon, len(self.config.quantiles)))]
        for places in chunks(np.arange(len(origins))):
            some = origins[places]
            scaled = self.runtime.quantiles(gather(prepared, some)).astype(np.float64)
            parts.append(prepared.unscaled(scaled.swapaxes(0, 1), some))
        return np.concatenate(parts[len(parts) > 1 :])


def check_learned(
    config: ForecastConfig,
    series: int,
    *,
    calibration: Calibration,
    baselines: Baselines,
    shares: Floats,
    dependence: Dependence | None,
) -> None:
    """Refuse what does not match the quantiles and the number of series; raises `DataError`."""
    quantiles = len(config.quantiles)
    calibration.check(quantiles)
    if calibration.borrowed not in baselines.offsets:
        raise DataError(f"There is no baseline '{calibration.borrowed}' to borrow from.")
    demand_numbers("A share", shares.ravel(), count=shares.size)
    if shares.shape != (series + 1, 1 + len(config.partner or ())):
        raise DataError(f"The shares of the forecasts are not of {series} series.")
    for offsets in baselines.offsets.values():
        demand_numbers("A baseline's offset", offsets.ravel(), count=config.horizon * quantiles)
    if len(baselines.scales) != series:
        raise DataError(f"The baselines' scales are not of {series} series.")
    if dependence is not None:
        dependence.check(config.horizon)
