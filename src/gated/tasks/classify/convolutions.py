"""A convolutional branch beside the recurrent layers, as in LSTM-FCN.

Karim, Majumdar, Darabi and Chen 2018 (one channel) and 2019 (several, with squeeze and excitation).
Shapes: T steps, B sequences, I channels, F filters. Of long sequences some steps are averaged
first: a filter then sees as many times more of them, for as many times less work.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gated.live.program import Writer

KERNELS = (39, 19, 9)
"""Steps that the filters of each layer see; the paper's 8, 5, 3 see little of a smooth series."""
WIDTHS = (1, 2, 1)
"""Filters of each layer, in multiples of F."""
REDUCTION = 16
"""By what squeeze and excitation narrows (Hu, Shen and Sun 2018)."""


class ConvolutionalBranch(nn.Module):
    """Three convolutions over time; their mean over time.

    Args:
        inputs: I.
        filters: F.
        pool: steps that are averaged into one first.
    """

    def __init__(self, inputs: int, filters: int, pool: int = 1) -> None:
        super().__init__()
        self.pool = pool
        widths = [inputs, *(filters * width for width in WIDTHS)]
        self.filters = filters
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, kernel, padding=kernel // 2, bias=False)
            for (a, b), kernel in zip(pairwise(widths), KERNELS, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.excitations = nn.ModuleList(_Excitation(width) for width in widths[1:-1])

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        """Map (B, I, T), and which steps are no padding (B, T), to (B, F)."""
        if self.pool > 1:
            steps, there = average_pool(steps, there, self.pool)
        for place, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            steps = _normalised(cast(nn.BatchNorm1d, norm), convolution(steps), there).relu()
            if place < len(self.excitations):
                steps = self.excitations[place](steps, there)
        return _mean(steps, there)

    def write(self, writer: Writer, steps: str, weights: str) -> str:
        """Write the branch as layers of a program that read `steps`; return the mean's name.

        Args:
            writer: of the program.
            steps: name of the layer with the input.
            weights: what the names of the branch's weights begin with.
        """
        if self.pool > 1:
            steps = writer.add("average_pool", steps, steps=self.pool)
        for place, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            before = cast(nn.Conv1d, convolution).kernel_size[0] // 2
            steps = writer.add(
                "convolution", steps, weight=f"{weights}convolutions.{place}.weight", before=before
            )
            begins = f"{weights}norms.{place}."
            steps = writer.add(
                "batch_norm",
                steps,
                weight=f"{begins}weight",
                bias=f"{begins}bias",
                mean=f"{begins}running_mean",
                variance=f"{begins}running_var",
                epsilon=cast(nn.BatchNorm1d, norm).eps,
            )
            steps = writer.add("activation", steps, function="relu")
            if place < len(self.excitations):
                begins = f"{weights}excitations.{place}.weigh."
                of = writer.add("mean", steps)
                for number, function in ((0, "relu"), (2, "sigmoid")):
                    names = {"weight": f"{begins}{number}.weight", "bias": f"{begins}{number}.bias"}
                    of = writer.add(
                        "activation", writer.add("linear", of, **names), function=function
                    )
                steps = writer.add("scale", steps, of)
        return writer.add("mean", steps)


def average_pool(steps: Tensor, there: Tensor, pool: int) -> tuple[Tensor, Tensor]:
    """Average each `pool` steps of (B, I, T), and say which of these are no padding.

    At the end of a sequence its last step fills up what lacks.

    >>> steps, there = torch.tensor([[[1.0, 3, 5, 0]]]), torch.tensor([[True, True, True, False]])
    >>> average_pool(steps, there, 2)
    (tensor([[[2., 5.]]]), tensor([[True, True]]))
    """
    lengths = there.sum(-1, keepdim=True)
    counts = -(-lengths // pool)
    places = torch.arange(int(counts.max()) * pool, device=steps.device)
    places = torch.minimum(places, lengths - 1)[:, None].expand(-1, steps.shape[1], -1)
    means = steps.gather(-1, places).reshape(*steps.shape[:2], -1, pool).mean(-1)
    kept = torch.arange(means.shape[-1], device=steps.device) < counts
    return means * kept[:, None], kept


class _Excitation(nn.Module):
    """Weighs the features of a sequence by what they are on average."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(width // REDUCTION, 4)
        self.weigh = nn.Sequential(
            nn.Linear(width, narrow), nn.ReLU(), nn.Linear(narrow, width), nn.Sigmoid()
        )

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        weighed: Tensor = steps * self.weigh(_mean(steps, there))[..., None]
        return weighed


def _normalised(norm: nn.BatchNorm1d, steps: Tensor, there: Tensor) -> Tensor:
    """Normalise (B, F, T) over the steps that are there; the others are 0."""
    if there.all():
        return _norm(norm, steps, there.numel())
    last = steps.transpose(1, 2)
    found = torch.zeros_like(last)
    found[there] = _norm(norm, last[there], int(there.sum()))
    return found.transpose(1, 2)


def _norm(norm: nn.BatchNorm1d, values: Tensor, count: int) -> Tensor:
    """Batch normalisation; a single step in all has no deviation of its own."""
    return functional.batch_norm(
        values,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        training=norm.training and count > 1,
        eps=norm.eps,
    )


def _mean(steps: Tensor, there: Tensor) -> Tensor:
    """(B, F): the mean over time of (B, F, T), in which steps that are not there are 0."""
    return steps.sum(-1) / there.sum(-1, keepdim=True)
