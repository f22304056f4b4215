"""Features of sequences that are not trained, and the linear map that reads them.

Shapes: T steps, B sequences, C channels, F features of kernels, S of summaries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gated.tasks.classify.kernel_features import KernelFeatures, Layout

PARTS = 4
"""Stretches of a sequence whose means are features of their own."""
SUMMARIES = PARTS + 6
"""Of each channel; one more is the length."""


class FixedFeatures(nn.Module):
    """What fixed kernels find in a sequence and summaries of its channels, read by a linear map.

    Args:
        channels: C.
        longest: steps of the longest training sequence.
        features: F, of the kernels; it is rounded to a multiple of their number.
        outputs: O.
    """

    weights: Tensor
    """(F + S, O)."""
    offset: Tensor
    """(O,)."""

    def __init__(self, channels: int, longest: int, features: int, outputs: int) -> None:
        super().__init__()
        self.kernels = KernelFeatures(channels, Layout.of(longest, features))
        count = self.kernels.count + 1 + SUMMARIES * channels
        self.register_buffer("weights", torch.zeros(count, outputs))
        self.register_buffer("offset", torch.zeros(outputs))

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        """Map (B, C, T), and which steps are no padding (B, T), to outputs (B, O)."""
        answers: Tensor = self.features(steps, there) @ self.weights + self.offset
        return answers

    @torch.no_grad()
    def features(self, steps: Tensor, there: Tensor) -> Tensor:
        """Map (B, C, T), and which steps are no padding (B, T), to (B, F + S)."""
        return torch.cat([self.kernels(steps, there), summaries(steps, there)], dim=-1)


def summaries(steps: Tensor, there: Tensor) -> Tensor:
    """Map (B, C, T), 0 where no step is there (B, T), to (B, 1 + SUMMARIES · C).

    The logarithm of the length; of each channel the means of four stretches, deviation, extremes,
    first and last value, and the mean change.
    """
    lengths = there.sum(-1)
    places = torch.arange(there.shape[-1], device=steps.device)
    # A sequence of fewer steps than stretches has some that share a step.
    starts = torch.arange(PARTS, device=steps.device) * lengths[:, None] // PARTS
    ends = torch.arange(1, PARTS + 1, device=steps.device) * lengths[:, None]
    ends = torch.maximum(-(-ends // PARTS), starts + 1)
    inside = (places >= starts[..., None]) & (places < ends[..., None])
    sizes = inside.sum(-1)[:, None]
    means = torch.einsum("bct,bpt->bcp", steps, inside.to(steps)) / sizes
    mean = steps.sum(-1) / lengths[:, None]
    apart = (steps - mean[..., None]).square() * there[:, None]
    changes = (steps.diff(dim=-1).abs() * there[:, None, 1:]).sum(-1)
    last = (lengths - 1)[:, None, None].expand(-1, steps.shape[1], 1)
    found = [
        *means.unbind(-1),
        (apart.sum(-1) / lengths[:, None]).sqrt(),
        steps.masked_fill(~there[:, None], torch.inf).amin(-1),
        steps.masked_fill(~there[:, None], -torch.inf).amax(-1),
        steps[..., 0],
        steps.gather(-1, last)[..., 0],
        changes / (lengths[:, None] - 1).clamp(min=1),
    ]
    return torch.cat([lengths.to(steps).log()[:, None], *found], dim=-1)
