"""The network, smoothing and partners together: how much each counts, by the validation part.

Smoothing is moved by the network by a share of its correction, `ForecastNetwork.trust`; what comes
of it is added up with the forecasts of partners, in shares for each series (see `stacking`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from torch import nn

from gated.tasks.forecast.calibration import Floats
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.network import ForecastNetwork
from gated.tasks.forecast.partners import usual_shares
from gated.tasks.forecast.stacking import stacking_shares

TRUSTS = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Candidates of `ForecastNetwork.trust`."""
DOUBT = 0.5
"""Share of the error, divided by the number of independent windows, that full trust has to save."""


def choose_trust(
    network: nn.Module,
    forecast: Callable[[], Floats],
    truth: Floats,
    prepared: Prepared,
    origins: Integers,
    name: Literal["trust", "trust_unseen"] = "trust",
) -> None:
    """Set by how much the network moves the forecast of smoothing, by the validation part.

    Args:
        network: the network, or several of them.
        forecast: returns its medians `(N, horizon)` of the windows, in the unit of the target.
        truth: `(N, horizon)`, NaN where nothing was observed.
        prepared: the data of the windows.
        origins: `(N,)`, the row of the last known step of each window.
        name: of the share, which is another one for series that training has not seen.
    """
    errors = {}
    for share in TRUSTS:
        trust(network, share, name)
        scaled = prepared.scaled(forecast().T, origins) - prepared.scaled(truth.T, origins)
        errors[share] = float(np.nanmean(np.abs(scaled) / prepared.remainder(origins)))
    # Windows that overlap, or are of one time, say little more than one of them.
    times = len(np.unique(prepared.panel.ticks[origins]))
    independent = times / prepared.preprocessing.config.horizon
    if name == "trust_unseen":  # each piece is a series by itself
        independent = len(np.unique(prepared.panel.series_of[origins])) ** 0.5
    doubt = DOUBT * errors[0.0] / max(independent, 1)
    trust(network, min(errors, key=lambda share: errors[share] + doubt * share), name)


def trust(
    network: nn.Module, share: float, name: Literal["trust", "trust_unseen"] = "trust"
) -> None:
    """Let the network move the forecast of smoothing by this share of its correction.

    Until more is known of series that training has not seen, `trust` is theirs too.
    """
    for module in network.modules():
        if isinstance(module, ForecastNetwork):
            module.get_buffer(name).fill_(share)
            if name == "trust" and hasattr(module, "trust_unseen"):
                module.trust_unseen.fill_(share)


def choose_shares(
    forecasts: Mapping[str, Floats],
    truth: Floats,
    scales: Floats,
    prepared: Prepared,
    origins: Integers,
    held_out: Integers,
    *,
    whole: bool = False,
) -> Floats:
    """Return `(S + 1, M)`, how much the network and its partners count in each series.

    Args:
        forecasts: `(N, horizon, Q)` by part, `M` of them, of windows of the validation part.
        truth: `(N, horizon)`, NaN where nothing was observed.
        scales: `(S,)`, the unit of each series' errors; NaN where it has none.
        prepared: the data of the windows.
        origins: `(N,)`, the row of the last known step of each window.
        held_out: those of all windows of the validation part, from which these were drawn.
        whole: whether what is added up will be rounded.
    """
    config, count = prepared.preprocessing.config, len(scales)
    if len(forecasts) == 1:
        return np.ones((count + 1, 1))
    series = prepared.series_of[origins]
    usual = np.append(scales, np.nan)[series]
    # Windows of a series that overlap say as much as those, fewer, that do not.
    drawn, all_of = (
        np.bincount(of[of >= 0], minlength=count + 1)
        for of in (series, prepared.series_of[held_out])
    )
    return stacking_shares(
        list(forecasts.values()),
        truth,
        config.quantiles,
        scale=np.where(usual > 0, usual, 1),
        series=series,
        count=count + 1,
        windows=np.minimum(drawn, all_of / config.horizon),
        usual=usual_shares(list(forecasts)[1:]),
        whole=whole,
    )
