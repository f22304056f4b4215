"""What a forecaster in training, or one that is looked into, says of windows: with PyTorch.

Windows and shapes are those of `outlook`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import torch

from gated.errors import ConfigurationError, option
from gated.tasks.forecast.calibration import Floats, piecewise_linear
from gated.tasks.forecast.credit import Credit, credit_of
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.network import Batch, Ensemble, ForecastNetwork
from gated.tasks.forecast.outlook import Outlook, RuntimeOutlook
from gated.tasks.forecast.paths import generators
from gated.tasks.forecast.runtime_network import runtime_network
from gated.tasks.forecast.task import windows_batch
from gated.tasks.forecast.windows import chunks

BatchOf = Callable[[Prepared, Integers], Batch]


@dataclass(frozen=True, kw_only=True)
class FittedOutlook(Outlook):
    """All that was fitted, with the network in PyTorch."""

    network: ForecastNetwork | Ensemble

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

    @property
    def trusted(self) -> bool:
        """Whether the network's corrections of smoothing count."""
        return any(of.trust > 0 or getattr(of, "trust_unseen", 0) > 0 for of in self.networks)

    def credit(self, prepared: Prepared, origins: Integers) -> Credit:
        """How much the network counts in the medians of windows."""
        network, config, panel = self.first_network, self.config, prepared.panel
        trust = np.full(len(origins), float(network.trust))
        if config.static:
            unseen = prepared.series_of[origins] < 0
            trust[unseen] = float(network.trust_unseen)
        shares = self.shares[prepared.series_of[origins]]
        names = [self.name, *(config.partner or ())]
        return credit_of(
            self.name,
            [panel.series[s] for s in panel.series_of[origins]],
            trust * shares[:, 0],
            dict(zip(names, shares.T, strict=True)),
            own_width=self.calibration.own,
            interval=len(config.quantiles) > 1,
        )

    def parts(
        self, prepared: Prepared, origins: Integers, batch_of: BatchOf = windows_batch
    ) -> dict[str, Floats]:
        """Forecasts `(N, horizon, Q)` in the unit of the target, the network's own first."""
        return self.beside(self.raw(prepared, origins, batch_of), prepared, origins)

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
            values = self.possible(values, least, whole=dependence.whole)
            parts.append(values.swapaxes(1, 2))
        return np.concatenate(parts)


def at_runtime(outlook: FittedOutlook) -> Outlook:
    """Return what forecasts the same on the native core; quantiles of a distribution need torch."""
    config = outlook.config
    if config.distribution != "quantiles":
        return outlook
    state = outlook.network.state_dict()
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    network = runtime_network(weights, config.cell, config.layers, outlook.middle)
    given = {of.name: getattr(outlook, of.name) for of in fields(Outlook)}
    return RuntimeOutlook(runtime=network, **given)
