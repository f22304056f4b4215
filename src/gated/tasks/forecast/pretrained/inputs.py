"""What the pretrained network reads: a history's last steps, and forecasts of `smoothing`.

Everything is relative to the level at the end, in units of the error of the naive forecast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.tasks.forecast.pretrained.smoothing import (
    MIDDLE,
    RATES,
    RECENT,
    Floats,
    Integers,
    Smoothed,
)

Singles = NDArray[np.float32]

QUANTILES = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975)
"""What the network forecasts; others are interpolated."""
MEDIAN = QUANTILES.index(0.5)
READ = 64
"""Steps of the history that the encoder reads; the smoothing reads all of it."""
SHOWN = (0, MIDDLE, 5)
"""Members of the bank whose errors the encoder reads."""
FARTHEST = 50.0
"""Values, relative to the level and in naive errors, are kept within ± this."""
STATIC = 9 + 3 + 2 * len(RATES)


class Inputs(NamedTuple):
    """What the network reads of `B` histories, steps first."""

    encoder: Singles
    """`(READ, B, features)`"""
    decoder: Singles
    """`(horizon, B, features)`"""
    anchors: Singles
    """`(horizon, B, A)`, relative to the level and in naive errors."""


def inputs_of(smoothed: Smoothed, seasons: Integers) -> Inputs:
    """Return what the network reads of smoothed histories with `seasons` `(B, 2)`."""
    rows, steps = smoothed.values.shape
    horizon = smoothed.anchors.shape[1]
    scale, center = smoothed.scale[:, None], smoothed.center[:, None]

    def relative(values: Floats) -> Floats:
        """Squashed: large ones still differ, and none is too large."""
        squashed: Floats = np.arcsinh(np.nan_to_num(np.clip(values, -1e9, 1e9)))
        return squashed

    read = slice(max(steps - READ, 0), steps)
    season = seasons[:, :1]
    at = np.arange(steps)
    before = np.take_along_axis(smoothed.values, np.maximum(at - season, 0), 1)
    before = np.where((at >= season) & (season > 1), before, np.nan)
    angle = 2 * np.pi * (np.arange(steps + horizon) - steps) / season
    phase = np.stack([np.sin(angle), np.cos(angle)], -1) * (season > 1)[..., None]
    encoder = np.stack(
        [
            relative((smoothed.adjusted - center) / scale)[:, read],
            relative(smoothed.seasonal[:, :steps] / scale)[:, read],
            relative((smoothed.values - before) / scale)[:, read],
            ~np.isnan(before)[:, read],
            ~np.isnan(smoothed.values)[:, read],
            *(relative(smoothed.errors[..., m] / scale)[:, read] for m in SHOWN),
        ],
        -1,
    )
    encoder = np.concatenate([encoder, phase[:, read]], -1)
    if steps < READ:
        encoder = np.pad(encoder, ((0, 0), (READ - steps, 0), (0, 0)))

    size = np.abs(smoothed.errors)
    known = ~np.isnan(size)

    def mean_error(last: int) -> Floats:
        count = known[:, -last:].sum(1)
        mean: Floats = np.nansum(size[:, -last:], 1) / np.maximum(count, 1) / scale
        return mean

    count = (~np.isnan(smoothed.values)).sum(1)
    slope = smoothed.slope
    static = np.stack(
        [
            np.log(count) / 6,
            np.log(seasons[:, 0]) / 5,
            np.log(seasons[:, 1]) / 5,
            smoothed.strength[:, 0],
            smoothed.strength[:, 1],
            smoothed.in_logs,
            relative(slope / smoothed.scale),
            np.log1p(np.ptp(smoothed.seasonal, axis=1) / smoothed.scale),
            # By how much it moves in one step, compared with how far it has come.
            np.log(smoothed.scale / (np.nanstd(smoothed.values, axis=1) + smoothed.scale)),
        ],
        -1,
    )
    changes = np.log1p(smoothed.changes / scale)
    static = np.concatenate(
        [static, changes, np.log1p(mean_error(RECENT)), np.log1p(mean_error(steps))], -1
    )
    ahead = np.arange(horizon)
    anchors = np.clip(
        (smoothed.anchors - center[..., None]) / scale[..., None], -FARTHEST, FARTHEST
    )
    lag = steps + ahead - season * (1 + ahead // season)
    kept = np.take_along_axis(smoothed.adjusted, np.maximum(lag, 0), 1)
    kept = np.where((lag >= 0) & (season > 1), (kept - center) / scale, 0)
    clock = np.stack([ahead / 48, np.log1p(ahead) / 4], -1)
    decoder = np.concatenate(
        [
            relative(anchors),
            relative(kept)[..., None],
            np.broadcast_to(clock, (rows, horizon, 2)),
            phase[:, steps:],
            np.broadcast_to(static[:, None], (rows, horizon, static.shape[1])),
        ],
        -1,
    )

    def steps_first(values: Floats) -> Singles:
        return np.ascontiguousarray(values.swapaxes(0, 1), np.float32)

    return Inputs(steps_first(encoder), steps_first(decoder), steps_first(anchors))
