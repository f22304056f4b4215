from __future__ import annotations

import math
from typing import Any

import pytest

from gated.errors import ConfigurationError
from gated.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be 1 or more"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"patience": 0}, "patience is 0; it must be 1 or more"),
        ({"weight_decay": math.nan}, "weight_decay is nan; it must be 0 or more"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": math.inf}, "learning_rate must be above 0 and finite, not inf"),
        ({"clip_norm": -1.0}, r"clip_norm must be above 0 and finite, not -1\.0"),
        ({"processor_minutes": 0.0}, "processor_minutes must be above 0"),
        ({"average": 1.0}, "average is a decay between 0 and 1"),
        ({"minutes": 1.0, "processor_minutes": 1.0}, "two clocks for one budget"),
        ({"clip_value": math.nan}, "clip_value must be above 0"),
        ({"warmup": 1.5}, "warmup is a share of the budget"),
        (
            {"schedule": "linear"},
            "schedule must be one of one-cycle, cosine, constant, slanted-triangular, not",
        ),
        ({"precision": "8"}, "precision must be one of 32-true"),
        ({"batch_size": 7, "devices": 2, "accumulate": 4}, "cannot be cut into 8 parts"),
        ({"thaw_every": 5}, "give init_from too"),
    ],
)
def test_values_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TrainingOptions(**options)


def test_none_switches_clipping_and_patience_off() -> None:
    TrainingOptions(clip_norm=None, clip_value=None, patience=None, threads=None)
