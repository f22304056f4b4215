"""Forecasts by the pretrained network, of series that it has never seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from gated.errors import require
from gated.tasks.forecast.pretrained.inputs import QUANTILES, READ, inputs_of
from gated.tasks.forecast.pretrained.runtime import RuntimePretrained
from gated.tasks.forecast.pretrained.smoothing import Floats, Integers, smoothed

WEIGHTS = Path(__file__).with_name("weights.safetensors")
LONGEST = 400
"""Steps at the end of a history that are read, at least."""
CYCLES = 4
"""Cycles of the longest season that are read, at least."""
TOGETHER = 256
"""Series that go through the network together."""


@cache
def pretrained_network() -> RuntimePretrained:
    """Return the network of the package."""
    safetensors = require("safetensors.numpy", extra="train")
    stored = safetensors.load_file(WEIGHTS)
    return RuntimePretrained({name: of.astype(np.float32) for name, of in stored.items()})


def zero_shot(
    histories: Sequence[Floats],
    seasons: Integers,
    horizon: int,
    quantiles: Sequence[float],
) -> Floats:
    """Forecast series that the network has not seen.

    Args:
        histories: for each of `S` series what was observed, oldest first, NaN where nothing was.
        seasons: `(S, 2)`, steps of the shorter and of the longer season of each; 1 for none.
        horizon: steps ahead.
        quantiles: what to forecast, ascending, each between 0 and 1.

    Returns:
        `(S, horizon, Q)`. A series that was observed once, or never moved, keeps its last value.
    """
    forecast = np.zeros((len(histories), horizon, len(quantiles)))
    for some in _alike(histories):
        # What is before a history looks alike, whichever others there are.
        steps = min(steps_read(seasons[some]), max(READ, *(len(histories[s]) for s in some)))
        history = np.full((len(some), steps), np.nan)
        for row, s in enumerate(some):
            tail = histories[s][-steps:]
            history[row, steps - len(tail) :] = tail
        forecast[some] = _of_batch(history, seasons[some], horizon, quantiles)
    return forecast


def steps_read(seasons: Integers) -> int:
    """Return how many steps at the end of a history are read."""
    return max(LONGEST, CYCLES * int(seasons.max()))


def two_seasons(seasons: Sequence[int]) -> Integers:
    """Return `(2,)` the two shortest of some seasons, 1 for none.

    >>> two_seasons((168, 24))
    array([ 24, 168])
    >>> two_seasons(())
    array([1, 1])
    """
    return np.array([*sorted(of for of in seasons if 1 < of <= LONGEST), 1, 1][:2])


def _alike(histories: Sequence[Floats]) -> Iterator[Integers]:
    """Places of series in batches, of which each has series of about one length."""
    order = np.argsort([len(history) for history in histories], kind="stable")
    for begin in range(0, len(order), TOGETHER):
        yield order[begin : begin + TOGETHER]


def _of_batch(
    history: Floats,
    seasons: Integers,
    horizon: int,
    quantiles: Sequence[float],
) -> Floats:
    result = np.zeros((len(history), horizon, len(quantiles)))
    known = ~np.isnan(history)
    place = history.shape[1] - 1 - known[:, ::-1].argmax(1)
    last = np.where(known.any(1), history[np.arange(len(history)), place], np.nan)
    result[:] = last[:, None, None]
    spread = np.nanmax(np.where(known, history, -np.inf), 1) - np.nanmin(
        np.where(known, history, np.inf), 1
    )
    moves = np.flatnonzero(known.any(1) & (spread > 0))
    if not len(moves):
        return result
    seasons = seasons[moves]
    of = smoothed(history[moves], seasons, horizon)
    relative = pretrained_network()(inputs_of(of, seasons)).swapaxes(0, 1).astype(np.float64)
    values = of.center[:, None, None] + of.scale[:, None, None] * _interpolated(relative, quantiles)
    result[moves] = np.where(of.in_logs[:, None, None], np.exp(np.minimum(values, 700)), values)
    return result


def _interpolated(forecast: Floats, quantiles: Sequence[float]) -> Floats:
    """Quantiles of a forecast of `QUANTILES`, `(…, Q)`, straight lines on normal paper."""
    from statistics import NormalDist  # which loading a forecaster does not wait for

    known, asked = (np.array([*map(NormalDist().inv_cdf, of)]) for of in (QUANTILES, quantiles))
    place = np.clip(np.searchsorted(known, asked) - 1, 0, len(known) - 2)
    share = (asked - known[place]) / (known[place + 1] - known[place])
    between: Floats = forecast[..., place] + share * (
        forecast[..., place + 1] - forecast[..., place]
    )
    return between
