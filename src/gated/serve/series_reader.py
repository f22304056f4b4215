"""The explorer's reader of time series: a forecaster on one window, its history and horizon.

The decoder's steps follow the encoder's, from its last state.

Shapes: T steps (history and horizon), Q quantiles, H hidden units, D distances.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.core.layout import Array
from gated.errors import ConfigurationError, ModelFileError
from gated.explain import Intervention, intervene, trace
from gated.serve.reading import MOMENTS, NAMES, Clamp, Exhibit, Passage, Reading, describe
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.network import Batch
from gated.tasks.forecast.preparation import Prepared
from gated.tasks.forecast.windows import gather

MOST_WINDOWS = 2_000
"""Windows of one series that the page offers at most: the last ones."""


@dataclass(frozen=True)
class Window:
    """One window to forecast."""

    row: int
    """Row of the panel with the last step of the history."""
    batch: Batch
    """The batch with this window alone."""


@dataclass(frozen=True)
class SeriesReader:
    """A `gated.serve.reading.Reader` of series: one layer of a forecaster."""

    forecaster: Forecaster
    prepared: Prepared
    origins: tuple[Integers, ...]
    """For each series, the rows of the panel that are the last steps of its windows' histories."""
    layer: int
    """Index of the layer, from 0."""
    running: threading.Lock
    """Held while the network runs, since traces and interventions change it meanwhile."""

    @property
    def name(self) -> str:
        """The name of the cell, with the number of the layer if there are several."""
        cell = NAMES[self.cell]
        return f"{cell} {self.layer + 1}" if self.forecaster.config.layers > 1 else cell

    @property
    def cell(self) -> str:
        """The name of the cell in `gated.core.layout.LAYOUTS`."""
        return self.forecaster.first_network.encoder._cell

    @property
    def units(self) -> int:
        """H, the number of hidden units."""
        return self.forecaster.config.hidden

    def describe(self) -> dict[str, Any]:
        """Return the number of parameters."""
        return {"parameters": self.forecaster.parameters}

    def read(self, passage: Passage, clamp: Clamp | None) -> Reading:
        """Run over a window.

        `outputs` are `observed` (T, 1), NaN where values are missing, and `forecast` (T, Q), NaN in
        the history; `score` is the mean absolute error of the median, and `gradient` is that of the
        scaled median, without the clamp.

        Raises:
            ConfigurationError: there is no such window, or as for `Clamp.check`.
        """
        window = self._window(passage)
        config = self.forecaster.config
        with self.running:
            with intervene(self.forecaster.first_network, *self._held(clamp)):
                traced = trace(self.forecaster.first_network, window.batch)
            gradient = gradient_by_distance(self.forecaster.first_network, window.batch)
            origins = np.array([window.row])
            # Calibration runs the network, which no clamp may hold then.
            forecast = self.forecaster.in_unit(traced.output, self.prepared, origins)[0]
        encoder, decoder = (traced.layers[part + self.layer] for part in (0, config.layers))
        values = {
            name: np.concatenate([encoder.values[name][:, 0], decoder.values[name][:, 0]])
            for name in encoder.values
        }
        history = config.history or 1
        rows = window.row + 1 + np.arange(-history, config.horizon)
        observed = self.prepared.panel.target[rows]
        errors = np.abs(forecast[:, config.quantiles.index(0.5)] - observed[history:])
        before = np.full((history, len(config.quantiles)), np.nan)
        return Reading(
            values,
            gradient,
            {"observed": observed[:, None], "forecast": np.concatenate([before, forecast])},
            None if np.isnan(errors).all() else float(np.nanmean(errors)),
            labels(self.prepared, rows),
        )

    def _window(self, passage: Passage) -> Window:
        if not 0 <= passage.series < len(self.origins):
            raise ConfigurationError(
                f"series must be from 0 to {len(self.origins) - 1}, got {passage.series}"
            )
        origins = self.origins[passage.series]
        if not 0 <= passage.moment < len(origins):
            raise ConfigurationError(
                f"moment must be from 0 to {len(origins) - 1}, got {passage.moment}"
            )
        origin = origins[passage.moment : passage.moment + 1]
        return Window(int(origin[0]), Batch.of(gather(self.prepared, origin)))

    def _held(self, clamp: Clamp | None) -> list[Intervention]:
        """Return the clamp as interventions on encoder and decoder, each at its own steps."""
        if clamp is None:
            return []
        clamp.check(self.cell, self.units)
        config = self.forecaster.config
        history = config.history or 1
        held = clamp.within(history + config.horizon)
        steps = {
            self.layer: range(held.start, min(held.stop, history)),
            config.layers + self.layer: range(max(held.start - history, 0), held.stop - history),
        }
        return [
            Intervention(clamp.gate, value=clamp.value, layer=layer, unit=clamp.unit, step=of_part)
            for layer, of_part in steps.items()
            if len(of_part)
        ]


def forecasts(directories: Sequence[Path], data: Path) -> Exhibit:
    """Return the exhibit of forecasters of the same target, on data after their training data.

    Raises:
        DataError: no window of `data` lies after the training data.
        FileNotFoundError: there is no `data`.
        ModelFileError: a directory holds no forecaster, or the forecasters differ in target,
            history, horizon, quantiles or time of training.
    """
    readers: list[SeriesReader] = []
    for directory in directories:
        forecaster = Forecaster.load(directory)
        after = forecaster.windows_after_training(data)
        prepared, origins = after.prepared, after.origins
        series_of = prepared.panel.series_of[origins]
        own = tuple(origins[series_of == s][-MOST_WINDOWS:] for s in np.unique(series_of))
        lock = threading.Lock()
        layers = range(forecaster.config.layers)
        readers += [SeriesReader(forecaster, prepared, own, layer, lock) for layer in layers]
    _check_alike(readers)
    first = readers[0]
    config, panel = first.forecaster.config, first.prepared.panel
    series = [
        {
            "name": panel.series[panel.series_of[origins[0]]] or config.target_name,
            "moments": labels(first.prepared, origins),
        }
        for origins in first.origins
    ]
    offered = {
        "kind": "series",
        "name": "run",
        "title": {"en": config.target_name, "zh": config.target_name},
        "target": config.target_name,
        "history": config.history,
        "quantiles": config.quantiles,
        "reads": {
            "seasons": config.seasons,
            "cycles": first.prepared.preprocessing.cycles,
            "known": first.prepared.preprocessing.known_names,
        },
        "series": series,
        "networks": [
            {**describe(reader.name, reader.cell, reader.units), **reader.describe()}
            for reader in readers
        ],
    }
    return Exhibit(offered, readers)


def _check_alike(readers: Sequence[SeriesReader]) -> None:
    """Refuse forecasters that cannot be compared."""
    first = readers[0]
    for reader in readers[1:]:
        differs = next(
            (
                part
                for part in ("target", "history", "horizon", "quantiles")
                if getattr(first.forecaster.config, part) != getattr(reader.forecaster.config, part)
            ),
            None,
        )
        if differs is None and not np.array_equal(
            np.concatenate(first.origins), np.concatenate(reader.origins)
        ):
            differs = "the time that they were trained on"
        if differs is not None:
            reason = f"differ in {differs}"
        elif reader.name in [one.name for one in readers if one is not reader]:
            reason = "have the same cell, by which the page names them"
        else:
            continue
        raise ModelFileError(
            f"The forecasters {first.name} and {reader.name} cannot be compared: they {reason}. "
            "Give the directory of one of them."
        )


def labels(prepared: Prepared, rows: Integers) -> tuple[str, ...]:
    """Return the time of each of the `rows`, as text."""
    panel = prepared.panel
    return tuple(map(_label, panel.grid.to_series(panel.times[rows])))


def _label(time: object) -> str:
    """Return a time as text, without seconds if they are zero."""
    if not isinstance(time, datetime):
        return str(time)
    return time.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")


def gradient_by_distance(network: nn.Module, batch: Batch) -> Array:
    """Return the gradient of the median forecast with respect to the input d steps before, (D,).

    It is the mean of the gradient's norms over steps of the horizon.
    """
    horizon, history = len(batch.target), len(batch.inputs)
    moments = np.unique(np.linspace(0, horizon - 1, MOMENTS).astype(np.int64))
    wide = Batch(*(tensor.repeat_interleave(len(moments), _sequence(tensor)) for tensor in batch))
    read: list[Tensor] = []

    def follow(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        read.append(arguments[0].detach().requires_grad_())
        return (read[-1], *arguments[1:])

    layers: tuple[Any, ...] = (network.encoder, network.decoder)
    hooks = [layer.register_forward_pre_hook(follow) for layer in layers]
    try:
        with torch.enable_grad():
            median = network(wide)[..., network.middle]
            total = median[moments, np.arange(len(moments))].sum()
            gradients = torch.autograd.grad(total, read)
    finally:
        for hook in hooks:
            hook.remove()
    norms = np.concatenate([gradient.norm(dim=-1).numpy() for gradient in gradients])
    distances = np.arange(history + 1)
    places = (history + moments)[:, None] - distances
    back: NDArray[np.float32] = norms[places, np.arange(len(moments))[:, None]].mean(axis=0)
    return back


def _sequence(tensor: Tensor) -> int:
    """Return the axis of the sequences of a tensor in a batch: `(B,)`, or time first."""
    return 0 if tensor.dim() == 1 else 1
