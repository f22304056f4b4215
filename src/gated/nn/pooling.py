"""Pooling over time; steps beyond a sequence's length do not count.

Shapes: T steps, B sequences, S features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _beyond(states: Tensor, lengths: Tensor) -> Tensor:
    """Return which steps are padding, (T, B, 1)."""
    steps = torch.arange(len(states), device=states.device)
    return (steps[:, None] >= lengths.to(states.device))[..., None]


def last_over_time(states: Tensor, lengths: Tensor, bidirectional: bool = False) -> Tensor:
    """Return where each direction ends, (B, S), of `states` (T, B, S) with `lengths` (B,).

    The second direction, whose features are the second half, ends at the first step.
    """
    streams = torch.arange(states.shape[1], device=states.device)
    last = states[lengths.to(states.device) - 1, streams]
    if not bidirectional:
        return last
    half = states.shape[-1] // 2
    return torch.cat((last[:, :half], states[0, :, half:]), -1)


def mean_over_time(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean (B, S) over time of `states` (T, B, S) with `lengths` (B,)."""
    total = states.masked_fill(_beyond(states, lengths), 0.0).sum(0)
    return total / lengths.to(states)[:, None]


def max_over_time(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the maximum (B, S) over time of `states` (T, B, S) with `lengths` (B,)."""
    return states.masked_fill(_beyond(states, lengths), -torch.inf).amax(0)


def attention_over_time(states: Tensor, energy: Tensor, lengths: Tensor) -> Tensor:
    """Return the weighted mean (B, S) over time of `states` (T, B, S) with `lengths` (B,).

    The weights are the softmax over time of `energy` (T, B, 1).
    """
    weights = torch.softmax(energy.masked_fill(_beyond(states, lengths), -torch.inf), 0)
    return (weights * states).sum(0)
