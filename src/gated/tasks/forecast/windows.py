"""Windows over a prepared panel: their origins, and how a batch of them is gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError
from gated.tasks.forecast.grid import Integers
from gated.tasks.forecast.inputs import Prepared, last_rows
from gated.tasks.forecast.origins import has_history, has_horizon, has_truth, training_rows
from gated.tasks.forecast.panel import Floats
from gated.tasks.forecast.preprocessing import OWN
from gated.tasks.forecast.smoothing import CYCLES
from gated.tasks.forecast.split import Split

Floats32 = NDArray[np.float32]
CHUNK = 512
"""Windows that pass through the network at once where no gradient is needed."""


@dataclass(frozen=True, kw_only=True)
class NetworkInputs:
    """What a network reads of `B` windows, time first as in `gated.nn`.

    `history` steps up to the origin, the last known step, and `horizon` steps after it; `I` input
    features, of which the `F` features `inputs[..., OWN : OWN + F]` are known ahead; `K` columns of
    categories, of which the first `known_texts` are known ahead.
    """

    series: Integers
    """`(B,)` index of the series among the fitted ones, -1 of others."""
    inputs: Floats32
    """`(history, B, I)`, as `Preprocessing.input_names`."""
    categories: Integers
    """`(history, B, K)`, as `Preprocessing.text_names`."""
    future: Floats32
    """`(horizon, B, F)`, as `Preprocessing.future_names`."""
    future_categories: Integers
    """`(horizon, B, known_texts)`."""
    last: Floats32
    """`(B,)` the scaled target at the origin or, if missing there, the last one observed before."""
    smooth: Floats32
    """`(horizon, B)`, how smoothing goes on: the scaled forecast from which the network begins."""
    remainder: Floats32
    """`(B,)`, what that is typically off by."""
    lags: Floats32
    """`(history, B, Q)`, the scaled target a season before each step, for each season."""
    future_lags: Floats32
    """`(horizon, B, Q)`, the same a whole number of seasons before, the latest known."""


@dataclass(frozen=True, kw_only=True)
class Windows(NetworkInputs):
    """Inputs and targets of `B` windows."""

    origins: Integers
    """`(B,)` rows of the panel: the last known step of each window."""
    location: Floats
    """`(B,)` the scaling's mean: what scaled values times `scale` are added to."""
    scale: Floats
    """`(B,)` its deviation, in the unit of the target, or of its logarithm where these are
    scaled."""
    target: Floats32
    """`(horizon, B)`, the scaled target."""
    weight: Floats32
    """`(horizon, B)`, 1 where the target was observed, 0 where it does not count in the loss."""


def gather(prepared: Prepared, origins: Integers) -> Windows:
    """Return the windows with the last known step at rows `origins` `(B,)`."""
    fitted = prepared.preprocessing
    history, horizon = fitted.config.history or 1, fitted.config.horizon
    past = np.arange(1 - history, 1)[:, None] + origins
    ahead = prepared.ahead(origins).T
    futures, known_texts = len(fitted.future_names), len(fitted.known_texts)
    first = prepared.panel.starts[prepared.panel.series_of[origins]]
    absent = past < first
    past = np.maximum(past, first)
    inputs, last, target = prepared.inputs[past], prepared.target[origins], prepared.target[ahead]
    seasons = fitted.config.seasons
    # Before the beginning of a series there is its first value.
    behind = [np.maximum(past - season, first) for season in seasons]
    steps = np.arange(1, horizon + 1)[:, None]
    latest = [np.maximum(ahead - m * -(-steps // m), first) for m in seasons]
    lags = [prepared.target[rows] for rows in (*behind, *latest)]
    if absent.any():
        # What stands first in the series is repeated, and marked as missing.
        inputs[..., list(fitted.mask_places)] *= ~absent[..., None]
    if prepared.running is not None:
        # A series that training has not seen is scaled by what is known of it at the origin.
        values = (
            prepared.scaled(prepared.filled[rows], origins).astype(np.float32)
            for rows in (past, origins, ahead, *behind, *latest)
        )
        inputs[..., 0], last, target, *lags = values
    location, scale = prepared.scaling_at(origins)
    return Windows(
        origins=origins,
        series=prepared.series_of[origins],
        inputs=inputs,
        categories=prepared.categories[past],
        future=prepared.inputs[ahead, OWN : OWN + futures],
        future_categories=prepared.categories[ahead, :known_texts],
        last=last,
        smooth=prepared.smoothly(origins).astype(np.float32),
        remainder=prepared.remainder(origins).astype(np.float32),
        location=location,
        scale=scale,
        lags=_stacked(lags[: len(seasons)], past),
        future_lags=_stacked(lags[len(seasons) :], ahead),
        target=target,
        weight=prepared.weight[ahead],
    )


def _stacked(lags: Sequence[Floats32], rows: Integers) -> Floats32:
    return np.stack(lags, axis=-1) if lags else np.zeros((*rows.shape, 0), np.float32)


def padded(prepared: Prepared, origins: Integers) -> NDArray[np.bool_]:
    """Return `(B,)` whether the history up to each of `origins` begins before its series."""
    panel, history = prepared.panel, prepared.preprocessing.config.history or 1
    return origins - panel.starts[panel.series_of[origins]] < history - 1


def training_origins(prepared: Prepared, member: int | None = None) -> Integers:
    """Return every origin whose whole horizon lies before the test part and outside validation.

    Windows without an observed target in the horizon are left out. See `training_rows`.
    """
    config = prepared.preprocessing.config
    rows = training_rows(prepared.panel, config, _split(prepared), member)
    settled = _settled(prepared, rows)
    # A series that is short for its seasons is learned from as it is.
    series = prepared.panel.series_of[rows]
    return rows[settled | ~np.isin(series, series[settled])]


def _settled(prepared: Prepared, origins: Integers) -> NDArray[np.bool_]:
    """Whether smoothing knows the seasons at `origins`: before, it leaves over what it later knows.

    A network that learned from that would correct, for ever after, what is right.
    """
    longest = max(prepared.preprocessing.smoothing.seasons, default=0)
    panel = prepared.panel
    settled: NDArray[np.bool_] = (
        origins - panel.starts[panel.series_of[origins]] >= CYCLES * longest
    )
    return settled


def member_of(prepared: Prepared, origins: Integers) -> Integers:
    """Return `(B,)` which network was trained without each of the windows of validation."""
    begins = np.array([begin for begin, _ in _split(prepared).validation])
    stretch = np.searchsorted(begins, prepared.panel.ticks[origins] + 1, side="right") - 1
    members: Integers = stretch % (prepared.preprocessing.config.members or 1)
    return members


def validation_origins(
    prepared: Prepared, stride: int | None = None, *, settled: bool = True
) -> Integers:
    """Return origins in the validation part, `stride` steps apart (by default a horizon).

    Those before smoothing knows the seasons are left out, unless `settled` is false.
    """
    stretches = [
        walk_forward(prepared, begin, end, stride) for begin, end in _split(prepared).validation
    ]
    origins = np.sort(np.concatenate([np.zeros(0, np.int64), *stretches]))
    return origins[_settled(prepared, origins)] if settled else origins


def held_out_origins(prepared: Prepared, stride: int | None = None) -> Integers:
    """Return origins in the test part, `stride` steps apart (by default as configured)."""
    split = _split(prepared)
    stride = stride or prepared.preprocessing.config.stride
    return walk_forward(prepared, split.test, split.end, stride)


def walk_forward(prepared: Prepared, begin: int, end: int, stride: int | None = None) -> Integers:
    """Return origins of forecasts that begin at tick `begin`, `begin + stride`, … .

    Every horizon ends before tick `end`. Windows that reach beyond the rows of their series, or
    have no observed target in the horizon, are left out.
    """
    panel, config = prepared.panel, prepared.preprocessing.config
    after = panel.ticks + 1 - begin
    due = (after >= 0) & (after % (stride or config.horizon) == 0)
    fits = has_history(panel, config, prepared.split) & has_horizon(panel, config, end)
    return np.flatnonzero(due & fits & has_truth(panel, config))


def forecast_origins(prepared: Prepared) -> Integers:
    """Return `(S,)` rows of the last observation of each series, the origins of new forecasts."""
    return last_rows(prepared.panel)


def chunks(origins: Integers) -> list[Integers]:
    """Split `origins` `(N,)` into pieces whose windows fit into memory."""
    return [origins[begin : begin + CHUNK] for begin in range(0, len(origins), CHUNK)]


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> Integers:
    return np.random.default_rng([seed, epoch]).permutation(count)


def shuffled(count: int, step: int, batch_size: int, seed: int) -> Integers:
    """Return the indices of the examples in the batch of `step`, a pure function of all four.

    Each epoch is its own permutation; a batch may end one epoch and begin the next.
    """
    if count == 0:
        raise DataError("There is no training window.")
    places = step * batch_size + np.arange(batch_size)
    epochs = places // count
    return np.concatenate(
        [
            _order(count, seed, int(epoch))[places[epochs == epoch] % count]
            for epoch in np.unique(epochs)
        ]
    )


def _split(prepared: Prepared) -> Split:
    if prepared.split is None:
        raise DataError("Data that came after fitting have no training or test part.")
    return prepared.split
