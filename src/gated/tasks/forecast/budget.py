"""How long a forecaster trains where no budget is given."""

from __future__ import annotations

import numpy as np

from gated.training.options import TrainingOptions

USUAL_EPOCHS, FEWEST_STEPS = 20, 100
"""Passes over few windows, but not fewer steps."""
MANY = 1000
"""Independent windows from which on the budget grows, by the square root of their number."""
LARGEST_BATCH = 4
"""Times the usual batch: batches grow first, as a window in a larger one costs less."""


def usual_budget(training: TrainingOptions, windows: int, horizon: int) -> tuple[int, int]:
    """Return steps and batch size.

    Args:
        training: its usual steps and, if that was given, its batch size are those of few windows.
        windows: how many there are to train on; those that overlap count as fewer.
        horizon: steps that a window forecasts.

    >>> options = TrainingOptions()
    >>> usual_budget(options, 700, 7), usual_budget(options, 7_000, 7)
    ((218, 64), (300, 64))
    >>> usual_budget(options, 28_000, 7), usual_budget(options, 700_000, 7)
    ((300, 128), (750, 256))
    """
    growth = max(1.0, windows / horizon / MANY) ** 0.5
    batch, larger = training.batch_size, 1.0
    if "batch_size" not in training.given:
        larger = min(growth, LARGEST_BATCH)
    batch = round(batch * larger)
    most = training.usual_steps * growth / larger
    return int(np.clip(USUAL_EPOCHS * windows / batch, FEWEST_STEPS, most)), batch
