"""The file of a series: its prepared rows, and what differs between the windows over them.

A safetensors file, deflated. Rows that windows share are in it once. All arrays are 32-bit floats;
those of many rows or windows have these last, so that what repeats is packed tightly.

Shapes: R rows from the first step of the first history to the last step of the last horizon, Z
rows that begin before these by the longest season, N windows, I input features, K columns of
categories, Q quantiles, F steps of the horizon.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from gated.errors import require
from gated.model_files import Arrays
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.outlook import Around
from gated.tasks.forecast.panel import Floats


@dataclass(frozen=True)
class SeriesFile:
    """Windows of one series."""

    forecaster: Forecaster
    prepared: Prepared
    origins: Integers
    """`(N,)` rows of the panel: the last known step of each window."""
    around: Around
    """Of these windows and others."""
    which: slice
    """The places of these windows among those of `around`."""

    @property
    def packed(self) -> bytes:
        """The deflated file."""
        metadata = {"labels": json.dumps(labels(self.prepared, self._rows), ensure_ascii=False)}
        return zlib.compress(safetensors_file(self.arrays, metadata), 9)

    @property
    def arrays(self) -> Arrays:
        """What is in the file, by name."""
        prepared, origins, rows = self.prepared, self.origins, self._rows
        config, network = self.forecaster.config, self.forecaster.first_network
        first = prepared.panel.starts[prepared.panel.series_of[origins[0]]]
        begin = max(first, rows[0] - max(config.seasons, default=0))
        target, rescale, shift = self._target(np.arange(begin, rows[-1] + 1))
        series = int(prepared.series_of[origins[0]])
        trust = network.trust_unseen if series < 0 and config.static else network.trust
        embedding = network.series.weight.detach().cpu().numpy()
        location, scale = prepared.scaling_at(origins)
        around, which = self.around, self.which
        arrays = {
            "target": target,  # (Z,), scaled
            "rescale": rescale,  # (N,), by what a window multiplies it,
            "shift": shift,  # (N,), and what it adds
            "inputs": prepared.inputs[rows, 1:].T,  # (I - 1, R)
            "codes": prepared.categories[rows].T,  # (K, R)
            "observed": prepared.panel.target[rows],  # (R,), in the target's unit
            "origins": origins - rows[0],  # (N,)
            "smooth": prepared.smoothly(origins),  # (F, N)
            "location": location,  # (N,)
            "scale": scale,  # (N,)
            "series": embedding.mean(0) if series < 0 else embedding[series],
            "remainder": prepared.remainder(origins[:1]),  # (1,)
            "trust": np.array([float(trust)]),
            "least": around.least[which][:1, 0, 0],  # (1,)
            "share": around.share[which],  # (N,)
            "rest": np.moveaxis(around.rest[which], 0, -1),  # (F, Q, N)
            "borrowed": np.moveaxis(around.borrowed[which], 0, -1),  # (F, Q, N)
            "factors": around.factors[which].T,  # (Q, N)
        }
        return {name: np.ascontiguousarray(of, np.float32) for name, of in arrays.items()}

    @property
    def _rows(self) -> Integers:
        config = self.forecaster.config
        history = config.history or 1
        return np.arange(self.origins[0] - history + 1, self.origins[-1] + config.horizon + 1)

    def _target(self, rows: Integers) -> tuple[Floats, Floats, Floats]:
        """The scaled target at `rows`; and by what windows multiply it, and what they add.

        A series that training has not seen is scaled anew at each origin.
        """
        prepared, origins = self.prepared, self.origins
        if prepared.running is None:
            target = prepared.target[rows].astype(np.float64)
            return target, np.ones(len(origins)), np.zeros(len(origins))
        last = np.full(len(rows), origins[-1])
        location, scale = prepared.scaling_at(origins)
        target = prepared.scaled(prepared.filled[rows], last)
        return target, scale[-1] / scale, (location[-1] - location) / scale


def safetensors_file(arrays: Arrays, metadata: dict[str, str] | None = None) -> bytes:
    """Return arrays as a safetensors file."""
    safetensors = require("safetensors.numpy", extra="explore")
    ordered = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    file: bytes = safetensors.save(ordered, metadata)
    return file


def labels(prepared: Prepared, rows: Integers) -> tuple[str, ...]:
    """Return the time of each of the `rows`, as text."""
    panel = prepared.panel
    return tuple(map(_label, panel.grid.values(panel.times[rows])))


def _label(time: object) -> str:
    """Return a time as text, without seconds if they are zero."""
    if not isinstance(time, datetime):
        return str(time)
    return time.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
