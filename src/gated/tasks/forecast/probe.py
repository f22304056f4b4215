"""The network, windows of the data and their times, for `gated.explain`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gated.explain import Probe, Timeline
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.network import Batch, ForecastNetwork
from gated.tasks.forecast.task import thinned
from gated.tasks.forecast.windows import gather, padded

MOST_DRAWN, MOST_COUNTED = 16, 256
"""Windows that can be drawn, and windows that statistics go over; evenly chosen."""


def forecast_probe(
    network: ForecastNetwork, prepared: Prepared, origins: Integers, note: str = ""
) -> Probe:
    """Return the network and windows of a prepared panel for `gated.explain`.

    Args:
        network: trained on data like these.
        prepared: the data.
        origins: `(N,)` rows of the last known steps; some of them are chosen.
        note: what is said of the network first.
    """
    config, panel = prepared.preprocessing.config, prepared.panel
    whole = origins[~padded(prepared, origins)]
    origins = whole if len(whole) else origins
    drawn = thinned(origins, MOST_DRAWN)
    others = np.setdiff1d(thinned(origins, MOST_COUNTED), drawn)
    batches = [Batch.of(gather(prepared, rows)) for rows in (drawn, others) if len(rows)]

    return Probe(
        title=f"{config.cell.upper()} that forecasts {config.target_name}, {config.horizon} "
        "steps ahead",
        model=network,
        # A pair with None, as a batch of several tensors is a tuple itself.
        batches=[(batch, None) for batch in batches],
        sequences=[panel.label(int(row)) for row in drawn],
        timelines={
            "encoder": _read(prepared, drawn),
            "decoder": _forecast(network, prepared, batches[0], drawn),
        },
        loss=lambda outputs: network.distribution.mean_loss(outputs, batches[0]),
        note=note,
    )


def _read(prepared: Prepared, origins: Integers) -> list[Timeline]:
    history = prepared.preprocessing.config.history or 1
    first = prepared.panel.starts[prepared.panel.series_of[origins]]
    windows = np.maximum(origins[:, None] + np.arange(1 - history, 1), first[:, None])
    return [_timeline(prepared, rows, {}) for rows in windows]


@torch.no_grad()
def _forecast(
    network: ForecastNetwork, prepared: Prepared, batch: Batch, origins: Integers
) -> list[Timeline]:
    fitted = prepared.preprocessing
    network.eval()
    median = network(batch)[..., network.middle].T.double().numpy()
    forecast = prepared.unscaled(median, origins)
    windows = prepared.ahead(origins)
    return [
        _timeline(prepared, rows, {f"{fitted.config.target_name} forecast": of})
        for rows, of in zip(windows, forecast, strict=True)
    ]


def _timeline(prepared: Prepared, rows: Integers, beside: dict[str, Any]) -> Timeline:
    fitted, panel = prepared.preprocessing, prepared.panel
    return Timeline(
        labels=fitted.grid.stamps(panel.times[rows]),
        unit=f"steps of {fitted.grid.every}" if fitted.grid.every != "row" else "rows",
        signals={fitted.config.target_name: prepared.filled[rows], **beside},
    )
