"""The average of the weights over the steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adding import Adding, same_course
from torch import Tensor, nn

from gated.training.loop import train
from gated.training.options import TrainingOptions


class Watched(Adding):
    """Keeps the weights of each batch, which are those after the step before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[Tensor] = []
        self.validated: list[Tensor] = []

    def loss(self, network: nn.Module, batch: Any) -> Any:
        weights = network.get_parameter("head.weight").detach().clone()
        (self.seen if torch.is_grad_enabled() else self.validated).append(weights)
        return super().loss(network, batch)


def averages(task: Watched, last: Tensor, decay: float) -> list[Tensor]:
    """By the definition, from the weights after each step."""
    after = [*task.seen[1:], last]
    found = [after[0]]
    for step, weights in enumerate(after[1:], 1):
        kept = min(decay, (1 + step) / (10 + step))
        found.append(kept * found[-1] + (1 - kept) * weights)
    return found


def test_it_is_what_is_validated_and_kept() -> None:
    plain, task = Watched(), Watched()
    train(plain, TrainingOptions(steps=12, validate_every=4))
    history = train(task, TrainingOptions(steps=12, validate_every=4, average=0.5))
    # The course of the training is the same.
    assert all(torch.equal(of, other) for of, other in zip(task.seen, plain.seen, strict=True))
    wanted = averages(task, plain.validated[-1], 0.5)
    for found, step in zip(task.validated, (3, 7, 11), strict=True):
        torch.testing.assert_close(found, wanted[step])
    assert history.best
    torch.testing.assert_close(task.network.head.weight.detach(), wanted[history.best.step - 1])


def test_without_validation_it_is_the_result() -> None:
    plain, task = Watched(held_out=0), Watched(held_out=0)
    train(plain, TrainingOptions(steps=6))
    train(task, TrainingOptions(steps=6, average=0.9))
    last = plain.network.head.weight.detach()
    torch.testing.assert_close(task.network.head.weight.detach(), averages(task, last, 0.9)[-1])


def test_it_goes_on_after_an_interruption(tmp_path: Path) -> None:
    class Stopped(Adding):
        def training_batch(self, step: int, *arguments: Any) -> Any:
            if step == 7:
                raise KeyboardInterrupt
            return super().training_batch(step, *arguments)

    options = TrainingOptions(steps=12, validate_every=5, checkpoint_every=1, average=0.9)
    whole = Adding()
    expected = train(whole, options)
    with pytest.raises(KeyboardInterrupt):
        train(Stopped(), options, directory=tmp_path)
    task = Adding()
    assert same_course(train(task, options, directory=tmp_path, resume=True), expected)
    for name, of in whole.network.state_dict().items():
        assert torch.equal(of, task.network.state_dict()[name]), name
