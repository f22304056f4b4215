"""Two networks with the same weights, trained turn by turn on the same batches in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gated.training.task import Carried, Shard, Task

Step = Callable[[int], Tensor]
"""Trains on the batch of a step and gives its loss."""


def training_step(network: torch.nn.Module, task: Task[Any], size: int) -> Step:
    """Return a function that trains `network` on a batch of `task` and gives its loss."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    carried: Carried = {}

    def step(number: int) -> Tensor:
        nonlocal carried
        batch = task.training_batch(number, size, Shard(0, 1))
        (total, weight), states = task.loss_from(network, batch, carried)
        carried = {name: state.detach() for name, state in states.items()}
        loss = total / weight
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def side_by_side(
    ours: Step, plain: Step, amount: Callable[[int], int], steps: int
) -> dict[str, Any]:
    """Return the median speeds of both, and the median of the ratio within a turn.

    Args:
        ours: trains the network of this package.
        plain: trains the same network on torch.nn.
        amount: what a step works through: words, time steps.
        steps: timed ones; the first, not timed, must have the same loss in both.

    Raises:
        RuntimeError: the two are not the same network.
    """
    run = {"gated": ours, "torch.nn": plain}
    losses = [float(step(0)) for step in run.values()]
    if abs(losses[0] - losses[1]) > 1e-4 * abs(losses[0]):
        raise RuntimeError(f"the two networks are not the same: losses {losses}")
    speeds: dict[str, list[float]] = {name: [] for name in run}
    for number in range(1, steps + 1):
        done = amount(number)
        for name, step in run.items():
            started = time.perf_counter()
            step(number)
            speeds[name].append(done / (time.perf_counter() - started))
    ratios = [of / beside for of, beside in zip(*speeds.values(), strict=True)]
    medians = {name: round(statistics.median(values)) for name, values in speeds.items()}
    return {**medians, "ratio": round(statistics.median(ratios), 2)}
