"""The baselines: the nearest neighbour, and ridge regression on simple features.

Both get the network's inputs: channels scaled by the training part, missing values filled.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from gated.errors import require
from gated.tasks.classify.preprocessing import Preprocessing, Singles
from gated.tasks.classify.ridge import expected_outputs, ridge
from gated.tasks.classify.sequences import Floats, Values

NEAREST = "1-NN, time warping"
LINEAR = "linear"
MOST_CELLS = 4e9
"""Products of lengths, over all pairs, up to which warping is computed: about a minute."""
PARTS = 4
"""Stretches of a sequence whose means are features of their own."""


def nearest(
    read: Preprocessing,
    known: Sequence[Floats],
    targets: Values,
    tested: Sequence[Floats],
    window: float | None = None,
) -> Values | None:
    """Return the targets of the nearest training sequence, by dynamic time warping of all channels.

    The warping path is free, or shifts steps by no more than a `window`, a share of the length
    (Sakoe and Chiba 1978). None where the sequences are too many or too long for a free one.
    """
    cells = float(sum(map(len, known))) * float(sum(map(len, tested)))
    if window is None and cells > MOST_CELLS:
        return None
    distances = require("aeon.distances", extra="classify")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler that the library brings
        apart = distances.dtw_pairwise_distance(
            _columns(read, tested), _columns(read, known), window=window
        )
    nearest_of: Values = targets[np.asarray(apart).argmin(1)]
    return nearest_of


def linear(
    read: Preprocessing,
    known: Sequence[Floats],
    targets: Values,
    tested: Sequence[Floats],
    *,
    classes: bool,
    clusters: Values | None = None,
) -> Values:
    """Return what ridge regression on simple features predicts.

    Its penalty is that with which left-out training sequences, or clusters (N,) of them, are
    predicted best: one for all classes, or one for each of several numbers.
    """
    features, others = (
        np.stack([features_of(read.scaled(array)) for array in part]) for part in (known, tested)
    )
    alike = np.ones(len(targets))
    if classes:
        names, codes = np.unique(targets, return_inverse=True)
        expected = expected_outputs(codes, len(names))
        found = ridge(features, expected, alike, clusters=clusters).predicted(others)
        likeliest: Values = names[found.argmax(1)]
        return likeliest
    numbers = targets.reshape(len(targets), -1)
    each = [slice(place, place + 1) for place in range(numbers.shape[1])]
    found = ridge(features, numbers, alike, groups=each, clusters=clusters).predicted(others)
    return found.reshape(-1, *targets.shape[1:])


def _columns(read: Preprocessing, arrays: Sequence[Floats]) -> list[Floats]:
    """(channels, T) each, as the library has them."""
    return [np.ascontiguousarray(read.scaled(array).T.astype(np.float64)) for array in arrays]


def features_of(steps: Singles) -> Floats:
    """Mean, deviation, extremes, ends, mean change, and means of stretches, of each channel."""
    change = np.diff(steps, axis=0) if len(steps) > 1 else np.zeros_like(steps)
    parts = np.array_split(steps, PARTS) if len(steps) >= PARTS else [steps] * PARTS
    features = [
        np.array([np.log(len(steps))]),
        *(part.mean(0) for part in parts),
        steps.std(0),
        steps.min(0),
        steps.max(0),
        steps[0],
        steps[-1],
        np.abs(change).mean(0),
    ]
    joined: Floats = np.concatenate(features).astype(np.float64)
    return joined
