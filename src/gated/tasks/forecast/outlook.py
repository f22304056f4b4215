"""What a fitted forecaster says of windows: network, partners, calibration, one after the other.

Windows are given by prepared data and `origins` `(N,)`, the row of the last known step of each.
Forecasts are `(N, horizon, Q)` in the unit of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import torch

from gated.errors import ConfigurationError, option
from gated.tasks.forecast.baselines import Baselines
from gated.tasks.forecast.calibration import Calibration, Floats, scaled_errors, spread
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.distributions import piecewise_linear, whole_numbers
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.mixture import mixed
from gated.tasks.forecast.network import Batch, Ensemble, ForecastNetwork
from gated.tasks.forecast.panel import first_tick
from gated.tasks.forecast.partners import beside
from gated.tasks.forecast.paths import Dependence, generators
from gated.tasks.forecast.preparation import Prepared
from gated.tasks.forecast.runtime_network import Network, runtime_network
from gated.tasks.forecast.targets import target_places
from gated.tasks.forecast.task import chunks, windows_batch
from gated.tasks.forecast.windows import gather, walk_forward

BatchOf = Callable[[Prepared, Integers], Batch]


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
class Outlook:
    """All that was fitted, and how it forecasts; see `Forecaster` for the attributes."""

    name: str
    network: ForecastNetwork | Ensemble
    config: ForecastConfig
    baselines: Baselines
    shares: Floats
    calibration: Calibration
    dependence: Dependence | None
    held_out_from: int

    @property
    def first_network(self) -> ForecastNetwork:
        """The network, or the first of several: what can be looked into."""
        return self.networks[0]

    @property
    def networks(self) -> list[ForecastNetwork]:
        """The network, or all of several."""
        network = self.network
        members = [*network.members] if isinstance(network, Ensemble) else [network]
        return cast(list[ForecastNetwork], members)

    def forecast(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the target's unit, calibrated by what is known then."""
        return self.calibrated(self.mixed(prepared, origins), prepared, origins)

    def mixed(self, prepared: Prepared, origins: Integers) -> Floats:
        """Forecast `(N, horizon, Q)` in the target's unit: network and partners together."""
        return mixed(self.parts(prepared, origins), self.shares, prepared, origins)

    def parts(
        self, prepared: Prepared, origins: Integers, batch_of: BatchOf = windows_batch
    ) -> dict[str, Floats]:
        """Forecasts `(N, horizon, Q)` in the unit of the target, the network's own first."""
        return self.beside(self.raw(prepared, origins, batch_of), prepared, origins)

    def beside(self, own: Floats, prepared: Prepared, origins: Integers) -> dict[str, Floats]:
        """Forecasts `(N, horizon, Q)` of the network and of its partners.

        Where the network's corrections of smoothing do not count, its name is that of smoothing.
        """
        partners = beside(own, self.config.partner or (), prepared, origins)
        trusted = any(of.trust > 0 or getattr(of, "trust_unseen", 0) > 0 for of in self.networks)
        return {f"{self.name} alone" if trusted else "smoothing alone": own} | partners

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

    @torch.no_grad()
    def raw(
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

    def paths(self, prepared: Prepared, origins: Integers, count: int, seed: int) -> Floats:
        """Draw `(N, count, horizon)` in the target's unit, as `Forecaster.sample_paths` does.

        The network's own distribution gives the shape. It is moved to the calibrated quantiles, in
        between and beyond on a line.
        """
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
        calibrated = self.widened(self.mixed(prepared, origins), prepared, origins)
        names = [panel.series[s] for s in panel.series_of[origins]]
        random = generators(seed, names, panel.times[origins].tolist())
        parts = [np.zeros((0, count, config.horizon))]
        for places in chunks(np.arange(len(origins))):
            drawn = np.stack([dependence.uniforms(count, random[place]).T for place in places])
            fixed = np.broadcast_to(known, (*drawn.shape[:2], len(known)))
            levels = np.concatenate([fixed, drawn], axis=-1)
            shape = self.raw(prepared, origins[places], levels=levels)
            knots, at = np.split(shape, [len(known)], axis=-1)
            values = piecewise_linear(at, knots, calibrated[places])
            least = self.least(prepared, origins[places])
            values = self._possible(values, least, whole=dependence.whole)
            parts.append(values.swapaxes(1, 2))
        return np.concatenate(parts)

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
        return self._possible(values, self.least(prepared, origins), whole=self.whole)

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
    def whole(self) -> bool:
        """Whether reported quantiles are whole numbers, as all that the training part holds are."""
        whole = self.dependence is not None and self.dependence.whole
        return whole or self.first_network.distribution.whole

    @property
    def middle(self) -> int:
        """The place of the median among the quantiles."""
        return self.config.quantiles.index(0.5)

    def _possible(self, values: Floats, least: Floats, *, whole: bool) -> Floats:
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
    """The same, whose network runs on the native core: for few windows, in half the time."""

    runtime: Network

    def raw(
        self,
        prepared: Prepared,
        origins: Integers,
        batch_of: BatchOf = windows_batch,
        levels: Floats | None = None,
    ) -> Floats:
        """Forecast `(N, horizon, Q)` in the unit of the target, as the network has it."""
        if batch_of is not windows_batch or levels is not None:
            return super().raw(prepared, origins, batch_of, levels)
        parts = [np.zeros((0, self.config.horizon, len(self.config.quantiles)))]
        for places in chunks(np.arange(len(origins))):
            some = origins[places]
            scaled = self.runtime.quantiles(gather(prepared, some)).astype(np.float64)
            parts.append(prepared.unscaled(scaled.swapaxes(0, 1), some))
        return np.concatenate(parts[len(parts) > 1 :])


def at_runtime(outlook: Outlook) -> Outlook:
    """Return what forecasts the same on the native core; quantiles of a distribution need torch."""
    config = outlook.config
    if config.distribution != "quantiles":
        return outlook
    state = outlook.network.state_dict()
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    network = runtime_network(weights, config.cell, config.layers, outlook.middle)
    given = {of.name: getattr(outlook, of.name) for of in fields(outlook)}
    return RuntimeOutlook(runtime=network, **given)
