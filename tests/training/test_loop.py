from __future__ import annotations

import torch
from adding import Adding

from gated.training.loop import train
from gated.training.options import TrainingOptions


def test_it_learns_and_keeps_the_best_weights() -> None:
    task = Adding()
    history = train(task, TrainingOptions(steps=120, validate_every=20, learning_rate=1e-2))
    assert history.steps == 120
    assert history.stopped == "steps"
    assert history.loss[-1] < history.loss[0] / 5
    assert [validation.step for validation in history.validations] == [20, 40, 60, 80, 100, 120]
    with torch.no_grad():
        assert history.best is not None
        assert task.validate(task.network)["loss"] == history.best.loss
