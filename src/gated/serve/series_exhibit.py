"""Forecasters as the explorer shows them: the page itself runs their networks over windows.

Each network is a script with its weights, and each series one with its rows and windows
(`series_file`); `web/explorer/src/series_reader.ts` reads both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gated.errors import ModelFileError
from gated.model_files import Arrays
from gated.serve.compact import halves
from gated.serve.exhibit import NAMES, Exhibit, describe
from gated.serve.network_script import network_script, series_script
from gated.serve.series_columns import columns
from gated.serve.series_file import SeriesFile, labels, safetensors_file
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.network import ForecastNetwork
from gated.tasks.forecast.outlook import Around
from gated.tasks.forecast.partners import are_refitted
from gated.tasks.forecast.preprocessing import OWN

MOST_WINDOWS = 2_000
"""Windows of one series that the page offers at most: the last ones."""
MOST_IN_ALL, MOST_SERIES = 20_000, 200
"""Windows of all series, and series, at most."""
MOST_REFITTED = 64
"""Windows of all series where a partner is fitted anew for each, at most."""
LARGEST_NETWORK = 250_000
"""Bytes of a network's script; the weights of one that is larger are written as 16-bit floats."""
LARGEST_SERIES = 5_000_000
"""Bytes of the scripts of a forecaster's series, together."""


@dataclass(frozen=True)
class Shown:
    """A forecaster, and the windows to show."""

    forecaster: Forecaster
    prepared: Prepared
    origins: tuple[Integers, ...]
    """For each series, the rows of the panel that are the last steps of its windows' histories."""

    @property
    def name(self) -> str:
        """`rnn`, `gru` or `lstm`."""
        return NAMES[self.forecaster.first_network.encoder._cell]

    @property
    def series(self) -> list[str]:
        """The names of the series; of one without a name, the target's."""
        panel, config = self.prepared.panel, self.forecaster.config
        places = [panel.series_of[origins[0]] for origins in self.origins]
        return [panel.series[place] or config.target_name for place in places]

    def last(self, windows: int) -> Shown:
        """Return the last `windows` of each series."""
        origins = tuple(of[-windows:] for of in self.origins)
        return Shown(self.forecaster, self.prepared, origins)


def forecasts(directories: Sequence[Path], data: Path) -> Exhibit:
    """Return the exhibit of forecasters of the same target, on data after their training data.

    Raises:
        DataError: no window of `data` lies after the training data.
        FileNotFoundError: there is no `data`.
        ModelFileError: a directory holds no forecaster, or the forecasters differ in target,
            history, horizon, quantiles or time of training.
    """
    every = [_after_training(Forecaster.load(directory), data) for directory in directories]
    _check_alike(every)
    kept = [_bounded(shown) for shown in every]
    windows = min(max(map(len, shown.origins)) for shown in kept)
    around = [shown.forecaster.outlook.around(shown.prepared, _joined(shown)) for shown in kept]
    while True:
        shown = [one.last(windows) for one in kept]
        files = [
            dict(_series_scripts(one, whole, of))
            for one, whole, of in zip(shown, kept, around, strict=True)
        ]
        largest = max(sum(map(len, of.values())) for of in files)
        if largest <= LARGEST_SERIES or windows == 1:
            break
        windows = max(1, int(0.95 * windows * LARGEST_SERIES / largest))
    scripts = {path: script for of in files for path, script in of.items()}
    networks: list[dict[str, Any]] = []
    for one in shown:
        path, script, rounded = _network_script(one.forecaster.first_network, one.name)
        scripts[path] = script
        networks += _describe(one, path, rounded)
    first = shown[0]
    config, learned = first.forecaster.config, first.prepared.preprocessing
    offered = {
        "kind": "series",
        "name": "run",
        "title": {"en": config.target_name, "zh": config.target_name},
        "target": config.target_name,
        "history": config.history or 1,
        "quantiles": config.quantiles,
        "reads": {
            "seasons": config.seasons,
            "cycles": learned.cycles,
            "known": learned.known_names,
        },
        "series": [
            {"name": name, "windows": len(origins)}
            for name, origins in zip(first.series, first.origins, strict=True)
        ],
        "left_out": {
            "series": len(every[0].origins) - len(first.origins),
            "windows": sum(map(len, every[0].origins)) - sum(map(len, first.origins)),
        },
        "networks": networks,
    }
    return Exhibit(offered, files=scripts)


def _after_training(forecaster: Forecaster, data: Path) -> Shown:
    after = forecaster.windows_after_training(data)
    series_of = after.prepared.panel.series_of[after.origins]
    own = tuple(after.origins[series_of == s] for s in np.unique(series_of))
    return Shown(forecaster, after.prepared, own)


def _bounded(shown: Shown) -> Shown:
    """Return as many series and windows as may be computed."""
    origins = shown.origins[:MOST_SERIES]
    refitted = are_refitted(shown.forecaster.config.partner or ())
    in_all = MOST_REFITTED if refitted else MOST_IN_ALL
    each = min(MOST_WINDOWS, max(1, in_all // len(origins)))
    return Shown(shown.forecaster, shown.prepared, tuple(of[-each:] for of in origins))


def _joined(shown: Shown) -> Integers:
    return np.concatenate(shown.origins)


def _series_scripts(shown: Shown, whole: Shown, around: Around) -> Iterator[tuple[str, bytes]]:
    """Yield path and script of each series; `around` is of all windows of `whole`."""
    begins = np.cumsum([0, *map(len, whole.origins)])
    for place, origins in enumerate(shown.origins):
        which = slice(begins[place + 1] - len(origins), begins[place + 1])
        file = SeriesFile(shown.forecaster, shown.prepared, origins, around, which)
        path = f"series/run/{shown.name}-{place}.js"
        yield path, series_script(path, file.packed)


def _network_script(network: ForecastNetwork, name: str) -> tuple[str, bytes, bool]:
    """Return path and script of the weights, and whether they are rounded."""
    kept = ("encoder.", "decoder.", "head.", "categories.")
    arrays: Arrays = {
        name: tensor.detach().cpu().numpy()
        for name, tensor in network.state_dict().items()
        if name.startswith(kept)
    }
    path = f"networks/run/{name}.js"
    script = network_script(path, safetensors_file(arrays))
    if len(script) <= LARGEST_NETWORK:
        return path, script, False
    return path, network_script(path, safetensors_file(halves(arrays))), True


def _describe(shown: Shown, path: str, rounded: bool) -> Iterator[dict[str, Any]]:
    """Yield the facts about each layer."""
    forecaster, name = shown.forecaster, shown.name
    config, learned, network = forecaster.config, forecaster.preprocessing, forecaster.first_network
    for layer in range(config.layers):
        yield {
            **describe(
                f"{name} {layer + 1}" if config.layers > 1 else name,
                network.encoder._cell,
                config.hidden,
            ),
            "parameters": forecaster.parameters,
            "file": path,
            "rounded": rounded,
            "forecaster": {
                "layer": layer,
                "layers": config.layers,
                "series": f"series/run/{name}-",
                "history": config.history or 1,
                "horizon": config.horizon,
                "columns": columns(network, learned),
                "seasons": config.seasons,
                "own": OWN,
                "futures": len(learned.future_names),
                "texts": len(learned.known_texts),
                "distribution": config.distribution,
                "floor": learned.target.floor,
                "width": forecaster.calibration.own,
                "whole": forecaster.outlook.whole,
            },
        }


def _check_alike(every: Sequence[Shown]) -> None:
    """Refuse forecasters that cannot be compared."""
    first = every[0]
    for place, shown in enumerate(every[1:], 1):
        differs = next(
            (
                part
                for part in ("target", "history", "horizon", "quantiles")
                if getattr(first.forecaster.config, part) != getattr(shown.forecaster.config, part)
            ),
            None,
        )
        if differs is None and _times(first) != _times(shown):
            differs = "the time that they were trained on"
        if differs is not None:
            reason = f"differ in {differs}"
        elif shown.name in [one.name for one in every[:place]]:
            reason = "have the same cell, by which the page names them"
        else:
            continue
        raise ModelFileError(
            f"The forecasters {first.name} and {shown.name} cannot be compared: they {reason}. "
            "Give the directory of one of them."
        )


def _times(shown: Shown) -> list[tuple[str, ...]]:
    """The series, and when their windows begin and end."""
    ends = [labels(shown.prepared, of[[0, -1]]) for of in shown.origins]
    return [(name, *of) for name, of in zip(shown.series, ends, strict=True)]
