"""AdamW, the learning rate over the steps, and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gated.training.options import TrainingOptions
from gated.training.transfer import DepthGroup

ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1e-4
SLANTED_END = 1 / 32
"""The paper's ratio."""


def adamw(groups: Sequence[DepthGroup], options: TrainingOptions) -> torch.optim.AdamW:
    """AdamW with decoupled weight decay of matrices (Loshchilov and Hutter 2019).

    Biases and other vectors are exempt: decay would close forget gates, not simplify the network.
    """
    members: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for group in groups:
        for parameter in group.parameters:
            members.setdefault((group.rate, parameter.ndim > 1), []).append(parameter)
    parameter_groups = [
        {
            "params": parameters,
            "weight_decay": options.weight_decay if is_matrix else 0.0,
            "depth_rate": rate,
        }
        for (rate, is_matrix), parameters in members.items()
    ]
    # The loss scaler of half precision must unscale before clipping; fused AdamW would do it after.
    fused = options.precision != "16-mixed"
    return torch.optim.AdamW(parameter_groups, lr=options.learning_rate, fused=fused)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each parameter group's learning rate to its multiple of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["depth_rate"]


def learning_rate(step: float, steps: int, options: TrainingOptions) -> float:
    """Return the learning rate of `step` of `steps`, counted from 0; a pure function.

    One-cycle (Smith and Topin 2018) rises and falls along half cosines, cosine (Loshchilov and
    Hutter 2017) rises linearly and falls along a half cosine, constant rises linearly and stays;
    slanted-triangular (Howard and Ruder 2018, equation 3) rises and falls linearly.

    >>> options = TrainingOptions(warmup=0.5, learning_rate=1.0)
    >>> [round(learning_rate(step, 101, options), 4) for step in (0, 25, 50, 75, 100)]
    [0.04, 0.52, 1.0, 0.5, 0.0001]
    """
    peak = options.learning_rate
    rise = round(options.warmup * (steps - 1))
    fallen = max(0.0, (step - rise) / max(1, steps - 1 - rise))
    match options.schedule:
        case "one-cycle" if step < rise:
            return _half_cosine(peak * ONE_CYCLE_START, peak, step / rise)
        case "one-cycle":
            return _half_cosine(peak, peak * ONE_CYCLE_END, fallen)
        case "slanted-triangular":
            height = step / rise if step < rise else 1 - fallen
            return peak * (SLANTED_END + (1 - SLANTED_END) * height)
        case _ if step < rise:
            return peak * (step + 1) / (rise + 1)
        case "cosine":
            return _half_cosine(peak, 0.0, fallen)
        case "constant":
            return peak


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class Clipping(NamedTuple):
    """The gradients' norm, and whether clipping changed them."""

    norm: Tensor
    """Total norm before clipping, a scalar."""
    by_norm: Tensor | bool
    by_value: Tensor | bool


def clip_gradients(
    parameters: Sequence[nn.Parameter], clip_norm: float | None, clip_value: float | None
) -> Clipping:
    """Clip the gradients in place, first by total norm, then by value (Pascanu et al. 2013)."""
    norm = nn.utils.clip_grad_norm_(parameters, math.inf if clip_norm is None else clip_norm)
    by_norm = False if clip_norm is None else norm > clip_norm
    if clip_value is None:
        return Clipping(norm, by_norm, by_value=False)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    largest = torch.stack(torch._foreach_norm(gradients, math.inf)).max()
    nn.utils.clip_grad_value_(parameters, clip_value)
    return Clipping(norm, by_norm, by_value=largest > clip_value)
