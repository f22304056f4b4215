from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from adding import Adding
from torch import nn

from gated.training.loop import train
from gated.training.optimizer import adamw, clip_gradients, learning_rate, set_learning_rate
from gated.training.options import TrainingOptions
from gated.training.task import Shard
from gated.training.transfer import DepthGroup


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant", "slanted-triangular"])
@pytest.mark.parametrize("warmup", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 41])
def test_rate_rises_to_its_peak_and_then_falls(schedule: str, warmup: float, steps: int) -> None:
    options = TrainingOptions(steps=steps, warmup=warmup, schedule=schedule, learning_rate=0.5)
    rates = [learning_rate(step, steps, options) for step in range(steps)]
    peak = round(warmup * (steps - 1))
    assert rates[peak] == max(rates) == 0.5
    assert all(before < after for before, after in pairwise(rates[: peak + 1]))
    falls = [before - after for before, after in pairwise(rates[peak:])]
    assert all(fall == 0 if schedule == "constant" else fall > 0 for fall in falls)
    if steps > 1 and warmup < 1:
        ends = {"one-cycle": 0.5e-4, "cosine": 0.0, "constant": 0.5}
        end = ends.get(schedule, 0.5 / 32)
        assert rates[-1] == pytest.approx(end)


def test_cosine_is_at_its_half_in_the_middle() -> None:
    options = TrainingOptions(warmup=0.0, schedule="cosine", learning_rate=1.0)
    assert learning_rate(50, 101, options) == pytest.approx(0.5)
    assert learning_rate(25, 101, options) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_only_matrices_decay() -> None:
    network = nn.LSTM(3, 4)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    options = TrainingOptions(weight_decay=0.1, learning_rate=0.5)
    optimizer = adamw([DepthGroup(list(network.parameters()), 1.0, 0)], options)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, weight in network.state_dict().items():
        factor = 1 - 0.5 * 0.1 if "weight" in name else 1.0
        torch.testing.assert_close(weight, before[name] * factor)


def test_each_depth_group_has_its_own_rate() -> None:
    low, high = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    groups = [DepthGroup([low], 0.25, 0), DepthGroup([high], 1.0, 0)]
    optimizer = adamw(groups, TrainingOptions())
    set_learning_rate(optimizer, 0.1)
    low.grad, high.grad = torch.ones(1), torch.ones(1)
    optimizer.step()  # Adam's first step is as long as the rate
    assert 1 - low.item() == pytest.approx(0.025, rel=1e-4)
    assert 1 - high.item() == pytest.approx(0.1, rel=1e-4)


def gradients(*values: list[float]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(value))) for value in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(value)
    return parameters


@pytest.mark.parametrize(
    ("clip_norm", "clip_value", "by_norm", "by_value", "expected"),
    [
        (None, None, False, False, [3.0, 0.0, -4.0]),
        (10.0, 5.0, False, False, [3.0, 0.0, -4.0]),
        (1.0, None, True, False, [0.6, 0.0, -0.8]),
        (None, 3.5, False, True, [3.0, 0.0, -3.5]),
        (1.0, 0.7, True, True, [0.6, 0.0, -0.7]),
        (1.0, 0.9, True, False, [0.6, 0.0, -0.8]),
    ],
)
def test_clipping(
    clip_norm: float | None,
    clip_value: float | None,
    by_norm: bool,
    by_value: bool,
    expected: list[float],
) -> None:
    parameters = gradients([3.0, 0.0], [-4.0])
    clipping = clip_gradients(parameters, clip_norm, clip_value)
    assert clipping.norm.item() == 5.0
    assert (bool(clipping.by_norm), bool(clipping.by_value)) == (by_norm, by_value)
    result = torch.cat([parameter.grad for parameter in parameters])
    torch.testing.assert_close(result, torch.tensor(expected))


@pytest.mark.parametrize("accumulate", [2, 5])
def test_accumulated_parts_are_the_whole_batch(accumulate: int) -> None:
    """Although the parts hold different numbers of targets."""
    whole, parts = Adding(), Adding()
    options = {"steps": 10, "batch_size": 11, "learning_rate": 1e-2, "clip_norm": 0.2}
    expected = train(whole, TrainingOptions(**options))
    history = train(parts, TrainingOptions(**options, accumulate=accumulate))
    assert history.loss == pytest.approx(expected.loss, rel=1e-5)
    for name, weight in parts.network.state_dict().items():
        torch.testing.assert_close(weight, whole.network.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_step_is_adamw_on_the_mean_loss() -> None:
    """The loop's numbers are those of the plain PyTorch loop."""
    task, plain = Adding(), Adding()
    options = TrainingOptions(
        steps=6, batch_size=7, schedule="constant", warmup=0.0, weight_decay=0.0, clip_norm=0.3
    )
    history = train(task, options)
    optimizer = torch.optim.AdamW(
        plain.network.parameters(), lr=options.learning_rate, weight_decay=0.0
    )
    for step in range(options.steps):
        total, weight = plain.loss(plain.network, plain.training_batch(step, 7, Shard(0, 1)))
        loss = total / weight
        loss.backward()
        norm = nn.utils.clip_grad_norm_(plain.network.parameters(), 0.3)
        optimizer.step()
        optimizer.zero_grad()
        assert history.loss[step] == pytest.approx(loss.item(), rel=1e-5)
        assert history.gradient_norm[step] == pytest.approx(norm.item(), rel=1e-4)
        assert history.clipped_by_norm[step] == (norm.item() > 0.3)
    for name, weight in task.network.state_dict().items():
        torch.testing.assert_close(weight, plain.network.state_dict()[name], rtol=1e-4, atol=1e-6)
